"""Rate-distortion optimised quantisation (RDOQ): real-valued latents to the symbols that are worth their bits.

The encoder's side of :func:`mcmcodec.entropy.latent_coder.walk`: the integer networks predict, the quantiser chooses
each symbol with that prediction in hand, and remembers it together with the frozen table that codes it. Coding is
then a replay into the range coder, so that a picture's symbols can be measured before they are kept.
"""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..entropy.adaptive import AdaptiveBit
from ..entropy.fixed_point import ACT_BITS
from ..entropy.integer_networks import ROWS, Ints, Reals
from ..entropy.latent_coder import MAX_SYMBOL, Bools, Where
from ..entropy.rangecoder import RangeEncoder
from ..entropy.symbol_tables import SymbolTables


class _Symbols(NamedTuple):
    """Symbols (n,) and the tables that code them."""

    values: Ints
    tables: Ints


class _Flags(NamedTuple):
    """Bits of the mask (n,), each with its adaptive state."""

    states: list[AdaptiveBit]
    bits: Bools


class RdoqQuantizer:
    """Chooses symbols, and adds up their bits and squared error.

    A symbol moves one step towards zero where that lowers error + lambda x bits (Karczewicz et al. 2008, the rule of
    H.264's reference encoder, for one candidate); zeros stay.

    Args:
        v: latents times gains, (h, w, channels).
        z: hyper-latent (cells, hyper).
        visible: visible patches (h, w).
        tables: the frozen symbol tables.
        rdoq_lambda: squared error in the gained domain that one bit is worth, per channel (channels,); 0 rounds to
            nearest.

    Attributes:
        bits: of each patch's latents beyond the base layer (h, w).
        error: symbol minus latent, in the gained domain (h, w, channels); zero where nothing was coded.
    """

    def __init__(
        self, v: Reals, z: Reals, visible: Bools, tables: SymbolTables, rdoq_lambda: NDArray[np.float64]
    ) -> None:
        self.v, self.z, self.mask, self.tables, self.rdoq_lambda = v, z, visible, tables, rdoq_lambda
        self.bits = np.zeros(visible.shape)
        self.error = np.zeros(v.shape, np.float32)
        self._beyond_base = False
        self._coded: list[_Symbols | _Flags] = []

    def section(self, name: str) -> None:
        """The base layer is paid for in any case: bits are added up beyond it."""
        self._beyond_base = name == "latents"

    def hyper(self, loc: Ints, index: Ints) -> Ints:
        """Round the hyper-latent around ``loc`` (hyper,) in 1/64; symbols (cells, hyper)."""
        symbols = np.rint(self.z - loc / (1 << ACT_BITS)).astype(np.int32)
        symbols = np.where(index == 0, 0, np.clip(symbols, -MAX_SYMBOL, MAX_SYMBOL)).astype(np.int32)
        self._remember(symbols, np.broadcast_to(index, symbols.shape))
        return symbols

    def visible(self, where: Where, states: list[AdaptiveBit]) -> Bools:
        """The mask (N,) at the positions."""
        here = self.mask[where]
        self._coded.append(_Flags(states, here))
        return here

    def latents(self, where: Where, start: int, mu: Ints, index: Ints) -> Ints:
        """Symbols (N, channels) of the slice from ``start`` on, ``mu`` in 1/64, ``index`` of their tables."""
        symbols = np.empty(mu.shape, np.int32)
        for first in range(0, len(mu), ROWS):
            part = slice(first, first + ROWS)
            symbols[part] = self._choose((where[0][part], where[1][part]), start, mu[part], index[part])
        self._remember(symbols, index)
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

    def _remember(self, symbols: Ints, index: Ints) -> None:
        """Keep the symbols that take bits: those of table 0 are known to be zero."""
        coded = index > 0
        self._coded.append(_Symbols(symbols[coded], index[coded]))

    def _choose(self, where: Where, start: int, mu: Ints, index: Ints) -> Ints:
        """Symbols for a part of the positions; what they cost and lose is added up."""
        channels = slice(start, start + mu.shape[1])
        r = self.v[where[0], where[1], channels] - mu / (1 << ACT_BITS)
        nearest = np.clip(np.rint(r), -MAX_SYMBOL, MAX_SYMBOL).astype(np.int64)
        nearest[index == 0] = 0
        lower = nearest - np.sign(nearest)
        bits, fewer = self.tables.cost(nearest, index), self.tables.cost(lower, index)
        more_error = (r - lower) ** 2 - (r - nearest) ** 2
        pays = more_error < self.rdoq_lambda[channels] * (bits - fewer)
        symbols = np.where(pays, lower, nearest)
        if self._beyond_base:
            self.bits[where] += np.where(pays, fewer, bits).sum(1)
        self.error[where[0], where[1], channels] = r - symbols
        return symbols
