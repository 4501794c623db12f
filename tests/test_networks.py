"""The integer networks: what was trained is what runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from models import tiny_network
from numpy.typing import NDArray

from mcmcodec.encoder.rdoq import RdoqQuantizer
from mcmcodec.entropy import fixed_point, integer_networks
from mcmcodec.entropy.adaptive import AdaptiveBit
from mcmcodec.entropy.fixed_point import ACT_BITS, WEIGHT_BITS
from mcmcodec.entropy.latent_coder import Decoded, EntropyModel, SymbolReader, code_latents
from mcmcodec.entropy.rangecoder import RangeDecoder, RangeEncoder
from mcmcodec.model import entropy_nets
from mcmcodec.model.config import PRESETS
from mcmcodec.model.entropy_nets import Coded, EntropyNets, from_integers, integers
from mcmcodec.model.layers import quality_weights
from mcmcodec.training.export import frequencies, logistic_tables, mask_probabilities

CONFIG = PRESETS["tiny"]
UNIT = 1 << ACT_BITS
GRID = (11, 14)
BIASES = ("bias1", "bias2", "bias3", "bias_pass", "hyper_loc", "hyper_index", "expect_bias")
ZEROS = np.zeros(CONFIG.latents), np.zeros(CONFIG.coarse), np.zeros((1, 1))


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
                scale = unit / 8 if name == "expect_bias" else unit
                p.copy_((torch.round(p / (20 * scale)) * 20 + 0.25) * scale)
    return entropy


@pytest.fixture(scope="module")
def model(nets: EntropyNets) -> EntropyModel:
    """Exported form, with the tables of the densities that training assumes."""
    reach, probabilities = logistic_tables()
    tables = {"tables.reach": reach, "tables.frequencies": frequencies(reach, probabilities)}
    units, gains = (np.array(every) for every in zip(*(factors(quality) for quality in range(101)), strict=True))
    tables["mask.p1"] = mask_probabilities()
    tables["expect_from"] = np.rint(units / UNIT * 2**25).astype(np.int32)
    tables["expect_to"] = np.rint(gains * UNIT * 2**7).astype(np.int32)
    return EntropyModel(integers(nets) | tables, CONFIG.coarse_slices, CONFIG.slices, CONFIG.base_slices)


def factors(quality: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Real units per gained coarse unit (coarse,) and gained fine units per real unit (expected,), binary fractions."""
    unit = np.rint(4096 * np.linspace(0.5, 0.7 + quality / 60, CONFIG.coarse)) / 4096
    return unit, np.rint(4096 * np.linspace(2.1, 0.7 + quality / 30, CONFIG.expected)) / 4096


