"""How large a picture may be before it is refused, coming or going: our own limit, not the format's.

A file of sixteen bytes can announce 65535 x 65535 pixels (specification, section 9). Standard library only.
"""

import os
from typing import Final

from ..errors import InputError, UsageError
from .container import MAX_SIDE

DEFAULT_MAX_PIXELS: Final = 2**27
VARIABLE: Final = "MCMCODEC_MAX_PIXELS"


def max_pixels(given: int | None = None) -> int:
    """The limit in pixels: the given one, or the variable MCMCODEC_MAX_PIXELS, or 2**27.

    Raises:
        UsageError: it is not a whole number above zero.
    """
    if given is None:
        text = os.environ.get(VARIABLE, "")
        if not text:
            return DEFAULT_MAX_PIXELS
        given = int(text) if text.isdecimal() and len(text) < 19 else 0
    if given < 1:
        raise UsageError("the limit of pixels is not a whole number above zero", f"give {DEFAULT_MAX_PIXELS}, say")
    return given


def check_pixels(width: int, height: int, given: int | None = None) -> None:
    """InputError when a picture has more pixels than :func:`max_pixels` allows; to be called before any allocation."""
    limit = max_pixels(given)
    if width * height > limit:
        raise InputError(
            f"{width} x {height} pixels are over the limit of {limit}",
            "raise it with --max-pixels (max_pixels in Python) if you trust the file",
        )


def check_size(width: int, height: int, given: int | None = None) -> None:
    """InputError for a picture that the container cannot hold (specification, section 3), or over the limit."""
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        cause = f"{width} x {height} pixels are outside the format's limits (1 to {MAX_SIDE} a side)"
        raise InputError(cause, "scale it down or cut it up")
    check_pixels(width, height, given)
