"""Stage: the encoder's decisions, between analysis and coding: valid options, visible patches, the price of a bit.

The decoder needs nothing of this file: it is told the outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..bitstream import container
from ..bitstream.container import Header
from ..bitstream.file import MODES
from ..entropy.integer_networks import Reals
from ..entropy.latent_coder import Decoded, EntropyModel, SymbolIO, code_latents
from ..errors import UsageError
from ..image import tiling
from ..image.limits import check_pixels
from ..model.config import error_per_bit
from ..model.weights import Weights
from . import da_mask
from .da_mask import patch_roi
from .rdoq import RdoqQuantizer

if TYPE_CHECKING:
    from ..model.transforms import Transforms

__all__ = ["Analysed", "Coded", "Plan", "best", "bit_weight", "check", "check_picture", "patch_roi"]

MASK_BITS = 0.3
"""A mask that promises to save fewer bits a patch is not tried: it takes more to code, and time to decode."""


@dataclass(frozen=True)
class Plan:
    """One way to code a picture.

    Attributes:
        visible: (h, w) bool.
        v: latents times gains (h, w, channels), as analysed with these patches visible.
        z: hyper-latent (cells, hyper).
        distortion_weight: bits that a unit of squared error in v costs at this quality, per channel (channels,).
        hidden_loss: what hiding the other patches loses, in bits.
    """

    visible: NDArray[np.bool_]
    v: Reals
    z: Reals
    distortion_weight: NDArray[np.float64]
    hidden_loss: float = 0.0

    @property
    def keep(self) -> int:
        """Share of visible patches as the header states it, 0..255."""
        return round(255 * float(self.visible.mean()))

    @property
    def all_visible(self) -> bool:
        """Whether no patch is hidden; then no mask is coded."""
        return bool(self.visible.all())

    @property
    def none_visible(self) -> bool:
        """Whether the base layer is all there is."""
        return not self.visible.any()

    def through(self, entropy: EntropyModel, io: SymbolIO, quality: int) -> Decoded:
        """Take ``io`` through everything that is coded of the picture."""
        return code_latents(entropy, io, self.visible.shape, quality, self.keep, self.all_visible, self.none_visible)

    def cost(self, payload: bytes, error: Reals) -> float:
        """The Lagrangian cost in bits: the payload's, and those of the squared error that quantisation leaves."""
        return 8 * len(payload) + self.hidden_loss + float(weighted(error, self.distortion_weight).sum())


@dataclass(frozen=True)
class Coded:
    """What became of a plan: its header, payload and Lagrangian cost in bits."""

    plan: Plan
    header: Header
    payload: bytes
    cost: float


Analysed = tuple[NDArray[np.float32], NDArray[np.float32]]
"""v (h, w, channels) and z (cells, hyper) of a picture, see :meth:`mcmcodec.model.transforms.Transforms.analyse`."""
Code = Callable[[Plan], tuple[Header, bytes, RdoqQuantizer]]
"""Codes a plan: header, payload, and the account of what each patch cost and lost."""


