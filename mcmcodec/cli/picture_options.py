"""Options about what pictures have beyond RGB: transparency, metadata."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

background = click.option("--background", metavar="COLOUR", help="Lay transparency over it: white, #102030.")


def picture(command: F) -> F:
    """Add the options of encode."""
    command = click.option("--keep-metadata", is_flag=True, help="Carry EXIF and XMP along (compressed).")(command)
    return background(command)


def check(settings: dict[str, Any]) -> None:
    """UsageError when the background is no colour."""
    if settings["background"] is not None:
        from ..image.prepare import colour

        colour(settings["background"])
