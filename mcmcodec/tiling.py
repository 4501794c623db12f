"""Stage: between pixels and patches: padding, tiles with a halo for the float transforms, cropping.

Tiles start at multiples of the attention window, so that a tile sees the same windows as the whole picture does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .container import PATCH as PATCH

INTERIOR = 64
"""Side of a tile's own part in patches, a multiple of the attention window."""
HALO = 16
"""Patches of context on each side: as far as two attention windows and the convolutions between them reach."""


class Tile(NamedTuple):
    """One tile in patches: what is read (outer), what is kept (inner), and where the inner part lies in the outer."""

    outer: tuple[slice, slice]
    inner: tuple[slice, slice]
    local: tuple[slice, slice]


def pad(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column of (H, W, 3) until both sides are multiples of 16."""
    return np.pad(rgb, ((0, -rgb.shape[0] % PATCH), (0, -rgb.shape[1] % PATCH), (0, 0)), mode="edge")


def tiles(rows: int, cols: int) -> Iterator[Tile]:
    """Cover a grid of patches; a grid that fits into one tile with its halo is one tile."""
    for row, row_end in _spans(rows):
        for col, col_end in _spans(cols):
            top, left = max(0, row - HALO), max(0, col - HALO)
            yield Tile(
                (slice(top, min(rows, row_end + HALO)), slice(left, min(cols, col_end + HALO))),
                (slice(row, row_end), slice(col, col_end)),
                (slice(row - top, row_end - top), slice(col - left, col_end - left)),
            )


def _spans(length: int) -> list[tuple[int, int]]:
    if length <= INTERIOR + 2 * HALO:
        return [(0, length)]
    return [(start, min(length, start + INTERIOR)) for start in range(0, length, INTERIOR)]


def pixels(span: tuple[slice, slice]) -> tuple[slice, slice]:
    """A span of patches as a span of pixels."""
    rows, cols = span
    return slice(rows.start * PATCH, rows.stop * PATCH), slice(cols.start * PATCH, cols.stop * PATCH)
