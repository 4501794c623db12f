"""``codec encode``: pictures to .mcm files."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError, UsageError
from . import options
from .batch import Result, run
from .files import Job, plan, seekable

if TYPE_CHECKING:
    from ..image import Pixels

MASKS = ("rd", "dual", "texture", "structure", "random", "none")


@click.command(short_help="Turn pictures into .mcm files.")
@click.argument("inputs", metavar="FILES|FOLDERS|-", nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="PATH", help="File, folder, or - for stdout.  [default: beside input]"
)
@click.option(
    "-q",
    "--quality",
    metavar="0..100",
    type=click.IntRange(0, 100),
    default=50,
    show_default="50",
    help="0 for the smallest file, 100 for the best.",
)
@click.option(
    "--keep", metavar="SHARE", type=click.FloatRange(0, 1, min_open=True), help="Share of patches to show."
)
@click.option(
    "--mask",
    type=click.Choice(MASKS),
    default="rd",
    show_default=True,
    metavar="WAY",
    help="How patches are chosen: rd, dual, texture, structure, random; none shows all.",
)
@click.option(
    "--roi",
    type=click.Path(exists=True, dir_okay=False),
    metavar="PICTURE",
    help="Grey map of the picture's size: white matters most.",
)
@click.option("--caption", metavar="TEXT", default="", help="Words about the picture, kept in the file.")
@click.option("--model", metavar="NAME", help="Which weights to use.  [default: small]")
@options.device
@options.common
def encode(inputs: tuple[str, ...], output: str | None, recursive: bool, **settings: Any) -> int:
    """Turn pictures into .mcm files.

    Of a folder, all pictures are taken; with -o its tree is mirrored.

    \b
    Examples:
      codec encode photo.jpg                       writes photo.mcm
      codec encode -q 20 photo.png -o small.mcm
      codec encode -r album -o packed              mirrors the folder
      curl -s ADDRESS | codec encode - > photo.mcm
    """
    from ..image import readable_extensions

    manners = options.manners(settings)
    if settings["mask"] == "none" and (settings["keep"] is not None or settings["roi"]):
        raise UsageError("--mask none shows every patch, so --keep and --roi say nothing", "leave one out")
    jobs = plan(inputs, output, recursive=recursive, accept=readable_extensions(), suffix=".mcm")
    return run(jobs, lambda: _prepare(**settings), manners, compressed="out")


def _prepare(*, model: str | None, device: str, roi: str | None, **settings: Any) -> Callable[[Job], Result]:
    """Load the model once; return what encodes one picture."""
    weight_map = _load_roi(roi) if roi else None
    from ..codec import Codec
    from ..image import open_image, to_rgb

    codec = Codec(model=model, device=device)

    def work(job: Job) -> Result:
        source = seekable(job.source)
        with open_image(source) as image:
            pixels = to_rgb(image)
        height, width = pixels.shape[:2]
        if weight_map is not None and weight_map.shape != (height, width):
            raise InputError(
                f"{width} x {height} pixels, but --roi has {weight_map.shape[1]} x {weight_map.shape[0]}",
                "make the map of the picture's size",
            )
        data = codec.encode(pixels, roi=weight_map, **settings)
        size = os.path.getsize(source) if isinstance(source, str) else len(source.getvalue())
        return Result(data, size, width, height)

    return work


def _load_roi(path: str) -> "Pixels":
    """Read the region-of-interest map: uint8 array of shape (height, width), larger where it matters more."""
    import numpy as np

    from ..image import from_rgb, open_image, to_rgb

    try:
        with open_image(path) as image:
            return np.asarray(from_rgb(to_rgb(image)).convert("L"))
    except InputError as error:
        raise UsageError(f"--roi {path}: {error.cause}", error.remedy) from error
