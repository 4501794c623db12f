"""Options of ``codec decode`` that say what of the picture is wanted."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _rectangle(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """``x,y,w,h`` as numbers."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise click.BadParameter(f"{text} is not X,Y,WIDTH,HEIGHT in whole pixels.")
    numbers = tuple(map(int, parts))
    if 0 in numbers[2:]:
        raise click.BadParameter(f"{text} holds no pixel.")
    return numbers


def _share(context: click.Context, option: click.Parameter, text: str) -> float:
    return float(Fraction(text))


def view(command: F) -> F:
    """Add ``--crop``, ``--scale`` and ``--allow-truncated``."""
    for option in (
        click.option("--allow-truncated", is_flag=True, help="Show what arrived of a file that was cut short."),
        click.option(
            "--scale",
            type=click.Choice(("1", "1/2", "1/4", "1/8")),
            default="1",
            callback=_share,
            help="A smaller picture, sooner.",
        ),
        click.option(
            "--crop", metavar="X,Y,W,H", callback=_rectangle, help="Only this part, in pixels of the whole picture."
        ),
    ):
        command = option(command)
    return command
