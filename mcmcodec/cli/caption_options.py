"""Options of encode about words: what the caption is, and whether anything else is kept."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from ..errors import UsageError

Command = Callable[..., Any]


def words(command: Command) -> Command:
    """Add the options about words."""
    for option in reversed(
        (
            click.option("--caption", metavar="TEXT", default="", help="Words about the picture, kept in the file."),
            click.option(
                "--mode",
                type=click.Choice(("full", "base", "caption")),
                default="full",
                show_default=True,
                metavar="WHAT",
                help="Keep everything (full), the base layer and the caption (base), or the caption alone (caption).",
            ),
        )
    ):
        command = option(command)
    return command


def check_words(settings: Mapping[str, Any]) -> None:
    """UsageError when options about words contradict others."""
    if settings["mode"] != "full" and (settings["keep"] is not None or settings["roi"] or settings["mask"] != "rd"):
        raise UsageError(f"--mode {settings['mode']} shows no patch, so --keep, --mask and --roi say nothing",
                         "leave one out")  # fmt: skip
    if settings["mode"] == "caption" and not settings["caption"]:
        raise UsageError("--mode caption keeps nothing but a caption, and there is none", "give --caption")
