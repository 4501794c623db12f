"""Stage: entropy, the order in which everything is coded: hyper-latent, base slices, mask, visible slices.

Encoder and decoder walk the same path; a *port* stands where they differ. ``Writer`` quantises and codes,
``Reader`` decodes, ``Counter`` only adds up what each patch would cost and gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .adaptive import AdaptiveBit
from .checks import check
from .fixed_point import ACT_BITS, ACT_MAX, HYPER, INPUT_MAX, MASK_CENTRE, PARITIES, SCALES, WEIGHT_BITS
from .integer_networks import ROWS, Arrays, ContextNet, HyperDecoder, Ints, Neighbours, Reals, at_quality
from .rangecoder import RangeDecoder, RangeEncoder
from .symbol_tables import ESCAPE_BITS, SymbolTables

Where = tuple[Ints, Ints]
Bools = NDArray[np.bool_]

MASK_CONFIDENCE = 24
"""Observations that the network's probability of a visible patch is worth before the picture's own statistics count."""
MAX_SYMBOL = (1 << ESCAPE_BITS) - 1


class EntropyModel:
    """The frozen integers of one stream model. ModelError when they are not one (see :mod:`.checks`)."""

    def __init__(self, arrays: Arrays, slices: tuple[int, ...], base_slices: int) -> None:
        check(arrays, slices, base_slices)
        self.slices, self.base_slices = slices, base_slices
        self.hyper = HyperDecoder(arrays)
        self.hyper_loc = arrays["hyper.loc"].astype(np.int64)
        self.hyper_index = arrays["hyper.index"].astype(np.int64)
        self.tables = SymbolTables(arrays["tables.reach"], arrays["tables.frequencies"])
        self.mask = ContextNet(arrays, "mask")
        self.mask_p1 = arrays["mask.p1"].astype(np.int64).tolist()
        self.nets = [ContextNet(arrays, f"slices.{k}") for k in range(len(slices))]
        self.features = self.nets[0].inputs


class Port(Protocol):
    """Where symbols come from, or go to."""

    def hyper(self, loc: Ints, index: Ints) -> Ints:
        """Symbols (cells, hyper) of z, given location in 1/64 and table index per channel (hyper,)."""

    def visible(self, where: Where, states: list[AdaptiveBit]) -> Bools:
        """The mask (N,) at the positions, each with its adaptive state."""

    def latents(self, where: Where, start: int, mu: Ints, index: Ints) -> Ints:
        """Symbols (N, channels) of slice ``start``.. at the positions, mu in 1/64."""

    def section(self, name: str) -> None:
        """A part of the stream begins."""


@dataclass
class Decoded:
    """What both sides know in the end.

    Attributes:
        v_hat: dequantised latents in the gained domain, (h, w, channels) in 1/64; zero where hidden.
        psi: hyper-decoder features (h, w, features) in 1/64.
        mask: visible patches (h, w).
    """

    v_hat: NDArray[np.int32]
    psi: Ints
    mask: Bools


def walk(
    model: EntropyModel, port: Port, grid: tuple[int, int], quality: int, keep: int, all_visible: bool,
    none_visible: bool = False, last: int | None = None,
) -> Decoded:  # fmt: skip
    """Code one picture of ``grid`` patches through ``port``; the specification's section 5 in a page.

    Slices from ``last`` on are left out: for a decoder that can do without them.
    """
    rows, cols = grid
    port.section("base")
    cells = (-(-rows // HYPER), -(-cols // HYPER))
    loc = (at_quality(model.hyper_loc, quality) + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS
    index = np.clip((at_quality(model.hyper_index, quality) << 4) >> (WEIGHT_BITS + ACT_BITS), 0, SCALES - 1)
    z_hat = (port.hyper(loc, index) << ACT_BITS) + loc
    psi = model.hyper.features(z_hat.reshape(*cells, -1), quality, rows, cols)

    every = [_positions(rows, cols, parity) for parity in PARITIES]
    known = Neighbours(rows, cols, model.features + sum(model.slices) + 1)
    known.cells[1:-1, 1:-1, : model.features] = psi
    v_hat = np.zeros((rows, cols, sum(model.slices)), np.int32)
    mask = np.full((rows, cols), not none_visible)
    at, start = model.features, 0
    for k, channels in enumerate(model.slices[:last]):
        if k == model.base_slices:
            if not all_visible and not none_visible:
                port.section("mask")
                known.cells[1:-1, 1:-1, at] = keep
                mask = _walk_mask(model, port, known, every, quality, (rows, cols))
            port.section("latents")
            known.cells[1:-1, 1:-1, at] = mask << ACT_BITS
            every = [(r[mask[r, c]], c[mask[r, c]]) for r, c in every]
            at += 1
        current = Neighbours(rows, cols, channels)
        for number, where in enumerate(every):
            if not len(where[0]):
                continue
            out = model.nets[k].predict(number, known, current, where, quality)
            mu = np.clip(out[:, :channels], -INPUT_MAX, INPUT_MAX)
            index = np.clip((out[:, channels:].astype(np.int32) + 384) >> 4, 0, SCALES - 1).astype(np.uint8)
            symbols = port.latents(where, start, mu, index)
            values = (symbols << ACT_BITS) + mu
            v_hat[where[0], where[1], start : start + channels] = values
            current.put(where, np.clip(values, -INPUT_MAX, INPUT_MAX))
        known.cells[1:-1, 1:-1, at : at + channels] = np.clip(v_hat[..., start : start + channels], -ACT_MAX, ACT_MAX)
        at, start = at + channels, start + channels
    port.section("tail")
    return Decoded(v_hat, psi, mask)


def _walk_mask(
    model: EntropyModel,
    port: Port,
    known: Neighbours,
    every: list[Where],
    quality: int,
    grid: tuple[int, int],
) -> Bools:
    mask = np.zeros(grid, bool)
    states = [AdaptiveBit(p1, MASK_CONFIDENCE) for p1 in model.mask_p1]
    signs = Neighbours(*grid, 1)
    for number, where in enumerate(every):
        if not len(where[0]):
            continue
        out = model.mask.predict(number, known, signs, where, quality)[:, 0]
        index = np.clip((out >> 4) + MASK_CENTRE, 0, 2 * MASK_CENTRE - 1)
        here = port.visible(where, [states[i] for i in index.tolist()])
        mask[where] = here
        signs.put(where, np.where(here, 1 << ACT_BITS, -(1 << ACT_BITS))[:, None])
    return mask


def _positions(rows: int, cols: int, parity: tuple[int, int]) -> Where:
    r, c = np.meshgrid(np.arange(parity[0], rows, 2), np.arange(parity[1], cols, 2), indexing="ij")
    return r.ravel(), c.ravel()


class Reader:
    """The decoder's port."""

    def __init__(self, decoder: RangeDecoder, tables: SymbolTables, cells: int) -> None:
        self.decoder, self.tables, self.cells = decoder, tables, cells
        self.sections: dict[str, float] = {}
        self._open: tuple[str, float] | None = None

    def section(self, name: str) -> None:
        """Close the running section's account and open ``name``; bits in ``sections``."""
        now = self.decoder.position()
        if self._open:
            self.sections[self._open[0]] = now - self._open[1]
        self._open = (name, now)

    def hyper(self, loc: Ints, index: Ints) -> Ints:
        """See :class:`Port`."""
        flat = np.broadcast_to(index, (self.cells, len(index)))
        return self.tables.decode(self.decoder, flat.ravel()).reshape(flat.shape)

    def visible(self, where: Where, states: list[AdaptiveBit]) -> Bools:
        """See :class:`Port`."""
        return np.array([state.decode(self.decoder) for state in states], bool)

    def latents(self, where: Where, start: int, mu: Ints, index: Ints) -> Ints:
        """See :class:`Port`."""
        return self.tables.decode(self.decoder, index.ravel()).reshape(index.shape)


