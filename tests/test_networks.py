"""The integer networks: what was trained is what runs, and float64 carries every sum exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import tiny_network
from numpy.typing import NDArray

from mcmcodec.entropy import fixed, networks
from mcmcodec.entropy.adaptive import AdaptiveBit
from mcmcodec.entropy.fixed import ACT_BITS, ACT_MAX, INPUT_MAX, WEIGHT_BITS, WEIGHT_MAX
from mcmcodec.entropy.networks import Neighbours, at_quality, layer
from mcmcodec.entropy.rangecoder import RangeDecoder, RangeEncoder
from mcmcodec.entropy.stream import Counter, Decoded, EntropyModel, Reader, Writer, walk
from mcmcodec.model.config import PRESETS
from mcmcodec.model.layers import knot_weights
from mcmcodec.training.entropy import Coded, EntropyNets
from mcmcodec.training.export import frequencies, integers, logistic_tables
from mcmcodec.weights import find

CONFIG = PRESETS["tiny"]
UNIT = 1 << ACT_BITS
GRID = (11, 14)
BIASES = ("bias1", "bias2", "bias3", "hyper_loc", "hyper_index")


@pytest.fixture(scope="module")
def nets() -> EntropyNets:
    """Trained form, in float64, with biases that every quality interpolates without rounding.

    Biases are 20 k + 1/4 units: the export rounds the quarter away, the interpolation divides by 20 without a rest,
    and a sum that float arithmetic leaves a hair off its place does not fall below the next whole number.
    """
    entropy = tiny_network(3).double().entropy
    unit = 2.0 ** -(ACT_BITS + WEIGHT_BITS)
    with torch.no_grad():
        for name, p in entropy.named_parameters():
            if name.endswith(BIASES):
                p.copy_((torch.round(p / (20 * unit)) * 20 + 0.25) * unit)
    return entropy


@pytest.fixture(scope="module")
def model(nets: EntropyNets) -> EntropyModel:
    """Exported form, with the tables of the densities that training assumes."""
    reach, probabilities = logistic_tables()
    tables = {"tables.reach": reach, "tables.frequencies": frequencies(reach, probabilities)}
    return EntropyModel(integers(nets) | tables, CONFIG.slices, CONFIG.base_slices)


class Case:
    """Latents, hyper-latent and mask of a picture that does not exist."""

    def __init__(self, quality: int, share: float, grid: tuple[int, int] = GRID) -> None:
        rng = np.random.default_rng([quality, int(share * 100)])
        self.quality, self.grid = quality, grid
        self.mask = rng.random(grid) < share
        self.keep = round(255 * float(self.mask.mean()))
        self.v = rng.laplace(0, 3, (*grid, CONFIG.latents))
        self.v[..., CONFIG.base :] *= self.mask[..., None]
        self.z = rng.normal(0, 2, (-(-grid[0] // 4), -(-grid[1] // 4), CONFIG.hyper))

    def trained(self, nets: EntropyNets) -> Coded:
        """What training sees, on a grid with even sides."""
        tensors = [torch.from_numpy(a)[None] for a in (self.v, self.z, self.mask)]
        with torch.no_grad():
            coded: Coded = nets(*tensors, knot_weights(torch.tensor([self.quality])).double())
        return coded

    def walk(self, model: EntropyModel, port: Any) -> Decoded:
        return walk(model, port, self.grid, self.quality, self.keep, bool(self.mask.all()))

    def ports(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        return self.v, self.z.reshape(-1, CONFIG.hyper), self.mask


class Probe(Counter):
    """Counts bits by section, and the mask's with the network's word alone."""

    def __init__(self, case: Case, model: EntropyModel) -> None:
        super().__init__(*case.ports(), model.tables, np.zeros(CONFIG.latents))
        self.mask_bits, self.latent_bits = 0.0, {"base": 0.0, "latents": 0.0}
        self.seen: set[int] = set()
        self.name = ""

    def section(self, name: str) -> None:
        self.name = name

    def hyper(self, loc: Any, index: Any) -> Any:
        symbols = super().hyper(loc, index)
        self.latent_bits["base"] += self.tables.cost(symbols, np.broadcast_to(index, symbols.shape)).sum()
        return symbols

    def visible(self, where: Any, states: list[AdaptiveBit]) -> Any:
        bits = super().visible(where, states)
        p1 = np.array([state.p1 for state in states]) / 4096
        self.seen |= {state.p1 for state in states}
        self.mask_bits -= float(np.log2(np.where(bits, p1, 1 - p1)).sum())
        return bits

    def note(self, where: Any, channels: Any, error: Any, symbols: Any, index: Any) -> None:
        self.latent_bits[self.name] += self.tables.cost(symbols, index).sum()


EVEN = (10, 12)


@pytest.mark.parametrize("quality", [0, 20, 33, 50, 81, 100])
@pytest.mark.parametrize("share", [0.0, 0.55, 1.0])
def test_trained_form_is_the_exported_form(nets: EntropyNets, model: EntropyModel, quality: int, share: float) -> None:
    case = Case(quality, share, EVEN)
    coded = case.trained(nets)
    encoder = RangeEncoder()
    decoded = case.walk(model, Writer(encoder, *case.ports(), model.tables, np.zeros(CONFIG.latents)))
    np.testing.assert_array_equal(decoded.psi, np.rint(coded.psi[0].numpy() * UNIT))
    places = case.mask[..., None] | (np.arange(CONFIG.latents) < CONFIG.base)
    trained = np.where(places, np.rint(coded.v_hat[0].numpy() * UNIT), 0)
    np.testing.assert_array_equal(decoded.v_hat, trained)
    assert len(np.unique(decoded.psi)) > 100
    reader = Reader(RangeDecoder(encoder.finish()), model.tables, len(case.ports()[1]))
    np.testing.assert_array_equal(case.walk(model, reader).v_hat, decoded.v_hat)


def test_reality_of_the_comparison(nets: EntropyNets, model: EntropyModel) -> None:
    """One weight off by one unit shows: the networks are not so idle that anything would pass."""
    case = Case(50, 0.55, EVEN)
    before = case.walk(model, Counter(*case.ports(), model.tables, np.zeros(CONFIG.latents)))
    for net in [*model.nets, model.hyper]:
        weight = net.weight2
        original = weight.copy()
        weight += 1
        after = case.walk(model, Counter(*case.ports(), model.tables, np.zeros(CONFIG.latents)))
        weight[:] = original
        assert (after.v_hat != before.v_hat).any()


class Sampler:
    """Draws symbols from the densities that the networks predict, for a mask that is given."""

    def __init__(self, case: Case) -> None:
        self.mask, self.rng = case.mask, np.random.default_rng(1)
        self.cells = len(case.ports()[1])
        self.z = np.empty(case.z.shape)

    def section(self, name: str) -> None:
        """Nothing to account."""

    def hyper(self, loc: Any, index: Any) -> Any:
        symbols = self.draw(np.broadcast_to(index, (self.cells, len(index))))
        self.z = (symbols + loc / UNIT).reshape(self.z.shape)
        return symbols

    def visible(self, where: Any, states: list[AdaptiveBit]) -> Any:
        return self.mask[where]

    def latents(self, where: Any, start: int, mu: Any, index: Any) -> Any:
        return self.draw(index)

    def draw(self, index: Any) -> Any:
        scale = fixed.SCALE_MIN * np.exp(index * fixed.SCALE_STEP)
        return np.rint(self.rng.logistic(0, scale).clip(-6 * scale, 6 * scale)).astype(np.int64) * (index > 0)


@pytest.mark.parametrize("quality", [0, 45, 100])
def test_training_counts_the_bits_that_are_spent(nets: EntropyNets, model: EntropyModel, quality: int) -> None:
    case = Case(quality, 0.55, (24, 26))
    sampler = Sampler(case)
    case.v = case.walk(model, sampler).v_hat / UNIT
    case.z = sampler.z
    bits = {name: float(value) for name, value in case.trained(nets).bits.items()}
    probe = Probe(case, model)
    case.walk(model, probe)
    assert len(probe.seen) > 5, "the mask network says the same of every patch"
    assert probe.mask_bits == pytest.approx(bits["mask"], rel=0.01)
    assert probe.latent_bits["latents"] == pytest.approx(bits["latents"], rel=0.005)
    assert probe.latent_bits["base"] == pytest.approx(bits["base"], rel=0.005)


@pytest.mark.parametrize("grid", [(1, 1), (1, 9), (5, 2), GRID])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_odd_grids_and_few_patches(model: EntropyModel, grid: tuple[int, int], share: float) -> None:
    case = Case(60, share, grid)
    encoder = RangeEncoder()
    written = case.walk(model, Writer(encoder, *case.ports(), model.tables, np.full(CONFIG.latents, 0.1)))
    decoder = RangeDecoder(encoder.finish())
    read = case.walk(model, Reader(decoder, model.tables, len(case.ports()[1])))
    np.testing.assert_array_equal(read.v_hat, written.v_hat)
    np.testing.assert_array_equal(read.mask, case.mask)
    assert decoder.exhausted()


def test_rows_per_product_do_not_matter(model: EntropyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    case = Case(70, 0.5)
    for rows in (networks.ROWS, 3):
        monkeypatch.setattr(networks, "ROWS", rows)
        encoder = RangeEncoder()
        case.walk(model, Writer(encoder, *case.ports(), model.tables, np.zeros(CONFIG.latents)))
        files.append(encoder.finish())
    assert files[0] == files[1]


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
    knots = rng.integers(-(2**31), 2**31, (6, 7))
    for quality in range(101):
        low = min(quality // 20, 4)
        part = quality - 20 * low
        exact = [(int(a) * (20 - part) + int(b) * part) // 20 for a, b in zip(knots[low], knots[low + 1], strict=True)]
        assert at_quality(knots, quality).tolist() == exact
    for number in range(6):
        assert at_quality(knots, 20 * number).tolist() == knots[number].tolist()


def test_neighbourhoods_match_a_convolution() -> None:
    rng = np.random.default_rng(0)
    features = rng.integers(-ACT_MAX, ACT_MAX, (5, 6, 3))
    weight = rng.integers(-WEIGHT_MAX, WEIGHT_MAX, (4, 3, 3, 3)).astype(np.int16)
    rows, cols = (a.ravel() for a in np.indices((5, 6)))
    cells = Neighbours(5, 6, 3)
    cells.put((rows, cols), features[rows, cols])
    got = (cells.around((rows, cols)) @ networks.taps(weight)).reshape(5, 6, 4)
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
    assert len(pairs) == 2 + 6 * (1 + len(CONFIG.slices))
    for weight, bias in pairs:
        biases = np.abs(bias.reshape(-1, weight.shape[1])).max(0)
        assert (np.abs(weight).sum(0) * ACT_MAX + biases).max() < 2**53
        assert np.abs(weight).max() <= WEIGHT_MAX
        assert (weight == np.rint(weight)).all()
        assert np.abs(weight).any()


def test_constants_are_the_formats() -> None:
    """Changing one of them makes every file unreadable."""
    assert (fixed.ACT_BITS, fixed.WEIGHT_BITS, fixed.ACT_MAX, fixed.INPUT_MAX) == (6, 12, 32767, 16383)
    assert fixed.PARITIES == ((0, 0), (1, 1), (0, 1), (1, 0))
    assert (fixed.SCALES, fixed.MASK_CENTRE, networks.HYPER) == (64, 32, 4)
