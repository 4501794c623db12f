"""``codec decode``: its options, how they become :class:`DecodeOptions`, and the decoding of files."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import McmError, UsageError
from ..options import SCALES, DecodeOptions
from . import shared_options
from .batch import JobRunner, Result, run
from .files import STREAM, Job, is_written_through, plan, read
from .pipeline import in_this_process
from .preview import preview as show_previews

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..image.bands import Bands
    from ..image.painting import PaintRequest

LARGE: Final = 2**24
"""Pixels from which on a PNG is written while the picture is decoded."""
_SCALE_NAMES: Final = {"1" if scale == 1 else f"1/{1 / scale:.0f}": scale for scale in SCALES}

_OF_A_PAINTER: Final = {
    "controlnet": "--controlnet", "strength": "--strength", "seed": "--seed", "free_colours": "--free-colours",
}  # fmt: skip
"""Options that say nothing without a painter, whatever their value."""


def _crop(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """``x,y,w,h`` as numbers. BadParameter when it is something else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9}),(\d{1,9}),0*([1-9]\d{0,8}),0*([1-9]\d{0,8})", text, re.ASCII)
    if match is None:
        raise click.BadParameter(f"{text} is not X,Y,WIDTH,HEIGHT in whole pixels, at least one wide and high.")
    return tuple(map(int, match.groups()))


def _scale(context: click.Context, option: click.Parameter, name: str) -> float:
    return _SCALE_NAMES[name]


@click.command(short_help="Turn .mcm files into pictures.")
@shared_options.inputs
@shared_options.output(".png beside it")
@click.option(
    "--decoder", metavar="NAME",
    help="fidelity (nearest to the original), perceptual (looks best) or light (fastest).  [default: the model's]",
)
@click.option("--realism", metavar="0..1", type=float, help="Anything from fidelity (0) to perceptual (1).")
@click.option("--crop", metavar="X,Y,W,H", callback=_crop, help="Only this part, in pixels of the whole picture.")
@click.option(
    "--scale", type=click.Choice([*_SCALE_NAMES]), default="1", callback=_scale, help="A smaller picture, sooner."
)
@click.option("--allow-truncated", is_flag=True, help="Show what arrived of a file that was cut short.")
@shared_options.background
@click.option("--painter", metavar="NAME:FOLDER", help="Model that paints what the file says.")
@click.option("--controlnet", metavar="FOLDER", help="ControlNet for it, to follow the file's edges.")
@click.option("--strength", metavar="0..1", type=float, help="Share to paint anew.  [default: by rate]")
@click.option("--seed", type=int, help=f"Of the painter.  [default: {DecodeOptions.seed}]")
@click.option("--free-colours", is_flag=True, help="Let the painter choose colours, not the file.")
@click.option("--preview", is_flag=True, help="Show it in the terminal; write nothing.")
@shared_options.device
@shared_options.max_pixels
@shared_options.preserve
@shared_options.files_and_messages
def decode(inputs: tuple[str, ...], output: str | None, recursive: bool, preview: bool, **given: Any) -> int:
    """Turn .mcm files into pictures.

    The extension of -o chooses the format: .png, .jpg, .webp and others.
    Of a folder, all .mcm files are taken; with -o its tree is mirrored.
    A text with the messages of one picture in it is read as its file.

    \b
    Examples:
      codec decode photo.mcm                       writes photo.png
      codec decode photo.mcm -o photo.jpg
      codec decode -r packed -o album              mirrors the folder
      codec decode --crop 100,50,640,480 photo.mcm
      codec decode --scale 1/4 photo.mcm -o thumbnail.jpg
      codec decode - < photo.mcm | viewer -
    """
    policy = shared_options.output_policy(given)
    settings = _settings(given)
    if preview:
        if output is not None or policy.json:
            raise UsageError("--preview writes no file", "leave out -o and --json, or --preview")
        return show_previews(inputs, recursive=recursive, load=lambda: _decoder(settings))
    planned = plan(inputs, output, recursive=recursive, accept=frozenset((".mcm",)), suffix=".png")
    formats = _formats(planned.jobs)
    waits = any(job.source == STREAM for job in planned.jobs)
    return run(planned, lambda show: _job_runner(settings, formats, waits=waits), policy, compressed="in")


