"""From pixels to patches: padding, views of a picture, tiles with a halo for the float transforms.

Tiles start at multiples of the attention window, so that a tile sees the same windows as the whole picture does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bitstream.container import PATCH as PATCH
from ..errors import InputError

INTERIOR = 96
"""Side of a tile's own part in patches, a multiple of ``ALIGN``."""
ALIGN = 8
"""Side of an attention window in patches."""
HALO = 16
"""Patches of context on each side of what is painted. Two attention windows and the convolutions between them reach a
little further, but what comes from there is far below a level of 255: tiles give the pixels of one piece."""


class Tile(NamedTuple):
    """One tile in patches: what is read (outer), what is kept (inner), and where the inner part lies in the outer."""

    outer: tuple[slice, slice]
    inner: tuple[slice, slice]
    local: tuple[slice, slice]


def pad(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column of (H, W, 3) until both sides are multiples of 16; itself if they are."""
    if not any(side % PATCH for side in rgb.shape[:2]):
        return rgb
    return np.pad(rgb, ((0, -rgb.shape[0] % PATCH), (0, -rgb.shape[1] % PATCH), (0, 0)), mode="edge")


class View(NamedTuple):
    """What is wanted of a picture: a rectangle of whole pixels, after reduction by a factor.

    Attributes:
        rows: span of rows of the reduced picture.
        cols: span of columns of the reduced picture.
        factor: 1, 2, 4 or 8; a reduced pixel stands for factor x factor pixels.
    """

    rows: slice
    cols: slice
    factor: int = 1

    @classmethod
    def of(cls, size: tuple[int, int], crop: tuple[int, int, int, int] | None = None, factor: int = 1) -> View:
        """The view of a picture of ``size`` (height, width): all reduced pixels that touch the crop (x, y, w, h).

        InputError when the crop is not inside the picture.
        """
        x, y, w, h = crop or (0, 0, size[1], size[0])
        if min(x, y) < 0 or min(w, h) < 1 or x + w > size[1] or y + h > size[0]:
            raise InputError(f"{w} x {h} pixels at {x}, {y} are not inside {size[1]} x {size[0]}", "give another crop")
        return cls(slice(y // factor, -(-(y + h) // factor)), slice(x // factor, -(-(x + w) // factor)), factor)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start

    def patches(self) -> tuple[slice, slice]:
        """Rows and columns of the patches that it touches."""
        side = PATCH // self.factor
        rows, cols = (slice(s.start // side, -(-s.stop // side)) for s in self[:2])
        return rows, cols

    def bands(self, rows: int) -> Iterator[View]:
        """The view cut where one row of tiles ends and the next begins, from the top.

        Args:
            rows: height in patches of the grid of the whole picture.
        """
        side = PATCH // self.factor
        for start, end in _spans(rows, self.patches()[0]):
            part = slice(max(self.rows.start, start * side), min(self.rows.stop, end * side))
            yield View(part, self.cols, self.factor)

    def place(self, tile: Tile) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where in the view a tile's pixels go, and which of the pixels of its outer part these are."""
        side = PATCH // self.factor
        to, of = [], []
        for span, inner, outer in zip(self[:2], tile.inner, tile.outer, strict=True):
            first, last = max(span.start, inner.start * side), min(span.stop, inner.stop * side)
            to.append(slice(first - span.start, last - span.start))
            of.append(slice(first - outer.start * side, last - outer.start * side))
        return (to[0], to[1]), (of[0], of[1])


def tiles(
    rows: int, cols: int, part: tuple[slice, slice] | None = None, halo: int | None = None, interior: int | None = None
) -> Iterator[Tile]:
    """Cover a grid of patches; a grid that fits into one tile with its halo is one tile.

    Args:
        rows: height of the grid.
        cols: width of the grid.
        part: rows and columns of the patches that are wanted, if not all: nothing else is covered, but for what
            completes their attention windows.
        halo: patches of context on each side; as much as the networks need if None.
        interior: side of a tile's own part in patches, a multiple of ``ALIGN``; ``INTERIOR`` if None.
    """
    halo = HALO if halo is None else halo
    wanted = part or (slice(0, rows), slice(0, cols))
    for row, row_end in _spans(rows, wanted[0], interior):
        for col, col_end in _spans(cols, wanted[1], interior):
            top, left = max(0, row - halo), max(0, col - halo)
            yield Tile(
                (slice(top, min(rows, row_end + halo)), slice(left, min(cols, col_end + halo))),
                (slice(row, row_end), slice(col, col_end)),
                (slice(row - top, row_end - top), slice(col - left, col_end - left)),
            )


def _spans(length: int, wanted: slice, interior: int | None = None) -> list[tuple[int, int]]:
    interior = INTERIOR if interior is None else interior
    step = length if length <= interior + 2 * HALO else interior
    low, high = wanted.start // ALIGN * ALIGN, min(length, -(-wanted.stop // ALIGN) * ALIGN)
    spans = ((max(low, start), min(high, start + step)) for start in range(0, length, step))
    return [(start, end) for start, end in spans if start < end]


def pixels(span: tuple[slice, slice]) -> tuple[slice, slice]:
    """A span of patches as a span of pixels."""
    rows, cols = span
    return slice(rows.start * PATCH, rows.stop * PATCH), slice(cols.start * PATCH, cols.stop * PATCH)


def cells(span: tuple[slice, slice], side: int) -> tuple[slice, slice]:
    """A span of patches as a span of cells of ``side`` x ``side`` patches."""
    rows, cols = (slice(s.start // side, -(-s.stop // side)) for s in span)
    return rows, cols
