"""Range coder: integers and their frozen tables to bytes, and back.

The arithmetic is constriction's (32-bit words, 64-bit state, 24-bit probabilities); this is the only module
that imports it. Probabilities are integer multiples of 2**-24, handed over such that no float is ever rounded
(see `_model`). The bytes are specified in `formats/mcm.md`, section "Range coder".
"""

from __future__ import annotations

import math
from typing import Any

import constriction  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import damaged

PRECISION = 16
"""Frequencies of a `Table` sum to 2**PRECISION."""

TOTAL = 1 << PRECISION
MAX_RAW_BITS = 64
_CODER_PRECISION = 24
_RAW_CHUNK = 16

_categorical = constriction.stream.model.Categorical


def _model(frequencies: NDArray[np.int64]) -> Any:
    """Make the model with exactly these frequencies (n >= 2 of them, sum 2**24).

    Its constructor computes left(i) = i + trunc(sum(p[:i]) * ((2**24 - n) / sum(p))). With p = frequency - 1
    all sums are whole numbers below 2**53 and the quotient is exactly 1.0, so left(i) is the sum of the
    frequencies before i, without rounding.
    """
    return _categorical((frequencies - 1).astype(np.float64), perfect=False)


class _BitModels(dict[int, Any]):
    """Models of one binary decision, by the probability of a one in 1/4096; built when first used."""

    def __missing__(self, p1: int) -> Any:
        if not 0 < p1 < 4096:
            raise ValueError(f"probability {p1} is outside 1..4095")
        one = p1 << (_CODER_PRECISION - 12)
        self[p1] = _model(np.array([(1 << _CODER_PRECISION) - one, one], dtype=np.int64))
        return self[p1]


_BITS = _BitModels()
_RAW = [None, *(constriction.stream.model.Uniform(1 << count) for count in range(1, _RAW_CHUNK + 1))]


class Table:
    """A frozen probability table over the symbols 0..n-1.

    Args:
        cumulative: n + 1 integers, strictly increasing from 0 to 2**PRECISION; symbol i has the probability
            (cumulative[i + 1] - cumulative[i]) / 2**PRECISION. A table of one symbol costs nothing to code.

    Raises:
        ValueError: the integers are not such a sequence.
    """

    __slots__ = ("cumulative", "model", "size")

    def __init__(self, cumulative: ArrayLike) -> None:
        array = np.asarray(cumulative)
        if array.ndim != 1 or array.dtype.kind not in "iu" or array.size < 2:
            raise ValueError("a table needs a sequence of at least two integers")
        array = array.astype(np.int64)
        frequencies = np.diff(array)
        if array[0] != 0 or array[-1] != TOTAL or frequencies.min() < 1:
            raise ValueError(f"cumulative frequencies must increase strictly from 0 to {TOTAL}")
        array.setflags(write=False)
        self.cumulative: NDArray[np.int64] = array
        self.size: int = frequencies.size
        self.model: Any = _model(frequencies << (_CODER_PRECISION - PRECISION)) if self.size > 1 else None

    @classmethod
    def from_weights(cls, weights: ArrayLike) -> Table:
        """Make the table that fits n non-negative integer weights; the arithmetic is integer throughout.

        Frequency i is 1 + floor(weight[i] * (2**PRECISION - n) / sum); what is left goes to the first of the
        largest weights.

        Raises:
            ValueError: no weight is positive, one is negative, there are too many, or they sum to over 2**40.
        """
        array = np.asarray(weights)
        if array.ndim != 1 or array.dtype.kind not in "iu" or not 0 < array.size < TOTAL:
            raise ValueError(f"weights must be 1 to {TOTAL - 1} integers")
        array = array.astype(np.int64)
        total = int(array.sum())
        if array.min() < 0 or array.max() > 1 << 40 or not 0 < total <= 1 << 40:
            raise ValueError("weights must not be negative, and their sum must be 1 to 2**40")
        frequencies = 1 + array * (TOTAL - array.size) // total
        frequencies[array.argmax()] += TOTAL - frequencies.sum()
        return cls(np.concatenate(([0], np.cumsum(frequencies))))

    @classmethod
    def fine(cls, frequencies: ArrayLike) -> Table:
        """Make a table of up to 2**20 symbols from frequencies in units of 2**-24.

        Raises:
            ValueError: a frequency is not a positive integer, or their sum is not 2**24.
        """
        array = np.asarray(frequencies)
        if array.ndim != 1 or array.dtype.kind not in "iu" or not 2 <= array.size <= 1 << 20:
            raise ValueError("a fine table needs 2 to 2**20 integers")
        array = array.astype(np.int64)
        if array.min() < 1 or array.max() >= 1 << _CODER_PRECISION or array.sum() != 1 << _CODER_PRECISION:
            raise ValueError(f"frequencies must be positive, with the sum {1 << _CODER_PRECISION}")
        table = cls.__new__(cls)
        table.cumulative = np.concatenate(([0], np.cumsum(array)))
        table.size, table.model = array.size, _model(array)
        return table


class TruncationError(Exception):
    """A payload's first bytes do not decide the symbols that were asked for; see :mod:`mcmcodec.entropy.truncated`.

    Args:
        values: those of the symbols that they decide; whoever raises it says in what shape.
    """

    def __init__(self, values: NDArray[np.integer[Any]]) -> None:
        """Keep the values."""
        super().__init__()
        self.values = values


