"""The range coder on what it must refuse: damage, trailing bytes, panics, impossible tables and arguments."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from messages import encode, random_steps
from reference_rangecoder import Damaged, ReferenceDecoder, table_from_weights

from mcmcodec.entropy.rangecoder import TOTAL, RangeDecoder, RangeEncoder, Table
from mcmcodec.errors import FormatError


def test_trailing_garbage_is_noticed() -> None:
    rng = random.Random(5)
    for _ in range(100):
        steps = random_steps(rng, 4)
        data, _ = encode(steps)
        for bad in (data + b"\0", data + b"\1", data + b"\xff" * 9):
            decoder = RangeDecoder(bad)
            with contextlib.suppress(FormatError):
                same = True
                for kind, value, model in steps:
                    if kind == "symbols":
                        same &= decoder.symbols(len(value), model).tolist() == value
                    else:
                        same &= getattr(decoder, kind)(model) == value
                # The longer string may by chance be the proper code of other symbols.
                assert not decoder.exhausted() or not same


def test_reading_on_past_the_end_is_bounded_and_reads_zeros() -> None:
    decoder, reference = RangeDecoder(b"\x9c\x01"), ReferenceDecoder(b"\x9c\x01")
    table = Table.from_weights([1, 2, 3])
    assert decoder.symbols(300, table).tolist() == [
        reference.symbol(table.cumulative.tolist()) for _ in range(300)
    ]
    assert decoder.bits(64) == reference.bits(64)


def test_damaged_input_raises_nothing_but_format_errors() -> None:
    rng = random.Random(6)
    refused = 0
    for _ in range(500):
        data = rng.randbytes(rng.randrange(0, 20)) if rng.random() < 0.6 else b"\xff" * rng.randrange(1, 20)
        decoder, reference = RangeDecoder(data), ReferenceDecoder(data)
        try:
            for kind, value, model in random_steps(rng, 20):
                if kind == "symbols":
                    decoder.symbols(len(value), model)
                    for _ in value:
                        reference.symbol(model.cumulative.tolist())
                else:
                    got = getattr(decoder, kind)(model)
                    assert got == getattr(reference, kind)(
                        model.cumulative.tolist() if kind == "symbol" else model
                    )
            decoder.exhausted()
        except FormatError as error:
            refused += 1
            assert "; " in str(error)
        except Damaged:
            pytest.fail("the reference refuses what the decoder took")
    assert refused


def test_a_panic_becomes_a_format_error_and_an_interrupt_stays_one() -> None:
    class PanicException(BaseException):
        pass

    class Broken:
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def decode(self, *_: object) -> None:
            raise self.error

    decoder = RangeDecoder(b"")
    decoder._decoder = Broken(PanicException())
    with pytest.raises(FormatError):
        decoder.bit(5)
    decoder._decoder = Broken(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        decoder.bit(5)


@pytest.mark.parametrize(
    "cumulative",
    [
        [],
        [0],
        [0, 1],
        [0, 5, 5, TOTAL],
        [0, 9, 8, TOTAL],
        [1, TOTAL],
        [0, TOTAL + 1],
        [0.0, float(TOTAL)],
        [[0, TOTAL]],
    ],
)
def test_tables_are_checked(cumulative: Any) -> None:
    with pytest.raises(ValueError):
        Table(cumulative)


@pytest.mark.parametrize(
    "weights", [[], [0, 0], [-1, 2], [1.5], [2**41], np.ones(TOTAL, dtype=int), [2**62, 2**62, 2**62]]
)
def test_weights_are_checked(weights: Any) -> None:
    with pytest.raises(ValueError):
        Table.from_weights(weights)


def test_weights_give_the_table_of_the_specification() -> None:
    rng = random.Random(8)
    for _ in range(200):
        weights = [
            rng.choice((0, rng.getrandbits(rng.randrange(1, 30)))) for _ in range(rng.randrange(1, 60))
        ] + [1]
        assert Table.from_weights(weights).cumulative.tolist() == table_from_weights(weights)


def test_bad_arguments_are_value_errors() -> None:
    table = Table.from_weights([1, 1, 1])
    encoder, decoder = RangeEncoder(), RangeDecoder(b"")
    calls: list[tuple[Callable[..., object], tuple[object, ...]]] = [
        (encoder.symbols, ([0, 3], table)),
        (encoder.symbols, ([-1], table)),
        (encoder.symbols, ([1.0], table)),
        (encoder.symbols, ([2**32], table)),
        (encoder.symbol, (3, table)),
        (encoder.symbol, (-1, table)),
        (encoder.symbol, (1, Table([0, TOTAL]))),
        (encoder.bits, (4, 2)),
        (encoder.bits, (-1, 2)),
        (encoder.bits, (0, 65)),
        (encoder.bit, (2, 5)),
        (encoder.bit, (1, 0)),
        (encoder.bit, (1, 4096)),
        (decoder.bit, (0,)),
        (decoder.bits, (65,)),
        (decoder.bits, (-1,)),
        (decoder.symbols, (-1, table)),
    ]
    for function, arguments in calls:
        with pytest.raises(ValueError):
            function(*arguments)
    assert encoder.finish() == b"" and encoder.position() == pytest.approx(0.0)
