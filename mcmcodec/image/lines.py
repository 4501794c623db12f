"""Draws the edge map of a file: what there is to see of a sketch where no model paints it."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from ..bitstream.structure import Structure

NOTE = "a caption and edges, and no picture: the edges are drawn, --painter makes more of them"
PAPER, INK = 255, 0
FINE = 2
"""Lines are drawn so many times larger, which smooths them, in pictures up to so many pixels."""
SMOOTHED = 2**24
STEPS = ((0, 1), (1, -1), (1, 0), (1, 1))
"""From a sample to those of its eight neighbours that come after it, rows before columns."""


def draw(structure: Structure, size: tuple[int, int], *, negative: bool = False) -> Image.Image:
    """Lines, RGB: every sample of an edge is joined to its neighbours.

    Args:
        structure: the map.
        size: width and height of the picture in pixels.
        negative: white on black, as ControlNet has them, rather than black on white.
    """
    paper, ink = (INK, PAPER) if negative else (PAPER, INK)
    fine = FINE if size[0] * size[1] <= SMOOTHED else 1
    sheet = Image.new("L", (fine * size[0], fine * size[1]), paper)
    pen, unit = ImageDraw.Draw(sheet), fine << structure.scale
    width = max(1, round(unit / 3))
    edges = structure.edges.astype(bool)
    joined = np.pad(edges, 1)
    single = edges.copy()
    for down, right in STEPS:
        other = joined[1 + down : 1 + down + edges.shape[0], 1 + right : 1 + right + edges.shape[1]]
        for y, x in np.argwhere(edges & other).tolist():
            ends = [((x + dx + 0.5) * unit, (y + dy + 0.5) * unit) for dy, dx in ((0, 0), (down, right))]
            pen.line(ends, fill=ink, width=width)
            single[y, x] = single[y + down, x + right] = False
    for y, x in np.argwhere(single).tolist():
        pen.rectangle([(x * unit, y * unit), ((x + 1) * unit - 1, (y + 1) * unit - 1)], fill=ink)
    return sheet.resize(size, Image.Resampling.BOX).convert("RGB")
