"""A bilevel picture as a JBIG2 file: one generic region, as jbig2enc writes one without symbols. Only for comparison.

ITU-T T.88 (2018): generic regions with template 0 in section 6.2, the arithmetic coder in annex E, the file in annex D
and section 7. jbig2dec reads what is written here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_STATES = """
5601 1 1 1,3401 2 6 0,1801 3 9 0,0ac1 4 12 0,0521 5 29 0,0221 38 33 0,5601 7 6 1,5401 8 14 0,4801 9 14 0,3801 10 14 0,
3001 11 17 0,2401 12 18 0,1c01 13 20 0,1601 29 21 0,5601 15 14 1,5401 16 14 0,5101 17 15 0,4801 18 16 0,3801 19 17 0,
3401 20 18 0,3001 21 19 0,2801 22 19 0,2401 23 20 0,2201 24 21 0,1c01 25 22 0,1801 26 23 0,1601 27 24 0,1401 28 25 0,
1201 29 26 0,1101 30 27 0,0ac1 31 28 0,09c1 32 29 0,08a1 33 30 0,0521 34 31 0,0441 35 32 0,02a1 36 33 0,0221 37 34 0,
0141 38 35 0,0111 39 36 0,0085 40 37 0,0049 41 38 0,0025 42 39 0,0015 43 40 0,0009 44 41 0,0005 45 42 0,0001 45 43 0,
5601 46 46 0"""
STATES = [(int(a, 16), int(b), int(c), int(d)) for a, b, c, d in (row.split() for row in _STATES.split(","))]
"""Table E.1: Qe, next state after the more and the less probable symbol, whether these change places."""
TEMPLATE = (
    (-2, -2), (-2, -1), (-2, 0), (-2, 1), (-2, 2), (-1, -3), (-1, -2), (-1, -1), (-1, 0), (-1, 1), (-1, 2), (-1, 3),
    (0, -4), (0, -3), (0, -2), (0, -1),
)  # fmt: skip
"""Rows and columns of the neighbours of template 0, adaptive pixels at their nominal places, highest bit first."""
SAME_ROW = 0x9B25
"""Context of the bit that says whether a row is like the one above (typical prediction)."""


@dataclass
class MqEncoder:
    """Annex E.2."""

    a: int = 0x8000
    c: int = 0
    ct: int = 12
    out: bytearray = field(default_factory=lambda: bytearray(1))
    contexts: dict[int, tuple[int, int]] = field(default_factory=dict)

    def encode(self, bit: int, context: int) -> None:
        """Code a bit in a context."""
        index, likely = self.contexts.get(context, (0, 0))
        qe, after_likely, after_other, switch = STATES[index]
        self.a -= qe
        if bit == likely:
            if self.a & 0x8000:
                self.c += qe
                return
            self.a, self.c = (qe, self.c) if self.a < qe else (self.a, self.c + qe)
            index = after_likely
        else:
            self.a, self.c = (self.a, self.c + qe) if self.a < qe else (qe, self.c)
            index, likely = after_other, likely ^ switch
        self.contexts[context] = index, likely
        while not self.a & 0x8000:
            self.a, self.c, self.ct = self.a << 1, self.c << 1, self.ct - 1
            if not self.ct:
                self._byte()

    def _byte(self) -> None:
        if self.out[-1] != 0xFF and self.c >= 0x8000000:
            self.out[-1] += 1
            self.c &= 0x7FFFFFF
        shift, self.ct = (20, 7) if self.out[-1] == 0xFF else (19, 8)
        self.out.append(self.c >> shift)
        self.c &= (1 << shift) - 1

    def finish(self) -> bytes:
        """The coded bytes, without the marker at their end."""
        top = self.c + self.a
        self.c |= 0xFFFF
        self.c -= 0x8000 * (self.c >= top)
        for _ in range(2):
            self.c <<= self.ct
            self._byte()
        return bytes(self.out[1:] if self.out[-1] != 0xFF else self.out[1:-1])


def coded(bitmap: NDArray[np.uint8], typical: bool) -> bytes:
    """The arithmetic-coded data of a generic region (h, w) of 0 and 1, with or without typical prediction."""
    height, width = bitmap.shape
    around = np.pad(bitmap.astype(np.int64), ((2, 0), (4, 3)))
    near = np.zeros(bitmap.shape, np.int64)
    for row, column in TEMPLATE:
        near = 2 * near + around[2 + row : 2 + row + height, 4 + column : 4 + column + width]
    encoder, before, above = MqEncoder(), False, np.zeros(width, np.uint8)
    for contexts, bits in zip(near, bitmap, strict=True):
        same = bool((bits == above).all())
        if typical:
            encoder.encode(int(same != before), SAME_ROW)
            before = same
        if not (typical and same):
            for context, bit in zip(contexts.tolist(), bits.tolist(), strict=True):
                encoder.encode(bit, context)
        above = bits
    return encoder.finish()


def encode(bitmap: NDArray[np.uint8]) -> tuple[bytes, int]:
    """The smaller of both files, and the bytes of its arithmetic-coded data alone."""
    height, width = bitmap.shape
    typical, data = min(((flag, coded(bitmap, flag)) for flag in (False, True)), key=lambda one: len(one[1]))

    def segment(number: int, kind: int, page: int, body: bytes) -> bytes:
        return struct.pack(">IBBBI", number, kind, 0, page, len(body)) + body

    region = struct.pack(">IIIIB", width, height, 0, 0, 0) + bytes((8 * typical,))
    region += struct.pack("8b", 3, -1, -3, -1, 2, -2, -2, -2) + data + b"\xff\xac"
    file = b"\x97JB2\r\n\x1a\n" + struct.pack(">BI", 1, 1)
    file += segment(0, 48, 1, struct.pack(">IIIIBH", width, height, 0, 0, 0, 0))
    file += segment(1, 38, 1, region) + segment(2, 49, 1, b"") + segment(3, 51, 0, b"")
    return file, len(data)
