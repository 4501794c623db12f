"""Exact coder of captions: caption and region phrases to symbols of the range coder, and back.

A text is a style (capitals, full stop) and tokens. Each token is coded with the frequencies that the language model
predicts from the tokens before it. Specified in `formats/captions.md`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..entropy.rangecoder import RangeDecoder, RangeEncoder, Table
from ..errors import FormatError, UsageError, damaged
from . import language
from .language import END, LanguageModel
from .raw_bytes import MAX_BYTES, decode_raw, encode_raw
from .words import Region, Words

NAME = "words-2"
"""Name of this coder in a model's card."""
MAX_REGIONS = 64
ENDINGS = (b"", b".", b" .")
PLAIN, FIRST, TITLE, UPPER = range(4)
RAW = 4 * len(ENDINGS)
"""Style of a text that is coded byte by byte; the others are capitals x 3 + ending."""
_CAPTION_STYLES = Table.from_weights([2200, 300, 100, 1300, 6000, 300, 60, 20, 4, 40, 20, 4, 60])
_PHRASE_STYLES = Table.from_weights([8000, 100, 20, 800, 800, 20, 60, 20, 4, 40, 20, 4, 60])
_REGION_P1 = 16
_MORE_P1 = 2048


def capitalise(body: bytes, capitals: int) -> bytes:
    """Restore the ASCII capitals that a style leaves out."""
    if capitals == FIRST:
        return body[:1].upper() + body[1:]
    if capitals == TITLE:
        return re.sub(rb"(?:^|[ -])[a-z]", lambda match: match.group().upper(), body)
    return body.upper() if capitals == UPPER else body


def _styles(text: bytes) -> list[tuple[int, bytes]]:
    """The styles that can code a text, each with the body that remains to be coded."""
    ending = next(number for number in (2, 1, 0) if text.endswith(ENDINGS[number]))
    body = text[: len(text) - len(ENDINGS[ending])]
    low = body.lower()
    ways = ((FIRST, low[:1] + body[1:]), (FIRST, body), (PLAIN, body), (TITLE, low), (UPPER, low))
    return [(capitals * 3 + ending, rest) for capitals, rest in ways if capitalise(rest, capitals) == body]


@dataclass(frozen=True)
class _Plan:
    """The cheapest way to code a text: style, tokens, and each token's interval in 2**24 (start, frequency)."""

    style: int
    tokens: tuple[int, ...]
    places: tuple[tuple[int, int], ...]


@lru_cache(maxsize=64)
def _plan(data: bytes, phrase: bool, echo: tuple[int, ...]) -> _Plan:
    """Cached, because an encoder that searches for a quality codes the same text several times."""
    styles = _PHRASE_STYLES if phrase else _CAPTION_STYLES
    plans = {body: _spell(body, echo) for body in {body for _, body in _styles(data)}}
    frequencies = np.diff(styles.cumulative)
    cost, style, body = min(
        (plans[body][0] + information(int(frequencies[style]), 16), style, body) for style, body in _styles(data)
    )
    trial = RangeEncoder()
    encode_raw(trial, data or b" ")
    if data and 16 * 8 * len(trial.finish()) < cost:
        return _Plan(RAW, (), ())
    return _Plan(style, *plans[body][1:])


