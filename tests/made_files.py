"""Picture files made by hand: PNG chunks, ICC profiles, Exif blocks, DNG."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def saved(image: Image.Image, name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(image: Image.Image, *chunks: tuple[bytes, bytes], **options: Any) -> bytes:
    """A PNG with these chunks behind IHDR."""
    data = saved(image, "PNG", **options)
    return data[:33] + b"".join(chunk(*one) for one in chunks) + data[33:]


def raw_png(samples: NDArray[Any], kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of uint8 or uint16 samples (H, W, channels), with a colour type, which Pillow need not be able to write."""
    rows, cols = samples.shape[:2]
    depth = samples.dtype.itemsize * 8
    stored = samples.astype(samples.dtype.newbyteorder(">")).reshape(rows, -1)
    lines = b"".join(b"\0" + row.tobytes() for row in stored)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", cols, rows, depth, kind, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(*one) for one in parts)


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def icc(space: bytes, gamma: float, colorants: Sequence[Sequence[float]] = ()) -> bytes:
    """An ICC profile (ICC.1, version 2.4) with a gamma and, for RGB, the XYZ of its primaries under D50."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + _fixed(*values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    name = b"made by hand\0"
    tags = [
        (b"desc", b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78)),
        (b"cprt", b"text" + bytes(4) + b"none\0"),
        (b"wtpt", xyz(0.9642, 1, 0.8249)),
    ]
    if space == b"GRAY":
        tags.append((b"kTRC", curve))
    for letter, values in zip((b"r", b"g", b"b"), colorants, strict=False):
        tags += [(letter + b"XYZ", xyz(*values)), (letter + b"TRC", curve)]
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for key, data in tags:
        data += bytes(-len(data) % 4)
        table += key + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I", at + len(body)) + b"lcms\2\x40\0\0mntr" + space + b"XYZ "
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + table + body


# Display P3 and Adobe RGB (1998), primaries adapted to D50
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def exif_block(order: str = ">", thumbnail: bytes = b"\xff\xd8thumb\xff\xd9", orientation: int = 6) -> bytes:
    """A TIFF structure with text in two encodings, Exif, GPS and a thumbnail, laid out as cameras do."""
    name = b"\xc2\xa9 2024 J\xc3\xbcrgen \xe6\x97\xa5\xe6\x9c\xac\0"
    artist = b"J\xfcrgen\0"
    maker = b"Maker\0\1\2\3\xff\xfe"

    def entry(tag: int, kind: int, count: int, value: int | bytes) -> bytes:
        if isinstance(value, int):
            value = struct.pack(order + "H", value) + b"\0\0" if kind == 3 else struct.pack(order + "I", value)
        return struct.pack(order + "HHI", tag, kind, count) + value

    # positions: IFD0 8, Exif 86, GPS 140, values 158
    values = name + bytes(len(name) % 2)
    artist_at = 158 + len(values)
    values += artist + bytes(len(artist) % 2)
    maker_at = 158 + len(values)
    values += maker + bytes(len(maker) % 2)
    first_at = 158 + len(values)
    ifd0 = [
        entry(0x0100, 4, 1, 32), entry(0x0112, 3, 1, orientation), entry(0x013B, 2, len(artist), artist_at),
        entry(0x8298, 129, len(name), 158), entry(0x8769, 4, 1, 86), entry(0x8825, 4, 1, 140),
    ]  # fmt: skip
    details = [
        entry(0x927C, 7, len(maker), maker_at), entry(0xA002, 3, 1, 32), entry(0xA003, 4, 1, 24),
        entry(0xEEEE, 250, 1, b"\1\2\3\4"),
    ]  # fmt: skip
    gps = [entry(0x0000, 1, 4, b"\2\3\0\0")]
    ifd1 = [
        entry(0x0112, 3, 1, orientation), entry(0x0201, 4, 1, first_at + 42), entry(0x0202, 4, 1, len(thumbnail)),
    ]  # fmt: skip

    def directory(entries: list[bytes], following: int) -> bytes:
        return struct.pack(order + "H", len(entries)) + b"".join(entries) + struct.pack(order + "I", following)

    out = (b"MM" if order == ">" else b"II") + struct.pack(order + "HI", 42, 8)
    out += directory(ifd0, first_at if thumbnail else 0) + directory(details, 0) + directory(gps, 0)
    assert len(out) == 158
    return out + values + (directory(ifd1, 0) + thumbnail if thumbnail else b"")


def dng(mosaic: NDArray[np.uint16]) -> bytes:
    """An uncompressed DNG 1.4 with a Bayer mosaic (RGGB) of 16 bits whose camera sees in linear sRGB."""
    rows, cols = mosaic.shape
    pixels = mosaic.astype("<u2").tobytes()
    # XYZ (D65) to linear sRGB, IEC 61966-2-1
    matrix = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
    values: list[tuple[int, int, int, bytes]] = [
        (254, 4, 1, struct.pack("<I", 0)), (256, 4, 1, struct.pack("<I", cols)), (257, 4, 1, struct.pack("<I", rows)),
        (258, 3, 1, struct.pack("<H", 16)), (259, 3, 1, struct.pack("<H", 1)), (262, 3, 1, struct.pack("<H", 32803)),
        (271, 2, 5, b"Made\0"), (272, 2, 8, b"by hand\0"), (273, 4, 1, b"PIXELS.."), (274, 3, 1, struct.pack("<H", 1)),
        (277, 3, 1, struct.pack("<H", 1)), (278, 4, 1, struct.pack("<I", rows)),
        (279, 4, 1, struct.pack("<I", len(pixels))), (33421, 3, 2, struct.pack("<HH", 2, 2)),
        (33422, 1, 4, b"\0\1\1\2"), (50706, 1, 4, b"\1\4\0\0"), (50707, 1, 4, b"\1\1\0\0"),
        (50708, 2, 8, b"by hand\0"), (50714, 3, 1, struct.pack("<H", 0)), (50717, 4, 1, struct.pack("<I", 65535)),
        (50721, 10, 9, b"".join(struct.pack("<ii", round(one * 10000), 10000) for one in matrix)),
        (50728, 5, 3, struct.pack("<6I", 1, 1, 1, 1, 1, 1)), (50778, 3, 1, struct.pack("<H", 21)),
    ]  # fmt: skip
    heap_at = 8 + 2 + 12 * len(values) + 4
    heap_size = sum(len(data) for tag, _, _, data in values if len(data) > 4 and tag != 273)
    table, heap = b"", b""
    for tag, kind, count, data in values:
        if tag == 273:
            data = struct.pack("<I", heap_at + heap_size)
        elif len(data) > 4:
            data, heap = struct.pack("<I", heap_at + len(heap)), heap + data
        table += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(values)) + table + bytes(4) + heap + pixels
