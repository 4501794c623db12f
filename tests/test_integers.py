"""Integer arithmetic in float64: every sum is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mcmcodec.entropy import integer_networks
from mcmcodec.entropy.fixed_point import ACT_MAX, INPUT_MAX, WEIGHT_BITS, WEIGHT_MAX
from mcmcodec.entropy.integer_networks import Neighbours, at_quality, layer
from mcmcodec.entropy.latent_coder import EntropyModel
from mcmcodec.model.config import PRESETS
from mcmcodec.model.weights import find

ACTIVATIONS = st.sampled_from([0, 1, -1, 63, INPUT_MAX, -INPUT_MAX, ACT_MAX, -ACT_MAX]) | st.integers(-ACT_MAX, ACT_MAX)
WEIGHTS = st.sampled_from([0, 1, -1, WEIGHT_MAX, -WEIGHT_MAX]) | st.integers(-WEIGHT_MAX, WEIGHT_MAX)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), inputs=st.integers(1, 9), outputs=st.integers(1, 3))
def test_layer_is_integer_arithmetic(data: st.DataObject, inputs: int, outputs: int) -> None:
    x = data.draw(st.lists(st.lists(ACTIVATIONS, min_size=inputs, max_size=inputs), min_size=1, max_size=3))
    w = data.draw(st.lists(st.lists(WEIGHTS, min_size=outputs, max_size=outputs), min_size=inputs, max_size=inputs))
    b = data.draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=outputs, max_size=outputs))
    low = data.draw(st.sampled_from([0, -ACT_MAX]))
    got = layer(np.array(x, np.float64), np.array(w, np.float64), np.array(b), low, ACT_MAX)
    for row, out in zip(x, got.tolist(), strict=True):
        for j, value in enumerate(out):
            total = sum(a * c[j] for a, c in zip(row, w, strict=True)) + b[j]
            assert value == min(max(total >> WEIGHT_BITS, low), ACT_MAX)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), near=st.integers(-40, 40), inputs=st.integers(1, 900))
def test_float32_is_used_only_where_it_is_exact(seed: int, near: int, inputs: int) -> None:
    """Some outputs' sums just below 2**24, some at it, some far above; odd ones, which float32 would lose."""
    rng = np.random.default_rng(seed)
    w = rng.integers(-WEIGHT_MAX, WEIGHT_MAX + 1, (inputs, 6)) // np.array([1, 4, 16, 64, 256, 4096])
    x = rng.integers(-200, 201, (5, inputs))
    bias = rng.integers(-(2**20), 2**20, 6)
    bias[5] = (1 << 24) - int(np.abs(w[:, 5]) @ np.abs(x).max(0)) + near
    wide = 1 << 52
    weight = integer_networks.carried(w.astype(np.int16))
    assert weight.dtype == np.float32
    for activations in (x.astype(np.int16), x.astype(np.float32), x.astype(np.float64)):
        got = layer(activations, weight, bias, -wide, wide)
        np.testing.assert_array_equal(got, (x @ w + bias) >> WEIGHT_BITS)


def test_sums_that_would_be_rounded_in_float32() -> None:
    """Partial sums leave 2**24 and come back."""
    x = np.array([[ACT_MAX, ACT_MAX, 1]], np.int16)
    w = np.array([[WEIGHT_MAX], [-WEIGHT_MAX], [1]], np.int16)
    for order in ([0, 1, 2], [0, 2, 1], [2, 1, 0]):
        assert layer(x[:, order], integer_networks.carried(w[order]), np.array([4095]), 0, 9).tolist() == [[1]]


@pytest.mark.parametrize("sign", [1, -1])
def test_widest_layer_is_exact(sign: int) -> None:
    inputs = 9 * 512
    x = np.full((2, inputs), float(ACT_MAX))
    w = np.full((inputs, 1), float(sign * WEIGHT_MAX))
    x[0, 0] -= 1  # a last bit that a rounded sum would lose
    totals = [sign * WEIGHT_MAX * (ACT_MAX * inputs - 1), sign * WEIGHT_MAX * ACT_MAX * inputs]
    wide = 1 << 52
    got = layer(x, w, np.array([5]), -wide, wide)[:, 0].tolist()
    assert got == [(total + 5) >> WEIGHT_BITS for total in totals]


def test_at_quality() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(-(2**31), 2**31, (6, 7))
    for quality in range(101):
        low = min(quality // 20, 4)
        part = quality - 20 * low
        exact = [(int(a) * (20 - part) + int(b) * part) // 20 for a, b in zip(rows[low], rows[low + 1], strict=True)]
        assert at_quality(rows, quality).tolist() == exact
    for number in range(6):
        assert at_quality(rows, 20 * number).tolist() == rows[number].tolist()


def test_neighbourhoods_match_a_convolution() -> None:
    rng = np.random.default_rng(0)
    features = rng.integers(-ACT_MAX, ACT_MAX, (5, 6, 3))
    weight = rng.integers(-WEIGHT_MAX, WEIGHT_MAX, (4, 3, 3, 3)).astype(np.int16)
    rows, cols = (a.ravel() for a in np.indices((5, 6)))
    cells = Neighbours(5, 6, 3)
    cells.put((rows, cols), features[rows, cols])
    got = (cells.around((rows, cols)).astype(np.float64) @ integer_networks.taps(weight)).reshape(5, 6, 4)
    planes = torch.from_numpy(features.transpose(2, 0, 1)[None].astype(np.float64))
    want = torch.nn.functional.conv2d(planes, torch.from_numpy(weight.astype(np.float64)), padding=1)
    np.testing.assert_array_equal(got, want[0].permute(1, 2, 0).numpy())


def bounds(model: EntropyModel) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Weight matrix and largest bias of every layer."""
    pairs = [(model.hyper.weight1, model.hyper.bias1), (model.hyper.weight2, model.hyper.bias2)]
    for net in [model.mask, *model.nets]:
        pairs += [(first, net.bias1) for first in net.first]
        pairs += [(net.weight2, net.bias2), (net.weight3, net.bias3)]
    return pairs


def test_no_sum_can_leave_exact_range(tiny: Path) -> None:
    pairs = bounds(find("tiny").entropy)
    assert len(pairs) == 2 + 6 * (1 + len(PRESETS["tiny"].slices))
    for weight, bias in pairs:
        biases = np.abs(bias.reshape(-1, weight.shape[1])).max(0)
        assert (np.abs(weight).sum(0) * ACT_MAX + biases).max() < 2**53
        assert np.abs(weight).max() <= WEIGHT_MAX
        assert (weight == np.rint(weight)).all()
        assert np.abs(weight).any()
