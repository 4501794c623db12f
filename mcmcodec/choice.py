"""Stage: the encoder's decisions, between analysis and coding: valid options, visible patches, the price of a bit.

The decoder needs nothing of this file: it is told the outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import container, masking, tiling
from .entropy.stream import Counter, walk
from .errors import UsageError
from .masking import patch_roi
from .model.config import trade
from .weights import Weights

if TYPE_CHECKING:
    from .model.transforms import Transforms

__all__ = ["bit_weight", "check", "check_picture", "choose_visible", "patch_roi"]


def choose_visible(
    weights: Weights, transforms: Transforms, padded: NDArray[np.uint8], quality: int, keep: float | None, mode: str,
    roi: NDArray[np.float64] | None,
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """The visible patches; and latents and hyper-latent as analysed for the choice (of use when all are visible)."""
    grid = padded.shape[0] // tiling.PATCH, padded.shape[1] // tiling.PATCH
    every = np.ones(grid, bool)
    if mode not in ("rd", "none"):
        score = masking.scores(padded, mode)
        visible = masking.choose(score, 0.5 if keep is None else keep, roi)
        v, z = transforms.analyse(padded, every, quality) if visible.all() else (np.empty(0), np.empty(0))
        return visible, v, z
    v, z = transforms.analyse(padded, every, quality)
    if mode == "none":
        return every, v, z
    entropy, base = weights.entropy, weights.config.base
    port = Counter(v, z, every, entropy.tables, bit_weight(weights, transforms, quality))
    walk(entropy, port, grid, quality, 255, True)
    # squared error is counted in bits, at this quality's exchange rate
    worth = trade(quality) / 3 / transforms.gains(quality)[base:] ** 2
    gain = ((v[..., base:] ** 2 - port.error[..., base:] ** 2) * worth).sum(-1)
    if roi is not None:
        gain = gain * roi
    if keep is not None:
        return masking.choose(masking.rate_distortion_score(np.maximum(gain, 0), port.bits), keep), v, z
    return gain > weights.card["tuning"]["mask_price"] * port.bits, v, z


def bit_weight(weights: Weights, transforms: Transforms, quality: int) -> NDArray[np.float64]:
    """Squared error in the gained domain that a bit is worth, per channel (channels,), times the tuned share."""
    return float(weights.card["tuning"]["quantise_price"]) * 3 * transforms.gains(quality) ** 2 / trade(quality)


def check(quality: int, keep: float | None, mask: str, roi: NDArray[Any] | None) -> None:
    """UsageError when an option of :meth:`mcmcodec.Codec.encode` is out of range or contradicts another."""
    if not 0 <= quality <= 100:
        raise UsageError(f"quality {quality} is not 0 to 100", "50 is the default, higher is better and larger")
    if mask not in masking.MODES:
        raise UsageError(f"there is no mask mode {mask}", f"choose from {', '.join(masking.MODES)}")
    if keep is not None and not 0 < keep <= 1:
        raise UsageError(f"keep {keep} is not above 0 and up to 1", "0.5 keeps half of the patches")
    if mask == "none" and (roi is not None or (keep is not None and keep < 1)):
        raise UsageError("mask none keeps every patch", "leave out keep and the region map, or choose another mask")


def check_picture(rgb: NDArray[np.uint8]) -> None:
    """UsageError when an array is not (H, W, 3) uint8 within the format's limits."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise UsageError("an array must be (height, width, 3) of uint8", "convert it, or pass a Pillow image")
    height, width = rgb.shape[:2]
    if max(height, width) > container.MAX_SIDE or height * width > container.MAX_PIXELS:
        raise UsageError(f"{width} x {height} pixels are over the limit", "crop or scale the picture")
