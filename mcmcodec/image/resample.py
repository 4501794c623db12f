"""Pictures that are coded at a half, a quarter or an eighth of their size.

Where there are too few bytes for every patch, fewer patches get more of them: below about 0.02 bits per pixel the
smaller picture, scaled up again, comes nearer to the original in squared error and MS-SSIM than the whole one at its
lowest qualities, and below 0.01 there is nothing else (specification, section 4.5).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bitstream.container import REDUCTIONS
from ..errors import UsageError
from .bands import ROWS
from .tiling import View

FACTORS = (1, *REDUCTIONS)
"""How many pixels of the picture, along a side, a pixel that is coded stands for."""
REACH = 2
"""Rows of the smaller picture on either side that cubic convolution looks at."""


def check(factor: int) -> None:
    """UsageError unless pictures can be reduced by this factor."""
    if factor not in FACTORS:
        raise UsageError(f"reduce {factor} is not {', '.join(map(str, FACTORS[:-1]))} or {FACTORS[-1]}", "2 halves it")


def shrink(rgb: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Mean over factor x factor pixels of (H, W, 3) uint8, of fewer at the right and lower border; sides rounded up."""
    return rgb if factor == 1 else np.asarray(Image.fromarray(rgb).reduce(factor))


def enlarge(small: Image.Image, factor: int, view: View) -> Iterator[tuple[View, Image.Image]]:
    """Scale a picture up, bicubically, to a view of the whole one; in bands from the top.

    Args:
        small: the picture that was coded, or a reduction of it, RGB.
        factor: pixels of the whole picture along a side that one of ``small`` stands for.
        view: what is wanted, in pixels of the whole picture over ``view.factor``, which is at most ``factor``.

    Yields:
        Parts of the view, and their pictures.
    """
    scale = view.factor / factor
    left, right = view.cols.start * scale, min(view.cols.stop * scale, small.width)
    for start in range(view.rows.start, view.rows.stop, ROWS):
        part = view._replace(rows=slice(start, min(start + ROWS, view.rows.stop)))
        top, bottom = start * scale, min(part.rows.stop * scale, small.height)
        above = max(0, math.floor(top) - REACH)
        strip = small.crop((0, above, small.width, min(small.height, math.ceil(bottom) + REACH)))
        box = (left, top - above, right, bottom - above)
        height, width = part.size
        # in floating point: Pillow cuts bytes to 0..255 after the first axis, whichever that is, and bands would differ
        planes = (plane.convert("F").resize((width, height), Image.Resampling.BICUBIC, box) for plane in strip.split())
        scaled = np.stack([np.asarray(plane) for plane in planes], 2)
        yield part, Image.fromarray(np.rint(scaled).clip(0, 255).astype(np.uint8))
