"""Options of encode about the mask: which patches are visible, and which matter most."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError, UsageError

if TYPE_CHECKING:
    from ..image import Pixels

MASKS = ("rd", "dual", "texture", "structure", "random", "none")
Command = Callable[..., Any]


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
                show_default=True,
                metavar="WAY",
                help="How patches are chosen: rd, dual, texture, structure, random; none shows all.",
            ),
            click.option(
                "--roi",
                type=click.Path(exists=True, dir_okay=False),
                metavar="PICTURE",
                help="Grey map of the picture's size: white matters most.",
            ),
        )
    ):
        command = option(command)
    return command


def check_mask(settings: Mapping[str, Any]) -> None:
    """UsageError when options about the mask contradict each other."""
    if settings["mask"] == "none" and (settings["keep"] is not None or settings["roi"]):
        raise UsageError("--mask none shows every patch, so --keep and --roi say nothing", "leave one out")


def load_roi(path: str) -> "Pixels":
    """Read the region-of-interest map: uint8 array of shape (height, width), larger where it matters more."""
    import numpy as np

    from ..image import from_rgb, open_image, to_rgb

    try:
        with open_image(path) as image:
            return np.asarray(from_rgb(to_rgb(image)).convert("L"))
    except InputError as error:
        raise UsageError(f"--roi {path}: {error.cause}", error.remedy) from error