@dataclass(frozen=True)
class _DecodeSettings:
    """What ``codec decode`` was asked for, checked.

    Attributes:
        options: of the decoder; until the painter is loaded, :func:`_not_loaded` takes its place.
        painter: the model that paints, ``NAME:FOLDER``, or None.
        controlnet: folder of a ControlNet for it, or None.
        device: where to compute.
        max_pixels: larger pictures are refused.
        background: colour to lay transparent pictures over, or None.
    """

    options: DecodeOptions
    painter: str | None
    controlnet: str | None
    device: str
    max_pixels: int
    background: str | None


def _settings(given: dict[str, Any]) -> _DecodeSettings:
    """Check the options, all but those about files and messages, and bring them together.

    Raises:
        UsageError: a value is out of range, or two options contradict each other.
    """
    idle = [option for name, option in _OF_A_PAINTER.items() if not (given[name] is None or given[name] is False)]
    if idle and given["painter"] is None:
        raise UsageError(f"{idle[0]} is for painters, and there is none", "give --painter, or leave it out")
    names = ("decoder", "realism", "crop", "scale", "allow_truncated", "strength")
    with shared_options.naming_options():
        options = DecodeOptions(
            **{name: given[name] for name in names}, correct_colours=not given["free_colours"],
            seed=DecodeOptions.seed if given["seed"] is None else given["seed"],
            painter=None if given["painter"] is None else _not_loaded,
        )  # fmt: skip
    rest = ("painter", "controlnet", "device", "max_pixels", "background")
    return _DecodeSettings(options, **{name: given[name] for name in rest})


def _not_loaded(request: "PaintRequest") -> "Image":
    """Take the place of a painter while options are checked."""
    raise NotImplementedError


def _formats(jobs: list[Job]) -> dict[str, str]:
    """Pillow's format for every output, so that a wrong extension is found before work starts."""
    from ..image.io import writable_format

    def format_of(target: str) -> str:
        nameless = is_written_through(target) and not os.path.splitext(target)[1]
        return "PNG" if nameless else writable_format(target)

    return {job.target: format_of(job.target) for job in jobs}


def _decoder(settings: _DecodeSettings, *, ahead: bool = False) -> Callable[[bytes], "Bands"]:
    """Load the model once; return what decodes a file.

    Args:
        settings: what was asked for.
        ahead: load the networks too, before the first file says which they are: the default ones, nearly always.

    Raises:
        UsageError: the painter cannot be used.
    """
    from ..bitstream.envelope import unwrap
    from ..codec import Codec
    from ..image.prepare import over

    options = settings.options
    if settings.painter:
        from ..plugins import load_painter

        options = replace(options, painter=load_painter(settings.painter, settings.device, settings.controlnet))
    codec = Codec(device=settings.device, max_pixels=settings.max_pixels)
    if ahead:
        with suppress(McmError):  # it may be that no file needs them; a file that does raises the error again
            codec.open(options)

    def decode(data: bytes) -> "Bands":
        bands = codec.decode_bands(unwrap(data, allow_truncated=options.allow_truncated), options)
        if settings.background is None:
            return bands
        return bands.map(partial(over, background=settings.background))

    return decode


def _job_runner(settings: _DecodeSettings, formats: dict[str, str], *, waits: bool) -> JobRunner:
    """Load the model once; return what does the jobs. ``waits`` tells that input comes through a pipe."""
    from ..image.bands import write_png
    from ..image.io import holds_alpha, save_bytes
    from ..image.prepare import over

    decode = _decoder(settings, ahead=waits)

    def work(job: Job, data: bytes) -> Result:
        name = formats[job.target]
        bands = decode(data)
        if not holds_alpha(name):
            bands = bands.map(partial(over, background="white"))
        width, height = bands.size
        stream = name == "PNG" and width * height >= LARGE
        out = partial(write_png, bands) if stream else save_bytes(bands.whole(), name)
        return Result(out, len(data), width, height, lost=(bands.note,) if bands.note else (), pixels=bands.pixels)

    return in_this_process(lambda job: read(job.source), work, len)
