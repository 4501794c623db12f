"""Options of encode about words: where the caption comes from, what it may cost, and whether anything else is kept."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

Command = Callable[..., Any]


def words(command: Command) -> Command:
    """Add the options about words."""
    for option in reversed(
        (
            click.option(
                "--caption",
                metavar="TEXT",
                multiple=True,
                help="Words to keep; of several, the cheapest.",
            ),
            click.option(
                "--caption-from",
                metavar="SOURCE",
                multiple=True,
                help="sidecar (photo.txt), metadata, FILE.csv or none.",
            ),
            click.option(
                "--captioner",
                metavar="NAME:FOLDER",
                help="Model to ask for missing words.",
            ),
            click.option(
                "--caption-bytes",
                metavar="N",
                type=click.IntRange(1),
                help="Most bytes that the caption may take.",
            ),
            click.option(
                "--mode",
                type=click.Choice(("full", "base", "caption")),
                default="full",
                metavar="WHAT",
                help="full, base (no detail) or caption (words alone).",
            ),
        )
    ):
        command = option(command)
    return command


def check_words(settings: Mapping[str, Any]) -> None:
    """UsageError when options about words contradict others."""
    mode, origins = settings["mode"], settings["caption_from"]
    if mode != "full" and (settings["keep"] is not None or settings["roi"] or settings["mask"] != "rd"):
        raise UsageError(f"--mode {mode} shows no patch, so --keep, --mask and --roi say nothing", "leave one out")
    if "none" in origins and len(origins) > 1:
        raise UsageError("--caption-from none and another source contradict each other", "give one of them")
    words = any(settings["caption"]) or {*origins} - {"none"} or settings["captioner"] or settings["regions"]
    if mode == "caption" and not words:
        raise UsageError("--mode caption keeps nothing but a caption, and there is none",
                         "give --caption or --caption-from")  # fmt: skip


def prepare(settings: dict[str, Any], device: str) -> "Callable[[str, Image], str]":
    """Make of the options about the caption's origin what finds a caption.

    Args:
        settings: the command's keyword arguments.
        device: where a captioner computes.

    Returns:
        What finds a picture's caption, given its path and the picture.

    Raises:
        UsageError: a source or captioner cannot be used.
    """
    from ..caption import sources
    from ..caption.shortest import choose

    given, limit = [text for text in settings["caption"] if text], settings["caption_bytes"]
    origins, model = settings["caption_from"], settings["captioner"]
    known = [] if given else [sources.source(name) for name in origins if name != "none"]
    if model and not given:
        from ..plugins import captioner

        known.append(sources.captioned(captioner(model, device)))

    def find(path: str, image: "Image") -> str:
        found = given or sources.candidates(known, path, image)
        return found[0] if len(found) == 1 and limit is None else choose(found, limit)

    return find
