"""The encoder's plan of a picture: which patches are visible, and which symbols are coded.

The decoder needs nothing of this file: it is told the outcome.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..entropy.fixed_point import ACT_BITS
from ..entropy.integer_networks import Reals
from ..entropy.latent_coder import Decoded, code_latents
from ..entropy.rangecoder import RangeEncoder
from ..errors import ModelError
from ..image import tiling
from ..image.tiling import PATCH
from ..model.config import error_per_bit
from . import da_mask, hyper_latent
from .rdoq import RdoqQuantizer

if TYPE_CHECKING:
    from ..model.transforms import Transforms
    from ..options import EncodeOptions

MASK_BITS = 0.3
"""A mask that promises to save fewer bits a patch is not tried: it takes time to code, and to decode."""
SHARE = 0.5
"""Share of patches that a score keeps where none is asked for."""

Mask = NDArray[np.bool_]
Analysis = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Fine latents (h, w, channels), coarse ones (h/2, w/2, coarse) and hyper-latent (cells, hyper), of
``Transforms.analyse``."""


@dataclass(frozen=True)
class Plan:
    """One way to code a picture.

    Attributes:
        visible: visible patches (h, w).
        symbols: the quantiser with all that it chose.
        decoded: what a decoder will know.
        hidden_loss: what hiding the other patches loses, in bits.
        distortion_weight: bits that a unit of squared error costs, per channel (channels,), in the gained domain.
    """

    visible: Mask
    symbols: RdoqQuantizer
    decoded: Decoded
    distortion_weight: NDArray[np.float64]
    hidden_loss: float = 0.0

    @property
    def keep(self) -> int:
        """Share of visible patches as the header states it, 0..255."""
        return keep_of(self.visible)

    def bits(self) -> int:
        """Bits that the symbols take."""
        encoder = RangeEncoder()
        self.symbols.encode(encoder)
        return 8 * len(encoder.finish())

    def cost(self, mask_lambda: float) -> float:
        """The Lagrangian cost in bits: ``mask_lambda`` times those coded, and those that their error is worth."""
        error = float(weighted(self.symbols.error, self.distortion_weight).sum())
        return mask_lambda * self.bits() + self.hidden_loss + error


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
    if options.mask in (None, "rd", "none"):
        return np.ones(grid, bool)
    score = da_mask.scores(padded, options.mask)
    return da_mask.choose(score, SHARE if options.keep is None else options.keep, roi)


def plan_picture(
    transforms: Transforms, padded: NDArray[np.uint8], visible: Mask, analysis: Analysis, options: EncodeOptions,
    roi: NDArray[np.float64] | None = None,
) -> Plan:  # fmt: skip
    """Choose symbols, and the patches to hide; refine the latents where the effort is high.

    Args:
        transforms: the model.
        padded: (16h, 16w, 3) uint8.
        visible: patches that were analysed, see :func:`first_mask`.
        analysis: what came of it.
        options: of the encoder.
        roi: weight of each patch (h, w), from 0 to 1.

    Raises:
        ModelError: the latents cannot be refined, because torch is not installed.
        UsageError: likewise LPIPS, which judges the decoder ``perceptual``.
    """
    plan = _choose_patches(transforms, padded, visible, analysis, options, roi)
    return _refined(transforms, padded, plan, options) if options.steps else plan


def _choose_patches(
    transforms: Transforms, padded: NDArray[np.uint8], visible: Mask, analysis: Analysis, options: EncodeOptions,
    roi: NDArray[np.float64] | None = None,
) -> Plan:  # fmt: skip
    """Choose symbols, and where hiding is weighed the patches to hide: the others are then analysed without them."""
    whole = _choose_symbols(transforms, visible, analysis, options)
    if not options.weighs_masks:
        return whole
    base, weight = transforms.weights.config.base, whole.distortion_weight
    hidden = weighted(whole.symbols.unsaid[..., base:], weight[base:])
    gain = hidden - weighted(whole.symbols.error[..., base:], weight[base:])
    if roi is not None:
        gain = gain * roi
    mask_lambda = float(transforms.weights.card["tuning"]["mask_lambda"])
    score = da_mask.rate_distortion_score(gain, whole.symbols.bits(base), mask_lambda)
    shown = score > 0 if options.keep is None else da_mask.choose(score, options.keep)
    free = options.keep is None and roi is None
    if shown.all() or (free and -score[~shown].sum() < MASK_BITS * shown.size):
        return whole
    analysis = transforms.analyse(padded, shown, options.quality, options.tune)
    masked = _choose_symbols(transforms, shown, analysis, options, whole.symbols.v)
    return whole if free and whole.cost(mask_lambda) <= masked.cost(mask_lambda) else masked


