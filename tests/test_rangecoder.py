"""The range coder: exact tables, shortest ends, and a second implementation that reads the same."""

from __future__ import annotations

import contextlib
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import Step, encode, random_steps, random_table
from reference_rangecoder import Damaged, ReferenceDecoder

from mcmcodec.entropy.rangecoder import TOTAL, RangeDecoder, RangeEncoder, Table


def check(steps: list[Step]) -> None:
    data, position = encode(steps)
    assert len(data) < position / 8 + 1 + 1e-6
    assert not data.endswith(b"\0")
    decoder, reference = RangeDecoder(data), ReferenceDecoder(data)
    for kind, value, model in steps:
        if kind == "symbols":
            got = decoder.symbols(len(value), model)
            assert got.dtype == np.int64 and got.tolist() == value
            assert [reference.symbol(model.cumulative.tolist()) for _ in value] == value
        else:
            assert getattr(decoder, kind)(model) == value
            model = model.cumulative.tolist() if kind == "symbol" else model
            assert getattr(reference, kind)(model) == value
    assert decoder.position() == position
    assert decoder.exhausted()
    assert RangeDecoder(data).exhausted() == (data == b"")


@pytest.mark.parametrize("seed", range(40))
def test_random_messages_round_trip_and_end_short(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        check(random_steps(rng, rng.choice((1, 2, 5, 40))))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.integers(0, 2**20), min_size=1, max_size=40), st.data()), max_size=20),
    st.data(),
)
def test_any_message_round_trips(parts: list[tuple[list[int], Any]], data: Any) -> None:
    steps: list[Step] = []
    for weights, source in parts:
        table = Table.from_weights([w + (i == 0) for i, w in enumerate(weights)])
        values = source.draw(st.lists(st.integers(0, table.size - 1), max_size=6))
        p1 = source.draw(st.integers(1, 4095))
        width = source.draw(st.integers(0, 64))
        steps += [("symbols", values, table), ("bit", source.draw(st.integers(0, 1)), p1)]
        steps.append(("bits", source.draw(st.integers(0, (1 << width) - 1)), width))
    check(steps)


def test_mean_overhead_is_half_a_byte() -> None:
    rng = random.Random(7)
    excess = []
    for _ in range(2000):
        data, position = encode(
            [("bits", rng.getrandbits(16), 16), ("bit", 1, rng.randrange(1, 4096)), *random_steps(rng, 3)]
        )
        excess.append(8 * len(data) - position)
    assert max(excess) < 8 and sum(excess) / len(excess) < 4.2


