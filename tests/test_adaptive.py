"""The adaptive bit: integers, bounds, learning, the second implementation."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_rangecoder import ReferenceBit, ReferenceDecoder

from mcmcodec.entropy.adaptive import LIMIT, AdaptiveBit
from mcmcodec.entropy.rangecoder import RangeDecoder, RangeEncoder


def encode(bits: list[int], p1: int = 2048, confidence: int = 0) -> bytes:
    encoder, context = RangeEncoder(), AdaptiveBit(p1, confidence)
    for bit in bits:
        context.encode(encoder, bit)
    return encoder.finish()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 1), max_size=600), st.integers(1, 4095), st.integers(0, LIMIT))
def test_round_trip_both_decoders(bits: list[int], p1: int, confidence: int) -> None:
    data = encode(bits, p1, confidence)
    decoder, context = RangeDecoder(data), AdaptiveBit(p1, confidence)
    assert [context.decode(decoder) for _ in bits] == bits
    reference, other = ReferenceDecoder(data), ReferenceBit(p1, confidence)
    assert [other.decode(reference) for _ in bits] == bits
    assert (context._state, context._count) == (other.p, other.n)
    assert decoder.exhausted()


@pytest.mark.parametrize("share", [0.0, 0.002, 0.1, 0.5, 0.93, 1.0])
def test_learns_close_to_the_entropy(share: float) -> None:
    rng = random.Random(1)
    bits = [int(rng.random() < share) for _ in range(20000)]
    ones = sum(bits) / len(bits)
    entropy = 0.0 if ones in (0, 1) else -ones * math.log2(ones) - (1 - ones) * math.log2(1 - ones)
    assert 8 * len(encode(bits)) / len(bits) < entropy * 1.01 + 0.003


@pytest.mark.parametrize("bit", [0, 1])
def test_stays_inside_the_bounds_and_recovers(bit: int) -> None:
    context = AdaptiveBit(4095 if bit else 1, LIMIT)
    for _ in range(20000):
        context.update(bit)
        assert 1 <= context.p1 <= 4095
    assert context.p1 == (4095 if bit else 1)
    for _ in range(1000):
        context.update(1 - bit)
    assert abs(context.p1 - 4096 * (1 - bit)) < 130


def test_confidence_holds_the_initial_probability() -> None:
    hasty, steady = AdaptiveBit(1024, 0), AdaptiveBit(1024, 60)
    hasty.update(1)
    steady.update(1)
    assert (hasty.p1, steady.p1) == (3071, 1073)


def test_golden_vector() -> None:
    rng = random.Random(2)
    bits = [int(rng.random() < 0.2) for _ in range(200)]
    assert encode(bits, 700, 4).hex() == "b21a0ec8cbaa44e60e5790fc0abd663c7f52ad42"


@pytest.mark.parametrize(("p1", "confidence"), [(0, 0), (4096, 0), (-5, 0), (5, -1), (5, LIMIT + 1)])
def test_arguments_are_checked(p1: int, confidence: int) -> None:
    with pytest.raises(ValueError):
        AdaptiveBit(p1, confidence)