def _choose_symbols(
    transforms: Transforms, visible: Mask, analysis: Analysis, options: EncodeOptions, wanted: Reals | None = None
) -> Plan:
    """The plan with these patches visible, its hyper-latent by rate and distortion where the effort allows it."""
    if options.effort < 3 or options.quality > hyper_latent.CHOSEN_UP_TO:
        return _quantize(transforms, visible, analysis, options, wanted)
    end = sum(transforms.weights.config.slices[: hyper_latent.TRIED_SLICES])

    def cost_at(price: float) -> NDArray[np.float64]:
        cells = np.full((len(analysis[2]), 1), price)
        trial = _quantize(transforms, visible, analysis, options, None, cells, hyper_latent.TRIED_SLICES)
        error = weighted(trial.symbols.error[..., :end], trial.distortion_weight[:end])
        patches = hyper_latent.by_cell(trial.symbols.bits() + error)
        return patches + trial.symbols.hyper_bits.reshape(patches.shape)

    prices = hyper_latent.cheapest_prices(cost_at)
    return _quantize(transforms, visible, analysis, options, wanted, prices.reshape(-1, 1))


def _quantize(
    transforms: Transforms, visible: Mask, analysis: Analysis, options: EncodeOptions, wanted: Reals | None = None,
    hyper_lambda: NDArray[np.float64] | None = None, last: int | None = None,
) -> Plan:  # fmt: skip
    """The plan with these patches visible.

    Args:
        transforms: the model.
        visible: patches (h, w).
        analysis: their latents.
        options: of the encoder.
        wanted: all patches' latents, which tell what hiding some loses.
        hyper_lambda: squared error of the hyper-latent that a bit is worth, per cell (cells, 1); None rounds it.
        last: fine slices from this number on are left out, in trials.
    """
    weights = transforms.weights
    error = error_per_bit(options.quality, transforms.gains(options.quality))
    strength = options.rdoq_strength
    if strength is None:
        strength = float(weights.card["tuning"]["rdoq_strength"]) if options.effort > 1 else 0.0
    coarse = error_per_bit(options.quality, transforms.coarse_gains(options.quality))
    prices = np.zeros((len(analysis[2]), 1)) if hyper_lambda is None else hyper_lambda
    symbols = RdoqQuantizer(*analysis, visible, weights.entropy.tables, strength * error, strength * coarse, prices)
    every, none = bool(visible.all()), not visible.any()
    rows, cols = visible.shape
    keep = keep_of(visible)
    decoded = code_latents(weights.entropy, symbols, (rows, cols), options.quality, keep, every, none, last)
    lost, base = 0.0, weights.config.base
    if wanted is not None:
        missed = wanted[~visible, base:] - decoded.v_hat[~visible, base:] / (1 << ACT_BITS)
        lost = float((np.square(missed) @ (1 / error[base:])).sum())
    return Plan(visible, symbols, decoded, 1 / error, lost)


def _refined(transforms: Transforms, padded: NDArray[np.uint8], plan: Plan, options: EncodeOptions) -> Plan:
    """The plan with better latents; itself where they are no better."""
    try:
        from .refine import Refiner, loss_of
    except ImportError:
        raise ModelError("efforts above 3 need torch", "pip install torch, or give --effort 3") from None
    weights, quality = transforms.weights, options.quality
    loss = loss_of(weights, quality, options.tune)
    refiner = Refiner(weights, loss, transforms.device)
    start = plan.symbols.v, plan.symbols.c, plan.symbols.z
    gains = transforms.gains(quality), transforms.coarse_gains(quality)
    seconds = math.inf if options.max_time is None else options.max_time
    found = refiner.refine(padded, plan.visible, start, *gains, quality, options.steps, seconds)
    refined = _choose_symbols(transforms, plan.visible, found, options)
    view = tiling.View.of((padded.shape[0], padded.shape[1]))

    def cost(one: Plan) -> float:
        picture = transforms.synthesise(one.decoded, quality, loss.decoder, view)
        return float(one.bits() + loss.measure(padded, picture) * padded[..., 0].size)

    return refined if cost(refined) < cost(plan) else plan


def weighted(error: Reals, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared error (h, w, channels), weighted (channels,) and summed: (h, w). Row by row, to spare memory."""
    return np.stack([np.square(row, dtype=np.float64) @ weight for row in error])
