"""EXIF and XMP of a picture, byte for byte, but for what is no longer true: orientation, sizes, the thumbnail.

Exif data are a TIFF structure (Exif 3.0, section 4.5; TIFF 6.0, section 2): directories of entries, and values at
offsets. Values are never decoded, so that text in any encoding, maker notes and unknown types stay what they are.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from typing import IO, Final, NamedTuple, TypeAlias

from PIL import Image

from ..bitstream.extras import MAX_METADATA

EXIF_START: Final = b"Exif\0\0"
"""What stands before the TIFF structure in a JPEG file, and in Pillow's ``info``."""
_ORIENTATION, _EXIF, _GPS, _INTEROP = 0x0112, 0x8769, 0x8825, 0xA005
_DIRECTORIES: Final = frozenset((_EXIF, _GPS, _INTEROP))
_DEPTH: Final = 2
"""How deep directories lie below the first one: that of interoperability is below that of Exif."""
_WIDTHS: Final = frozenset((0x0100, 0xA002))
_HEIGHTS: Final = frozenset((0x0101, 0xA003))
_THUMBNAIL, _THUMBNAIL_SIZE = 0x0201, 0x0202
# TIFF 6.0, section 8, and DNG: tags about how the old file stored its pixels, its orientation among them.
_STORAGE: Final = frozenset(
    (254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 288, 289, 317, 320, 322, 323, 324, 325)
    + (330, 338, 339, 347, 513, 514, 530, 531, 532, 700, 33723, 34377, 34675)
)
_TYPE_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
_SHORT, _LONG = 3, 4
_MAX_ENTRIES: Final = 512
_MAX_DIRECTORIES: Final = 8
"""There are four: IFD0, Exif, GPS, interoperability. Hostile data could have thousands that overlap."""
Read: TypeAlias = Callable[[int, int], bytes]
"""Bytes at a position: fewer where the structure ends."""


class _Entry(NamedTuple):
    """An entry of a directory: its position, tag, type and number of values; position and bytes of these values."""

    at: int
    tag: int
    kind: int
    values: int
    value_at: int
    size: int


def upright(exif: bytes, size: tuple[int, int]) -> bytes:
    """Exif data of a picture that has been turned upright; every other byte stays as it is.

    The orientation becomes 1, widths and heights those of ``size``. The thumbnail and its directory (IFD1) are
    overwritten with zeros, and left out where they are the end of the data: it shows the picture before it was turned,
    and is larger than most .mcm files.

    Args:
        exif: a TIFF structure; whatever else it is comes back as nothing.
        size: width and height, upright.
    """
    order = byte_order(exif)
    if not order:
        return b""
    out = bytearray(exif)

    def read(at: int, length: int) -> bytes:
        return exif[at : at + length]

    def correct(entries: list[_Entry]) -> None:
        for entry in entries:
            width, height = entry.tag in _WIDTHS, entry.tag in _HEIGHTS
            if entry.kind in (_SHORT, _LONG) and entry.values == 1 and (width or height or entry.tag == _ORIENTATION):
                value = size[0] if width else size[1] if height else 1
                struct.pack_into(order + ("H" if entry.kind == _SHORT else "I"), out, entry.value_at, value)

    entries, following_at = directory(read, order, number(exif, 4, order))
    correct(entries)
    details = next((entry.value_at for entry in entries if entry.tag == _EXIF), len(exif))
    correct(directory(read, order, number(exif, details, order))[0])
    following = number(exif, following_at, order)
    if following:
        struct.pack_into(order + "I", out, following_at, 0)
        _blank_thumbnail(out, read, order, following)
    return bytes(out)


def without_orientation(exif: bytes) -> bytes:
    """Exif data without the entry of the orientation, the others in its place, values where they are.

    Pillow's writer of AVIF would otherwise take it out itself, and damage the other entries.
    """
    order = byte_order(exif)
    if not order:
        return exif

    def read(at: int, length: int) -> bytes:
        return exif[at : at + length]

    start = number(exif, 4, order)
    entries, following_at = directory(read, order, start)
    found = next((entry.at for entry in entries if entry.tag == _ORIENTATION), None)
    if found is None:
        return exif
    count = struct.pack(order + "H", len(entries) - 1)
    end = following_at + 4
    moved = exif[found + 12 : end] + bytes(12)
    return exif[:start] + count + exif[start + 2 : found] + moved + exif[end:]


