"""Symbols and their frozen tables: what the range coder is given (specification, section 5.5).

Table i (1..63) covers the symbols -reach[i]..reach[i]; one more entry is the escape. Index 0 means zero, uncoded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import damaged
from .fixed_point import SCALES
from .rangecoder import TOTAL, RangeDecoder, RangeEncoder, Table, TruncationError

Ints = NDArray[np.integer[Any]]

ESCAPE_BITS = 20
"""An escaped symbol exceeds the table's reach by less than 2**20; more is damage."""
MAX_SYMBOL = (1 << ESCAPE_BITS) - 1
"""The largest magnitude that every table can code."""


class SymbolTables:
    """The 63 tables of a stream model.

    Args:
        reach: largest magnitude that each table codes without an escape (64,).
        frequencies: those of all tables in one row, table after table; each table's sum to 2**16.
    """

    def __init__(self, reach: NDArray[np.generic], frequencies: NDArray[np.generic]) -> None:
        self.reach = reach.astype(np.int64)
        self.reaches: list[int] = self.reach.tolist()
        self.tables: list[Table | None] = [None]
        widest = int(self.reach.max())
        self.bits = np.full((SCALES, 2 * widest + 3), 40.0)
        start = 0
        for index in range(1, SCALES):
            size = 2 * int(self.reach[index]) + 2
            row = frequencies[start : start + size].astype(np.int64)
            start += size
            self.tables.append(Table(np.concatenate(([0], np.cumsum(row)))))
            offset = widest + 1 - int(self.reach[index])
            self.bits[index, offset : offset + size - 1] = -np.log2(row[:-1] / TOTAL)
        self.bits[0, widest + 1] = 0.0
        self.widest = widest

    def cost(self, symbols: Ints, index: Ints) -> NDArray[np.float64]:
        """Bits of each symbol (any shape) with its table, for the encoder's choices; an escape counts 40."""
        column = np.clip(symbols, -self.widest - 1, self.widest + 1) + self.widest + 1
        return np.asarray(self.bits[index, column])

    def encode(self, encoder: RangeEncoder, symbols: Ints, index: Ints) -> None:
        """Code symbols (n,) with tables ``index`` (n,): table by table, in the given order within a table."""
        order = np.argsort(index, kind="stable")
        values, reach = symbols[order], self.reach.astype(np.int32)[index[order]]
        outside = np.abs(values) > reach
        entries = np.where(outside, 2 * reach + 1, values + reach)
        escapes = bool(outside.any())
        end = 0
        for i, count in enumerate(np.bincount(index, minlength=SCALES).tolist()):
            start, end = end, end + count
            table = self.tables[i]
            if table is None or not count:
                continue
            encoder.symbols(entries[start:end], table)
            if escapes:
                for value in values[start:end][outside[start:end]].tolist():
                    _encode_excess(encoder, abs(value) - int(self.reach[i]) - 1, value < 0)

    def decode(self, decoder: RangeDecoder, index: Ints) -> Ints:
        """Decode what :meth:`encode` coded with tables ``index`` (n,): symbols (n,).

        Raises:
            FormatError: the damage shows.
            TruncationError: raised by ``decoder``; its values (n,) are zero where the symbol is not certain.
        """
        symbols, in_order = np.zeros(len(index), np.int32), np.zeros(len(index), np.int32)
        order = np.argsort(index, kind="stable")
        end = 0
        try:
            for i, count in enumerate(np.bincount(index, minlength=SCALES).tolist()):
                start, end = end, end + count
                if count and (table := self.tables[i]) is not None:
                    _decode_group(decoder, table, self.reaches[i], in_order[start:end])
        except TruncationError:
            symbols[order] = in_order
            raise TruncationError(symbols) from None
        symbols[order] = in_order
        return symbols


def _decode_group(decoder: RangeDecoder, table: Table, reach: int, symbols: Ints) -> None:
    """Fill in the symbols of one table."""
    try:
        values: Ints = decoder.symbols(len(symbols), table)
    except TruncationError as cut:
        values = cut.values - reach
        symbols[: len(values)] = np.where(values > reach, 0, values)
        raise
    np.subtract(values, reach, out=symbols, casting="unsafe")
    if values.max() > 2 * reach:
        escaped = np.flatnonzero(symbols > reach)
        symbols[escaped] = 0  # if the data end before their values
        for at in escaped.tolist():
            excess, negative = _decode_excess(decoder)
            symbols[at] = -(reach + 1 + excess) if negative else reach + 1 + excess


def _encode_excess(encoder: RangeEncoder, excess: int, negative: bool) -> None:
    """Sign, then the order-0 exponential Golomb code of ``excess``; its prefix bit by bit, as it is read."""
    size = (excess + 1).bit_length()
    for bit in (int(negative), *[0] * (size - 1), 1):
        encoder.bits(bit, 1)
    encoder.bits(excess + 1 - (1 << (size - 1)), size - 1)


def _decode_excess(decoder: RangeDecoder) -> tuple[int, bool]:
    negative = bool(decoder.bits(1))
    size = 1
    while not decoder.bits(1):
        size += 1
        if size > ESCAPE_BITS:
            raise damaged("the coded picture data is damaged")
    return (1 << (size - 1) | decoder.bits(size - 1)) - 1, negative
