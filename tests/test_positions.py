"""Symbols depend on nothing but the file: not on batches, the order in them, the place in the grid, or who computes.

And integers that drive every sum towards its limit still give what integer arithmetic gives.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_parser
from hypothesis import given, settings
from hypothesis import strategies as st
from models import NUMBER, smooth_noise
from safetensors.numpy import load_file, save_file

from mcmcodec.codec import Codec, symbols
from mcmcodec.entropy import integer_networks
from mcmcodec.entropy.checks import EXACT, check
from mcmcodec.entropy.fixed_point import ACT_MAX, WEIGHT_BITS
from mcmcodec.entropy.integer_networks import Neighbours, layer
from mcmcodec.entropy.latent_coder import EntropyModel
from mcmcodec.model.weights import Weights, forget

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "formats" / "vectors")]

from exactness import symbol_hash  # noqa: E402
from make import dice  # noqa: E402


@pytest.fixture(scope="module")
def file(tiny_codec: Codec) -> bytes:
    return tiny_codec.encode(smooth_noise(150, 210, seed=3), quality=60, keep=0.6)


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_batches_do_not_matter(file: bytes, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = symbol_hash(symbols(file))
    monkeypatch.setattr(integer_networks, "ROWS", rows)
    assert symbol_hash(symbols(file)) == wanted


def random_grid(rng: np.random.Generator, rows: int, cols: int, channels: int) -> Neighbours:
    grid = Neighbours(rows, cols, channels)
    grid.cells[1:-1, 1:-1] = rng.integers(-ACT_MAX, ACT_MAX + 1, (rows, cols, channels))
    return grid


def test_order_and_place_do_not_matter(tiny_codec: Codec) -> None:
    """Every network, every pass: positions shuffled, alone, and the whole neighbourhood moved elsewhere."""
    rng, model = np.random.default_rng(0), tiny_codec.weights.entropy
    for net in [model.mask, *model.coarse_nets, *model.nets]:
        inner = (net.first[1].shape[0] - 9 * net.inputs) // len(net.filled[1])
        known, current = random_grid(rng, 6, 7, net.inputs), random_grid(rng, 6, 7, inner)
        moved = Neighbours(20, 30, net.inputs), Neighbours(20, 30, inner)
        moved[0].cells[5:11, 9:16], moved[1].cells[5:11, 9:16] = known.cells[1:-1, 1:-1], current.cells[1:-1, 1:-1]
        where = tuple(a.ravel() for a in np.indices((6, 7)))
        shuffled = rng.permutation(len(where[0]))
        for number in range(4):
            wanted = net.predict(number, known, current, where, 33)
            other = net.predict(number, known, current, (where[0][shuffled], where[1][shuffled]), 33)
            assert (other == wanted[shuffled]).all()
            alone = [
                net.predict(number, known, current, (where[0][i : i + 1], where[1][i : i + 1]), 33) for i in (0, 9)
            ]
            assert (np.concatenate(alone) == wanted[[0, 9]]).all()
            assert (net.predict(number, *moved, (where[0] + 4, where[1] + 8), 33) == wanted).all()


@pytest.mark.parametrize("quality", [0, 33, 100])
def test_parser_without_blas_agrees(tiny: Path, tiny_codec: Codec, quality: int) -> None:
    known = reference_parser.models(tiny)
    for data in (
        tiny_codec.encode(smooth_noise(70, 90), quality=quality),
        dice(90, 70, quality, 0.6, quality)(tiny_codec),
    ):
        assert reference_parser.parse(data, known).sha256() == symbol_hash(symbols(data))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), inputs=st.integers(128, 600))
def test_sums_near_the_limit_are_exact(seed: int, inputs: int) -> None:
    """Weights of 32 bits whose sums come within a few units of 2**53 and cancel, in every order of summation."""
    rng = np.random.default_rng(seed)
    half = inputs // 2
    top = EXACT // ACT_MAX // inputs
    weights = rng.integers(top - top // 1000, top + 1, (2 * half, 4))
    weights[half:] = -weights[:half] + rng.integers(-9, 10, (half, 4))
    x = rng.integers(ACT_MAX - 2, ACT_MAX + 1, (3, 2 * half))
    bias = rng.integers(-1000, 1000, 4)
    assert (np.abs(weights).sum(0) * ACT_MAX).max() < EXACT
    order = rng.permutation(2 * half)
    for rows in (np.arange(2 * half), order, order[::-1]):
        got = layer(x[:, rows].astype(np.float64), weights[rows].astype(np.float64), bias, -(1 << 52), 1 << 52)
        for i, j in np.ndindex(got.shape):
            total = sum(int(a) * int(b) for a, b in zip(x[i], weights[:, j], strict=True)) + int(bias[j])
            assert got[i, j] == total >> WEIGHT_BITS


def stressed(folder: Path, tiny: Path, seed: int) -> Codec:
    """The tiny model with random integers that bring every layer's largest sum near 2**53."""
    rng = np.random.default_rng(seed)
    arrays = load_file(tiny / "tiny.safetensors")
    for name, values in arrays.items():
        if not name.startswith("entropy.") or name.startswith("entropy.tables") or name.endswith(("p1", "index")):
            continue
        if "bias" in name or name.endswith("loc"):
            arrays[name] = rng.integers(-(2**31), 2**31, values.shape, dtype=np.int64).astype(np.int32)
            continue
        if name.endswith(("expect_from", "expect_to")):  # some products are small, some are clamped
            arrays[name] = rng.integers(0, 2 ** rng.integers(10, 32, values.shape)).astype(np.int32)
            continue
        # huge weights in pairs of opposite sign: partial sums come near the limit from both sides
        flat = rng.integers(-3000, 3000, values.shape).reshape(len(values), -1)
        pairs = min(flat.shape[1] // 2, 60)
        huge = rng.integers(1 << 30, (1 << 30) + (1 << 28), (len(values), pairs))
        flat[:, :pairs], flat[:, pairs : 2 * pairs] = huge, -huge + flat[:, pairs : 2 * pairs]
        flat = flat[:, rng.permutation(flat.shape[1])]
        arrays[name] = flat.reshape(values.shape).astype(np.int32)
    save_file(arrays, folder / "tiny.safetensors")
    card = json.loads((tiny / "tiny.json").read_text())
    card["stream"]["sha256"] = hashlib.sha256((folder / "tiny.safetensors").read_bytes()).hexdigest()
    (folder / "tiny.json").write_text(json.dumps(card))
    entropy = {k.removeprefix("entropy."): v for k, v in arrays.items() if k.startswith("entropy.")}
    weights = Weights("tiny", card, folder)
    config = weights.config
    sizes = config.coarse_slices, config.slices, config.base_slices
    largest = check(entropy, *sizes)
    assert EXACT / 4 < largest < EXACT
    EntropyModel(entropy, *sizes)
    return Codec("tiny", "cpu")


@pytest.mark.parametrize("seed", [1, 2])
def test_random_weights_near_the_limit(tiny: Path, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCMCODEC_WEIGHTS", str(tmp_path))
    codec: Any = stressed(tmp_path, tiny, seed)
    forget()
    known = reference_parser.models(tmp_path)
    assert set(known) == {NUMBER}
    for quality in (0, 47, 100):
        data = dice(70, 90, quality, 0.5, seed)(codec)
        found = reference_parser.parse(data, known)
        assert found.sha256() == symbol_hash(symbols(data))
        assert {-ACT_MAX, ACT_MAX} <= set(np.unique(found.psi)), "both clamps are reached"
    forget()
