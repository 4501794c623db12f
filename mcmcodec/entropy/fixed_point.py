"""The constants of the integer arithmetic. Changing any of them changes the format.

Activations are integers in units of 1/64, weights in units of 1/4096, biases in units of 2**-18. A layer is

    r = floor((sum w a + b) / 4096)      then      clamp to 0..ACT_MAX (hidden) or -ACT_MAX..ACT_MAX (output)

When a model is loaded, ``checks`` proves that no sum reaches 2**53. Below, float64 represents whole numbers exactly.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ACT_BITS = 6
WEIGHT_BITS = 12
ACT_MAX = (1 << 15) - 1
INPUT_MAX = (1 << 14) - 1
WEIGHT_MAX = (1 << 15) - 1

REAL_BITS = 9
"""What coarse latents predict is computed in real units of 1/512."""
FACTOR_BITS = 16
"""Factors between those and gained units, of each quality and channel, are in units of 2**-16."""

PARITIES = ((0, 0), (1, 1), (0, 1), (1, 0))
"""The four passes over the grid: (row, column) modulo 2."""

HYPER = 4
"""Side of a hyper-latent cell in patches."""
COARSE = 2
"""Side of a coarse cell in patches."""

SCALES = 64
"""Number of frozen symbol tables; index 0 means that the symbol is zero and is not coded."""
SCALE_MIN, SCALE_STEP = 0.03, math.log(1000.0) / 63
MASK_CENTRE = 32
"""Mask probabilities: index 0..63, log-odds (index - 32 + 1/2) / 4."""


def scale_of(index: Tensor) -> Tensor:
    """Scale of the logistic distribution that table ``index`` is trained with. Decoding does not use it."""
    return SCALE_MIN * (index * SCALE_STEP).exp()
