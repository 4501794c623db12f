"""The integer networks: everything that a decoder must compute exactly to read a payload (specification, 5.4).

The integers are carried in floating point, so that BLAS multiplies them. No sum reaches 2**53 (``checks`` proves it),
so in float64 every order of summation gives the same result on every machine, with any number of threads. Where the
values at hand show that no sum reaches 2**24, float32 gives that result too, in half the time. numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fixed_point import ACT_MAX, COARSE, FACTOR_BITS, HYPER, INPUT_MAX, PARITIES, WEIGHT_BITS

Ints = NDArray[np.integer[Any]]
Reals = NDArray[np.floating[Any]]
Positions = tuple[Ints, Ints]
"""Rows and columns of N positions on the grid, each (N,)."""
Arrays = Mapping[str, NDArray[np.generic]]

QUALITY_STEP = 20
ROWS = 1024
"""Positions per matrix product: it bounds the memory and does not change the result."""
GROUP = 16
"""Positions whose largest inputs bound their sums together: fewer bound them more closely, and cost more."""
EXACT_32 = 1 << 24
"""Sums below this are exact in float32. So is the bound that is compared with it, though it is computed there: rounding
is monotonic, so a sum of whole numbers that are not negative never comes back below 2**24 once it has got there."""
TAPS = [(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1)]
"""Offsets (row, column) of a 3x3 neighbourhood, in the order of a convolution's weights."""


def at_quality(per_quality: Ints, quality: int) -> Ints:
    """Interpolate parameters linearly, rounding down.

    Args:
        per_quality: parameters at the qualities 0, 20, ..., 100 (6, n).
        quality: 0..100.

    Returns:
        (n,) parameters.
    """
    low, part = divmod(quality, QUALITY_STEP)
    high = min(low + 1, len(per_quality) - 1)
    mixed: Ints = (per_quality[low] * (QUALITY_STEP - part) + per_quality[high] * part) // QUALITY_STEP
    return mixed


def layer(x: NDArray[Any], weight: Reals, bias: Ints, low: int, high: int) -> Reals:
    """floor((x @ weight + bias) / 4096), clamped: (N, inputs) to (N, outputs).

    All are whole numbers. Weights are in the type that :func:`carried` chose, activations below 2**15 in any.
    """
    rows, cols = _wide(x, weight, bias)
    again = np.count_nonzero(rows) * np.count_nonzero(cols)
    if 2 * again > len(rows) * len(cols):
        return _layer(x.astype(np.float64), weight.astype(np.float64), bias, low, high)
    out = _layer(x.astype(np.float32, copy=False), weight, bias, low, high)
    if again:  # what is clamped fits into float32
        part = _layer(x[rows].astype(np.float64), weight[:, cols].astype(np.float64), bias[cols], low, high)
        out[np.ix_(rows, cols)] = part
    return out