def _spell(body: bytes, echo: tuple[int, ...]) -> tuple[int, tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Cost of a body in 1/16 bit, its tokens, and their intervals."""
    model = language.load()
    tokens = (*(language.cut((b" " + body).decode(), model.index) if body else ()), END)
    cost, history, places = 0, [END], []
    for token in tokens:
        frequencies = model.frequencies(history, echo)
        places.append((int(frequencies[:token].sum()), int(frequencies[token])))
        cost += information(places[-1][1], 24)
        history.append(token)
    return cost, tokens, tuple(places)


class _TextEncoder:
    """Codes the texts of one file."""

    def __init__(self, encoder: RangeEncoder) -> None:
        self.encoder = encoder
        self.echo: tuple[int, ...] = ()

    def text(self, text: str, phrase: bool) -> None:
        data = text.encode()
        plan = _plan(data, phrase, self.echo)
        self.encoder.symbol(plan.style, _PHRASE_STYLES if phrase else _CAPTION_STYLES)
        if plan.style == RAW:
            encode_raw(self.encoder, data)
        for start, frequency in plan.places:
            # A token's interval depends only on its frequency and on the sums before and after it.
            parts = [start, frequency, language.TOTAL - start - frequency]
            self.encoder.symbol(int(start > 0), Table.fine([part for part in parts if part]))
        self.echo = self.echo or tuple(sorted({*plan.tokens} - {END}))


def information(frequency: int, precision: int) -> int:
    """Information of a frequency in 1/16 bit, rounded; in integers, so that every machine makes the same choices."""
    return 16 * precision + 1 - (frequency**16).bit_length()


class _TextDecoder:
    """Decodes the texts of one file."""

    def __init__(self, decoder: RangeDecoder) -> None:
        self.decoder = decoder
        self.model: LanguageModel = language.load()
        self.echo: list[int] = []
        self.bytes_left = MAX_BYTES

    def text(self, styles: Table) -> str:
        style = self.decoder.symbol(styles)
        if style == RAW:
            data, tokens = decode_raw(self.decoder), list[int]()
        else:
            body, tokens = self._body()
            data = capitalise(body, style // 3) + ENDINGS[style % 3]
        self.bytes_left -= len(data)
        if self.bytes_left < 0:
            raise damaged("the caption is longer than the format allows")
        self.echo = self.echo or sorted(set(tokens))
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise _invalid() from None

    def _body(self) -> tuple[bytes, list[int]]:
        history, data = [END], bytearray()
        while (token := self.decoder.symbol(self.model.table(history, self.echo))) != END:
            history.append(token)
            data += self.model.tokens[token]
            if len(data) > self.bytes_left + 1:
                raise damaged("the caption is longer than the format allows")
        if data and data[0] != 0x20:
            raise _invalid()
        return bytes(data[1:]), history[1:]


def _invalid() -> FormatError:
    return damaged("the caption is not valid text")


def encode(encoder: RangeEncoder, what: Words, grid: tuple[int, int]) -> None:
    """Code the words of a file, the first part of its payload, without loss.

    Args:
        encoder: where the symbols go.
        what: caption and regions.
        grid: the picture's rows and columns of patches.

    Raises:
        UsageError: too long, not valid Unicode text, too many regions, or a box outside the grid.
    """
    check(what, grid)
    texts = _TextEncoder(encoder)
    texts.text(what.text, phrase=False)
    for number, region in enumerate(what.regions):
        encoder.bit(1, _MORE_P1 if number else _REGION_P1)
        for start, size, count in ((region.x, region.w, grid[1]), (region.y, region.h, grid[0])):
            encoder.symbol(start, _even(count))
            encoder.symbol(size - 1, _even(count - start))
        texts.text(region.text, phrase=True)
    if len(what.regions) < MAX_REGIONS:
        encoder.bit(0, _MORE_P1 if what.regions else _REGION_P1)


def decode(decoder: RangeDecoder, grid: tuple[int, int]) -> Words:
    """Decode the words of a file.

    Args:
        decoder: of the payload, at its beginning.
        grid: the picture's rows and columns of patches.

    Raises:
        FormatError: the file is damaged.
    """
    texts = _TextDecoder(decoder)
    text = texts.text(_CAPTION_STYLES)
    regions: list[Region] = []
    while len(regions) < MAX_REGIONS and decoder.bit(_MORE_P1 if regions else _REGION_P1):
        x = decoder.symbol(_even(grid[1]))
        w = decoder.symbol(_even(grid[1] - x)) + 1
        y = decoder.symbol(_even(grid[0]))
        h = decoder.symbol(_even(grid[0] - y)) + 1
        regions.append(Region(x, y, w, h, texts.text(_PHRASE_STYLES)))
        if not regions[-1].text:
            raise _invalid()
    return Words(text, tuple(regions))


def _even(count: int) -> Table:
    return Table.from_weights([1] * count)


def check(what: Words, grid: tuple[int, int]) -> None:
    """Check words before they are coded.

    Raises:
        UsageError: too long, not valid text, too many regions, a box outside the grid, or a phrase without text.
    """
    try:
        size = sum(len(one.encode()) for one in (what.text, *(region.text for region in what.regions)))
    except UnicodeEncodeError:
        raise UsageError("the caption is not valid Unicode text", "remove unpaired surrogates") from None
    if size > MAX_BYTES:
        raise UsageError(f"the caption has {size} bytes, the limit is {MAX_BYTES}", "shorten it")
    if len(what.regions) > MAX_REGIONS:
        raise UsageError(f"there are {len(what.regions)} regions, the limit is {MAX_REGIONS}", "leave some out")
    rows, cols = grid
    for r in what.regions:
        if not (0 <= r.x < r.x + r.w <= cols and 0 <= r.y < r.y + r.h <= rows):
            raise UsageError(
                f"region {r.x},{r.y},{r.w},{r.h} is not on the picture's {cols} x {rows} patches of 16 pixels",
                "give it as x,y,w,h in patches",
            )
        if not r.text:
            raise UsageError(f"region {r.x},{r.y},{r.w},{r.h} has no text", "say what it shows")