def best(
    weights: Weights, transforms: Transforms, padded: NDArray[np.uint8], quality: int, keep: float | None, mode: str,
    roi: NDArray[np.float64] | None, code: Code, layers: str = "full", known: Analysed | None = None,
) -> Coded:  # fmt: skip
    """The best of the ways worth trying: one, but two where ``rd`` is free to find that a mask does not pay.

    ``known`` is what the analysis says with every patch visible, if that was asked before.
    """
    every = np.ones((padded.shape[0] // tiling.PATCH, padded.shape[1] // tiling.PATCH), bool)
    distortion_weight = 1 / error_per_bit(quality, transforms.gains(quality))
    if layers == "base":
        return _coded(Plan(~every, *transforms.analyse(padded, ~every, quality), distortion_weight), code)[0]
    if mode not in ("rd", "none"):
        visible = da_mask.choose(da_mask.scores(padded, mode), 0.5 if keep is None else keep, roi)
        return _coded(Plan(visible, *transforms.analyse(padded, visible, quality), distortion_weight), code)[0]
    whole = Plan(every, *(known or transforms.analyse(padded, every, quality)), distortion_weight)
    if mode == "none" or keep == 1:
        return _coded(whole, code)[0]
    free, unmasked = keep is None and roi is None, None
    account: RdoqQuantizer
    if free:
        # the account that the choice needs is that of coding all patches, which has to be tried in any case
        unmasked, account = _coded(whole, code)
    else:
        price = bit_weight(weights, transforms, quality)
        account = RdoqQuantizer(whole.v, whole.z, every, weights.entropy.tables, price)
        whole.through(weights.entropy, account, quality)
    base = weights.config.base
    hidden = weighted(whole.v[..., base:], distortion_weight[base:])
    gain = hidden - weighted(account.error[..., base:], distortion_weight[base:])
    if roi is not None:
        gain = gain * roi
    score = da_mask.rate_distortion_score(gain, account.bits, weights.card["tuning"]["mask_price"])
    visible = score > 0 if keep is None else da_mask.choose(score, keep)
    if visible.all() or (unmasked and -score[~visible].sum() < MASK_BITS * visible.size):
        return unmasked or _coded(whole, code)[0]
    loss = float(hidden[~visible].sum())
    del account
    masked, _ = _coded(Plan(visible, *transforms.analyse(padded, visible, quality), distortion_weight, loss), code)
    return unmasked if unmasked and unmasked.cost < masked.cost else masked


def _coded(plan: Plan, code: Code) -> tuple[Coded, RdoqQuantizer]:
    header, payload, account = code(plan)
    return Coded(plan, header, payload, plan.cost(payload, account.error)), account


def weighted(error: Reals, distortion_weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared error (h, w, channels), weighted (channels,) and summed: (h, w). Row by row, to spare memory."""
    return np.stack([np.square(row, dtype=np.float64) @ distortion_weight for row in error])


def bit_weight(weights: Weights, transforms: Transforms, quality: int) -> NDArray[np.float64]:
    """Squared error in the gained domain that one bit costs, per channel (channels,), times the tuned share."""
    return float(weights.card["tuning"]["quantise_price"]) * error_per_bit(quality, transforms.gains(quality))


def check(quality: int, keep: float | None, mask: str, roi: NDArray[Any] | None, layers: str = "full") -> None:
    """UsageError when an option of :meth:`mcmcodec.Codec.encode` is out of range or contradicts another."""
    if not 0 <= quality <= 100:
        raise UsageError(f"quality {quality} is not 0 to 100", "50 is the default, higher is better and larger")
    if mask not in da_mask.MODES:
        raise UsageError(f"there is no mask mode {mask}", f"choose from {', '.join(da_mask.MODES)}")
    if layers not in MODES:
        raise UsageError(f"there is no mode {layers}", f"choose from {', '.join(MODES)}")
    if layers != "full" and (keep is not None or mask != "rd" or roi is not None):
        raise UsageError(f"mode {layers} shows no patch", "leave out keep, mask and the region map")
    if keep is not None and not 0 < keep <= 1:
        raise UsageError(f"keep {keep} is not above 0 and up to 1", "0.5 keeps half of the patches")
    if mask == "none" and (roi is not None or (keep is not None and keep < 1)):
        raise UsageError("mask none keeps every patch", "leave out keep and the region map, or choose another mask")


def check_picture(rgb: NDArray[np.uint8], limit: int | None = None) -> None:
    """UsageError when an array is not (H, W, 3) uint8 within the format's limits; InputError when over ours."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise UsageError("an array must be (height, width, 3) of uint8", "convert it, or pass a Pillow image")
    height, width = rgb.shape[:2]
    if max(height, width) > container.MAX_SIDE:
        raise UsageError(f"{width} x {height} pixels are over the limit", "crop or scale the picture")
    check_pixels(width, height, limit)
