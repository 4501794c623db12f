"""``codec compare``: how far a picture is from its original, by all available metrics."""

import json
import os
from typing import TYPE_CHECKING

import click

from ..errors import McmError, UsageError
from . import shared_options
from .batch import FAILED, OK
from .console import complain, explain, printable, rate, size
from .files import STREAM, seekable

if TYPE_CHECKING:
    from ..image.io import Pixels


@click.command(short_help="Measure how far a picture is from its original.")
@click.argument("original", metavar="ORIGINAL")
@click.argument("picture", metavar="PICTURE")
@click.option(
    "--metrics",
    metavar="LIST",
    default="all",
    show_default=True,
    help="Of psnr, msssim, lpips, lpips_vgg, dists, ciede, chroma, fd, brisque, top1, top5, features; quick, "
    "colour, perception, recognition, all.",
)
@click.option("--decoder", metavar="NAME", help="For .mcm files.  [default: the model's first]")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
@shared_options.device
def compare(original: str, picture: str, metrics: str, decoder: str | None, as_json: bool, device: str) -> int:
    """Measure how far a picture is from its original.

    Both may be pictures of any format, or .mcm files, which are decoded first. LPIPS and DISTS
    need their weights; without them a line says how to install these. CIEDE2000 and chroma are of
    the means of 16x16 pixels: how far areas are from their colour, and how much of it is left. FD is
    the Frechet distance between patches, by VGG16's features: it is not FID. BRISQUE looks at the
    picture alone: how natural it is, about 0 to 100, lower is better.

    \b
    Examples:
      codec compare photo.png photo.mcm
      codec compare --json a.png b.webp | jq .psnr
    """
    from ..metrics.judge import METRICS, device_of, parse
    from ..metrics.judge import compare as judge

    wanted = parse(metrics)
    pictures = []
    for name in (original, picture):
        if name == STREAM:
            raise UsageError("two pictures cannot come from one stdin", "give two files")
        try:
            pictures.append(_load(name, decoder, device))
        # Any error is reported with the name of the picture.
        except Exception as error:
            complain(explain(error, name), name)
            return FAILED
    x, y = pictures
    try:
        values, notes = judge(x, y, wanted, device_of(device))
    except McmError as error:
        complain(explain(error), picture)
        return FAILED
    for note in notes:
        complain(note)
    height, width = x.shape[:2]
    count = os.path.getsize(picture)
    bpp = 8 * count / (width * height)
    equal = bool((x == y).all())
    if as_json:
        facts = {"original": original, "picture": picture, "width": width, "height": height, "bytes": count,
                 "bpp": round(bpp, 6), "equal": equal}  # fmt: skip
        finite = {key: None if value in (None, float("inf")) else round(value, 6) for key, value in values.items()}
        click.echo(json.dumps(facts | finite))
        return OK
    lines = [printable(f"{original} -> {picture}"), f"  {'picture':<18}{width} x {height} pixels"]
    lines.append(f"  {'file':<18}{size(count)}, {rate(bpp)} bpp")
    for key, value in values.items():
        metric = METRICS[key]
        text = "-" if value is None else "equal" if value == float("inf") else f"{value:.{metric.digits + 1}f}"
        name, _, about = metric.title.partition(" (")
        lines.append(f"  {_SHORT.get(key, name):<18}{text}" + (f" ({about}" if about and value is not None else ""))
    click.echo("\n".join(lines))
    return OK


_SHORT = {"fd": "FD"}


def _load(name: str, decoder: str | None, device: str) -> "Pixels":
    """Pixels of a picture, or of an .mcm file decoded."""
    from ..image.io import open_image, to_rgb

    if name.lower().endswith(".mcm"):
        from ..codec import decode
        from .files import read

        return to_rgb(decode(read(name), decoder=decoder, device=device))
    with open_image(seekable(name)) as image:
        return to_rgb(image)
