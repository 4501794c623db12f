"""Extension sections by a second reader, written from sections 4.3 and 4.4 of the specification alone.

Nothing of the package, and no library but numpy; so alpha of methods 2 and 3, which is WebP's, is left out.
"""

from __future__ import annotations

import zlib

import numpy as np
from reference_rangecoder import Damaged, ReferenceBit, ReferenceDecoder


def metadata(body: bytes) -> tuple[bytes, bytes]:
    """Exif data and XMP packet."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(body, 2**22 + 1)
    except zlib.error as error:
        raise Damaged from error
    if len(data) > 2**22 or not unpacker.eof or unpacker.unused_data or len(data) < 4:
        raise Damaged
    end = 4 + int.from_bytes(data[:4], "little")
    if end > len(data):
        raise Damaged
    return data[4:end], data[end:]


def alpha(body: bytes, width: int, height: int) -> np.ndarray:
    """The plane (height, width) as real numbers 0..255, before it is rounded, or cut at 128."""
    if len(body) < 2:
        raise Damaged
    method, scale, detail = body[0] % 4, body[0] // 4 % 8, body[0] // 32
    if method == 0:
        if scale or detail or len(body) != 2:
            raise Damaged
        return np.full((height, width), float(body[1]))
    if method != 1:
        raise NotImplementedError
    rows, cols = -(-height // 2**scale), -(-width // 2**scale)
    if scale > 5 or detail > 3 or rows * cols > 2**19:
        raise Damaged
    plane = levels(body[1:], rows, cols, four=detail % 2 == 1) * 85.0
    return _stretch(_stretch(plane, scale)[:height].T, scale)[:width].T


def levels(body: bytes, rows: int, cols: int, four: bool) -> np.ndarray:
    """Method 1's samples, 0..3."""
    decoder = ReferenceDecoder(body)
    contexts: dict[tuple[str, int], ReferenceBit] = {}

    def bit(name: str, context: int, p1: int = 2048, confidence: int = 0) -> int:
        return contexts.setdefault((name, context), ReferenceBit(p1, confidence)).decode(decoder)

    plane = np.zeros((rows, cols), int)

    def at(row: int, col: int) -> int:
        return int(plane[row, col]) if row >= 0 and 0 <= col < cols else 0

    m: dict[tuple[int, int], int] = {}
    for top in range(0, rows, 8):
        for left in range(0, cols, 8):
            mixed = bit("mixed", 3 * m.get((top, left - 8), 0) + m.get((top - 8, left), 0))
            m[top, left] = 1 + mixed
            if not mixed:
                plane[top : top + 8, left : left + 8] = 3 * bit("fill", 4 * at(top, left - 1) + at(top - 1, left))
                continue
            for row in range(top, min(top + 8, rows)):
                for col in range(left, min(left + 8, cols)):
                    w, n, nw, ne = at(row, col - 1), at(row - 1, col), at(row - 1, col - 1), at(row - 1, col + 1)
                    near = 64 * w + 16 * n + 4 * nw + ne
                    high = bit("high", near, 128 + 320 * (w + n + nw + ne), 2)
                    low = bit("low", 2 * near + high) if four else high
                    plane[row, col] = 2 * high + low
    if decoder.shortest() != body:
        raise Damaged
    return plane


def _stretch(plane: np.ndarray, scale: int) -> np.ndarray:
    """Rows scaled up: sample i stands at the middle of its 2**scale rows; the outermost go on."""
    places = (np.arange(len(plane) << scale) + 0.5) / 2**scale - 0.5
    low = np.floor(places).astype(int)
    part = (places - low)[:, None]
    first, last = (np.clip(index, 0, len(plane) - 1) for index in (low, low + 1))
    return plane[first] * (1 - part) + plane[last] * part
