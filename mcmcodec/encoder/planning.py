"""The encoder's plan of a picture: which patches are visible, and which symbols are coded.

The decoder needs nothing of this file: it is told the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..entropy.integer_networks import Reals
from ..entropy.latent_coder import code_latents
from ..entropy.rangecoder import RangeEncoder
from ..image.tiling import PATCH
from ..model.config import error_per_bit
from . import da_mask
from .rdoq import RdoqQuantizer

if TYPE_CHECKING:
    from ..model.transforms import Transforms
    from ..options import EncodeOptions

MASK_BITS = 0.3
"""A mask that promises to save fewer bits a patch is not tried: it takes time to code, and to decode."""
SHARE = 0.5
"""Share of patches that a score keeps where none is asked for."""

Mask = NDArray[np.bool_]
Analysis = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Latents v (h, w, channels) and hyper-latent z (cells, hyper), as ``Transforms.analyse`` returns them."""


@dataclass(frozen=True)
class Plan:
    """One way to code a picture.

    Attributes:
        visible: visible patches (h, w).
        symbols: the quantiser with all that it chose.
        hidden_loss: what hiding the other patches loses, in bits.
        distortion_weight: bits that a unit of squared error costs, per channel (channels,), in the gained domain.
    """

    visible: Mask
    symbols: RdoqQuantizer
    distortion_weight: NDArray[np.float64]
    hidden_loss: float = 0.0

    @property
    def keep(self) -> int:
        """Share of visible patches as the header states it, 0..255."""
        return keep_of(self.visible)

    def cost(self) -> float:
        """The Lagrangian cost in bits: those of the symbols, and those that their squared error is worth."""
        encoder = RangeEncoder()
        self.symbols.encode(encoder)
        error = float(weighted(self.symbols.error, self.distortion_weight).sum())
        return 8 * len(encoder.finish()) + self.hidden_loss + error


def keep_of(visible: Mask) -> int:
    """Share of visible patches as the header states it, 0..255."""
    return round(255 * float(visible.mean()))


def first_mask(padded: NDArray[np.uint8], options: EncodeOptions, roi: NDArray[np.float64] | None = None) -> Mask:
    """The patches to analyse: all, none (mode ``base``), or those with the highest scores.

    Args:
        padded: (16h, 16w, 3) uint8.
        options: of the encoder.
        roi: weight of each patch (h, w), from 0 to 1.
    """
    grid = padded.shape[0] // PATCH, padded.shape[1] // PATCH
    if options.mode == "base":
        return np.zeros(grid, bool)
    if options.mask in ("rd", "none"):
        return np.ones(grid, bool)
    score = da_mask.scores(padded, options.mask)
    return da_mask.choose(score, SHARE if options.keep is None else options.keep, roi)


def plan_picture(
    transforms: Transforms, padded: NDArray[np.uint8], visible: Mask, analysis: Analysis, options: EncodeOptions,
    roi: NDArray[np.float64] | None = None,
) -> Plan:  # fmt: skip
    """Choose symbols, and with the mask ``rd`` the patches to hide: they are analysed again without the hidden ones.

    Args:
        transforms: the model.
        padded: (16h, 16w, 3) uint8.
        visible: patches that were analysed, see :func:`first_mask`.
        analysis: what came of it.
        options: of the encoder.
        roi: weight of each patch (h, w), from 0 to 1.
    """
    whole = _quantize(transforms, visible, analysis, options)
    if not options.weighs_masks:
        return whole
    base, weight = transforms.weights.config.base, whole.distortion_weight
    hidden = weighted(analysis[0][..., base:], weight[base:])
    gain = hidden - weighted(whole.symbols.error[..., base:], weight[base:])
    if roi is not None:
        gain = gain * roi
    mask_lambda = float(transforms.weights.card["tuning"]["mask_lambda"])
    score = da_mask.rate_distortion_score(gain, whole.symbols.bits, mask_lambda)
    shown = score > 0 if options.keep is None else da_mask.choose(score, options.keep)
    free = options.keep is None and roi is None
    if shown.all() or (free and -score[~shown].sum() < MASK_BITS * shown.size):
        return whole
    analysis = transforms.analyse(padded, shown, options.quality)
    masked = _quantize(transforms, shown, analysis, options, float(hidden[~shown].sum()))
    return whole if free and whole.cost() <= masked.cost() else masked


def _quantize(
    transforms: Transforms, visible: Mask, analysis: Analysis, options: EncodeOptions, hidden_loss: float = 0.0
) -> Plan:
    """The plan with these patches visible."""
    weights = transforms.weights
    error = error_per_bit(options.quality, transforms.gains(options.quality))
    strength = options.rdoq_strength
    if strength is None:
        strength = float(weights.card["tuning"]["rdoq_strength"]) if options.effort > 1 else 0.0
    symbols = RdoqQuantizer(*analysis, visible, weights.entropy.tables, strength * error)
    every, none = bool(visible.all()), not visible.any()
    code_latents(weights.entropy, symbols, visible.shape, options.quality, keep_of(visible), every, none)
    return Plan(visible, symbols, 1 / error, hidden_loss)


def weighted(error: Reals, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared error (h, w, channels), weighted (channels,) and summed: (h, w). Row by row, to spare memory."""
    return np.stack([np.square(row, dtype=np.float64) @ weight for row in error])