class RangeEncoder:
    """Collects symbols; `finish` gives the shortest byte string that decodes to them."""

    __slots__ = ("_encoder",)

    def __init__(self) -> None:
        self._encoder = constriction.stream.queue.RangeEncoder()

    def symbols(self, values: ArrayLike, table: Table) -> None:
        """Code integers (any shape, row-major order) with one table; ValueError if one is not in 0..n-1."""
        array = np.asarray(values)
        if array.size == 0:
            return
        if array.dtype.kind not in "iub" or array.min() < 0 or array.max() >= table.size:
            raise ValueError(f"symbols must be integers in 0..{table.size - 1}")
        if table.model is not None:
            self._encoder.encode(array.astype(np.int32).ravel(), table.model)

    def symbol(self, value: int, table: Table) -> None:
        """Code one integer; ValueError if it is not in 0..n-1."""
        if not 0 <= value < table.size:
            raise ValueError(f"symbol {value} is outside 0..{table.size - 1}")
        if table.model is not None:
            self._encoder.encode(int(value), table.model)

    def bits(self, value: int, count: int) -> None:
        """Code `count` (0..64) equiprobable bits, high ones first; ValueError if `value` does not fit."""
        if not 0 <= count <= MAX_RAW_BITS or not 0 <= value < 1 << count:
            raise ValueError(f"{value} does not fit in {count} bits (at most {MAX_RAW_BITS})")
        while count > 0:
            take = min(count, _RAW_CHUNK)
            count -= take
            self._encoder.encode(int(value >> count) & ((1 << take) - 1), _RAW[take])

    def bit(self, bit: int, p1: int) -> None:
        """Code 0 or 1 where a one has the probability p1 / 4096 (p1 in 1..4095); ValueError otherwise."""
        if bit not in (0, 1):
            raise ValueError(f"{bit} is not a bit")
        self._encoder.encode(int(bit), _BITS[p1])

    def position(self) -> float:
        """Information written so far, in bits; differences say how much each part of a payload takes."""
        words: int
        width: int
        words, (_, width) = self._encoder.pos()
        return 32.0 * words + 64.0 - math.log2(width)

    def finish(self) -> bytes:
        """Return the shortest byte string that decodes, followed by zeros, to what was coded.

        It is less than one byte longer than `position()`. Of several equally short ones it is the lowest. The
        encoder may go on.
        """
        words: int
        lower: int
        width: int
        words, (lower, width) = self._encoder.pos()
        sealed = self._encoder.get_compressed()
        prefix = int.from_bytes(sealed[:words].astype(">u4").tobytes(), "big")
        # The words of `sealed` belong to the point lower + 2**32 - 1; its carry, if any, is already in them.
        prefix -= (lower + (1 << 32) - 1) >> 64
        first = (prefix << 64) + lower
        point = first
        for zeros in range(8, 64 + 8, 8):
            candidate = -(-first >> zeros) << zeros
            if candidate >= first + width:
                break
            point = candidate
        return point.to_bytes(4 * words + 8, "big").rstrip(b"\0")


class RangeDecoder:
    """Reads back what a `RangeEncoder` wrote, by the same calls in the same order.

    Past the end of `data` it reads zero bytes without limit: the work of a call is bounded by its count, and the
    caller bounds the whole by asking for no more than the header allows. Damage shows by chance only (hence
    the CRC of the container); where it does, FormatError is raised. What was decoded is coded again on the
    side, at small cost: so `position` is exact, and `exhausted` notices what no encoder would have written.
    """

    __slots__ = ("_copies", "_data", "_decoder", "_mirror")

    def __init__(self, data: bytes) -> None:
        self._data = bytes(data)
        padded = self._data + bytes(-len(self._data) % 4)
        self._decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))
        self._mirror = RangeEncoder()
        self._copies = [self._mirror]

    def copy_to(self, encoder: RangeEncoder) -> None:
        """From here on, code everything that is decoded into ``encoder`` too."""
        self._copies.append(encoder)

    def _decode(self, model: Any, *count: int) -> Any:
        try:
            values = self._decoder.decode(model, *count)
        except Exception:  # constriction's AssertionError: a point that no encoder leaves behind
            raise damaged("the coded picture data is damaged") from None
        except BaseException as error:
            # A panic of the Rust library derives from BaseException, as do KeyboardInterrupt and SystemExit.
            if type(error).__name__ != "PanicException":
                raise
            raise damaged("the coded picture data is damaged") from None
        for copy in self._copies:
            copy._encoder.encode(values, model)
        return values

    def symbols(self, count: int, table: Table) -> NDArray[np.int64]:
        """Return the next symbols, all of one table: int64, (count,). FormatError on visible damage."""
        if count < 0:
            raise ValueError(f"{count} is not a number of symbols")
        if table.model is None or count == 0:
            return np.zeros(count, dtype=np.int64)
        return np.asarray(self._decode(table.model, count), dtype=np.int64)

    def symbol(self, table: Table) -> int:
        """Return the next symbol, 0..n-1. FormatError on visible damage."""
        if table.model is None:
            return 0
        value: int = self._decode(table.model)
        return value

    def bits(self, count: int) -> int:
        """Return the next `count` (0..64) equiprobable bits, unsigned. FormatError on visible damage."""
        if not 0 <= count <= MAX_RAW_BITS:
            raise ValueError(f"{count} bits cannot be read at once (at most {MAX_RAW_BITS})")
        value = 0
        while count > 0:
            take = min(count, _RAW_CHUNK)
            count -= take
            value = value << take | self._decode(_RAW[take])
        return value

    def bit(self, p1: int) -> int:
        """Return the next decision; a one has the probability p1 / 4096. FormatError on visible damage."""
        value: int = self._decode(_BITS[p1])
        return value

    def position(self) -> float:
        """Information read so far, in bits: equal to the encoder's `position` at this point of the stream."""
        return self._mirror.position()

    def exhausted(self) -> bool:
        """Tell whether the data is exactly what an encoder writes for what has been decoded so far."""
        return self._mirror.finish() == self._data
