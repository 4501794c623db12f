"""Stage: the encoder's effort, levels 1 to 9: how hard it looks for the best symbols. The decoder never knows.

The analysis transform aims at latents as if the synthesis transform were linear and orthonormal. From level 4 on, the
encoder measures what the real decoder makes of the symbols and moves its aim along the gradient of the true squared
error, as in encoder-side optimisation of latents (Campos et al. 2019), but through exact coding runs: an aim only
counts when the whole Lagrangian cost of the coded picture fell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..entropy.fixed_point import ACT_BITS
from ..entropy.latent_coder import Decoded
from ..entropy.rangecoder import RangeEncoder
from ..errors import UsageError
from ..model.config import trade
from ..model.weights import Weights
from .rdoq import RdoqQuantizer

if TYPE_CHECKING:
    from ..model.transforms import Transforms
    from .planning import Plan

STEP = 0.3
"""Share of the way to where the gradient points that the aim moves in a round; larger steps overshoot."""


@dataclass(frozen=True)
class Effort:
    """What a level does.

    Attributes:
        rounds: times that the aim is moved along the decoder's gradient; each costs a decode, its gradient and a
            coding run.
        mask: whether ``rd`` weighs hiding patches at all.
        thrift: 0 rounds to nearest, 1 moves symbols towards zero where that saves more bits than it loses (RDOQ).
    """

    rounds: int = 0
    mask: bool = True
    thrift: float = 1.0


LEVELS = {
    1: Effort(mask=False, thrift=0.0),
    2: Effort(mask=False),
    3: Effort(),
    **{level: Effort(rounds=1 << (level - 4)) for level in range(4, 10)},
}


def settings(level: int) -> Effort:
    """What a level does. UsageError unless it is 1 to 9."""
    if level not in LEVELS:
        raise UsageError(f"effort {level} is not 1 to 9", "3 is the default, higher is slower and smaller")
    return LEVELS[level]


def slowness(level: int) -> float:
    """Roughly the time that encoding at a level takes, in that of level 3; see ``benchmarks/results/effort.md``."""
    how = settings(level)
    if how.rounds:
        return 1 + 2.1 * (how.rounds + 1)
    return 1.0 if how.mask else 0.8


def refine(
    weights: Weights, transforms: Transforms, plan: Plan, padded: NDArray[np.uint8], quality: int,
    price: NDArray[np.float64], rounds: int,
) -> Plan:  # fmt: skip
    """The plan with the best aim found in so many rounds.

    Args:
        weights: the model.
        transforms: its float half.
        plan: where to begin; its visible patches stay.
        padded: (16h, 16w, 3) uint8.
        quality: 0..100.
        price: see :func:`mcmcodec.encoder.planning.bit_weight`.
        rounds: 0 leaves the plan as it is.
    """
    if not rounds:
        return plan
    decoder = "fidelity" if "fidelity" in weights.card["decoders"] else weights.decoders[0]
    aim, best, lowest = plan.v, plan, np.inf
    for number in range(rounds + 1):
        quantizer = RdoqQuantizer(aim, plan.z, plan.visible, weights.entropy.tables, price)
        decoded = plan.through(weights.entropy, quantizer, quality)
        encoder = RangeEncoder()
        quantizer.encode(encoder)
        error, gradient = transforms.distortion(decoded, quality, decoder, padded)
        cost = encoder.position() + trade(quality) * error
        if cost < lowest:
            best, lowest = replace(plan, v=aim), cost
        if number < rounds:
            aim = aim + STEP * (_wanted(decoded, gradient * trade(quality), plan.distortion_weight) - aim)
    return best


def _wanted(
    decoded: Decoded, gradient: NDArray[np.float64], distortion_weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where the error is least for a decoder of this gradient and an orthonormal one's curvature: a Newton step."""
    return decoded.v_hat / (1 << ACT_BITS) - gradient / (2 * distortion_weight)
