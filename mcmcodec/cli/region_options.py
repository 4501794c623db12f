"""The option about phrases for parts of the picture."""

import re
from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


def _parse(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[Any]:
    """Take x,y,w,h=TEXT apart: flat lists, because making regions would load what ``--help`` can do without."""
    found: list[Any] = []
    for value in values:
        match = re.fullmatch(r"\s*(\d{1,4}),(\d{1,4}),(\d{1,4}),(\d{1,4})=(.+)", value, re.DOTALL)
        if match is None:
            raise click.BadParameter(f"{value!r} is not x,y,w,h=TEXT in patches of 16 pixels", context, option)
        found.append((*map(int, match.groups()[:4]), match.group(5)))
    return found


def regions(command: Command) -> Command:
    """Add ``--region``; it arrives as a list of (x, y, w, h, text)."""
    return click.option(
        "--region",
        "regions",
        metavar="X,Y,W,H=TEXT",
        multiple=True,
        callback=_parse,
        help="Words about a box, in patches; for each again.",
    )(command)
