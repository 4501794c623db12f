"""Options of encode about the mask: which patches are visible, and which matter most."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError, UsageError

if TYPE_CHECKING:
    from ..image.io import Pixels

REGIONS = ("faces", "bodies", "cats")
MASKS = ("rd", "dual", "texture", "structure", "random", "none")
Command = Callable[..., Any]


class _Region(click.Path):
    """A picture's path, or what is to be looked for."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word or the path."""
        return value if value in REGIONS else super().convert(value, param, ctx)


def mask(command: Command) -> Command:
    """Add the options about the mask."""
    for option in reversed(
        (
            click.option(
                "--keep",
                metavar="SHARE",
                type=click.FloatRange(0, 1, min_open=True),
                help="Share of patches to show.",
            ),
            click.option(
                "--mask",
                type=click.Choice(MASKS),
                default="rd",
                metavar="WAY",
                help="rd, dual, texture, structure, random or none.",
            ),
            click.option(
                "--roi",
                type=_Region(exists=True, dir_okay=False),
                metavar="PICTURE",
                help="Map (white matters), faces, bodies or cats.",
            ),
        )
    ):
        command = option(command)
    return command


def check_mask(settings: Mapping[str, Any]) -> None:
    """UsageError when options about the mask contradict each other."""
    if settings["mask"] == "none" and (settings["keep"] is not None or settings["roi"]):
        raise UsageError("--mask none shows every patch, so --keep and --roi say nothing", "leave one out")


def region(roi: str | None) -> "Callable[[Pixels], Pixels | None]":
    """What gives a picture (H, W, 3) its region-of-interest map (H, W), larger where it matters more.

    Raises:
        UsageError: The map is not a picture, or the detector is not installed.
    """
    if roi is None:
        return lambda pixels: None
    if roi in REGIONS:
        from ..encoder.roi import finder

        return finder(roi)
    weight = _load(roi)

    def drawn(pixels: "Pixels") -> "Pixels":
        height, width = pixels.shape[:2]
        if weight.shape != (height, width):
            raise InputError(
                f"{width} x {height} pixels, but --roi has {weight.shape[1]} x {weight.shape[0]}",
                "make the map of the picture's size",
            )
        return weight

    return drawn


def _load(path: str) -> "Pixels":
    import numpy as np

    from ..image.io import from_rgb, open_image, to_rgb

    try:
        with open_image(path) as image:
            return np.asarray(from_rgb(to_rgb(image)).convert("L"))
    except InputError as error:
        raise UsageError(f"--roi {path}: {error.cause}", error.remedy) from error
