"""Messages as printable text, for links that carry nothing else; exact, standard library only.

Text is a digit that names the alphabet, a hyphen, the characters and a hyphen: ``9-fPNKd-`` (``formats/messages.md``,
section 5). Base91 is Joachim Henke's basE91 (http://base91.sourceforge.net), Base64 and Base32 are those of RFC 4648
without the padding. Text is found inside other text, whatever chats and e-mail programs have done to its lines.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

FRAME: Final = 3
"""Characters of a text that are not its body: the digit and two hyphens."""

_BASE91: Final = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&()*+,./:;<=>?@[]^_`{|}~"'
_VALUE91: Final = {character: value for value, character in enumerate(_BASE91)}
# Programs that make text look better exchange straight quotation marks and hyphens, and put invisible characters in.
_STRAIGHT: Final = str.maketrans(
    {**dict.fromkeys("“”„‟″", '"'), **dict.fromkeys("‐‑‒–—−", "-"), **dict.fromkeys("\u00ad\u200b\u2060\ufeff")}
)
_ESCAPED: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_BODY: Final = re.compile(r"([369])-([^-]+)-")
_START: Final = re.compile(r"[369]-")
_QUOTED_PRINTABLE: Final = re.compile(r"=(?:\r?\n|3D)")
_QUOTES: Final = re.compile(r"(?:[ \t]*>)*[ \t]*")


_NEAR: Final = 200
"""Characters of a line that are looked at for marks of quoted e-mail, so that no text takes quadratic time."""


@dataclass(frozen=True, slots=True)
class Alphabet:
    """A way to write bytes as characters.

    Attributes:
        digit: what names it at the beginning of a text.
        encode: bytes to characters.
        decode: characters to bytes; ValueError when they are not of the alphabet.
        room: most bytes that a number of characters is enough for, whatever the bytes are.
    """

    digit: str
    encode: Callable[[bytes], str]
    decode: Callable[[str], bytes]
    room: Callable[[int], int]


def armor(message: bytes, alphabet: str) -> str:
    """Write a message as text.

    Args:
        message: any bytes.
        alphabet: one of :data:`ALPHABETS`.
    """
    chosen = ALPHABETS[alphabet]
    return f"{chosen.digit}-{chosen.encode(message)}-"


def room(characters: int, alphabet: str) -> int:
    """Most bytes of a message whose text always fits into so many characters; 0 if not one does."""
    return max(0, ALPHABETS[alphabet].room(characters - FRAME))


def find(text: str) -> Iterator[bytes]:
    """Find the messages in a text, in order.

    Line breaks, the marks of quoted e-mail in front of lines, typographical quotation marks and hyphens, escapes with a
    backslash (JSON, Markdown) and whatever stands around are dealt with. What looks like a message need not be one:
    its reader finds out.

    Yields:
        Messages. A text that can be read in two ways gives both.
    """
    text = _ESCAPED.sub(_unescape, text).translate(_STRAIGHT)
    at = 0
    while match := _BODY.search(text, at):
        # the closing hyphen may be that behind another digit: "9-cut short 9-whole-"
        at = match.end() - 2
        decode = _BY_DIGIT[match[1]].decode
        for body in _readings(match[2], _line_start(text, match.start())):
            try:
                yield decode(body)
            except ValueError:
                continue


def begins_in(text: str) -> bool:
    """Whether a text has the beginning of a message in it."""
    return _START.search(text.translate(_STRAIGHT)) is not None


def read_text(data: bytes) -> str | None:
    """Text that a program may have written, in UTF-8 or with a byte order mark in UTF-16; None for anything else."""
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _unescape(match: re.Match[str]) -> str:
    """A character that JSON or Markdown has escaped; no alphabet has a backslash of its own."""
    escaped = match[1]
    return chr(int(escaped[1:], 16)) if len(escaped) > 1 else {"n": "\n", "r": "\n", "t": " "}.get(escaped, escaped)


def _line_start(text: str, at: int) -> str:
    """The marks of quoted e-mail in front of the line that a message begins in, if it begins near its line's start."""
    near = max(0, at - _NEAR)
    after = text.rfind("\n", near, at) + 1
    match = _QUOTES.match(text, after) if after or not near else None
    return match[0].strip() if match else ""


def _readings(body: str, prefix: str) -> list[str]:
    """What a body may be in one line: as it stands, and out of the source of an e-mail in quoted-printable."""
    found = _unwrapped(body, prefix)
    if body.isascii() and _QUOTED_PRINTABLE.search(body):
        found += _unwrapped(binascii.a2b_qp(body).decode("latin-1"), prefix)
    return list(dict.fromkeys(found))


def _unwrapped(body: str, prefix: str) -> list[str]:
    """A body in one line: without what stood in front of its first line, or without all that looks like quoting."""
    lines = body.splitlines() or [""]
    as_first = [lines[0], *(line.lstrip().removeprefix(prefix) for line in lines[1:])]
    as_quoted = [lines[0], *(_QUOTES.sub("", line, count=1) for line in lines[1:])]
    return ["".join("".join(way).split()) for way in (as_first, as_quoted)]


def _encode_base91(data: bytes) -> str:
    """As published: 13 bits of the queue, or 14 where they are a small number, make two characters."""
    out, queue, bits = [], 0, 0
    for byte in data:
        queue |= byte << bits
        bits += 8
        if bits > 13:
            taken = 13 if queue & 8191 > 88 else 14
            value = queue & (1 << taken) - 1
            queue, bits = queue >> taken, bits - taken
            out += [_BASE91[value % 91], _BASE91[value // 91]]
    if bits:
        out.append(_BASE91[queue % 91])
        if bits > 7 or queue > 90:
            out.append(_BASE91[queue // 91])
    return "".join(out)


def _decode_base91(text: str) -> bytes:
    """As published; ValueError when a character is not of the alphabet."""
    if not _VALUE91.keys() >= set(text):
        raise ValueError("not of Base91")
    out, queue, bits = bytearray(), 0, 0
    for low, high in zip(text[::2], text[1::2], strict=False):
        value = _VALUE91[low] + 91 * _VALUE91[high]
        queue |= value << bits
        bits += 13 if value & 8191 > 88 else 14
        while bits > 7:
            out.append(queue & 255)
            queue, bits = queue >> 8, bits - 8
    if len(text) % 2:
        out.append((queue | _VALUE91[text[-1]] << bits) & 255)
    return bytes(out)


def _decode_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _decode_base32(text: str) -> bytes:
    # people who copy by hand take the letters O and I for the digits 0 and 1, which are not of the alphabet
    return base64.b32decode(text + "=" * (-len(text) % 8), casefold=True, map01="I")


ALPHABETS: Final = {
    "base91": Alphabet("9", _encode_base91, _decode_base91, lambda characters: characters * 13 // 16),
    "base64": Alphabet(
        "6",
        lambda data: base64.b64encode(data).decode().rstrip("="),
        _decode_base64,
        lambda characters: characters * 3 // 4,
    ),
    "base32": Alphabet(
        "3",
        lambda data: base64.b32encode(data).decode().rstrip("="),
        _decode_base32,
        lambda characters: characters * 5 // 8,
    ),
}
_BY_DIGIT: Final = {alphabet.digit: alphabet for alphabet in ALPHABETS.values()}
