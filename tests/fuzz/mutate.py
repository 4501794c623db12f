"""Hostile files: valid ones changed in ways that get past the first checks, their checksum made right again."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence

INTERESTING = (0, 1, 2, 0x10, 0x7F, 0x80, 0x81, 0xFE, 0xFF)
EDGES = (
    0,
    1,
    2,
    15,
    16,
    17,
    63,
    64,
    65,
    127,
    128,
    255,
    256,
    4095,
    4096,
    16383,
    16384,
    32767,
    65535,
    65536,
    2**24,
    2**63,
)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


class Mutator:
    """Draws files.

    Args:
        seeds: valid files.
        fingerprint: of the model that they were made with.
        model: the header's model field.
        seed: of the random numbers; the same seed draws the same files.
    """

    def __init__(self, seeds: Sequence[bytes], fingerprint: bytes, model: int, seed: int) -> None:
        self.seeds = [data[:-4] for data in seeds]
        self.start = zlib.crc32(fingerprint)
        self.model = model
        self.rng = random.Random(seed)
        self.right = 0
        """Files drawn whose checksums are right."""
        self.ways = (self.flip, self.flip, self.overwrite, self.insert, self.remove, self.cut, self.splice, self.repeat)

    def draw(self) -> bytes:
        """A file: five in six have a right checksum."""
        rng = self.rng
        if rng.random() < 0.25:
            body = self.build()
        else:
            body = bytearray(rng.choice(self.seeds))
            for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
                body = rng.choice(self.ways)(body) or body
        kind = rng.random()
        if kind < 0.05:
            return bytes(body)
        if kind < 1 / 6:
            return bytes(body) + rng.randbytes(4)
        self.right += 1
        return bytes(body) + zlib.crc32(body, self.start).to_bytes(4, "little")

    def build(self) -> bytearray:
        """A header of likely and unlikely fields before a payload of one of the seeds, or of noise."""
        rng = self.rng
        side = lambda: rng.choice(EDGES) if rng.random() < 0.2 else rng.randrange(1, 50)  # noqa: E731
        flags = (
            rng.choice((0x01, 0x11, 0x21, 0x31, 0x41, 0x51, 0x61, 0x71)) if rng.random() < 0.95 else rng.randrange(256)
        )
        model = self.model if rng.random() < 0.97 else rng.choice(EDGES)
        out = bytearray(b"\x8aMC" + bytes((flags,)) + varint(side()) + varint(side()) + varint(model))
        out.append(rng.randrange(101) if rng.random() < 0.97 else rng.randrange(256))
        out.append(rng.choice((0, 255)) if flags & 0x40 else rng.randrange(256))
        if flags & 0x20:
            kinds = sorted(rng.sample(range(70), rng.randrange(1, 4)))
            out += varint(len(kinds) if rng.random() < 0.97 else rng.choice(EDGES))
            for kind in kinds:
                content = rng.randbytes(rng.randrange(6))
                out += varint(kind * rng.choice((1, 2, 2, 2)))
                out += varint(len(content) if rng.random() < 0.97 else rng.choice(EDGES)) + content
        kind = rng.random()
        if kind < 0.4:
            out += rng.choice(self.seeds)[9:]
        elif kind < 0.8:
            out += rng.randbytes(rng.randrange(60))
        else:
            out += bytes((rng.choice((0, 255)),)) * rng.randrange(200)
        return out

    def _at(self, body: bytearray) -> int:
        """A place, one in three in the header."""
        end = min(len(body), 14) if self.rng.random() < 1 / 3 else len(body)
        return self.rng.randrange(max(end, 1))

    def flip(self, body: bytearray) -> None:
        if body:
            body[self._at(body)] ^= 1 << self.rng.randrange(8)

    def overwrite(self, body: bytearray) -> None:
        if body:
            body[self._at(body)] = self.rng.choice(INTERESTING)

    def insert(self, body: bytearray) -> None:
        at = self._at(body)
        body[at:at] = self.rng.randbytes(self.rng.choice((1, 1, 2, 4, 30)))

    def remove(self, body: bytearray) -> None:
        at = self._at(body)
        del body[at : at + self.rng.choice((1, 1, 2, 4, 30))]

    def cut(self, body: bytearray) -> None:
        del body[self._at(body) :]

    def splice(self, body: bytearray) -> bytearray:
        other = self.rng.choice(self.seeds)
        return body[: self._at(body)] + bytearray(other[self.rng.randrange(len(other)) :])

    def repeat(self, body: bytearray) -> None:
        at = self._at(body)
        chunk = body[at : at + self.rng.randrange(1, 20)]
        body[at:at] = chunk * self.rng.choice((1, 2, 20))
