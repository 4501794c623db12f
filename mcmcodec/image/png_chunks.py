"""The chunks of a PNG file (PNG, Third Edition, section 5) before Pillow sees them.

Pillow refuses a whole picture for one text that is large or has a wrong checksum, keeps no cICP, and reads profiles of
up to a megabyte only. So the chunks are gone through here first: what a picture does not need is left out where it
would do harm, and profile, XMP and cICP are read here. Pixels are not touched.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Final

from ..bitstream.extras import MAX_METADATA
from ..errors import InputError
from .spliced import Part

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MAX_PROFILE: Final = 2**24
"""Bytes of an ICC profile; those of printers have up to 8 million."""
MAX_TEXT: Final = 2**20
"""Bytes of any other text, compressed and not: what Pillow takes."""
MAX_TEXTS: Final = 50
"""Texts that are read; Pillow refuses a picture with more than 64 MiB of them."""
MAX_OTHER: Final = 2**16
_XMP_KEY: Final = b"XML:com.adobe.xmp\0"
_TEXTS: Final = frozenset((b"iTXt", b"tEXt", b"zTXt"))
_PIXELS: Final = frozenset((b"IDAT", b"fdAT"))
_LENGTHS: Final = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"pHYs": 9, b"acTL": 8, b"fcTL": 26}
"""Bytes of chunks that have one length."""
_WORDS: Final = {
    b"iCCP": "colour profile", b"cICP": "colour code (cICP)", b"gAMA": "gamma", b"cHRM": "primaries (cHRM)",
    b"tRNS": "transparency", b"eXIf": "Exif block", b"iTXt": "text", b"tEXt": "text", b"zTXt": "text",
}  # fmt: skip


@dataclass
class Screened:
    """What was found.

    Attributes:
        parts: the file without what does harm, for :func:`mcmcodec.image.spliced.splice`.
        icc_profile: that of iCCP, inflated.
        xmp: the XMP packet; of one over the limit, its first ``MAX_METADATA + 1`` bytes.
        cicp: colour primaries, transfer function, matrix coefficients and full range flag (ITU-T H.273).
        notes: what was damaged and left out, in words for people.
    """

    parts: list[Part] = field(default_factory=lambda: [SIGNATURE])
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    cicp: tuple[int, int, int, int] | None = None
    notes: list[str] = field(default_factory=list)


def screen(file: IO[bytes], allow_damaged: bool = False) -> Screened:
    """Go through the chunks of a PNG file.

    Args:
        file: the file, which can seek.
        allow_damaged: whether IHDR and PLTE with a wrong checksum are believed.

    Raises:
        InputError: IHDR or PLTE has a wrong checksum.
    """
    found, texts = Screened(), 0
    for kind, at, length in _chunks(file):
        whole = range(at, at + 12 + length)
        if kind in _PIXELS or (length > _limit(kind) and not _is_ancillary(kind)):
            found.parts.append(whole)
            continue
        if length > _limit(kind):
            if kind == b"iCCP":
                found.notes.append("the colour profile is too large and is left out")
            continue
        file.seek(at + 8)
        body, checksum = file.read(length), file.read(4)
        sound = zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big") == checksum
        sound = sound and length == _LENGTHS.get(kind, length)
        if not sound and len(body) + len(checksum) < length + 4:
            found.parts.append(whole)  # the file ends here: for Pillow to say
        elif not sound and not _is_ancillary(kind):
            name = kind.decode()
            if not allow_damaged:
                raise InputError(f"damaged PNG picture (wrong checksum of {name})", "get a whole copy of the file")
            found.notes.append(f"the file is damaged (wrong checksum of {name})")
            found.parts.append(length.to_bytes(4, "big") + kind + body)
            found.parts.append(zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big"))
        elif not sound:
            found.notes.append(f"a damaged {_WORDS.get(kind, kind.decode() + ' chunk')} in the file is left out")
        elif kind == b"cICP":
            found.cicp = (body[0], body[1], body[2], body[3])
        elif kind == b"iCCP" and found.icc_profile is None:
            found.icc_profile = _inflated(body.partition(b"\0")[2][1:], MAX_PROFILE) or None
            if found.icc_profile is None:
                found.notes.append("a damaged colour profile in the file is left out")
        elif kind == b"iTXt" and body.startswith(_XMP_KEY) and found.xmp is None:
            found.xmp = _text(body, MAX_METADATA)
        elif kind in _TEXTS:
            texts += 1
            if texts > MAX_TEXTS:
                continue
            text = body if kind == b"tEXt" else _text(body, MAX_TEXT) if kind == b"iTXt" else _inflated_text(body)
            if text is not None and len(text) < MAX_TEXT and not body.startswith(_XMP_KEY):
                found.parts.append(whole)
        elif kind != b"iCCP":
            found.parts.append(whole)
    return found


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Type, position and length of each chunk, up to IEND or to what is none; the last one may be cut short."""
    size = file.seek(0, os.SEEK_END)
    at = len(SIGNATURE)
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if not kind.isalpha():
            break
        yield kind, at, min(length, max(0, size - at))
        if kind == b"IEND":
            break
        at += 12 + length


def _is_ancillary(kind: bytes) -> bool:
    """Whether a picture can be shown without a chunk (section 5.4: bit 5 of the first byte)."""
    return bool(kind[0] & 0x20)


def _limit(kind: bytes) -> int:
    if kind == b"iCCP":
        return MAX_PROFILE
    if kind == b"eXIf" or kind == b"iTXt":
        return MAX_METADATA
    return MAX_TEXT if kind in _TEXTS else MAX_OTHER


def _inflated(data: bytes, limit: int) -> bytes | None:
    """What zlib's data hold, up to ``limit + 1`` bytes; None if they are damaged."""
    try:
        return zlib.decompressobj().decompress(data, limit + 1)
    except zlib.error:
        return None


def _inflated_text(body: bytes) -> bytes | None:
    """The text of a zTXt chunk (section 11.3.3.3)."""
    return _inflated(body.partition(b"\0")[2][1:], MAX_TEXT)


def _text(body: bytes, limit: int) -> bytes | None:
    """The text of an iTXt chunk (section 11.3.3.4), as :func:`_inflated`; None if it is none."""
    rest = body.partition(b"\0")[2]
    packed, fields = rest[:1], rest[2:].split(b"\0", 2)
    if len(fields) < 3:
        return None
    return _inflated(fields[2], limit) if packed == b"\1" else fields[2][: limit + 1]
