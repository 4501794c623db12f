"""The caption coder words-2: exact, short, bounded, and readable without the package."""

from __future__ import annotations

import contextlib
import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_captions import words as reference
from reference_rangecoder import Damaged, ReferenceDecoder

from mcmcodec.caption import Region, Words, coded_size, coder, language
from mcmcodec.caption.raw_bytes import MAX_BYTES, encode_raw
from mcmcodec.codec import Codec, info
from mcmcodec.entropy.rangecoder import RangeDecoder, RangeEncoder, Table
from mcmcodec.errors import FormatError, ModelError, UsageError

FILE = Path(language.__file__).with_name(language.FILE)
GRID = (32, 48)
DOG = "A brown dog runs along a sandy beach at sunset."
TEXTS = {
    "": "",
    DOG: "9a2699bbe4",
    "two bicycles leaning on a red brick wall": "2799fb0026240e",
    "Ein Mädchen füttert Tauben.": "fe889be7dd28f3b48f8e6784dcb7c2e2e5efed726f7f44a3860bce",
    "猫が窓辺で眠っている。": "fe89095e5612c11e66f7faca627ca86047c0e05d78d976860ba970b6",
}


def encode(text: str, regions: tuple[Region, ...] = (), grid: tuple[int, int] = GRID) -> bytes:
    encoder = RangeEncoder()
    coder.encode(encoder, Words(text, regions), grid)
    return encoder.finish()


def check(text: str, regions: tuple[Region, ...] = (), grid: tuple[int, int] = GRID) -> bytes:
    data = encode(text, regions, grid)
    decoder = RangeDecoder(data)
    assert coder.decode(decoder, grid) == Words(text, regions)
    assert decoder.exhausted()
    return data


@pytest.mark.parametrize("text", TEXTS)
def test_golden_vectors(text: str) -> None:
    data = check(text)
    assert data.hex() == TEXTS[text]
    assert reference(ReferenceDecoder(data), FILE, GRID) == (text, [])


@settings(max_examples=25, deadline=None)
@given(
    st.text(max_size=40)
    | st.text(alphabet="a ntherisod.,A\n\r\t\u0000-'\u2019", max_size=60)
    | st.lists(st.sampled_from(("A man", " the", "é", " DOG", " Of", "-top", ".", " .", " 12")), max_size=8).map(
        "".join
    )
)
def test_any_text_round_trips(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    "text",
    ["A dog", "a dog", "a dog.", "A dog .", "A Dog On A Tree-Top", "A DOG.", "1 dog",
     ".", " .", "..", " a", "a ", "-", "É.", "A\n."],
)  # fmt: skip
def test_capitals_and_endings(text: str) -> None:
    check(text)


def test_capitals_and_full_stop_are_cheap() -> None:
    plain = len(encode("a brown dog runs along a sandy beach at sunset"))
    assert len(encode(DOG)) <= plain
    assert len(encode(DOG.upper())) <= plain + 2
    assert len(encode(DOG.title())) <= plain + 2


def test_ten_english_words_take_less_than_nine_bytes() -> None:
    texts = (
        DOG,
        "Three children are playing football in front of a house.",
        "A white boat sails past a lighthouse on the coast.",
        "An old man reads a newspaper on a park bench.",
    )
    assert sum(len(encode(text)) for text in texts) < 9 * len(texts)
    assert coded_size(DOG) == len(encode(DOG, grid=(1, 1)))


def test_other_scripts_do_not_grow() -> None:
    for text in ("一名男子在海浪上冲浪。", "Человек едет на велосипеде по лесу.", "ชายคนหนึ่งขี่จักรยาน"):
        assert len(encode(text)) < len(text.encode())


REGIONS = (Region(0, 0, 48, 32, "the sea"), Region(47, 31, 1, 1, "A brown dog."), Region(3, 4, 10, 5, "空"))


def test_regions_round_trip() -> None:
    data = check(DOG, REGIONS)
    boxes = [(r.x, r.y, r.w, r.h, r.text) for r in REGIONS]
    assert reference(ReferenceDecoder(data), FILE, GRID) == (DOG, boxes)
    check("", REGIONS[1:])
    check("猫", REGIONS)
    check("a dog", (Region(0, 0, 1, 1, "a dog"),) * coder.MAX_REGIONS, (1, 1))


@settings(max_examples=15, deadline=None)
@given(st.data(), st.integers(1, 4096), st.integers(1, 4096))
def test_any_box_round_trips(data: st.DataObject, rows: int, cols: int) -> None:
    x, y = data.draw(st.integers(0, cols - 1)), data.draw(st.integers(0, rows - 1))
    w, h = data.draw(st.integers(1, cols - x)), data.draw(st.integers(1, rows - y))
    check("", (Region(x, y, w, h, "x"),), (rows, cols))


def test_words_of_the_caption_are_cheap_in_phrases() -> None:
    alone = len(encode("", (Region(0, 0, 1, 1, "sandy beach at sunset"),)))
    assert len(encode(DOG, (Region(0, 0, 1, 1, "sandy beach at sunset"),))) < len(encode(DOG)) + alone


