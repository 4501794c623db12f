"""Rate-distortion optimised quantisation (RDOQ): which integer stands for each latent. The decoder does not need it.

The encoder's side of :func:`mcmcodec.entropy.latent_coder.code_latents`: the integer networks predict, the quantiser
chooses each symbol given that prediction, and keeps it together with the frozen table that codes it. Coding is then a
replay into the range coder, so that a picture's symbols can be measured before they are written.
"""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..entropy.adaptive import AdaptiveBit
from ..entropy.fixed_point import ACT_BITS
from ..entropy.integer_networks import ROWS, Ints, Positions, Reals
from ..entropy.latent_coder import Bools
from ..entropy.rangecoder import RangeEncoder
from ..entropy.symbol_tables import MAX_SYMBOL, SymbolTables


class _Symbols(NamedTuple):
    """Symbols (n,) and the tables that code them."""

    values: Ints
    tables: Ints


class _Flags(NamedTuple):
    """Bits of the mask (n,), each with its adaptive state."""

    states: list[AdaptiveBit]
    bits: Bools


class RdoqQuantizer:
    """Chooses symbols, and adds up their bits and squared error; a ``SymbolIO``.

    A symbol moves one step towards zero where that lowers error + lambda x bits (Karczewicz et al. 2008, the rule of
    H.264's reference encoder, for one candidate); zeros stay.

    Args:
        v: fine latents times gains, (h, w, channels).
        c: coarse latents times gains, (ceil(h/2), ceil(w/2), coarse).
        z: hyper-latent (cells, hyper).
        visible: visible patches (h, w).
        tables: the frozen symbol tables.
        rdoq_lambda: squared error in the gained domain that one bit is worth, per fine channel (channels,); 0 rounds
            to nearest.
        coarse_lambda: the same per coarse channel (coarse,).
        hyper_lambda: the same of the hyper-latent, per cell (cells, 1).

    Attributes:
        hyper_bits: of each cell's hyper-latent (cells,).
        slice_bits: of each patch (h, w), by the first channel of the slice.
        error: latent minus what is decoded, in the gained domain (h, w, channels); zero where nothing was coded.
        unsaid: latent minus its predicted mean, likewise: the error if the patch were hidden.
    """

    def __init__(
        self, v: Reals, c: Reals, z: Reals, visible: Bools, tables: SymbolTables, rdoq_lambda: NDArray[np.float64],
        coarse_lambda: NDArray[np.float64], hyper_lambda: NDArray[np.float64],
    ) -> None:  # fmt: skip
        self.v, self.c, self.z, self.mask, self.tables = v, c, z, visible, tables
        self.rdoq_lambda, self.coarse_lambda, self.hyper_lambda = rdoq_lambda, coarse_lambda, hyper_lambda
        self.hyper_bits = np.zeros(len(z))
        self.slice_bits: dict[int, NDArray[np.float64]] = {}
        self.error = np.zeros(v.shape, np.float32)
        self.unsaid = np.zeros(v.shape, np.float32)
        self._coded: list[_Symbols | _Flags] = []

    def begin(self, part: str) -> None:
        """See ``SymbolIO``."""

    def bits(self, first: int = 0) -> NDArray[np.float64]:
        """Bits of each patch's fine latents (h, w), from channel ``first`` on, where a slice starts."""
        chosen = (bits for start, bits in self.slice_bits.items() if start >= first)
        return sum(chosen, np.zeros(self.mask.shape))

    def hyper(self, loc: Ints, index: Ints) -> Ints:
        """See ``SymbolIO``: the chosen symbols of the hyper-latent, around ``loc``."""
        every = np.broadcast_to(index, self.z.shape)
        symbols, self.hyper_bits = self._choose(self.z - loc / (1 << ACT_BITS), every, self.hyper_lambda)
        self._keep(symbols, every)
        return symbols.astype(np.int64)

    def coarse(self, where: Positions, start: int, mu: Ints, index: Ints) -> Ints:
        """See ``SymbolIO``: the chosen symbols of the coarse latents."""
        channels = slice(start, start + mu.shape[1])
        r = self.c[where[0], where[1], channels] - mu / (1 << ACT_BITS)
        symbols, _ = self._choose(r, index, self.coarse_lambda[channels])
        self._keep(symbols, index)
        return symbols

    def visible(self, where: Positions, states: list[AdaptiveBit]) -> Bools:
        """See ``SymbolIO``: the mask as it was given."""
        bits = self.mask[where]
        self._coded.append(_Flags(states, bits))
        return bits

    def latents(self, where: Positions, start: int, mu: Ints, index: Ints) -> Ints:
        """See ``SymbolIO``: the chosen symbols."""
        symbols = np.empty(mu.shape, np.int32)
        taken = self.slice_bits.setdefault(start, np.zeros(self.mask.shape))
        for first in range(0, len(mu), ROWS):
            part = slice(first, first + ROWS)
            at, channels = (where[0][part], where[1][part]), slice(start, start + mu.shape[1])
            r = self.v[at[0], at[1], channels] - mu[part] / (1 << ACT_BITS)
            symbols[part], taken[at] = self._choose(r, index[part], self.rdoq_lambda[channels])
            self.error[at[0], at[1], channels] = r - symbols[part]
            self.unsaid[at[0], at[1], channels] = r
        self._keep(symbols, index)
        return symbols

    def encode(self, encoder: RangeEncoder) -> None:
        """Code what was chosen, in its order; as often as wanted."""
        fresh: dict[int, AdaptiveBit] = {}
        for part in self._coded:
            if isinstance(part, _Symbols):
                self.tables.encode(encoder, part.values, part.tables)
                continue
            for state, bit in zip(part.states, part.bits.tolist(), strict=True):
                # every replay starts from the states as they were before the first bit
                fresh.setdefault(id(state), copy(state)).encode(encoder, int(bit))

    def _keep(self, symbols: Ints, index: Ints) -> None:
        """Keep the symbols that take bits: those of table 0 are known to be zero."""
        coded = index > 0
        self._coded.append(_Symbols(symbols[coded], index[coded]))

    def _choose(
        self, r: Reals, index: Ints, rdoq_lambda: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Symbols (N, channels) of residuals r, and the bits (N,) that they take; lambda is for each, or broadcast."""
        nearest = np.clip(np.rint(r), -MAX_SYMBOL, MAX_SYMBOL).astype(np.int32)
        nearest[index == 0] = 0
        lower = nearest - np.sign(nearest)
        bits, fewer = self.tables.cost(nearest, index), self.tables.cost(lower, index)
        more_error = (r - lower) ** 2 - (r - nearest) ** 2
        pays = more_error < rdoq_lambda * (bits - fewer)
        return np.where(pays, lower, nearest), np.where(pays, fewer, bits).sum(1)