def exif_of(image: Image.Image) -> bytes:
    """The TIFF structure of a loaded picture's Exif data; nothing if it has none. That of a TIFF: ``exif_of_tiff``."""
    exif = image.info.get("exif", b"")
    if not exif and "Raw profile type exif" in image.info:  # PNG as ImageMagick wrote it: a name, a length and hex
        try:
            exif = bytes.fromhex("".join(str(image.info["Raw profile type exif"]).split("\n")[3:]))
        except ValueError:
            exif = b""
    return exif.removeprefix(EXIF_START) if isinstance(exif, bytes) else b""


def exif_of_tiff(image: Image.Image) -> bytes:
    """Exif data made of the entries of a TIFF, but for those about storage; nothing if its file is not there."""
    file = getattr(image, "fp", None)
    name = getattr(image, "filename", "")
    if file is None and name and os.path.isfile(name):  # loaded already, and its file closed
        with open(name, "rb") as again:
            return _taken_over(again)
    if file is None:
        return b""
    before = file.tell()
    try:
        return _taken_over(file)
    finally:
        file.seek(before)


def _taken_over(file: IO[bytes]) -> bytes:
    """What is kept of the first directory of a TIFF file and of those below it, as a TIFF structure of its own."""

    def read(at: int, length: int) -> bytes:
        file.seek(at)
        return file.read(min(length, MAX_METADATA))

    start = read(0, 16)
    order, big = byte_order(start), _is_big(start)
    if not order:
        return b""
    offset = number(start, 8 if big else 4, order, 8 if big else 4)
    body = _build(read, order, big, offset, 8, _STORAGE)
    return start[:2] + struct.pack(order + "HI", 42, 8) + body if body else b""


def xmp_of(image: Image.Image) -> bytes:
    """The XMP packet of a loaded picture, or nothing."""
    xmp = image.info.get("xmp", b"")
    return xmp.encode() if isinstance(xmp, str) else bytes(xmp or b"")


def upright_xmp(xmp: bytes, size: tuple[int, int]) -> bytes:
    """An XMP packet of a picture that has been turned upright: orientation and sizes, and no other byte."""
    for tag, value in (
        (b"tiff:Orientation", 1),
        (b"tiff:ImageWidth", size[0]), (b"tiff:ImageLength", size[1]),
        (b"exif:PixelXDimension", size[0]), (b"exif:PixelYDimension", size[1]),
    ):  # fmt: skip
        for pattern in (rb"""(%s\s*=\s*["'])\d+(["'])""", rb"(<%s>\s*)\d+(\s*<)"):
            xmp = re.sub(pattern % tag, rb"\g<1>%d\g<2>" % value, xmp)
    return xmp


def first_directory(file: IO[bytes]) -> dict[int, int]:
    """Tags of the first directory of a TIFF file, each with its value where that is one number, and 0 otherwise.

    Nothing if the file is none, or is damaged.
    """

    def read(at: int, length: int) -> bytes:
        file.seek(at)
        return file.read(length)

    start = read(0, 16)
    order, big = byte_order(start), _is_big(start)
    wide = 8 if big else 4
    entries = directory(read, order, number(start, wide, order, wide), big)[0] if order else []
    return {
        entry.tag: number(read(entry.value_at, entry.size), 0, order, entry.size) if entry.values == 1 else 0
        for entry in entries
    }


def byte_order(data: bytes) -> str:
    """How ``struct`` writes the byte order of a TIFF structure; nothing if this is none."""
    return {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}.get(data[:4], "")


def _is_big(start: bytes) -> bool:
    """Whether a TIFF file is a BigTIFF, whose offsets have 8 bytes."""
    return start[2:4] in (b"+\0", b"\0+")


def number(data: bytes, at: int, order: str, size: int = 4) -> int:
    """An unsigned number; 0 beyond the end."""
    part = data[at : at + size]
    return int.from_bytes(part, "little" if order == "<" else "big") if len(part) == size else 0