def _wide(x: NDArray[Any], weight: Reals, bias: Ints) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Positions (N,) and outputs (outputs,) of which a sum, or a part of it, may reach 2**24: float64 holds these."""
    if weight.dtype == np.float64:
        return np.ones(len(x), bool), np.ones(len(bias), bool)
    wide = _largest(x) @ np.abs(weight) + np.abs(bias) >= EXACT_32
    return np.repeat(wide.any(1), GROUP)[: len(x)], np.logical_or.reduce(wide)


def _layer(x: Reals, weight: Reals, bias: Ints, low: int, high: int) -> Reals:
    """As :func:`layer`, in the type of weights and activations; exact where no sum reaches what it can hold."""
    total: Reals = x @ weight
    total += bias.astype(total.dtype)
    total *= 1.0 / (1 << WEIGHT_BITS)  # exact: a power of two
    np.floor(total, out=total)
    return np.clip(total, low, high, out=total)


def _largest(x: NDArray[Any]) -> NDArray[np.float32]:
    """The largest magnitudes of each input (N, inputs) in groups of positions: (ceil(N / GROUP), inputs)."""
    magnitude, whole = np.abs(x), len(x) // GROUP * GROUP
    groups = magnitude[:whole].reshape(-1, GROUP, x.shape[1]).max(1)
    rest = [magnitude[whole:].max(0, keepdims=True)] if whole < len(x) else []
    return np.concatenate([groups, *rest], dtype=np.float32)


def carried(weight: NDArray[np.generic]) -> Reals:
    """A matrix of whole numbers in the smallest floating-point type that holds all of them; as it is if it is one."""
    if weight.dtype.kind == "f":
        return np.ascontiguousarray(weight)
    wide = weight.dtype.itemsize > 2 and np.abs(weight.astype(np.int64)).max() > 1 << 24
    return np.ascontiguousarray(weight, np.float64 if wide else np.float32)


def taps(weight: NDArray[np.generic]) -> Reals:
    """The weights (outputs, inputs, 3, 3) of a convolution as a matrix (9 * inputs, outputs), tap-major."""
    return np.ascontiguousarray(carried(weight).transpose(2, 3, 1, 0).reshape(-1, weight.shape[0]))


def filled(number: int) -> list[int]:
    """Indices of the taps that earlier passes have coded before pass ``number`` (0..3); the others are still zero."""
    row, col = PARITIES[number]
    return [tap for tap, (r, c) in enumerate(TAPS) if ((row + r) % 2, (col + c) % 2) in PARITIES[:number]]


class Neighbours:
    """A grid of integer features (rows, cols, channels) with a border of zeros, read in 3x3 neighbourhoods."""

    def __init__(self, rows: int, cols: int, channels: int) -> None:
        # int16 is enough: activations are clamped below 2**15
        self.cells = np.zeros((rows + 2, cols + 2, channels), np.int16)
        self.flat = self.cells.reshape(-1, channels)
        stride = cols + 2
        self.steps = np.array([row * stride + col for row, col in TAPS])
        self.stride = stride

    def put(self, where: Positions, values: NDArray[np.generic], start: int = 0) -> None:
        """Set the channels from ``start`` on, at N positions, to values (N, channels)."""
        self.cells[where[0] + 1, where[1] + 1, start : start + values.shape[1]] = values

    def around(
        self, where: Positions, channels: int | None = None, only: Sequence[int] | None = None
    ) -> NDArray[np.int16]:
        """The neighbourhoods of N positions: (N, taps * channels), tap-major.

        Args:
            where: the positions.
            channels: read only so many channels; all if None.
            only: indices of the taps to read; all nine if None.
        """
        centre = (where[0] + 1) * self.stride + where[1] + 1
        view = self.flat if channels is None else self.flat[:, :channels]
        steps = self.steps if only is None else self.steps[only]
        cells: NDArray[np.int16] = view[centre[:, None] + steps].reshape(len(centre), -1)
        return cells


class ContextNet:
    """Predicts a slice, or the mask, at the positions of one pass from everything that was decoded before.

    Args:
        arrays: the stream model's integers.
        prefix: ``mask``, ``slices.K`` or ``coarse_slices.K``.
    """

    def __init__(self, arrays: Arrays, prefix: str) -> None:
        context, current = arrays[f"{prefix}.context"], arrays[f"{prefix}.current"]
        width, self.inputs = context.shape[:2]
        self.filled = [filled(number) for number in range(len(PARITIES))]
        by_tap = context.transpose(2, 3, 1, 0).reshape(-1, width)
        self.first = [carried(by_tap)]
        for weight, known in zip(current, self.filled[1:], strict=True):
            here = weight.transpose(2, 3, 1, 0).reshape(len(TAPS), -1, width)[known].reshape(-1, width)
            self.first.append(carried(np.concatenate([by_tap, here])))
        self.bias1 = arrays[f"{prefix}.bias1"].astype(np.int64)
        self.bias_pass = arrays[f"{prefix}.bias_pass"].astype(np.int64)
        self.weight2 = carried(arrays[f"{prefix}.weight2"].T)
        self.bias2 = arrays[f"{prefix}.bias2"].astype(np.int64)
        self.weight3 = carried(arrays[f"{prefix}.weight3"].T)
        self.bias3 = arrays[f"{prefix}.bias3"].astype(np.int64)

    def predict(self, number: int, known: Neighbours, current: Neighbours, where: Positions, quality: int) -> Ints:
        """Evaluate the network.

        Args:
            number: of the pass, 0..3.
            known: all that was decoded before this slice.
            current: this slice, as far as earlier passes decoded it.
            where: N positions of the pass.
            quality: 0..100.

        Returns:
            Outputs (N, outputs) in 1/64.
        """
        bias1, bias3 = at_quality(self.bias1, quality) + self.bias_pass[number], at_quality(self.bias3, quality)
        out = np.empty((len(where[0]), self.weight3.shape[1]), np.int16)
        for start in range(0, len(out), ROWS):
            part = (where[0][start : start + ROWS], where[1][start : start + ROWS])
            around = known.around(part, self.inputs)
            if number:
                around = np.concatenate([around, current.around(part, only=self.filled[number])], 1)
            x = layer(around, self.first[number], bias1, 0, ACT_MAX)
            x = layer(x, self.weight2, self.bias2, 0, ACT_MAX)
            out[start : start + ROWS] = layer(x, self.weight3, bias3, -ACT_MAX, ACT_MAX)
        return out


class HyperDecoder:
    """Computes the features psi of patches and of coarse cells from the hyper-latent (h_s of Balle et al. 2018).

    Args:
        arrays: the stream model's integers.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.weight1 = taps(arrays["hyper.weight1"])
        self.bias1 = arrays["hyper.bias1"].astype(np.int64)
        # one product for both: the features of patches, and those of coarse cells if the model has any
        layers = [number for number in (2, 3) if f"hyper.weight{number}" in arrays]
        self.fine = len(arrays["hyper.weight2"])
        self.features_per_patch = self.fine // HYPER**2
        weight = np.concatenate([arrays[f"hyper.weight{number}"] for number in layers])
        self.weight2 = carried(weight.T)
        self.bias2 = np.concatenate([arrays[f"hyper.bias{number}"] for number in layers]).astype(np.int64)

    def features(self, z_hat: Ints, quality: int, rows: int, cols: int) -> tuple[Ints, Ints]:
        """Evaluate the network.

        Those of the coarse cells have no channels where the model has no coarse latents.

        Args:
            z_hat: hyper-latent (ceil(rows/4), ceil(cols/4), hyper) in 1/64.
            quality: 0..100.
            rows: of patches.
            cols: of patches.

        Returns:
            psi of the patches (rows, cols, features) and of the coarse cells (ceil(rows/2), ceil(cols/2), features),
            both in 1/64.
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


class PatchPredictor:
    """Predicts the first fine latents of every patch from the coarse latents of 3x3 cells, linearly.

    Latents are coded times a gain, which depends on quality and channel. The prediction is made without gains, so one
    set of weights serves all qualities: coarse latents are divided by their gains, in units of 1/512 then, and what is
    predicted is multiplied by those of the fine latents. Both factors are frozen integers.

    Args:
        arrays: the stream model's integers.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.weight = taps(arrays["expect_weight"])
        self.bias = arrays["expect_bias"].astype(np.int64)
        self.divide = arrays["expect_from"].astype(np.int64)
        self.multiply = arrays["expect_to"].astype(np.int64)

    def predict(self, c_hat: Ints, quality: int, rows: int, cols: int) -> NDArray[np.int32]:
        """Evaluate the prediction.

        Args:
            c_hat: coarse latents (ceil(rows/2), ceil(cols/2), coarse), times their gains, in 1/64. Cells outside the
                grid have the values of the nearest one inside.
            quality: 0..100.
            rows: of patches.
            cols: of patches.

        Returns:
            (rows, cols, expected), times the gains of the fine latents, in 1/64.
        """
        ch, cw, channels = c_hat.shape
        cells = Neighbours(ch, cw, channels)
        cells.cells[:] = np.pad(scaled(c_hat, self.divide[quality], FACTOR_BITS), ((1, 1), (1, 1), (0, 0)), mode="edge")
        where = tuple(a.ravel() for a in np.indices((ch, cw)))
        out = np.empty((ch * cw, len(self.bias)), np.int16)
        for start in range(0, len(out), ROWS):
            part = (where[0][start : start + ROWS], where[1][start : start + ROWS])
            out[start : start + ROWS] = layer(cells.around(part), self.weight, self.bias, -ACT_MAX, ACT_MAX)
        return scaled(spread(out, ch, cw, COARSE)[:rows, :cols], self.multiply[quality], FACTOR_BITS)


def scaled(values: Ints, factors: Ints, bits: int) -> NDArray[np.int32]:
    """floor(values * factors / 2**bits), clamped to -INPUT_MAX..INPUT_MAX: values (..., n), factors (n,)."""
    product = (values.astype(np.int64) * factors) >> bits
    clipped: NDArray[np.int32] = np.clip(product, -INPUT_MAX, INPUT_MAX).astype(np.int32)
    return clipped


def spread(values: Ints, zh: int, zw: int, side: int) -> Ints:
    """Cells (zh * zw, side * side * n) to positions (zh * side, zw * side, n)."""
    n = values.shape[1] // side**2
    return values.reshape(zh, zw, side, side, n).transpose(0, 2, 1, 3, 4).reshape(zh * side, zw * side, n)
