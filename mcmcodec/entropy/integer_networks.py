"""Stage: entropy, the integer networks. Whatever the decoder must reproduce to parse a stream is computed here.

Integers ride in float64 so that BLAS multiplies them; no sum reaches 2**53 (see ``checks``), so any order of
summation on any machine with any number of threads gives the same bits. numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fixed_point import ACT_MAX, COARSE, HYPER, INPUT_MAX, PARITIES, WEIGHT_BITS

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]
Arrays = Mapping[str, NDArray[np.generic]]

QUALITY_STEP = 20
ROWS = 4096
"""Positions per matrix product: bounds the memory, not the result."""
TAPS = [(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1)]
"""The steps to the nine positions of a neighbourhood, in the order of a convolution's weights."""


def at_quality(knots: Ints, quality: int) -> Ints:
    """Interpolate (6, n) parameters at a quality 0..100: floor of the weighted sum over 20."""
    low, part = divmod(quality, QUALITY_STEP)
    high = min(low + 1, len(knots) - 1)
    mixed: Ints = (knots[low] * (QUALITY_STEP - part) + knots[high] * part) // QUALITY_STEP
    return mixed


def layer(x: Floats, weight: Floats, bias: Ints | Floats, low: int, high: int) -> Floats:
    """floor((x @ weight + bias) / 4096), clamped: (N, inputs) to (N, outputs), whole numbers in float64."""
    total = x @ weight
    total += bias
    total *= 1.0 / (1 << WEIGHT_BITS)  # exact: a power of two
    np.floor(total, out=total)
    return np.clip(total, low, high, out=total)


def taps(weight: NDArray[np.generic]) -> Floats:
    """A convolution's weights (outputs, inputs, 3, 3) as a matrix (9 * inputs, outputs), tap-major."""
    return np.ascontiguousarray(weight.astype(np.float64).transpose(2, 3, 1, 0).reshape(-1, weight.shape[0]))


def filled(number: int) -> list[int]:
    """Indices of the taps that the passes before ``number`` (0..3) have filled; at all others a slice is still zero."""
    row, col = PARITIES[number]
    return [tap for tap, (r, c) in enumerate(TAPS) if ((row + r) % 2, (col + c) % 2) in PARITIES[:number]]


class Neighbours:
    """A grid of integer features with a border of zeros, read in 3x3 neighbourhoods."""

    def __init__(self, rows: int, cols: int, channels: int) -> None:
        # activations stay below 2**15
        self.cells = np.zeros((rows + 2, cols + 2, channels), np.int16)
        self.flat = self.cells.reshape(-1, channels)
        stride = cols + 2
        self.steps = np.array([row * stride + col for row, col in TAPS])
        self.stride = stride

    def put(self, where: tuple[Ints, Ints], values: NDArray[np.generic], start: int = 0) -> None:
        """Set channels ``start``.. at the positions (row, column)."""
        self.cells[where[0] + 1, where[1] + 1, start : start + values.shape[1]] = values

    def around(
        self, where: tuple[Ints, Ints], channels: int | None = None, only: Sequence[int] | None = None
    ) -> Floats:
        """(N, taps * channels): the neighbourhoods of the positions, or some taps of them, tap-major."""
        centre = (where[0] + 1) * self.stride + where[1] + 1
        view = self.flat if channels is None else self.flat[:, :channels]
        steps = self.steps if only is None else self.steps[only]
        cells: Floats = view[centre[:, None] + steps].reshape(len(centre), -1).astype(np.float64)
        return cells


