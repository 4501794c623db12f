"""Pictures in bands of rows, so that a large one is never copied as a whole.

What is to be encoded becomes an array band by band; what is decoded is put together, or written to disk, as it comes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import chain
from typing import IO, Final

import numpy as np
from PIL import Image

from .io import Pixels, save_bytes

ROWS: Final = 256
"""Rows that are taken, or filtered for a PNG, at once."""
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Bands:
    """A picture as whole rows from the top, which are decoded when they are asked for, and once.

    Attributes:
        size: width and height of the picture.
        bands: of its width and one mode each, their heights add up to its height; ``info`` is the picture's.
        pixels: those of all that the file holds, of which the picture may be a part, or a reduction.
        note: what to know about the picture, in words for people, or nothing.
    """

    size: tuple[int, int]
    bands: Iterator[Image.Image]
    pixels: int
    note: str = ""

    @classmethod
    def of(cls, picture: Image.Image, pixels: int, note: str = "") -> Bands:
        """A picture that is there already, as one band."""
        return cls(picture.size, iter((picture,)), pixels, note)

    def map(self, change: Callable[[Image.Image], Image.Image]) -> Bands:
        """The same with every band changed, by something that keeps its size."""
        return replace(self, bands=map(change, self.bands))

    def whole(self) -> Image.Image:
        """The picture in one piece."""
        first = next(self.bands)
        if first.size == self.size:
            return first
        out = Image.new(first.mode, self.size)
        out.info = dict(first.info)
        top = 0
        for band in chain((first,), self.bands):
            out.paste(band, (0, top))
            top += band.height
        return out


def array(picture: Image.Image) -> Pixels:
    """An RGB picture as uint8 (height, width, 3): the copies that Pillow makes on the way are of a band at a time."""
    out = np.empty((picture.height, picture.width, 3), np.uint8)
    for top in range(0, picture.height, ROWS):
        out[top : top + ROWS] = np.asarray(picture.crop((0, top, picture.width, min(top + ROWS, picture.height))))
    return out


def write_png(bands: Bands, file: IO[bytes]) -> None:
    """Write a picture of mode L, LA, RGB or RGBA as PNG while it is painted: what is in memory is a band.

    Pillow chooses the filters, and writes all that is not pixels, as it does for a picture in one piece; zlib
    compresses. PNG (Third Edition), sections 5 and 9.
    """
    first = next(bands.bands)
    file.write(_SIGNATURE)
    # a picture of one row has every chunk of the whole one, but for its size and its pixels
    for kind, body in _chunks(save_bytes(first.crop((0, 0, first.width, 1)), "PNG")):
        if kind == b"IHDR":
            _write(file, kind, struct.pack(">II", *bands.size) + body[8:])
        elif kind == b"IDAT":
            # as of a picture in one piece
            packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
            for rows in _filtered(chain((first,), bands.bands)):
                _write(file, kind, packer.compress(rows))
            _write(file, kind, packer.flush())
        else:
            _write(file, kind, body)


def _filtered(bands: Iterator[Image.Image]) -> Iterator[bytes]:
    """Filtered rows, each with its filter's number before it."""
    above: Image.Image | None = None
    for band in bands:
        for top in range(0, band.height, ROWS):
            rows = band.crop((0, top, band.width, min(top + ROWS, band.height)))
            yield _filter(rows, above)
            above = rows.crop((0, rows.height - 1, rows.width, rows.height))


def _filter(rows: Image.Image, above: Image.Image | None) -> bytes:
    """Rows as a PNG has them before compression; their filters look at the row above."""
    skip = 0
    if above:
        sheet = Image.new(rows.mode, (rows.width, rows.height + 1))
        sheet.paste(above, (0, 0))
        sheet.paste(rows, (0, 1))
        rows, skip = sheet, 1 + rows.width * len(rows.getbands())
    out = BytesIO()
    rows.save(out, "PNG", compress_level=0)
    return zlib.decompress(b"".join(body for kind, body in _chunks(out.getvalue()) if kind == b"IDAT"))[skip:]


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of a PNG's chunks."""
    at = len(_SIGNATURE)
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def _write(file: IO[bytes], kind: bytes, body: bytes) -> None:
    if body or kind != b"IDAT":
        file.write(struct.pack(">I", len(body)) + kind + body)
        file.write(zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big"))
