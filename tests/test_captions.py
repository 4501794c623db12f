"""Captions: exact, short, bounded, and readable without the package."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_rangecoder import Damaged, ReferenceDecoder, caption

import mcmcodec.text.captions as captions
from mcmcodec.entropy.rangecoder import RangeDecoder, RangeEncoder
from mcmcodec.errors import FormatError, UsageError
from mcmcodec.text.captions import MAX_BYTES, decode_caption, encode_caption

PRIOR = Path(captions.__file__).with_name("english.txt")
TEXTS = {
    "": "",
    "A brown dog runs along a sandy beach at sunset.": "dcf59aebb13a7a0155",
    "two bicycles leaning on a red brick wall": "1a5b07f939a31986",
    "Ein Mädchen füttert Tauben.": "70e005f2ee5a7a4aa54da586e0bb30d45ff215e294575221",
    "猫が窓辺で眠っている。": "f81073c6505304a4dd958332e1fe94b1b10215adebc925da12700842",
}


def encode(text: str) -> bytes:
    encoder = RangeEncoder()
    encode_caption(encoder, text)
    return encoder.finish()


def check(text: str) -> bytes:
    data = encode(text)
    decoder = RangeDecoder(data)
    assert decode_caption(decoder) == text
    assert decoder.exhausted()
    assert caption(ReferenceDecoder(data), PRIOR) == text
    return data


@pytest.mark.parametrize("text", TEXTS)
def test_golden_vectors(text: str) -> None:
    assert check(text).hex() == TEXTS[text]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80) | st.text(alphabet="a ntherisod.,A\n\r\t\u0000", max_size=200))
def test_any_text_round_trips(text: str) -> None:
    check(text)


@pytest.mark.parametrize("unit", ["a", " the", "é", "字", "\x00", "\U0001f3c4", "a man, ", "\r\n"])
def test_longest_captions_are_coded_in_bounded_time(unit: str) -> None:
    text = unit * (MAX_BYTES // len(unit.encode()))
    start = time.monotonic()
    data = encode(text)
    assert decode_caption(RangeDecoder(data)) == text
    assert time.monotonic() - start < 10


def test_ten_english_words_take_about_ten_bytes() -> None:
    texts = (
        "A brown dog runs along a sandy beach at sunset.",
        "Three children are playing football in front of a house.",
        "A white boat sails past a lighthouse on the coast.",
        "An old man reads a newspaper on a park bench.",
    )
    assert sum(len(encode(text)) for text in texts) <= 11 * len(texts)


def test_other_scripts_do_not_grow() -> None:
    for text in ("一名男子在海浪上冲浪。", "Человек едет на велосипеде по лесу.", "ชายคนหนึ่งขี่จักรยาน"):
        assert len(encode(text)) < len(text.encode())


@pytest.mark.parametrize("text", ["a" * (MAX_BYTES + 1), "é" * (MAX_BYTES // 2) + "a", "half \ud83c"])
def test_impossible_captions_are_usage_errors(text: str) -> None:
    encoder = RangeEncoder()
    with pytest.raises(UsageError, match="; "):
        encode_caption(encoder, text)
    assert encoder.finish() == b""


def test_invalid_utf8_and_over_length_are_format_errors() -> None:
    pieces, raw = captions._encode_pieces, captions._encode_raw
    for mode, data in ((raw, b"ab\xff"), (pieces, b"\xc3"), (pieces, b"a" * 4097)):
        encoder = RangeEncoder()
        mode(encoder, data)
        with pytest.raises(FormatError, match="; "):
            decode_caption(RangeDecoder(encoder.finish()))


def test_damage_raises_nothing_but_format_errors_and_ends() -> None:
    rng = random.Random(9)
    start = time.monotonic()
    good = encode("A brown dog runs along a sandy beach at sunset.")
    for number in range(400):
        data = rng.randbytes(rng.randrange(40)) if number % 2 else bytearray(good)
        if number % 2 == 0:
            data = bytearray(good)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            text: str | None = decode_caption(RangeDecoder(bytes(data)))
        except FormatError:
            text = None
        if number < 60:
            try:
                assert caption(ReferenceDecoder(bytes(data)), PRIOR) == text
            except (Damaged, UnicodeDecodeError):
                assert text is None
    for data in (b"", b"\xff" * 3000, b"\0" * 3000, b"\x7f" * 3000):
        with contextlib.suppress(FormatError):
            decode_caption(RangeDecoder(data))
    assert time.monotonic() - start < 30


def test_the_prior_is_small() -> None:
    assert PRIOR.stat().st_size < 20_000
