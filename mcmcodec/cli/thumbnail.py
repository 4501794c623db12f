"""``codec thumbnail``: makes a small PNG of an .mcm file, as file managers ask for it."""

import click

from . import shared_options
from .files import read
from .output import write


@click.command(short_help="Make a small PNG, for file managers.")
@click.argument("source", metavar="FILE", type=click.Path(allow_dash=True, readable=False))
@click.argument("target", metavar="PNG", type=click.Path(allow_dash=True, readable=False))
@click.option("-s", "--size", type=click.IntRange(1, 4096), default=256, show_default=True, help="Longest side.")
@shared_options.device
@shared_options.max_pixels
def thumbnail(source: str, target: str, size: int, device: str, max_pixels: int) -> None:
    """Make a PNG of an .mcm file, at most --size pixels a side; an older one is replaced.

    The picture is decoded at a half, a quarter or an eighth where that is enough.

    \b
    Examples:
      codec thumbnail photo.mcm small.png
      codec thumbnail -s 128 photo.mcm - | viewer -
    """
    from ..bitstream.container import parse_header
    from ..codec import Codec
    from ..image.io import save_bytes

    data = read(source)
    header, _ = parse_header(data)
    longest = max(header.width, header.height)
    scale = next((1 / n for n in (8, 4, 2) if longest >= n * size), 1)
    picture = Codec(device=device, max_pixels=max_pixels).decode(data, scale=scale)
    picture.thumbnail((size, size))
    write(target, save_bytes(picture, "PNG"), made_of=(source,))
