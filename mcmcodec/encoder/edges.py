"""Edges of a picture, as many as fit into a number of bytes. Encoder only.

Canny's detector (Canny: "A computational approach to edge detection", PAMI 1986) on the picture scaled down: lines are
thinned to one sample, short ones are dropped, and the threshold falls until the bytes are spent.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bitstream import structure
from ..bitstream.structure import MAX_SAMPLES, MAX_SCALE, Structure
from ..errors import UsageError
from ..options import EncodeOptions

Map = NDArray[np.uint8]

SCALES = range(1, 4)
"""Of maps: a half, a quarter or an eighth of the picture's size, and further down only where that is too large."""
BITS_PER_SAMPLE = 0.13
"""That a map takes which has enough lines to show a scene, and is not full of them: the scale aims at it."""
BLUR = 1.0
"""Standard deviation in samples of the Gaussian filter before the gradient."""
WEAK = 0.4
"""Lines go on down to this share of the threshold (Canny's hysteresis)."""
SHORTEST = 6
"""Samples of the shortest line that is kept."""
THRESHOLDS = (20.0, 1500.0)
"""Range of Canny's threshold: the gradient of 8-bit samples by Sobel's filter, which is at most about 1440."""
STEPS = 9
CLOSER = 1.03
"""Factor by which the threshold rises as long as the map that was estimated to fit does not."""


def structure_for(rgb: Map, options: EncodeOptions) -> Structure | None:
    """The edge map that options ask for, of a picture (H, W, 3) uint8; None where they ask for none.

    Raises:
        UsageError: the map that was given is not one of this picture.
    """
    wanted = options.structure
    if wanted is None or isinstance(wanted, int):
        return None if wanted is None else fit(rgb, wanted)
    if wanted.scale not in range(MAX_SCALE + 1):
        raise UsageError(f"a structure's scale is {wanted.scale}", f"give 0 to {MAX_SCALE}")
    edges = np.asarray(wanted.edges)
    height, width = (-(-side // (1 << wanted.scale)) for side in rgb.shape[:2])
    if edges.shape != (height, width) or height * width > MAX_SAMPLES:
        raise UsageError(
            f"structure of {edges.shape} at 1/{1 << wanted.scale} is no map of {rgb.shape[1]} x {rgb.shape[0]}",
            f"give {height} x {width} samples, at most {MAX_SAMPLES}",
        )
    if not np.isin(edges, (0, 1)).all():
        raise UsageError("a structure has other values than 0 and 1", "give 1 where there is an edge")
    return Structure(int(wanted.scale), edges.astype(np.uint8))


def fit(rgb: Map, most: int) -> Structure:
    """The edges of a picture (H, W, 3) uint8: the lowest threshold whose map takes at most so many bytes."""
    scale = _scale(rgb.shape[0] * rgb.shape[1], most)
    small = blurred(rgb, scale)
    threshold = _threshold(small, most)
    # adapting the tables saves or costs a few per cent, which the estimate does not know, and only what fits counts
    spent, guess = (measure(trace(small, threshold)) for measure in (_size, structure.estimate))
    threshold = _threshold(small, most * guess / spent)
    while True:
        edges = trace(small, threshold)
        if not edges.any() or _size(edges) <= most:
            return Structure(scale, edges)
        threshold *= CLOSER


def _threshold(small: Map, most: float) -> float:
    """The lowest threshold whose edges take, by the estimate, at most so many bytes."""
    low, high = map(math.log, THRESHOLDS)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if structure.estimate(trace(small, math.exp(middle))) <= most else (middle, high)
    return math.exp(high)


def _size(edges: Map) -> int:
    return len(structure.encode(Structure(0, edges)))


def trace(small: Map, threshold: float) -> Map:
    """Lines one sample wide, 1 on 0, of a blurred picture (h, w, 3) where its gradient exceeds a threshold."""
    edges = thinned((cv2.Canny(small, WEAK * threshold, threshold, L2gradient=True) > 0).astype(np.uint8))
    _, labels, facts, _ = cv2.connectedComponentsWithStats(edges, connectivity=8)
    long = facts[:, cv2.CC_STAT_AREA] >= SHORTEST
    long[0] = False
    return np.asarray(long[labels], np.uint8)


def thinned(edges: Map) -> Map:
    """A map (h, w) without the corners that a diagonal step replaces: every line stays joined."""
    around = np.pad(edges, 1)
    for y, x in zip(*(places + 1 for places in np.nonzero(edges)), strict=True):
        (nw, n, ne), (w, _, e), (sw, s, se) = around[y - 1 : y + 2, x - 1 : x + 2].tolist()
        if (n != s and w != e) and not ((sw if e else se) if n else (nw if e else ne)):
            around[y, x] = 0
    return around[1:-1, 1:-1]


def _scale(pixels: int, most: int) -> int:
    """The scale at which so many bytes come nearest to the usual bits per sample."""
    wanted = 0.5 * math.log2(BITS_PER_SAMPLE * pixels / (8 * most))
    scale = min(max(round(wanted), SCALES[0]), SCALES[-1])
    while pixels >> 2 * scale > MAX_SAMPLES // 2 and scale < MAX_SCALE:
        scale += 1
    return scale


def blurred(rgb: Map, scale: int) -> Map:
    """The picture at 1 / 2**scale of its size, sides rounded up, and blurred."""
    factor = 1 << scale
    height, width = rgb.shape[:2]
    whole = np.pad(rgb, ((0, -height % factor), (0, -width % factor), (0, 0)), "edge")
    small = cv2.resize(whole, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), BLUR), np.uint8)