def directory(read: Read, order: str, at: int, big: bool = False) -> tuple[list[_Entry], int]:
    """The entries of a directory whose values are there, and where the offset of the next one stands.

    A directory that is cut short, or none, has no entries and no next one.
    """
    head, step = (8, 20) if big else (2, 12)
    count = number(read(at, head), 0, order, head)
    table = read(at + head, step * count + 4) if 0 < count <= _MAX_ENTRIES and at else b""
    if len(table) < step * count + 4:
        return [], 2**62
    entries = []
    for start in range(0, step * count, step):
        tag, kind = number(table, start, order, 2), number(table, start + 2, order, 2)
        wide = 8 if big else 4
        values = number(table, start + 4, order, wide)
        size, value_at = values * _TYPE_SIZES.get(kind, 0), at + head + start + 4 + wide
        if size > wide:
            value_at = number(table, start + 4 + wide, order, wide)
        entries.append(_Entry(at + head + start, tag, kind, values, value_at, size))
    return entries, at + head + step * count


def _blank_thumbnail(out: bytearray, read: Read, order: str, at: int) -> None:
    """Overwrite IFD1 and what belongs to it, and leave out what is then the end."""
    entries, end = directory(read, order, at)
    values = {entry.tag: number(read(entry.value_at, entry.size), 0, order, entry.size) for entry in entries
              if entry.values == 1 and entry.kind in (_SHORT, _LONG)}  # fmt: skip
    spans = [(at, end + 4)] if entries else []
    spans += [(entry.value_at, entry.value_at + entry.size) for entry in entries if entry.size > 4]
    if _THUMBNAIL in values:
        spans.append((values[_THUMBNAIL], values[_THUMBNAIL] + values.get(_THUMBNAIL_SIZE, 0)))
    # a hostile directory may point into the others: nothing of theirs is touched
    kept = _spans_of_others(read, order)
    cut = len(out)
    for first, last in sorted(spans, reverse=True):
        last = min(last, len(out))
        if first >= last or any(first < other_last and other_first < last for other_first, other_last in kept):
            continue
        out[first:last] = bytes(last - first)
        if last >= cut - 1 and all(other_last <= first for _, other_last in kept):  # values stand at even offsets
            cut = first
    del out[cut:]


def _spans_of_others(read: Read, order: str) -> list[tuple[int, int]]:
    """Where header, IFD0, its Exif, GPS and interoperability directories, and their values stand."""
    spans, waiting = [(0, 8)], [number(read(4, 4), 0, order)]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_DIRECTORIES:
        at = waiting.pop(0)
        entries, end = directory(read, order, at)
        if not entries or at in seen:
            continue
        seen.add(at)
        spans.append((at, end + 4))
        spans += [(entry.value_at, entry.value_at + entry.size) for entry in entries if entry.size > 4]
        waiting += [number(read(entry.value_at, 4), 0, order) for entry in entries if entry.tag in _DIRECTORIES]
    return spans


def _build(
    read: Read, order: str, big: bool, offset: int, at: int, without: frozenset[int] = frozenset(), depth: int = 0
) -> bytes:
    """A directory of a TIFF file, with all that belongs to it, as it stands at ``at`` of Exif data."""
    entries, size = {}, 0
    for entry in directory(read, order, offset, big)[0]:
        wanted = entry.tag not in without and (depth < _DEPTH or entry.tag not in _DIRECTORIES)
        if wanted and entry.tag not in entries and 0 < entry.size <= MAX_METADATA - size:
            entries[entry.tag] = entry
            size += entry.size
    if not entries:
        return b""
    heap_at = at + 2 + 12 * len(entries) + 4
    table, heap = b"", b""
    for _, entry in sorted(entries.items()):
        kind, count, value = entry.kind, entry.values, read(entry.value_at, entry.size)
        if entry.tag in _DIRECTORIES:
            below = number(value, 0, order, len(value))
            child = _build(read, order, big, below, heap_at + len(heap), depth=depth + 1)
            kind, count, value = _LONG, 1, struct.pack(order + "I", heap_at + len(heap) if child else 0)
            heap += child
        elif len(value) > 4:
            value, heap = struct.pack(order + "I", heap_at + len(heap)), heap + value + bytes(len(value) % 2)
        table += struct.pack(order + "HHI", entry.tag, kind, count) + value.ljust(4, b"\0")
    return struct.pack(order + "H", len(entries)) + table + bytes(4) + heap