class ContextNet:
    """Predicts a slice (or the mask) at the positions of one pass from everything decoded before."""

    def __init__(self, arrays: Arrays, prefix: str) -> None:
        context = taps(arrays[f"{prefix}.context"])
        self.inputs = arrays[f"{prefix}.context"].shape[1]
        self.first, self.filled = [context], [filled(number) for number in range(len(PARITIES))]
        for weight, known in zip(arrays[f"{prefix}.current"], self.filled[1:], strict=True):
            by_tap = taps(weight).reshape(len(TAPS), -1, context.shape[1])
            self.first.append(np.concatenate([context, by_tap[known].reshape(-1, context.shape[1])]))
        self.bias1 = arrays[f"{prefix}.bias1"].astype(np.int64)
        self.bias_pass = arrays[f"{prefix}.bias_pass"].astype(np.int64)
        self.weight2 = np.ascontiguousarray(arrays[f"{prefix}.weight2"].astype(np.float64).T)
        self.bias2 = arrays[f"{prefix}.bias2"].astype(np.int64)
        self.weight3 = np.ascontiguousarray(arrays[f"{prefix}.weight3"].astype(np.float64).T)
        self.bias3 = arrays[f"{prefix}.bias3"].astype(np.int64)

    def predict(
        self, number: int, known: Neighbours, current: Neighbours, where: tuple[Ints, Ints], quality: int
    ) -> Ints:
        """Raw outputs (N, outputs) in 1/64 at the positions ``where`` of pass ``number`` (0..3)."""
        bias1, bias3 = at_quality(self.bias1, quality) + self.bias_pass[number], at_quality(self.bias3, quality)
        out = np.empty((len(where[0]), self.weight3.shape[1]), np.int16)
        for start in range(0, len(out), ROWS):
            part = (where[0][start : start + ROWS], where[1][start : start + ROWS])
            x = known.around(part, self.inputs)
            if number:
                x = np.concatenate([x, current.around(part, only=self.filled[number])], 1)
            x = layer(x, self.first[number], bias1, 0, ACT_MAX)
            x = layer(x, self.weight2, self.bias2, 0, ACT_MAX)
            out[start : start + ROWS] = layer(x, self.weight3, bias3, -ACT_MAX, ACT_MAX)
        return out


class HyperDecoder:
    """h_s: the decoded hyper-latent to features psi for every patch, and for every coarse cell."""

    def __init__(self, arrays: Arrays) -> None:
        self.weight1 = taps(arrays["hyper.weight1"])
        self.bias1 = arrays["hyper.bias1"].astype(np.int64)
        both = np.concatenate([arrays["hyper.weight2"], arrays["hyper.weight3"]])
        self.fine = len(arrays["hyper.weight2"])
        self.weight2 = np.ascontiguousarray(both.astype(np.float64).T)
        self.bias2 = np.concatenate([arrays["hyper.bias2"], arrays["hyper.bias3"]]).astype(np.int64)

    def features(self, z_hat: Ints, quality: int, rows: int, cols: int) -> tuple[Ints, Ints]:
        """Features psi of the patches (rows, cols, n) and of the coarse cells (ceil(rows/2), ceil(cols/2), n), in 1/64.

        Args:
            z_hat: (ceil(rows/4), ceil(cols/4), hyper) in 1/64.
            quality: 0..100.
            rows: of patches.
            cols: of patches.
        """
        zh, zw, channels = z_hat.shape
        where = tuple(a.ravel() for a in np.indices((zh, zw)))
        cells = Neighbours(zh, zw, channels)
        cells.put(where, np.clip(z_hat, -INPUT_MAX, INPUT_MAX).reshape(-1, channels))  # type: ignore[arg-type]
        bias1 = at_quality(self.bias1, quality)
        psi = np.empty((zh * zw, self.weight2.shape[1]), np.int16)
        for start in range(0, len(psi), ROWS):
            part = (where[0][start : start + ROWS], where[1][start : start + ROWS])
            x = layer(cells.around(part), self.weight1, bias1, 0, ACT_MAX)
            psi[start : start + ROWS] = layer(x, self.weight2, self.bias2, -ACT_MAX, ACT_MAX)
        fine = spread(psi[:, : self.fine], zh, zw, HYPER)
        coarse = spread(psi[:, self.fine :], zh, zw, HYPER // COARSE)
        return fine[:rows, :cols], coarse[: -(-rows // COARSE), : -(-cols // COARSE)]


def spread(values: Ints, zh: int, zw: int, side: int) -> Ints:
    """Cells (zh * zw, side * side * n) to positions (zh * side, zw * side, n)."""
    return values.reshape(zh, zw, side, side, -1).transpose(0, 2, 1, 3, 4).reshape(zh * side, zw * side, -1)
