"""A second decoder, written from the specification alone: no constriction, nothing of the package."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate


class Damaged(Exception):
    """The payload cannot have been written by an encoder."""


def table_from_weights(weights: Sequence[int]) -> list[int]:
    """Cumulative frequencies (sum 2**16) of integer weights."""
    total, n = sum(weights), len(weights)
    frequencies = [1 + weight * (2**16 - n) // total for weight in weights]
    frequencies[list(weights).index(max(weights))] += 2**16 - sum(frequencies)
    return [0, *accumulate(frequencies)]


class ReferenceDecoder:
    """State and arithmetic as in the section "Range coder"; Python's integers need the masks written out."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.lower, self.range = 0, 2**64 - 1
        self.point = self._word(0) << 32 | self._word(1)
        self.words = 2
        self.low = 0  # as `lower`, but with all that was shifted out, and its carries

    def _word(self, index: int) -> int:
        return int.from_bytes(self.payload[4 * index : 4 * index + 4].ljust(4, b"\0"), "big")

    def _decode(self, c: Sequence[int]) -> int:
        scale = self.range >> 24
        q = ((self.point - self.lower) % 2**64) // scale
        if q >= 2**24:
            raise Damaged
        s = bisect_right(c, q) - 1
        self.lower = (self.lower + scale * c[s]) % 2**64
        self.low += scale * c[s]
        self.range = scale * (c[s + 1] - c[s])
        if self.range < 2**32:
            self.lower = (self.lower << 32) % 2**64
            self.low <<= 32
            self.range <<= 32
            self.point = ((self.point << 32) % 2**64) + self._word(self.words)
            self.words += 1
        return s

    def shortest(self) -> bytes:
        """What a writer writes for the symbols so far."""
        z = max(z for z in range(self.words * 4 + 1) if -(-self.low >> 8 * z) << 8 * z < self.low + self.range)
        return (-(-self.low >> 8 * z) << 8 * z).to_bytes(4 * self.words, "big").rstrip(b"\0")

    def symbol(self, cumulative: Sequence[int]) -> int:
        return 0 if len(cumulative) == 2 else self._decode([value << 8 for value in cumulative])

    def bit(self, p1: int) -> int:
        return self._decode([0, 2**24 - (p1 << 12), 2**24])

    def bits(self, k: int) -> int:
        value = 0
        while k > 0:
            t = min(k, 16)
            k -= t
            value = value << t | self._decode(range(0, 2**24 + 1, 2 ** (24 - t)))
        return value


class ReferenceBit:
    """The adaptive bit."""

    def __init__(self, p1: int = 2048, confidence: int = 0) -> None:
        self.p, self.n = p1 << 10, confidence

    def decode(self, decoder: ReferenceDecoder) -> int:
        b = decoder.bit(min(max(self.p >> 10, 1), 4095))
        t = 2**22 if b else 0
        self.p += ((t - self.p) * (131072 // (2 * self.n + 3))) // 65536
        self.n = min(self.n + 1, 255)
        return b


def raw(decoder: ReferenceDecoder) -> bytes:
    """Text byte by byte, with adaptive bits."""
    length, data = decoder.bits(12) + 1, bytearray()
    contexts: dict[tuple[int, int], ReferenceBit] = {}
    for _ in range(length):
        node = 1
        while node < 256:
            before = data[-1] >> 6 if data else 0
            node = node << 1 | contexts.setdefault((before, node), ReferenceBit()).decode(decoder)
        data.append(node - 256)
    return bytes(data)
