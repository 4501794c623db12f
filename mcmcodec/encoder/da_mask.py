"""DA-Mask: which 16x16 patches are visible. Encoder only: the decoder is told the set.

Scores come from the picture alone and are deterministic. Texture is fine detail (mean absolute Laplacian), structure
is what survives smoothing (contours of objects); the dual score follows the dual-adaptive masking of the masked
compression model (MCM), with ranks in place of ground-truth segmentation. The rate-distortion choice is made from the
bits and errors of a run with every patch visible: :mod:`.planning`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..bitstream.container import PATCH
from ..errors import UsageError

BAND, CONTEXT = 48, 2
"""Rows of patches scored at once, and rows on either side that the smoothing (17 pixels) may look at."""
Scores = NDArray[np.float64]


def texture_score(rgb: NDArray[np.uint8]) -> Scores:
    """Mean absolute Laplacian of luma per patch: (16h, 16w, 3) uint8 to (h, w), 0 and up."""
    return _by_bands(rgb, _texture)


def structure_score(rgb: NDArray[np.uint8]) -> Scores:
    """Mean gradient magnitude per patch after smoothing with a Gaussian of 4 pixels, largest over Lab's channels."""
    return _by_bands(rgb, _structure)


def _texture(rgb: NDArray[np.uint8]) -> Scores:
    import cv2  # here and below: it is slow to load, and the usual choice of patches needs no score

    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return _per_patch(np.abs(cv2.Laplacian(grey, cv2.CV_32F, ksize=1)))


def _structure(rgb: NDArray[np.uint8]) -> Scores:
    import cv2

    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    smooth = cv2.GaussianBlur(lab, (0, 0), 4.0)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return _per_patch(np.sqrt(across**2 + down**2).max(-1))


def scores(rgb: NDArray[np.uint8], mode: str) -> Scores:
    """The score of every patch for a mode that needs the picture only.

    Args:
        rgb: (16h, 16w, 3) uint8.
        mode: ``dual``, ``texture``, ``structure`` or ``random`` (a fixed pseudo-random order).
    """
    if mode == "texture":
        return texture_score(rgb)
    if mode == "structure":
        return structure_score(rgb)
    if mode == "random":
        shape = rgb.shape[0] // PATCH, rgb.shape[1] // PATCH
        return np.random.Generator(np.random.PCG64(0)).random(shape)
    return _ranks(texture_score(rgb)) + _ranks(structure_score(rgb))


def rate_distortion_score(gain: Scores, bits: Scores, mask_lambda: float = 1.0) -> Scores:
    """What a patch gains beyond what it costs, in bits: above 0 it pays to show it (a Lagrangian choice).

    Args:
        gain: (h, w) drop of the squared error times its Lagrangian weight, in bits.
        bits: (h, w) bits of the patch's latents beyond the base layer.
        mask_lambda: bits of gain that a bit of cost must bring.
    """
    return gain - mask_lambda * bits


def choose(score: Scores, keep: float, roi: NDArray[np.generic] | None = None) -> NDArray[np.bool_]:
    """Keep the share ``keep`` of patches with the highest score times region of interest; ties in raster order.

    Args:
        score: (h, w).
        keep: 0 (exclusive) to 1.
        roi: (h, w) multipliers, or None.

    Returns:
        (h, w) bool, at least one patch kept.
    """
    weighted = np.ravel(score if roi is None else score * np.asarray(roi, np.float64))
    count = max(1, round(keep * weighted.size))
    mask = np.zeros(weighted.size, bool)
    mask[np.argsort(-weighted, kind="stable")[:count]] = True
    return mask.reshape(score.shape)


def patch_roi(roi: NDArray[np.generic], size: tuple[int, int], reduce: int = 1) -> Scores:
    """Mean of a region-of-interest map per patch, scaled to a highest value of 1.

    Args:
        roi: (H, W) non-negative numbers of the picture's size.
        size: (H, W) of the picture.
        reduce: pixels of the picture, along a side, that a coded one stands for.

    Raises:
        UsageError: another shape, negative or not finite, or zero everywhere.
    """
    values = np.asarray(roi)
    if values.shape != size:
        raise UsageError(f"the region map is {values.shape}, the picture {size}", "draw it over the picture itself")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() <= 0:
        raise UsageError("the region map needs finite numbers of 0 and up, not all zero", "paint what matters white")
    top, side = float(values.max()), PATCH * reduce
    if values.dtype.kind == "f":
        values, top = values / top, 1.0
    # a map in bytes stays one: as float64, that of a huge picture would be eight times as large
    return _per_patch(np.pad(values, ((0, -size[0] % side), (0, -size[1] % side)), mode="edge"), side) / top


def _by_bands(rgb: NDArray[np.uint8], score: Callable[[NDArray[np.uint8]], Scores]) -> Scores:
    """The scores of a picture from those of bands of it with some context, so that float pictures stay small."""
    rows = rgb.shape[0] // PATCH
    out = np.empty((rows, rgb.shape[1] // PATCH))
    for first in range(0, rows, BAND):
        last, above = min(rows, first + BAND), min(first, CONTEXT)
        band = score(rgb[(first - above) * PATCH : (last + CONTEXT) * PATCH])
        out[first:last] = band[above : above + last - first]
    return out


def _per_patch(values: NDArray[np.generic], side: int = PATCH) -> Scores:
    h, w = values.shape[0] // side, values.shape[1] // side
    return np.asarray(values.reshape(h, side, w, side).mean((1, 3), dtype=np.float64), np.float64)


def _ranks(score: Scores) -> Scores:
    order = np.argsort(np.argsort(score, axis=None, kind="stable"), kind="stable")
    return (order.reshape(score.shape) + 1) / score.size
