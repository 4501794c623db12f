"""Adaptive probability of one binary context, in integers (specification, section 5.2).

The estimate is a running mean: after n observations the next one moves it by 1 / (n + 1.5), and from `LIMIT`
observations on by a constant share, so that it follows slow changes.
"""

from __future__ import annotations

from .rangecoder import RangeDecoder, RangeEncoder

LIMIT = 255
_PRECISION = 22
_ONE = 1 << _PRECISION
_DROP = _PRECISION - 12
_SHARES = tuple((1 << 17) // (2 * count + 3) for count in range(LIMIT + 1))
"""1 / (count + 1.5) in units of 2**-16, rounded down."""


class AdaptiveBit:
    """The state of one context: probability of a one, and how many bits were observed.

    Args:
        p1: initial probability of a one, in 1/4096 (1..4095).
        confidence: how many observations the initial probability counts for (0..LIMIT).

    Raises:
        ValueError: an argument is out of range.
    """

    __slots__ = ("_count", "_state")

    def __init__(self, p1: int = 2048, confidence: int = 0) -> None:
        if not 0 < p1 < 4096 or not 0 <= confidence <= LIMIT:
            raise ValueError(f"probability {p1} or confidence {confidence} is out of range")
        self._state = p1 << _DROP
        self._count = confidence

    @property
    def p1(self) -> int:
        """Probability that the next bit is a one, in 1/4096 (1..4095)."""
        return min(max(self._state >> _DROP, 1), 4095)

    def update(self, bit: int) -> None:
        """Update the estimate with an observed `bit` (0 or 1)."""
        count = self._count
        # >> is a floor also for negative numbers.
        self._state += (((_ONE if bit else 0) - self._state) * _SHARES[count]) >> 16
        if count < LIMIT:
            self._count = count + 1

    def encode(self, encoder: RangeEncoder, bit: int) -> None:
        """Code `bit` with the present estimate, then update it."""
        encoder.bit(bit, self.p1)
        self.update(bit)

    def decode(self, decoder: RangeDecoder) -> int:
        """Decode a bit with the present estimate, then update it. FormatError on visible damage."""
        bit = decoder.bit(self.p1)
        self.update(bit)
        return bit
