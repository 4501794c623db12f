"""Extension sections by a second reader, written from sections 4.3 to 4.6 of the specification alone.

Nothing of the package but its frozen tables, and no library but numpy; so alpha of methods 2 and 3, which is WebP's,
is left out.
"""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import numpy as np
from reference_captions import stored
from reference_rangecoder import Damaged, ReferenceBit, ReferenceDecoder

TABLES = Path(__file__).parent.parent / "mcmcodec" / "bitstream" / "structure-1.safetensors"
TABLES_SHA256 = "75e63b795dce9a4caeb005d4a2ea2900792f0bba1736a5c7279a06460ce41d11"


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


def structure(body: bytes, width: int, height: int) -> np.ndarray:
    """The edge map, 0 and 1."""
    if not body or body[0] % 8 > 5 or body[0] // 8 > 2:
        raise Damaged
    side = 2 ** (body[0] % 8)
    rows, cols = -(-height // side), -(-width // side)
    if rows * cols > 2**19:
        raise Damaged
    data = TABLES.read_bytes()
    assert hashlib.sha256(data).hexdigest() == TABLES_SHA256
    tensors = stored(data)
    p1, confidence = (tensors[name][body[0] // 8].tolist() for name in ("p1", "confidence"))
    decoder, states = ReferenceDecoder(body[1:]), dict[int, ReferenceBit]()
    plane = np.zeros((rows + 2, cols + 5), int)  # sample (y, x) at (y + 2, x + 3)
    for y in range(rows):
        for x in range(cols):
            near = [*plane[y, x + 2 : x + 6], *plane[y + 1, x : x + 6], *plane[y + 2, x + 1 : x + 3]]
            context = int("".join(map(str, near)), 2)
            if context not in states:
                states[context] = ReferenceBit(p1[context], confidence[context])
            plane[y + 2, x + 3] = states[context].decode(decoder)
    if decoder.shortest() != body[1:]:
        raise Damaged
    return plane[2:, 3:-2]


def _stretch(plane: np.ndarray, scale: int) -> np.ndarray:
    """Rows scaled up: sample i stands at the middle of its 2**scale rows; the outermost go on."""
    places = (np.arange(len(plane) << scale) + 0.5) / 2**scale - 0.5
    low = np.floor(places).astype(int)
    part = (places - low)[:, None]
    first, last = (np.clip(index, 0, len(plane) - 1) for index in (low, low + 1))
    return plane[first] * (1 - part) + plane[last] * part
