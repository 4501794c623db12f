"""The order in which a picture's integers are coded: hyper-latent, coarse latents, base slices, mask, other slices.

Hyper-latent, coarse latents and base slices are coded for the whole picture, the other slices of the fine latents for
visible patches only. A model has coarse latents, base slices, or both. Encoder and
decoder run the same function, :func:`code_latents`. What differs is done by a :class:`SymbolIO` object: the decoder's,
a :class:`SymbolReader`, decodes symbols; the encoder's (``mcmcodec.encoder.rdoq``) chooses and codes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .adaptive import AdaptiveBit
from .checks import check
from .fixed_point import ACT_BITS, ACT_MAX, COARSE, HYPER, INPUT_MAX, MASK_CENTRE, PARITIES, SCALES, WEIGHT_BITS
from .integer_networks import (
    Arrays,
    ContextNet,
    HyperDecoder,
    Ints,
    Neighbours,
    PatchPredictor,
    Positions,
    at_quality,
    scaled,
)
from .rangecoder import RangeDecoder
from .symbol_tables import SymbolTables

Bools = NDArray[np.bool_]

MASK_CONFIDENCE = 24
"""Observations that the mask network's probability counts for in the adaptive bits (specification, 5.6)."""


class EntropyModel:
    """The frozen integers of one stream model, as networks and tables.

    Args:
        arrays: the tensors ``entropy.*`` without that prefix (specification, section 7).
        coarse_slices: channels of each slice of the coarse latents.
        slices: channels of each slice of the fine latents.
        base_slices: how many of these are coded for every patch.

    Raises:
        ModelError: the tensors are not those of a stream model, see :func:`mcmcodec.entropy.checks.check`.
    """

    def __init__(
        self, arrays: Arrays, coarse_slices: tuple[int, ...], slices: tuple[int, ...], base_slices: int
    ) -> None:
        check(arrays, coarse_slices, slices, base_slices)
        self.coarse_slices, self.slices, self.base_slices = coarse_slices, slices, base_slices
        self.coarse, self.channels, self.expected = sum(coarse_slices), sum(slices), 0
        self.hyper = HyperDecoder(arrays)
        self.hyper_loc = arrays["hyper.loc"].astype(np.int64)
        self.hyper_index = arrays["hyper.index"].astype(np.int64)
        self.tables = SymbolTables(arrays["tables.reach"], arrays["tables.frequencies"])
        if coarse_slices:
            self.predictor = PatchPredictor(arrays)
            self.offset_weight = arrays["offset_weight"].astype(np.int64)
            self.expected = len(self.offset_weight)
        self.mask = ContextNet(arrays, "mask")
        self.mask_p1 = arrays["mask.p1"].astype(np.int64).tolist()
        self.coarse_nets = [ContextNet(arrays, f"coarse_slices.{k}") for k in range(len(coarse_slices))]
        self.nets = [ContextNet(arrays, f"slices.{k}") for k in range(len(slices))]
        self.features = self.hyper.features_per_patch


class SymbolIO(Protocol):
    """Where :func:`code_latents` gets each symbol from: a payload (decoder) or a picture's latents (encoder)."""

    def hyper(self, loc: Ints, index: Ints) -> Ints:
        """Symbols of the hyper-latent.

        Args:
            loc: location per channel (hyper,), in 1/64.
            index: table index per channel (hyper,), 0..63.

        Returns:
            (cells, hyper) integers.
        """

    def coarse(self, where: Positions, start: int, mu: Ints, index: Ints) -> Ints:
        """Symbols of a coarse slice at the coarse cells of one pass; arguments as for :meth:`latents`."""

    def visible(self, where: Positions, states: list[AdaptiveBit]) -> Bools:
        """The mask (N,) at N positions; ``states`` has the adaptive bit of each."""

    def latents(self, where: Positions, start: int, mu: Ints, index: Ints) -> Ints:
        """Symbols of a slice at the positions of one pass.

        Args:
            where: rows and columns, each (N,).
            start: first channel of the slice.
            mu: predicted means (N, channels), in 1/64.
            index: table indices (N, channels), 0..63.

        Returns:
            (N, channels) integers.
        """

    def begin(self, part: str) -> None:
        """Called before each part of the payload: ``base``, ``mask``, ``latents``, and ``tail`` at the end."""


