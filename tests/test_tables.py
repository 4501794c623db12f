"""Symbols and their frozen tables: everything comes back, costs what is said, and damage is told as damage."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmcodec.entropy.fixed_point import SCALES
from mcmcodec.entropy.rangecoder import TOTAL, RangeDecoder, RangeEncoder
from mcmcodec.entropy.symbol_tables import ESCAPE_BITS, MAX_SYMBOL, SymbolTables
from mcmcodec.errors import FormatError
from mcmcodec.training.export import frequencies, logistic_tables

REACH, PROBABILITIES = logistic_tables()
TABLES = SymbolTables(REACH, frequencies(REACH, PROBABILITIES))
SYMBOLS = st.integers(-4, 4) | st.integers(-300, 300) | st.integers(-MAX_SYMBOL, MAX_SYMBOL)
EDGES = [MAX_SYMBOL, -MAX_SYMBOL, MAX_SYMBOL - 1, 1 << (ESCAPE_BITS - 1), -(1 << (ESCAPE_BITS - 1))]


def code(symbols: Any, index: Any) -> tuple[bytes, float]:
    encoder = RangeEncoder()
    start = encoder.position()
    TABLES.encode(encoder, np.asarray(symbols), np.asarray(index))
    return encoder.finish(), encoder.position() - start


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(SYMBOLS, st.integers(0, SCALES - 1)), max_size=40))
def test_everything_comes_back(pairs: list[tuple[int, int]]) -> None:
    index = np.array([i for _, i in pairs], np.int64)
    symbols = np.array([s for s, _ in pairs], np.int64) * (index > 0)
    decoder = RangeDecoder(code(symbols, index)[0])
    np.testing.assert_array_equal(TABLES.decode(decoder, index), symbols)
    assert decoder.exhausted()


@pytest.mark.parametrize("index", [1, 2, 31, 62, 63])
def test_edges_come_back(index: int) -> None:
    reach = int(REACH[index])
    symbols = np.array([*EDGES, reach, -reach, reach + 1, -reach - 1, reach + 2, 0])
    data, _ = code(symbols, np.full(len(symbols), index))
    assert TABLES.decode(RangeDecoder(data), np.full(len(symbols), index)).tolist() == symbols.tolist()


def test_index_0_costs_nothing() -> None:
    assert code(np.zeros(1000, np.int64), np.zeros(1000, np.int64)) == (b"", 0.0)
    assert TABLES.cost(np.array([0]), np.array([0])).tolist() == [0.0]


@pytest.mark.parametrize("index", [1, 8, 24, 40, 63])
def test_cost_is_what_the_range_coder_takes(index: int) -> None:
    reach = int(REACH[index])
    scale = 0.03 * 1000.0 ** (index / 63)
    symbols = np.rint(np.random.default_rng(index).logistic(0, scale, 4000)).clip(-reach, reach).astype(np.int64)
    indices = np.full(len(symbols), index)
    _, spent = code(symbols, indices)
    # the coder's arithmetic loses up to a ten-thousandth of a bit per symbol
    assert spent == pytest.approx(TABLES.cost(symbols, indices).sum(), rel=1e-3, abs=1e-4 * len(symbols))
    assert spent > 0


def test_cost_of_many_tables_at_once() -> None:
    rng = np.random.default_rng(0)
    index = rng.integers(0, SCALES, 5000)
    symbols = np.rint(rng.normal(size=5000) * REACH[index] / 4).clip(-REACH[index], REACH[index]).astype(np.int64)
    _, spent = code(symbols, index)
    assert spent == pytest.approx(TABLES.cost(symbols, index).sum(), rel=1e-3)


def test_escapes_cost_what_they_are_reckoned_at() -> None:
    """A flat 40 bits stands for any escape; the encoder's choices need no more, but it must be dear."""
    for index in (1, 24, 63):
        symbol = int(REACH[index]) + 20
        _, spent = code([symbol], [index])
        assert 8 < spent < 40
        if symbol <= TABLES.widest:
            assert TABLES.cost(np.array([symbol, -symbol]), np.full(2, index)).tolist() == [40, 40]


def test_tables_are_sound() -> None:
    """The likelier a symbol, the cheaper; a table of a larger scale is wider; each is the distribution it claims."""
    assert (np.diff(REACH[1:]) >= 0).all()
    for index in range(1, SCALES):
        table, reach = TABLES.tables[index], int(REACH[index])
        assert table is not None
        assert table.size == 2 * reach + 2
        cost = TABLES.cost(np.arange(reach + 1), np.full(reach + 1, index))
        assert (np.diff(cost) >= -1e-9).all()
        scale = 0.03 * 1000.0 ** (index / 63)
        zero = int(np.diff(table.cumulative)[reach]) / TOTAL
        assert zero == pytest.approx(np.tanh(0.25 / scale), abs=0.01)


def decode_bad(change: Callable[[random.Random, bytes], bytes]) -> set[str]:
    """Decode 300 streams, each damaged by ``change``; collect how it ended."""
    rng = np.random.default_rng(0)
    index = rng.integers(0, SCALES, 60)
    symbols = np.rint(rng.normal(size=60) * REACH[index] / 3).astype(np.int64) * (index > 0)
    data, _ = code(symbols, index)
    ends = set()
    for trial in range(300):
        decoder = RangeDecoder(change(random.Random(trial), data))
        try:
            got = TABLES.decode(decoder, index)
        except FormatError:
            ends.add("refused")
        else:
            assert np.abs(got).max() <= MAX_SYMBOL + TABLES.widest + 1
            ends.add("unnoticed" if (got == symbols).all() and decoder.exhausted() else "other")
    return ends


def test_damage_raises_format_error_or_decodes_within_bounds() -> None:
    """No other error than FormatError, no endless loop; silent damage is left to the container's checksum."""

    def flip(rng: random.Random, data: bytes) -> bytes:
        at = rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]

    assert decode_bad(flip) <= {"refused", "other"}
    assert decode_bad(lambda rng, data: rng.randbytes(rng.randrange(80))) <= {"refused", "other"}
    assert decode_bad(lambda rng, data: data[: rng.randrange(len(data))]) <= {"refused", "other"}


def test_an_escape_without_end_is_refused() -> None:
    encoder = RangeEncoder()
    table = TABLES.tables[5]
    assert table is not None
    encoder.symbol(table.size - 1, table)
    encoder.bits(0, 1 + ESCAPE_BITS)
    with pytest.raises(FormatError, match="damaged; "):
        TABLES.decode(RangeDecoder(encoder.finish()), np.array([5]))