@pytest.mark.parametrize(
    "words",
    [
        Words("a" * (MAX_BYTES + 1)),
        Words("é" * (MAX_BYTES // 2), (Region(0, 0, 1, 1, "a"),)),
        Words("half \ud83c"),
        Words("", (Region(0, 0, 1, 1, ""),)),
        Words("", (Region(0, 0, 1, 1, "a"),) * 65),
        *(Words("", (Region(*box, "a"),)) for box in ((48, 0, 1, 1), (0, 32, 1, 1), (40, 0, 9, 1), (0, 0, 0, 1))),
        Words("", (Region(-1, 0, 2, 1, "a"),)),
    ],
)
def test_impossible_words_are_usage_errors(words: Words) -> None:
    encoder = RangeEncoder()
    with pytest.raises(UsageError, match="; "):
        coder.encode(encoder, words, GRID)
    assert encoder.finish() == b""


@pytest.mark.parametrize("unit", ["a", "字", "a man, "])
def test_longest_captions_round_trip(unit: str) -> None:
    check(unit * (MAX_BYTES // len(unit.encode())))


def code(texts: list[list[int] | bytes], more: int = 0) -> bytes:
    """A section that no writer writes: tokens or raw bytes as they are."""
    encoder, model = RangeEncoder(), language.load()
    for number, text in enumerate(texts):
        if number:
            encoder.bit(1, 2048 if number > 1 else 16)
            for _ in range(4):
                encoder.symbol(0, Table.from_weights([1] * 32))
        styles = coder._PHRASE_STYLES if number else coder._CAPTION_STYLES
        encoder.symbol(coder.RAW if isinstance(text, bytes) else 0, styles)
        if isinstance(text, bytes):
            encode_raw(encoder, text)
            continue
        history = [language.END]
        for token in text:
            encoder.symbol(token, model.table(history))
            history.append(token)
    return encoder.finish()


def test_what_no_writer_writes_is_a_format_error() -> None:
    byte, longest = language.FIRST_BYTE, b"a" * MAX_BYTES
    for texts in (
        [b"ab\xff"],
        [[byte + 0x20, byte + 0xC3, 0]],
        [[byte + 0x61, 0]],
        [longest, [byte + 0x20, byte + 0x61, 0]],
        [[0], [0]],
    ):
        with pytest.raises(FormatError, match="; "):
            coder.decode(RangeDecoder(code(texts)), (32, 32))
        with pytest.raises((Damaged, UnicodeDecodeError)):
            reference(ReferenceDecoder(code(texts)), FILE, (32, 32))


def test_damage_raises_nothing_but_format_errors_and_ends() -> None:
    rng = random.Random(9)
    good = encode(DOG, REGIONS)
    for number in range(40):
        data = bytearray(rng.randbytes(rng.randrange(40)) if number % 2 else good)
        if number % 2 == 0:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        found: Words | None = None
        with contextlib.suppress(FormatError):
            found = coder.decode(RangeDecoder(bytes(data)), GRID)
        if number < 4:
            try:
                caption, boxes = reference(ReferenceDecoder(bytes(data)), FILE, GRID)
                assert found == Words(caption, tuple(Region(*box) for box in boxes))
            except (Damaged, UnicodeDecodeError):
                assert found is None
    for data in (b"", b"\xff" * 900, b"\0" * 900, b"\x7f" * 900):
        with contextlib.suppress(FormatError):
            coder.decode(RangeDecoder(bytes(data)), GRID)


def test_the_language_model_is_frozen_and_proper() -> None:
    data = FILE.read_bytes()
    assert hashlib.sha256(data).hexdigest() == language.SHA256
    model = language.load()
    assert [model.tokens[language.FIRST_BYTE + b] for b in range(256)] == [bytes([b]) for b in range(256)]
    assert len(model.index) == len(model.tokens) - 1
    history = [0, *language.cut(" a man in a red shirt", model.index)]
    for size in range(1, len(history)):
        frequencies = model.frequencies(history[:size], history[1:size])
        assert frequencies.min() >= 1 and frequencies.sum() == 1 << 24
    assert model.tokens[int(np.argmax(model.frequencies(history[:-1])))] in (b" shirt", b" jacket", b" hat")


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FILE", "coder.py"), ("FILE", "nothing"), ("SHA256", "0" * 64)):
        with monkeypatch.context() as patch:
            patch.setattr(language, name, value)
            language.load.cache_clear()
            with pytest.raises(ModelError, match="missing or damaged; install"):
                language.load()
    language.load.cache_clear()


def test_through_a_file(tiny_codec: Codec) -> None:
    picture = np.full((70, 50, 3), 90, np.uint8)
    regions = (Region(1, 2, 3, 3, "a dog"),)
    facts = info(tiny_codec.encode(picture, caption=DOG, regions=regions))
    assert (facts.caption, facts.regions) == (DOG, regions)
    facts = info(tiny_codec.encode(picture, regions=regions, mode="caption"))
    assert (facts.caption, facts.regions) == ("", regions)
    with pytest.raises(UsageError, match=r"not on the picture's 4 x 5 patches of 16 pixels; give it"):
        tiny_codec.encode(picture, regions=(Region(1, 2, 4, 3, "a dog"),))