@dataclass
class Decoded:
    """What encoder and decoder both know when all symbols are coded.

    Attributes:
        v_hat: dequantised fine latents in the gained domain, (h, w, channels) in 1/64; the predicted means where the
            patch is hidden.
        psi: hyper-decoder features (h, w, features) in 1/64.
        mask: visible patches (h, w).
        expected: the coarse latents' prediction of the first fine latents (h, w, expected), in 1/64, gained.
    """

    v_hat: NDArray[np.int32]
    psi: Ints
    mask: Bools
    expected: NDArray[np.int32]


def code_latents(
    model: EntropyModel, io: SymbolIO, grid: tuple[int, int], quality: int, keep: int, all_visible: bool,
    none_visible: bool = False, last: int | None = None,
) -> Decoded:  # fmt: skip
    """Code or decode one picture (specification, section 5.6).

    Args:
        model: the stream model.
        io: gives the symbols, and codes or decodes them.
        grid: rows and columns of patches.
        quality: 0..100.
        keep: the header's share of visible patches, 0..255.
        all_visible: no mask is coded; every patch is visible.
        none_visible: no mask is coded; no patch is visible.
        last: fine slices from this number on are neither coded nor decoded, and their latents are zero. For decoding
            at a reduced size only.

    Returns:
        The dequantised latents, the features and the mask.

    Raises:
        FormatError: ``io`` decodes, and the payload is damaged.
    """
    rows, cols = grid
    io.begin("base")
    cells = (-(-rows // HYPER), -(-cols // HYPER))
    loc = (at_quality(model.hyper_loc, quality) + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS
    index = np.clip((at_quality(model.hyper_index, quality) << 4) >> (WEIGHT_BITS + ACT_BITS), 0, SCALES - 1)
    z_hat = (io.hyper(loc, index) << ACT_BITS) + loc
    psi, psi_coarse = model.hyper.features(z_hat.reshape(*cells, -1), quality, rows, cols)

    given, expected = None, np.zeros((rows, cols, 0), np.int32)
    if model.coarse:
        grid = (-(-rows // COARSE), -(-cols // COARSE))
        known = Neighbours(*grid, model.features + model.coarse)
        known.cells[1:-1, 1:-1, : model.features] = psi_coarse
        c_hat = np.zeros((*grid, model.coarse), np.int32)
        coarse_slices = zip(model.coarse_nets, model.coarse_slices, strict=True)
        _code_slices(coarse_slices, known, model.features, quality, io.coarse, c_hat)
        expected = model.predictor.predict(c_hat, quality, rows, cols)
        given = (scaled(expected, model.offset_weight, WEIGHT_BITS), expected)

    at, first = model.features + model.expected, model.base_slices
    known = Neighbours(rows, cols, at + 1 + model.channels)
    known.cells[1:-1, 1:-1, : model.features] = psi
    known.cells[1:-1, 1:-1, model.features : at] = expected
    v_hat = np.zeros((rows, cols, model.channels), np.int32)
    slices = list(zip(model.nets[:last], model.slices[:last], strict=True))
    _code_slices(slices[:first], known, at, quality, io.latents, v_hat, given)
    base = sum(model.slices[:first])
    at += base
    mask = np.full((rows, cols), not none_visible)
    if not all_visible and not none_visible:
        io.begin("mask")
        known.cells[1:-1, 1:-1, at] = keep
        mask = _code_mask(model, io, known, quality, (rows, cols))
    io.begin("latents")
    known.cells[1:-1, 1:-1, at] = mask << ACT_BITS

    def visible_latents(where: Positions, start: int, mu: Ints, index: Ints) -> Ints:
        """Symbols of visible positions; those of hidden ones are zero."""
        shown = mask[where]
        if shown.all():
            return io.latents(where, start, mu, index)
        symbols = np.zeros(mu.shape, np.int32)
        if shown.any():
            symbols[shown] = io.latents((where[0][shown], where[1][shown]), start, mu[shown], index[shown])
        return symbols

    _code_slices(slices[first:], known, at + 1, quality, visible_latents, v_hat, given, base)
    io.begin("tail")
    return Decoded(v_hat, psi, mask, expected)


def _code_slices(
    slices: Iterable[tuple[ContextNet, int]], known: Neighbours, at: int, quality: int,
    code: Callable[[Positions, int, Ints, Ints], Ints], values: NDArray[np.int32],
    given: tuple[Ints, Ints] | None = None, start: int = 0,
) -> None:  # fmt: skip
    """Code the slices one after the other, each in four passes.

    Args:
        slices: the context network and the number of channels of each.
        known: the inputs of all networks; the decoded slices are added to it.
        at: channel of ``known`` where the first slice goes.
        quality: 0..100.
        code: gives the symbols of a pass for its positions, first channel, means and table indices.
        values: dequantised latents (rows, cols, channels) in 1/64; they are filled in here.
        given: for the first n channels, (rows, cols, n) each in 1/64: what is added to the networks' means, and the
            prediction from the coarse latents, which these networks read beside the slice itself.
        start: first channel of the first slice in ``values``.
    """
    for net, channels in slices:
        part = values[..., start : start + channels]
        beside = given is not None and start < given[0].shape[2]
        current = Neighbours(values.shape[0], values.shape[1], channels * (1 + beside))
        if given is not None and beside:  # at all positions: a network reads only those of earlier passes
            current.cells[1:-1, 1:-1, channels:] = given[1][..., start : start + channels]
        for number, where in enumerate(_passes(*values.shape[:2])):
            if not len(where[0]):
                continue
            out = net.predict(number, known, current, where, quality)
            mu, index = out[:, :channels].astype(np.int32), out[:, channels:].astype(np.int32)
            if given is not None and beside:
                mu += given[0][where[0], where[1], start : start + channels]
            mu = np.clip(mu, -INPUT_MAX, INPUT_MAX)
            index = np.clip((index + 384) >> 4, 0, SCALES - 1).astype(np.uint8)
            symbols = code(where, start, mu, index)
            part[where] = (symbols << ACT_BITS) + mu
            current.put(where, np.clip(part[where], -INPUT_MAX, INPUT_MAX))
        known.cells[1:-1, 1:-1, at : at + channels] = np.clip(part, -ACT_MAX, ACT_MAX)
        at, start = at + channels, start + channels


def _code_mask(
    model: EntropyModel, io: SymbolIO, known: Neighbours, quality: int, grid: tuple[int, int]
) -> Bools:
    """The mask (rows, columns), coded in four passes."""
    mask = np.zeros(grid, bool)
    states = [AdaptiveBit(p1, MASK_CONFIDENCE) for p1 in model.mask_p1]
    signs = Neighbours(*grid, 1)
    for number, where in enumerate(_passes(*grid)):
        if not len(where[0]):
            continue
        out = model.mask.predict(number, known, signs, where, quality)[:, 0]
        index = np.clip((out >> 4) + MASK_CENTRE, 0, 2 * MASK_CENTRE - 1)
        here = io.visible(where, [states[i] for i in index.tolist()])
        mask[where] = here
        signs.put(where, np.where(here, 1 << ACT_BITS, -(1 << ACT_BITS))[:, None])
    return mask


def _passes(rows: int, cols: int) -> list[Positions]:
    """Rows and columns of the positions of each pass, in raster order."""
    every = [np.indices((rows, cols))[:, r::2, c::2].reshape(2, -1) for r, c in PARITIES]
    return [(r, c) for r, c in every]


class SymbolReader:
    """The decoder's :class:`SymbolIO`.

    Args:
        decoder: where the symbols are decoded from.
        tables: the model's frozen tables.
        cells: cells of the hyper-latent.

    Attributes:
        part_bits: bits of each part of the payload that has been decoded, by name.
    """

    def __init__(self, decoder: RangeDecoder, tables: SymbolTables, cells: int) -> None:
        self.decoder, self.tables, self.cells = decoder, tables, cells
        self.part_bits: dict[str, float] = {}
        self._running: tuple[str, float] | None = None

    def begin(self, part: str) -> None:
        """See :class:`SymbolIO`."""
        now = self.decoder.position()
        if self._running:
            self.part_bits[self._running[0]] = now - self._running[1]
        self._running = (part, now)

    def hyper(self, loc: Ints, index: Ints) -> Ints:
        """See :class:`SymbolIO`."""
        flat = np.broadcast_to(index, (self.cells, len(index)))
        return self.tables.decode(self.decoder, flat.ravel()).reshape(flat.shape)

    def coarse(self, where: Positions, start: int, mu: Ints, index: Ints) -> Ints:
        """See :class:`SymbolIO`."""
        return self.tables.decode(self.decoder, index.ravel()).reshape(index.shape)

    def visible(self, where: Positions, states: list[AdaptiveBit]) -> Bools:
        """See :class:`SymbolIO`."""
        return np.array([state.decode(self.decoder) for state in states], bool)

    def latents(self, where: Positions, start: int, mu: Ints, index: Ints) -> Ints:
        """See :class:`SymbolIO`."""
        return self.tables.decode(self.decoder, index.ravel()).reshape(index.shape)
