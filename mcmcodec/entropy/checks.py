"""Checks whether frozen integers are a stream model, and proves that none of their sums can be rounded.

Why float64 is exact (specification, section 5.4). Every input of a layer is a whole number of magnitude at most
ACT_MAX: an output of another layer, clamped to it; decoded values, clamped to it or to INPUT_MAX; the constants
-64, 0 and 64; or the header's keep, at most 255. The products weight * input are whole numbers, and so is every
partial sum of them and of the bias, in any order and any grouping: each is at most

    ACT_MAX * (sum over the inputs of |weight|) + |bias|

in magnitude. `check` demands of every output of every layer that this is below 2**53. Whole numbers up to 2**53 are
float64 numbers, so no addition, multiplication or fused multiply-add on the way has anything to round. What
follows is exact too: a multiplication by 2**-12, floor, clamp. The activations are stored as 16-bit integers.
Interpolation by quality is int64: parameters have 32 bits at most and are multiplied by at most 20. Dequantisation is
int32: symbols stay below 2**21 and are multiplied by 64. What coarse latents say of patches is int64 before it is
clamped to INPUT_MAX: values below 2**28 times factors of 32 bits.

By the same argument float32 is exact below 2**24. Most sums stay there with the inputs that they really have, and are
computed so where these inputs prove it (:func:`mcmcodec.entropy.integer_networks.layer`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .fixed_point import ACT_MAX, COARSE, HYPER, SCALES
from .rangecoder import TOTAL

Arrays = Mapping[str, NDArray[np.generic]]

EXACT = 1 << 53
KNOTS = 6
"""Rows of parameters by quality: 0, 20, ..., 100."""
QUALITIES = 101
PASSES = 4
_MAX_REACH = (1 << 15) - 1


def check(arrays: Arrays, coarse_slices: Sequence[int], slices: Sequence[int], base_slices: int) -> int:
    """Check every integer of a stream model, once, when it is loaded.

    Args:
        arrays: the tensors ``entropy.*`` without that prefix (specification, section 7).
        coarse_slices: channels of the slices of the coarse latents.
        slices: channels of the slices of the fine latents.
        base_slices: how many of these are coded for every patch.

    Returns:
        The largest magnitude that a sum can have.

    Raises:
        ModelError: a tensor is missing, has another type or shape, is out of range, or a sum could reach 2**53.
    """
    hyper = _integers(arrays, "hyper.loc", (KNOTS, -1)).shape[1]
    _integers(arrays, "hyper.index", (KNOTS, hyper))
    hidden = _integers(arrays, "hyper.bias1", (KNOTS, -1)).shape[1]
    features = _integers(arrays, "hyper.bias2", (-1,)).size // HYPER**2
    sums = [_layer(arrays, ["hyper.bias1"], _integers(arrays, "hyper.weight1", (hidden, hyper, 3, 3)))]
    for number, cells in ((2, HYPER * HYPER), (3, (HYPER // COARSE) ** 2))[: 1 + bool(coarse_slices)]:
        outputs = cells * features
        _integers(arrays, f"hyper.bias{number}", (outputs,))
        weight = _integers(arrays, f"hyper.weight{number}", (outputs, hidden))
        sums.append(_layer(arrays, [f"hyper.bias{number}"], weight))
    for k, channels in enumerate(coarse_slices):
        known = features + sum(coarse_slices[:k])
        sums.append(_network(arrays, f"coarse_slices.{k}", known, channels, 2 * channels))
    expected, ends = 0, [sum(slices[: k + 1]) for k in range(len(slices))]
    if coarse_slices:
        expected = _integers(arrays, "offset_weight", (-1,)).size
        sums.append(_expectation(arrays, sum(coarse_slices), expected, ends))
    sums.append(_network(arrays, "mask", features + expected + sum(slices[:base_slices]) + 1, 1, 1))
    for k, channels in enumerate(slices):
        known = features + expected + sum(slices[:k]) + (k >= base_slices)
        both = channels * (1 + (ends[k] <= expected))
        sums.append(_network(arrays, f"slices.{k}", known, both, 2 * channels))
    p1 = _integers(arrays, "mask.p1", (SCALES,))
    if p1.min() < 1 or p1.max() > 4095:
        raise _not_a_model("mask.p1 is not 1 to 4095")
    _tables(arrays)
    return max(sums)


def _expectation(arrays: Arrays, coarse: int, expected: int, ends: Sequence[int]) -> int:
    """The largest sum of what coarse latents say of patches: of ``expected`` channels, which end where a slice does."""
    if expected not in ends:
        raise _not_a_model("the expected values are not of whole slices")
    if _integers(arrays, "expect_from", (QUALITIES, coarse)).min() < 0:
        raise _not_a_model("expect_from is below zero")
    if _integers(arrays, "expect_to", (QUALITIES, expected)).min() < 0:
        raise _not_a_model("expect_to is below zero")
    outputs = COARSE * COARSE * expected
    _integers(arrays, "expect_bias", (outputs,))
    return _layer(arrays, ["expect_bias"], _integers(arrays, "expect_weight", (outputs, coarse, 3, 3)))


def _network(arrays: Arrays, name: str, known: int, current: int, outputs: int) -> int:
    width = _integers(arrays, f"{name}.bias1", (KNOTS, -1)).shape[1]
    context = _integers(arrays, f"{name}.context", (width, known, 3, 3))
    currents = _integers(arrays, f"{name}.current", (PASSES - 1, width, current, 3, 3))
    _integers(arrays, f"{name}.bias_pass", (PASSES, width))
    _integers(arrays, f"{name}.bias2", (width,))
    _integers(arrays, f"{name}.bias3", (KNOTS, outputs))
    first = [f"{name}.bias1", f"{name}.bias_pass"]
    return max(
        *(_layer(arrays, first, context, taps) for taps in currents),
        _layer(arrays, [f"{name}.bias2"], _integers(arrays, f"{name}.weight2", (width, width))),
        _layer(arrays, [f"{name}.bias3"], _integers(arrays, f"{name}.weight3", (outputs, width))),
    )


def _layer(arrays: Arrays, biases: Sequence[str], *weights: NDArray[np.int64]) -> int:
    """The largest sum of a layer, refused at 2**53; weights (outputs, ...), biases (outputs,) or (n, outputs) each."""
    largest = sum(np.abs(_integers(arrays, bias, None)).reshape(-1, len(weights[0])).max(0) for bias in biases)
    reach = sum(np.abs(w).reshape(len(w), -1).sum(1) for w in weights)
    # int64 is wide enough for what is left after the first test
    found = EXACT if np.max(reach) > EXACT // ACT_MAX else int(np.max(ACT_MAX * np.asarray(reach) + largest))
    if found >= EXACT:
        raise _not_a_model(f"sums of the layer with {biases[0]} could reach 2**53")
    return found


def _tables(arrays: Arrays) -> None:
    reach = _integers(arrays, "tables.reach", (SCALES,))
    if reach[0] != 0 or reach.min() < 0 or reach.max() > _MAX_REACH:
        raise _not_a_model(f"tables.reach is not 0, and then 0 to {_MAX_REACH}")
    sizes = 2 * reach[1:] + 2
    frequencies = _integers(arrays, "tables.frequencies", (int(sizes.sum()),))
    totals = np.add.reduceat(frequencies, np.cumsum(sizes) - sizes)
    if frequencies.min() < 1 or (totals != TOTAL).any():
        raise _not_a_model(f"tables.frequencies are not above zero with a sum of {TOTAL} in each table")


def _integers(arrays: Arrays, name: str, shape: tuple[int, ...] | None) -> NDArray[np.int64]:
    """The tensor as int64. ModelError unless it has integers of up to 32 bits and that shape (-1: any size but 0)."""
    found = arrays.get(name)
    if found is None:
        raise _not_a_model(f"there is no {name}")
    if found.dtype.kind not in "iu" or found.dtype.itemsize > 4:
        raise _not_a_model(f"{name} is {found.dtype}, not integers of 32 bits at most")
    fits = shape is None or (
        len(shape) == found.ndim and all(a == b or a == -1 for a, b in zip(shape, found.shape, strict=True))
    )
    if not fits or not found.size:
        raise _not_a_model(f"{name} has shape {found.shape}, not {shape}")
    return found.astype(np.int64)


def _not_a_model(cause: str) -> ModelError:
    return ModelError(f"the weights are not a stream model: {cause}", "install mcmcodec again")