class Counter:
    """A dry run of the encoder: quantises, and adds up squared error, and bits beyond the base layer, per patch.

    ``total`` is the bits of all latents.

    Args:
        v: latents times gains, (h, w, channels).
        z: hyper-latent (cells, hyper).
        mask: visible patches (h, w).
        weight: squared error in the gained domain that one bit is worth, per channel (channels,): a symbol moves
            towards zero where that lowers error + weight * bits; zeros round to nearest.
    """

    def __init__(
        self,
        v: Reals,
        z: Reals,
        mask: Bools,
        tables: SymbolTables,
        weight: NDArray[np.float64],
    ) -> None:
        self.v, self.z, self.mask, self.tables, self.weight = v, z, mask, tables, weight
        self.bits = np.zeros(mask.shape)
        self.total = 0.0
        self.error = np.zeros(v.shape, np.float32)
        self.visible_slices = False

    def section(self, name: str) -> None:
        """The base layer is paid for in any case: bits are added up beyond it."""
        self.visible_slices = name == "latents"

    def hyper(self, loc: Ints, index: Ints) -> Ints:
        """See :class:`Port`."""
        symbols = np.rint(self.z - loc / (1 << ACT_BITS)).astype(np.int64)
        return np.where(index == 0, 0, np.clip(symbols, -MAX_SYMBOL, MAX_SYMBOL))

    def visible(self, where: Where, states: list[AdaptiveBit]) -> Bools:
        """See :class:`Port`."""
        return self.mask[where]

    def latents(self, where: Where, start: int, mu: Ints, index: Ints) -> Ints:
        """See :class:`Port`."""
        symbols = np.empty(mu.shape, np.int32)
        for first in range(0, len(mu), ROWS):
            part = slice(first, first + ROWS)
            symbols[part] = self._choose((where[0][part], where[1][part]), start, mu[part], index[part])
        return symbols

    def _choose(self, where: Where, start: int, mu: Ints, index: Ints) -> Ints:
        """Symbols for a part of the positions; what they cost and lose is added up."""
        channels = slice(start, start + mu.shape[1])
        r = self.v[where[0], where[1], channels] - mu / (1 << ACT_BITS)
        best = np.clip(np.rint(r), -MAX_SYMBOL, MAX_SYMBOL).astype(np.int64)
        best[index == 0] = 0
        lower = best - np.sign(best)
        cost, less = self.tables.cost(best, index), self.tables.cost(lower, index)
        worse = (r - lower) ** 2 - (r - best) ** 2
        thrifty = worse < self.weight[channels] * (cost - less)
        best = np.where(thrifty, lower, best)
        bits = np.where(thrifty, less, cost).sum(1)
        self.total += float(bits.sum())
        if self.visible_slices:
            self.bits[where] += bits
        self.error[where[0], where[1], channels] = r - best
        return best


class Writer(Counter):
    """The encoder's port: as the dry run, and codes what it chose."""

    def __init__(self, encoder: RangeEncoder, v: Reals, z: Reals, mask: Bools,
                 tables: SymbolTables, weight: NDArray[np.float64]) -> None:  # fmt: skip
        super().__init__(v, z, mask, tables, weight)
        self.encoder = encoder

    def hyper(self, loc: Ints, index: Ints) -> Ints:
        """See :class:`Port`."""
        symbols = super().hyper(loc, index)
        self.tables.encode(self.encoder, symbols.ravel(), np.broadcast_to(index, symbols.shape).ravel())
        return symbols

    def visible(self, where: Where, states: list[AdaptiveBit]) -> Bools:
        """See :class:`Port`."""
        bits = super().visible(where, states)
        for state, bit in zip(states, bits.tolist(), strict=True):
            state.encode(self.encoder, int(bit))
        return bits

    def latents(self, where: Where, start: int, mu: Ints, index: Ints) -> Ints:
        """See :class:`Port`."""
        symbols = super().latents(where, start, mu, index)
        self.tables.encode(self.encoder, symbols.ravel(), index.ravel())
        return symbols
