"""The edge map of a picture, to the bytes of an extension section and back (specification, section 4.6).

A map is coded as JBIG2 codes a bitmap (ITU-T T.88, section 6.2): sample by sample, each in the context of its
neighbours. Unlike JBIG2's, the contexts do not begin knowing nothing: frozen tables of probabilities come from edges
of photographs, and every map adapts them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..entropy.adaptive import AdaptiveBit
from ..entropy.rangecoder import RangeDecoder, RangeEncoder
from ..errors import ModelError, damaged

if TYPE_CHECKING:
    from .container import Header

STRUCTURE: Final = 10
"""Extension type of an edge map."""
FILE: Final = "structure-1.safetensors"
SHA256: Final = "75e63b795dce9a4caeb005d4a2ea2900792f0bba1736a5c7279a06460ce41d11"
MAX_SCALE: Final = 5
MAX_SAMPLES: Final = 2**19
"""Samples of a map at most; it bounds the time that a hostile file can take."""
TABLES: Final = 3
CONTEXTS: Final = 2**12
_ABOVE2: Final = range(-1, 3)
_ABOVE: Final = range(-3, 3)
_LEFT: Final = range(-2, 0)
"""Columns, relative to a sample, of its neighbours two rows above, one row above, and in its row."""

_DAMAGED: Final = "the edge map is damaged"

Map = NDArray[np.uint8]
Tables = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Structure:
    """The edges of a picture.

    Attributes:
        scale: a sample stands for 2**scale pixels along each side, 0 to :data:`MAX_SCALE`.
        edges: (h, w) uint8, 1 where there is an edge and 0 elsewhere; h and w are those of the picture over 2**scale,
            rounded up.
    """

    scale: int
    edges: Map


@cache
def tables() -> Tables:
    """The frozen tables: first probability of an edge in 1/4096 and its confidence, each (TABLES, CONTEXTS).

    Raises:
        ModelError: the file is not the one that was released.
    """
    from safetensors.numpy import load

    arrays = load(checked())
    return arrays["p1"].astype(np.int64), arrays["confidence"].astype(np.int64)


def checked() -> bytes:
    """The frozen file. ModelError if it is another one."""
    data = Path(__file__).with_name(FILE).read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ModelError(f"{FILE} is damaged", "install mcmcodec again")
    return data


def contexts(edges: Map) -> NDArray[np.int64]:
    """The context of every sample of a map (h, w): a number below :data:`CONTEXTS`, the same shape."""
    height, width = edges.shape
    around = np.pad(edges.astype(np.int64), ((2, 0), (3, 2)))
    found = np.zeros(edges.shape, np.int64)
    for row, columns in ((0, _ABOVE2), (1, _ABOVE), (2, _LEFT)):
        for column in columns:
            found = 2 * found + around[row : row + height, 3 + column : 3 + column + width]
    return found


def encode(structure: Structure) -> bytes:
    """Code a map without loss, with the table that makes it shortest.

    Returns:
        The section's bytes.
    """
    near, truth = contexts(structure.edges).ravel(), structure.edges.ravel()
    best = min(range(TABLES), key=lambda table: _estimate(near, truth, table))
    states, encoder = _states(best), RangeEncoder()
    for context, bit in zip(near.tolist(), truth.tolist(), strict=True):
        states[context].encode(encoder, bit)
    return bytes((structure.scale + 8 * best,)) + encoder.finish()


def estimate(edges: Map) -> float:
    """Bytes that a map (h, w) takes, nearly: as if the tables were not adapted."""
    near, truth = contexts(edges).ravel(), edges.ravel()
    return 1 + min(_estimate(near, truth, table) for table in range(TABLES)) / 8


def decode(body: bytes, size: tuple[int, int]) -> Structure:
    """Decode a map.

    Args:
        body: the section's bytes.
        size: width and height of the picture.

    Raises:
        FormatError: the section is damaged.
    """
    if not body or body[0] & 7 > MAX_SCALE or body[0] >> 3 >= TABLES:
        raise damaged(_DAMAGED)
    width, height = (-(-side // (1 << (body[0] & 7))) for side in size)
    if width * height > MAX_SAMPLES:
        raise damaged(_DAMAGED)
    decoder, states = RangeDecoder(body[1:]), _states(body[0] >> 3)
    rows = [[0] * (width + 5) for _ in range(height + 2)]  # with a border: two rows above, three left, two right
    for y in range(height):
        above2, above, here = rows[y], rows[y + 1], rows[y + 2]
        high = above2[2] << 2 | above2[3] << 1 | above2[4]
        middle = above[3] << 1 | above[4]
        left = 0
        for x in range(3, width + 3):
            high = (high << 1 | above2[x + 2]) & 15
            middle = (middle << 1 | above[x + 2]) & 63
            bit = states[high << 8 | middle << 2 | left].decode(decoder)
            here[x] = bit
            left = (left << 1 | bit) & 3
    if not decoder.exhausted():
        raise damaged(_DAMAGED)
    return Structure(body[0] & 7, np.array(rows, np.uint8)[2:, 3 : width + 3])


def of(header: Header) -> Structure | None:
    """The edge map of a file; None if it has none. FormatError if the section is damaged."""
    body = dict(header.extensions).get(STRUCTURE)
    return None if body is None else decode(body, (header.width, header.height))


def _estimate(near: NDArray[np.int64], truth: Map, table: int) -> float:
    """Bits of samples in their contexts by a table as it is. Encoders only: a float decides nothing in a decoder."""
    share = tables()[0][table] / 4096
    ones = np.bincount(near, truth, CONTEXTS)
    every = np.bincount(near, minlength=CONTEXTS)
    return float(-(ones * np.log2(share) + (every - ones) * np.log2(1 - share)).sum())


def _states(table: int) -> list[AdaptiveBit]:
    p1, confidence = (values[table].tolist() for values in tables())
    return [AdaptiveBit(*both) for both in zip(p1, confidence, strict=True)]
