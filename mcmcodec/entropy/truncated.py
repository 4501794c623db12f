"""Decoding a payload of which only the first bytes are there, as far as these bytes decide it (specification, 5.8).

The missing bytes may have any values, so the range coder's point lies anywhere between that of the data followed by
zeros and that of the data followed by ones. The interval of a symbol has no holes: where both ends decode to the same
symbol, every continuation does, and the symbol is certain. After the first symbol where they differ none is certain.

Symbols that are not certain become zero, which stands for the value that the networks predict: measured on photographs
cut at 5 to 90 %, that is up to 0.5 dB better than zero latents, and better than hiding the patches of which nothing has
come beyond the base layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import FormatError
from .adaptive import AdaptiveBit
from .integer_networks import Ints, Positions
from .latent_coder import Bools, SymbolReader
from .rangecoder import RangeDecoder, TruncationError

_ONES = b"\xff" * 16
"""Two words beyond the coder's 64 bits: interval bounds are no finer, so more ones would not change a symbol."""


class TruncatedDecoder(RangeDecoder):
    """A range decoder for the first bytes of a payload; its calls raise TruncationError after the last certain symbol.

    Attributes:
        ended: whether that has happened.
    """

    __slots__ = ("_high", "ended")

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._high = RangeDecoder(data + _ONES)
        self.ended = False

    def _decode(self, model: Any, *count: int) -> Any:
        if self.ended:
            raise TruncationError(np.zeros(0, np.int64))
        before = self._decoder.clone(), self._high._decoder.clone()
        values, certain = self._decode_both(model, *count)
        if certain:
            return values
        # One of these symbols is the first that is not certain: go back, and find it one by one.
        self._decoder, self._high._decoder = before
        self.ended = True
        found = []
        for _ in range(count[0] if count else 0):
            value, certain = self._decode_both(model)
            if not certain:
                break
            found.append(value)
        raise TruncationError(np.array(found, np.int64))

    def _decode_both(self, model: Any, *count: int) -> tuple[Any, bool]:
        """Decode at both ends: the symbols, and whether they are the same."""
        try:
            low = super()._decode(model, *count)
            return low, bool(np.array_equal(low, self._high._decode(model, *count)))
        except FormatError:  # no encoder leaves such a point, so one of the two ends is not a possible continuation
            return None, False

    def exhausted(self) -> bool:
        """Whether the data may be the beginning of what an encoder writes for what has been decoded so far."""
        return self.ended or self._mirror.finish().startswith(self._data)


class TruncatedReader(SymbolReader):
    """The decoder's ``SymbolIO`` for such a payload: zeros after the last certain symbol, patches hidden."""

    def hyper(self, loc: Ints, index: Ints) -> Ints:
        """See ``SymbolIO``."""
        try:
            return super().hyper(loc, index)
        except TruncationError as cut:
            return cut.values.reshape(self.cells, len(index))

    def coarse(self, where: Positions, start: int, mu: Ints, index: Ints) -> Ints:
        """See ``SymbolIO``."""
        try:
            return super().coarse(where, start, mu, index)
        except TruncationError as cut:
            return cut.values.reshape(index.shape)

    def visible(self, where: Positions, states: list[AdaptiveBit]) -> Bools:
        """See ``SymbolIO``."""
        bits = np.zeros(len(states), bool)
        try:
            for at, state in enumerate(states):
                bits[at] = state.decode(self.decoder)
        except TruncationError:
            pass
        return bits

    def latents(self, where: Positions, start: int, mu: Ints, index: Ints) -> Ints:
        """See ``SymbolIO``."""
        try:
            return super().latents(where, start, mu, index)
        except TruncationError as cut:
            return cut.values.reshape(index.shape)
