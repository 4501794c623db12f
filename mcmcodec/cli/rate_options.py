"""Options of encode about the rate: how many bytes a picture may cost, or how good it has to be."""

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


def rate(command: Command) -> Command:
    """Add the options about the rate."""
    for option in reversed(
        (
            click.option(
                "-q",
                "--quality",
                metavar="0..100",
                type=click.IntRange(0, 100),
                default=50,
                show_default="50",
                help="0 for the smallest file, 100 for the best.",
            ),
            click.option(
                "-e",
                "--effort",
                metavar="1..9",
                type=click.IntRange(1, 9),
                default=3,
                show_default="3",
                help="1 is fastest; each step beyond 3 doubles the time to save bytes.",
            ),
        )
    ):
        command = option(command)
    return command
