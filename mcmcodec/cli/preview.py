"""``codec decode --preview``: shows pictures in the terminal, by the best means that it has.

The package textual-image finds out what the terminal can (sixels, kitty's graphics, else half blocks). Without it, or
into a pipe, a character is two pixels, one above the other, in 24-bit colour.
"""

import os
import sys
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from .batch import FAILED, OK
from .console import complain, explain, printable
from .files import find, read

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.console import Console

    from ..image.bands import Bands

ROWS = 40
"""Lines of the terminal that a picture takes at most, so that several can be seen."""


def preview(inputs: Sequence[str], *, recursive: bool, load: Callable[[], Callable[[bytes], "Bands"]]) -> int:
    """Show the pictures one after the other, names between them if there are several.

    Args:
        inputs: files, folders and ``-``.
        recursive: whether folders are entered to any depth.
        load: loads the model; returns what decodes a file.

    Returns:
        The exit code.
    """
    found = find(inputs, recursive=recursive, accept=frozenset((".mcm",)))
    decode = load()
    code = OK
    for one in found:
        try:
            image = decode(read(one.path)).whole()
        # As in batch: one bad file must not cost the others.
        except Exception as error:
            code = FAILED
            complain(explain(error, one.path), one.name)
            continue
        if len(found) > 1:
            click.echo(printable(one.name))
        show(image)
    return code


def show(image: "Image") -> None:
    """Print a picture of any mode, on mid-grey where it is transparent, no larger than it is nor than the terminal."""
    from rich.console import Console

    from ..image.prepare import over

    console = Console(color_system="truecolor", force_terminal=True)
    opaque = over(image, "grey").convert("RGB")
    across, down = console.width, max(1, min(ROWS, console.height - 2))
    console.print(_renderable(opaque, across, down, console), end="")


def _renderable(image: "Image", across: int, down: int, console: "Console") -> Any:
    """What rich prints: textual-image's best for this terminal, or half blocks."""
    if sys.stdout.isatty() and os.get_terminal_size(sys.stdout.fileno()).columns:
        try:
            from textual_image.renderable import Image as Picture
        except ImportError:
            pass
        else:
            columns = round(min(across, down * 2 * image.width / image.height, max(1, image.width / 4)))
            return Picture(image, width=max(1, columns))
    return half_blocks(image, across, down)


def half_blocks(image: "Image", across: int, down: int) -> Any:
    """A picture as text: upper half blocks, the lower pixel as background.

    Args:
        image: RGB.
        across: columns that it may take.
        down: lines that it may take, of two pixels each.

    Returns:
        A ``rich.text.Text`` that ends in a line break.
    """
    from rich.text import Text

    share = min(1.0, across / image.width, 2 * down / image.height)
    width, height = max(1, int(image.width * share)), max(2, int(image.height * share) // 2 * 2)
    small = image.resize((width, height)).load()
    assert small is not None
    text = Text(no_wrap=True)
    for top in range(0, height, 2):
        for (upper, lower), run in groupby((small[left, top], small[left, top + 1]) for left in range(width)):
            style = f"rgb{upper} on rgb{lower}".replace(", ", ",")
            text.append("\N{UPPER HALF BLOCK}" * len(list(run)), style)
        text.append("\n")
    return text