def exact_intervals(model: Any, n: int) -> list[tuple[int, int]]:
    """(left, width) of each symbol in 2**-24 units, read off constriction's state after coding it first."""
    scale = 2**64 - 1 >> 24
    result = []
    for symbol in range(n):
        encoder = RangeEncoder()
        encoder._encoder.encode(symbol, model)
        words, (lower, width) = encoder._encoder.pos()
        assert words == 0 and lower % scale == 0 and width % scale == 0
        result.append((lower // scale, width // scale))
    return result


def test_constriction_uses_exactly_our_tables() -> None:
    rng = random.Random(3)
    tables = [random_table(rng) for _ in range(200)]
    tables += [Table(np.arange(TOTAL + 1)[[0, *range(TOTAL - 40, TOTAL + 1)]]), Table([*range(40), TOTAL])]
    for table in tables:
        c = [int(value) << 8 for value in table.cumulative]
        if table.size > 1:
            assert exact_intervals(table.model, table.size) == [
                (a, b - a) for a, b in zip(c, c[1:], strict=False)
            ]


def test_the_decoder_agrees_at_every_boundary() -> None:
    """First and last quantile of each symbol, in a stream made by hand: point = quantile * scale."""
    rng = random.Random(4)
    scale = 2**64 - 1 >> 24
    for _ in range(60):
        table = random_table(rng)
        for symbol in range(table.size if table.size > 1 else 0):
            left, right = (int(value) << 8 for value in table.cumulative[symbol : symbol + 2])
            for point in (left * scale, right * scale - 1):
                assert RangeDecoder(point.to_bytes(8, "big")).symbol(table) == symbol


def test_every_binary_probability_and_raw_width_is_exact() -> None:
    for p1 in range(1, 4096):
        encoder = RangeEncoder()
        encoder.bit(1, p1)
        assert encoder._encoder.pos() == (0, (((4096 - p1) << 12) * (2**40 - 1), (p1 << 12) * (2**40 - 1)))
    for width in range(1, 17):
        for value in (0, 1, (1 << width) - 1):
            encoder = RangeEncoder()
            encoder.bits(value, width)
            assert encoder._encoder.pos()[1][0] == (value << (24 - width)) * (2**40 - 1)


def test_carries_over_many_words() -> None:
    """Long runs where the interval straddles a word boundary: the carry is decided only at the end."""
    half = Table([0, TOTAL // 2, TOTAL])
    third = Table.from_weights([1, 1, 1])
    for tail in (0, 1, 2):
        check([("symbols", [0] + [1] * 400, half), ("symbols", [1] * 200 + [tail], third)])
        check([("symbols", [1] * 300 + [tail], third)])
        check([("bits", 2**64 - 1, 64), ("bits", 2**64 - 1, 64), ("symbol", tail, third), ("bit", 1, 4095)])
    rng = random.Random(11)
    seen = 0
    for _ in range(300):
        encoder, aim = RangeEncoder(), ReferenceDecoder(b"\x80")
        steps: list[Step] = []
        # Take the symbols whose intervals hold the point 0.1000...: the words stay open, 7fff or 8000.
        with contextlib.suppress(Damaged):
            for _ in range(rng.randrange(30, 120)):
                table = Table.from_weights([rng.randrange(1, 1000) for _ in range(3)])
                steps.append(("symbol", aim.symbol(table.cumulative.tolist()), table))
                encoder.symbol(*steps[-1][1:])
                lower, width = encoder._encoder.pos()[1]
                seen += lower + width > 2**64
        check([*steps, ("symbol", rng.randrange(3), third), ("bit", rng.randrange(2), 700)])
    assert seen > 1000


def test_empty_and_certain_messages_cost_nothing() -> None:
    assert encode([])[0] == b"" and RangeEncoder().position() == pytest.approx(0.0)
    one = Table([0, TOTAL])
    check([("symbols", [0] * 1000, one), ("symbol", 0, one), ("bits", 0, 0), ("symbols", [], one)])
    assert encode([("symbols", [0] * 1000, Table.from_weights([9, 1]))])[0] == b""
    decoder = RangeDecoder(b"")
    assert decoder.exhausted() and decoder.symbols(5, one).tolist() == [0] * 5


def test_finish_can_be_called_in_the_middle() -> None:
    encoder = RangeEncoder()
    encoder.bits(0xABCDEF, 24)
    assert encoder.finish() == encoder.finish() == b"\xab\xcd\xef"
    encoder.bit(1, 3000)
    assert encoder.finish() == encode([("bits", 0xABCDEF, 24), ("bit", 1, 3000)])[0]


def test_golden_vectors() -> None:
    """The bytes of the format."""
    table = Table.from_weights([5, 1, 0, 3, 70000])
    assert table.cumulative.tolist() == [0, 5, 6, 7, 10, 65536]
    values = [4, 4, 0, 4, 3, 2, 1, 4] * 3
    vectors: list[tuple[list[Step], str]] = [
        ([("bits", 0x123456789ABCDEF0, 64)], "123456789a543256"),
        ([("bit", 1, 1)], "fff0"),
        ([("bit", 0, 1)], ""),
        ([("bit", 1, 2048), ("bit", 0, 4095), ("bit", 1, 100)], "8007ce"),
        ([("symbols", values, table)], "0013fff0f858064af7c1aaf947c8e2637653648f40e9e6"),
        (
            [
                ("symbols", values, table),
                ("bits", 5, 3),
                ("bit", 1, 17),
                ("symbol", 2, table),
                ("bits", 1, 20),
            ],
            "0013fff0f858064af7c1aaf947c8e2637653648f40e9efa443bd68001c",
        ),
    ]
    for steps, expected in vectors:
        data, _ = encode(steps)
        assert data.hex() == expected
        check(steps)


@pytest.mark.parametrize("kind", ["<i4", ">i4", "int8", "uint16", "int64", ">i8", "bool"])
def test_bytes_do_not_depend_on_the_type_or_layout_of_the_array(kind: str) -> None:
    values = (np.arange(60) % 2).reshape(6, 10)
    table = Table.from_weights([3, 1])
    expected, _ = encode([("symbols", values.ravel().tolist(), table)])
    assert encode([("symbols", values.astype(kind), table)])[0] == expected
    assert encode([("symbols", np.asfortranarray(values.astype(kind)), table)])[0] == expected


def test_position_is_the_information_written() -> None:
    encoder = RangeEncoder()
    table = Table.from_weights([1, 2, 5])
    values = np.array([0, 1, 2, 2, 2, 1] * 50)
    cost = -np.log2(np.diff(table.cumulative) / TOTAL)
    encoder.symbols(values, table)
    encoder.bit(1, 1024)
    encoder.bits(9, 20)
    assert encoder.position() == pytest.approx(cost[values].sum() + 2 + 20, abs=0.01 * math.log2(len(values)))
