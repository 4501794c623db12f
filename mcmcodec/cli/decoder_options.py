"""Options of ``codec decode`` that say which decoder paints the picture."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def decoder(command: F) -> F:
    """Add ``--decoder`` and ``--realism``."""
    command = click.option(
        "--realism",
        type=click.FloatRange(0, 1),
        metavar="0..1",
        help="Anything from fidelity (0) to perceptual (1).",
    )(command)
    return click.option(
        "--decoder",
        metavar="NAME",
        help="fidelity (nearest to the original), perceptual (nicest) or light (fastest).  [default: the model's]",
    )(command)


def check(settings: dict[str, Any]) -> None:
    """UsageError when both are given."""
    if settings["decoder"] and settings["realism"] is not None:
        raise UsageError("--decoder and --realism both choose a decoder", "give one of them")