class Case:
    """Latents, hyper-latent and mask of a picture that does not exist."""

    def __init__(self, quality: int, share: float, grid: tuple[int, int] = GRID) -> None:
        rng = np.random.default_rng([quality, int(share * 100)])
        self.quality, self.grid = quality, grid
        self.mask = rng.random(grid) < share
        self.keep = round(255 * float(self.mask.mean()))
        self.v = rng.laplace(0, 3, (*grid, CONFIG.latents))
        self.c = rng.laplace(0, 3, (-(-grid[0] // 2), -(-grid[1] // 2), CONFIG.coarse))
        self.z = rng.normal(0, 2, (-(-grid[0] // 4), -(-grid[1] // 4), CONFIG.hyper))

    def trained(self, nets: EntropyNets) -> Coded:
        """What training sees, on a grid with even sides."""
        v, c, z, mask = (torch.from_numpy(a)[None] for a in (self.v, self.c, self.z, self.mask))
        weights = quality_weights(torch.tensor([self.quality])).double()
        with torch.no_grad():
            unit, gain = (torch.from_numpy(values)[None] for values in factors(self.quality))
            coarse = nets.code_coarse(c, z, 1 / unit, gain, weights, *self.grid)
            coded: Coded = nets(v, mask, coarse, weights)
        return coded

    def code(self, model: EntropyModel, io: Any) -> Decoded:
        every, none = bool(self.mask.all()), not self.mask.any()
        return code_latents(model, io, self.grid, self.quality, self.keep, every, none)

    def quantizer(self, model: EntropyModel, kind: type[RdoqQuantizer] = RdoqQuantizer) -> Any:
        return kind(self.v, self.c, self.z.reshape(-1, CONFIG.hyper), self.mask, model.tables, *ZEROS)

    def reader(self, model: EntropyModel, data: bytes) -> SymbolReader:
        return SymbolReader(RangeDecoder(data), model.tables, self.z.shape[0] * self.z.shape[1])


class Probe(RdoqQuantizer):
    """Counts bits by section, and the mask's with the network's word alone."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.mask_bits, self.latent_bits = 0.0, {"base": 0.0, "latents": 0.0}
        self.seen: set[int] = set()
        self.name = ""

    def begin(self, name: str) -> None:
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

    def coarse(self, where: Any, start: int, mu: Any, index: Any) -> Any:
        symbols = super().coarse(where, start, mu, index)
        self.latent_bits[self.name] += self.tables.cost(symbols, index).sum()
        return symbols

    def latents(self, where: Any, start: int, mu: Any, index: Any) -> Any:
        symbols = super().latents(where, start, mu, index)
        self.latent_bits[self.name] += self.tables.cost(symbols, index).sum()
        return symbols


EVEN = (12, 20)


@pytest.mark.parametrize("quality", [0, 20, 33, 50, 81, 100])
@pytest.mark.parametrize("share", [0.0, 0.55, 1.0])
def test_trained_form_is_the_exported_form(nets: EntropyNets, model: EntropyModel, quality: int, share: float) -> None:
    case = Case(quality, share, EVEN)
    coded = case.trained(nets)
    encoder, quantizer = RangeEncoder(), case.quantizer(model)
    decoded = case.code(model, quantizer)
    quantizer.encode(encoder)
    np.testing.assert_array_equal(decoded.psi, np.rint(coded.psi[0].numpy() * UNIT))
    np.testing.assert_array_equal(decoded.v_hat, np.rint(coded.v_hat[0].numpy() * UNIT))
    assert len(np.unique(decoded.psi)) > 100 and len(np.unique(decoded.expected)) > 50
    read = case.code(model, case.reader(model, encoder.finish()))
    np.testing.assert_array_equal(read.v_hat, decoded.v_hat)
    np.testing.assert_array_equal(read.expected, decoded.expected)


class Listener(RdoqQuantizer):
    """Keeps what the networks say: positions, means and table indices of every pass, in order."""

    heard: list[tuple[Any, Any, Any]]

    def hyper(self, loc: Any, index: Any) -> Any:
        self.heard = [(None, loc, index)]
        return super().hyper(loc, index)

    def coarse(self, where: Any, start: int, mu: Any, index: Any) -> Any:
        self.heard.append((where, mu, index))
        return super().coarse(where, start, mu, index)

    def latents(self, where: Any, start: int, mu: Any, index: Any) -> Any:
        self.heard.append((where, mu, index))
        return super().latents(where, start, mu, index)


def test_integers_survive_the_way_to_floats_and_back(nets: EntropyNets) -> None:
    frozen = integers(nets)
    again = integers(from_integers(CONFIG, {f"entropy.{name}": values for name, values in frozen.items()}))
    assert len(frozen) == len(list(nets.parameters()))
    for name, values in frozen.items():
        np.testing.assert_array_equal(again[name], values)
        assert values.any(), name


@pytest.mark.parametrize("quality", [0, 47, 100])
def test_both_forms_predict_the_same(
    nets: EntropyNets, model: EntropyModel, quality: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []

    def code(v: torch.Tensor, mu: torch.Tensor, index: torch.Tensor, worth: Any = None) -> Any:
        said.append((np.rint(mu[0].numpy() * UNIT), np.floor(index[0].numpy().clip(0, fixed_point.SCALES - 1))))
        return original(v, mu, index, worth)

    original = entropy_nets.code
    monkeypatch.setattr(nets, "quantize", code)
    case = Case(quality, 0.55, EVEN)
    case.trained(nets)
    listener = case.quantizer(model, Listener)
    case.code(model, listener)
    assert len(said) == len(listener.heard) == 1 + 4 * len(CONFIG.coarse_slices + CONFIG.slices)
    for (where, mu, index), (trained_mu, trained_index) in zip(listener.heard, said, strict=True):
        places = (0, 0) if where is None else tuple(axis // 2 for axis in where)
        np.testing.assert_array_equal(mu, trained_mu[places])
        np.testing.assert_array_equal(index, trained_index[places])
    assert len(np.unique(np.concatenate([index.ravel() for _, _, index in listener.heard]))) > 8


def test_reality_of_the_comparison(nets: EntropyNets, model: EntropyModel) -> None:
    """One weight off by one unit shows: the networks are not so idle that anything would pass."""
    case = Case(50, 0.55, EVEN)
    before = case.code(model, case.quantizer(model))
    for net in [*model.coarse_nets, *model.nets, model.hyper]:
        weight = net.weight2
        original = weight.copy()
        weight += 1
        after = case.code(model, case.quantizer(model))
        weight[:] = original
        assert (after.v_hat != before.v_hat).any()


class Sampler:
    """Draws symbols from the densities that the networks predict, for a mask that is given."""

    def __init__(self, case: Case) -> None:
        self.mask, self.rng = case.mask, np.random.default_rng(1)
        self.cells = case.z.shape[0] * case.z.shape[1]
        self.z, self.c = np.empty(case.z.shape), np.empty(case.c.shape)

    def begin(self, name: str) -> None:
        """Nothing to account."""

    def hyper(self, loc: Any, index: Any) -> Any:
        symbols = self.draw(np.broadcast_to(index, (self.cells, len(index))))
        self.z = (symbols + loc / UNIT).reshape(self.z.shape)
        return symbols

    def coarse(self, where: Any, start: int, mu: Any, index: Any) -> Any:
        symbols = self.draw(index)
        self.c[where[0], where[1], start : start + mu.shape[1]] = symbols + mu / UNIT
        return symbols

    def visible(self, where: Any, states: list[AdaptiveBit]) -> Any:
        return self.mask[where]

    def latents(self, where: Any, start: int, mu: Any, index: Any) -> Any:
        return self.draw(index)

    def draw(self, index: Any) -> Any:
        scale = fixed_point.SCALE_MIN * np.exp(index * fixed_point.SCALE_STEP)
        return np.rint(self.rng.logistic(0, scale).clip(-6 * scale, 6 * scale)).astype(np.int64) * (index > 0)


@pytest.mark.parametrize("quality", [0, 45, 100])
def test_training_counts_the_bits_that_are_spent(nets: EntropyNets, model: EntropyModel, quality: int) -> None:
    case = Case(quality, 0.55, (24, 28))
    sampler = Sampler(case)
    case.v = case.code(model, sampler).v_hat / UNIT
    case.z, case.c = sampler.z, sampler.c
    bits = {name: float(value) for name, value in case.trained(nets).bits.items()}
    probe = case.quantizer(model, Probe)
    case.code(model, probe)
    assert len(probe.seen) > 5, "the mask network says the same of every patch"
    assert probe.mask_bits == pytest.approx(bits["mask"], rel=0.01)
    assert probe.latent_bits["latents"] == pytest.approx(bits["fine"], rel=0.005)
    assert probe.latent_bits["base"] == pytest.approx(bits["hyper"] + bits["coarse"] + bits["base"], rel=0.005)


@pytest.mark.parametrize("grid", [(1, 1), (1, 9), (5, 2), GRID])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_odd_grids_and_few_patches(model: EntropyModel, grid: tuple[int, int], share: float) -> None:
    case = Case(60, share, grid)
    encoder, quantizer = RangeEncoder(), case.quantizer(model)
    quantizer.rdoq_lambda = np.full(CONFIG.latents, 0.1)
    written = case.code(model, quantizer)
    quantizer.encode(encoder)
    reader = case.reader(model, encoder.finish())
    read = case.code(model, reader)
    np.testing.assert_array_equal(read.v_hat, written.v_hat)
    np.testing.assert_array_equal(read.mask, case.mask)
    assert reader.decoder.exhausted()


def test_rows_per_product_do_not_matter(model: EntropyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    case = Case(70, 0.5)
    for rows in (integer_networks.ROWS, 3):
        monkeypatch.setattr(integer_networks, "ROWS", rows)
        encoder, quantizer = RangeEncoder(), case.quantizer(model)
        case.code(model, quantizer)
        quantizer.encode(encoder)
        files.append(encoder.finish())
    assert files[0] == files[1]
