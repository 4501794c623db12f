"""The hyper-latent by rate and distortion: which of its symbols are worth their bits, by what they predict.

What a symbol of the hyper-latent is worth shows in the bits and errors of the fine latents that it predicts. So the
encoder codes the picture's first slices once for each of a few prices, at which the hyper-latent's symbols move a step
towards zero, and takes in every cell the price that came out cheapest there. Bits of coarse latents, which the default
model does not have, are not counted. On validation pictures that saves what
``benchmarks/results/choices.json`` says, most at low qualities, where the hyper-latent is a tenth of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..model.config import HYPER

PRICES = (0.04, 0.12)
"""Squared error of the hyper-latent that a bit is worth, in the trials beside rounding to nearest."""
TRIED_SLICES = 3
"""Slices that a trial codes: the finer ones take most of the time, and say little more about the hyper-latent."""
CHOSEN_UP_TO = 40
"""Highest quality at which the trials are made: above, they save less than half a per cent of the bytes."""

Costs = NDArray[np.float64]


def cheapest_prices(cost_at: Callable[[float], Costs], prices: Sequence[float] = PRICES) -> Costs:
    """The price of every cell (h/4, w/4), 0 where rounding to nearest is best.

    A cell's symbols are also felt by its neighbours: costs are compared as sums over 3x3 cells.

    Args:
        cost_at: costs of cells (h/4, w/4) in bits, when all cells have a price.
        prices: those to try beside 0.
    """
    every = (0.0, *prices)
    costs = np.stack([_neighbourhoods(cost_at(price)) for price in every])
    cheapest: Costs = np.asarray(every)[costs.argmin(0)]
    return cheapest


def by_cell(patches: Costs) -> Costs:
    """Sums over cells (ceil(h/4), ceil(w/4)) of what patches (h, w) cost."""
    rows, cols = patches.shape
    padded = np.pad(patches, ((0, -rows % HYPER), (0, -cols % HYPER)))
    rows, cols = padded.shape
    sums: Costs = padded.reshape(rows // HYPER, HYPER, cols // HYPER, HYPER).sum((1, 3))
    return sums


def _neighbourhoods(cells: Costs) -> Costs:
    """Sums over 3x3 cells; beyond the border stands the border's own cost."""
    padded = np.pad(cells, 1, mode="edge")
    across = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    sums: Costs = across[:-2] + across[1:-1] + across[2:]
    return sums
