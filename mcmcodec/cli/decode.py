"""``codec decode``: .mcm files to pictures."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import UsageError
from . import decoder_options, options, picture_options, view_options
from .batch import Outcomes, Result, run
from .files import STREAM, Job, plan, read
from .limit_options import limits
from .pipeline import local
from .preview import preview as show

if TYPE_CHECKING:
    from ..image.bands import Bands

LARGE: Final = 2**24
"""Pixels from which on a PNG is written while the picture is painted."""


@click.command(short_help="Turn .mcm files into pictures.")
@options.inputs
@options.output(".png beside it")
@decoder_options.decoder
@view_options.view
@picture_options.background
@click.option("--painter", metavar="NAME:FOLDER", help="Model that paints words alone.")
@click.option("--preview", is_flag=True, help="Show it in the terminal; write nothing.")
@options.device
@limits
@options.common
def decode(inputs: tuple[str, ...], output: str | None, recursive: bool, preview: bool, **settings: Any) -> int:
    """Turn .mcm files into pictures.

    The extension of -o chooses the format: .png, .jpg, .webp and others.
    Of a folder, all .mcm files are taken; with -o its tree is mirrored.

    \b
    Examples:
      codec decode photo.mcm                       writes photo.png
      codec decode photo.mcm -o photo.jpg
      codec decode -r packed -o album              mirrors the folder
      codec decode --crop 100,50,640,480 photo.mcm
      codec decode --scale 1/4 photo.mcm -o thumbnail.jpg
      codec decode - < photo.mcm | viewer -
    """
    manners = options.manners(settings)
    decoder_options.check(settings)
    picture_options.check(settings)
    if preview:
        if output is not None or manners.json:
            raise UsageError("--preview writes no file", "leave out -o and --json, or --preview")
        return show(inputs, recursive=recursive, load=lambda: _decoder(**settings))
    jobs = plan(inputs, output, recursive=recursive, accept=frozenset((".mcm",)), suffix=".png")
    formats = _formats(jobs)
    return run(jobs, lambda say: _prepare(formats, **settings), manners, compressed="in")


def _formats(jobs: list[Job]) -> dict[str, str]:
    """Pillow's format for every output, so that a wrong extension is found before work starts."""
    from ..image.io import writable_format

    return {job.target: "PNG" if job.target == STREAM else writable_format(job.target) for job in jobs}


def _decoder(
    *, device: str, background: str | None, painter: str | None, **settings: Any
) -> Callable[[bytes], "Bands"]:
    """Load the model once; return what decodes a file."""
    from ..codec import Codec
    from ..image.prepare import over
    from ..options import DecodeOptions

    if painter:
        from ..plugins import painter as load

        settings["painter"] = load(painter, device)
    codec, options = Codec(device=device), DecodeOptions(**settings)

    def decode(data: bytes) -> "Bands":
        bands = codec.decode_bands(data, options)
        return bands if background is None else bands.map(partial(over, background=background))

    return decode


def _prepare(formats: dict[str, str], **settings: Any) -> Outcomes:
    """Load the model once; return what does the jobs."""
    from ..image.bands import write_png
    from ..image.io import holds_alpha, save_bytes
    from ..image.prepare import over

    decode = _decoder(**settings)

    def work(job: Job, data: bytes) -> Result:
        name = formats[job.target]
        bands = decode(data)
        if not holds_alpha(name):
            bands = bands.map(partial(over, background="white"))
        width, height = bands.size
        stream = name == "PNG" and width * height >= LARGE
        out = partial(write_png, bands) if stream else save_bytes(bands.whole(), name)
        return Result(out, len(data), width, height, pixels=bands.pixels)

    return local(lambda job: read(job.source), work, len)
