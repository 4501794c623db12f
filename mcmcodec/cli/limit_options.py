"""Options about how much a stranger's file may ask of this machine."""

import os
from collections.abc import Callable
from typing import Any

import click

from ..bitstream.limits import DEFAULT_MAX_PIXELS, VARIABLE

Command = Callable[..., Any]


def _remember(context: click.Context, option: click.Parameter, value: int | None) -> None:
    """Put the limit where every room and every process started from here finds it, for as long as the command runs."""
    if value is None:
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(value)

    def restore() -> None:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before

    context.call_on_close(restore)


def limits(command: Command) -> Command:
    """Add ``--max-pixels``, which needs no argument of the command's."""
    return click.option(
        "--max-pixels",
        metavar="N",
        type=click.IntRange(1),
        expose_value=False,
        callback=_remember,
        help=f"Refuse larger.  [default: {DEFAULT_MAX_PIXELS}]",
    )(command)
