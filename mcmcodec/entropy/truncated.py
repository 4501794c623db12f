"""Stage: entropy, reading a payload of which only the first bytes are there, as far as these decide.

The bytes that are missing may be anything, so the coder's point lies anywhere between that of ``data`` followed by
zeros and that of ``data`` followed by ones. A symbol's interval has no holes: where both ends decode to the same
symbol, so does everything between, and the symbol is certain; where they first differ, no later symbol is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from .rangecoder import RangeDecoder

_ONES = b"\xff" * 16
"""Two words beyond the coder's 64 bits: interval bounds are no finer, so more ones would not change a symbol."""


class CutShort(Exception):
    """The bytes that are there decide no further.

    Args:
        values: of what was asked for, that which they do decide; in what shape says who raises it.
    """

    def __init__(self, values: NDArray[np.integer[Any]]) -> None:
        """Keep the values."""
        super().__init__()
        self.values = values


class CutDecoder(RangeDecoder):
    """A range decoder for the first bytes of a payload; its calls raise :class:`CutShort` where certainty ends.

    Attributes:
        ended: whether that has happened.
    """

    __slots__ = ("_high", "ended")

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._high = RangeDecoder(data + _ONES)
        self.ended = False

    def _decode(self, model: Any, *count: int) -> Any:
        if not self.ended:
            here = self._decoder.clone(), self._high._decoder.clone()
            values, certain = self._both(model, *count)
            if certain:
                return values
            # the end is among these symbols: go back, and find it one by one
            self._decoder, self._high._decoder = here
            self.ended = True
            found = []
            for _ in range(count[0] if count else 0):
                value, certain = self._both(model)
                if not certain:
                    break
                found.append(value)
            raise CutShort(np.array(found, np.int64))
        raise CutShort(np.zeros(0, np.int64))

    def _both(self, model: Any, *count: int) -> tuple[Any, bool]:
        """Decode at both ends: the symbols, and whether they are the same ones."""
        try:
            low = super()._decode(model, *count)
            return low, bool(np.array_equal(low, self._high._decode(model, *count)))
        except FormatError:  # a point that no encoder leaves behind is one of those that the missing bytes rule out
            return None, False

    def exhausted(self) -> bool:
        """Tell whether the data may be the beginning of what an encoder writes for what has been decoded so far."""
        return self.ended or self._mirror.finish().startswith(self._data)
