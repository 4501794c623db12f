"""Networks that grow and decoders that shrink keep what was learnt; what judges a decoder points the right way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from models import save_pictures, smooth_noise, tiny_network

from mcmcodec.errors import UsageError
from mcmcodec.model.config import PRESETS
from mcmcodec.training.data import Crops, jitter, plain
from mcmcodec.training.export import thaw, write
from mcmcodec.training.grow import adopt, carry, grow
from mcmcodec.training.light import Imitation, operations, replacements
from mcmcodec.training.losses import Adversary, ms_ssim, nudged
from mcmcodec.training.network import Network
from mcmcodec.training.stages import Check, DecoderOnly, Judges


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("pictures"), 3)


@pytest.fixture(scope="module")
def crops(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Crops:
    return Crops(pictures, tmp_path_factory.mktemp("cache"), 192, seed=1)


def batch(count: int = 2) -> torch.Tensor:
    stack = np.stack([smooth_noise(192, 192, seed=40 + i) for i in range(count)])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 255


def test_a_grown_network_computes_the_same(pictures: Path) -> None:
    small = tiny_network(3)
    larger = replace(PRESETS["tiny"], name="grown", encoder_blocks=3, context=24, plan="cacca")
    large = grow(small, larger)
    assert Check(pictures, 2, "cpu")(large) == Check(pictures, 2, "cpu")(small)
    assert sum(p.numel() for p in large.parameters()) > 1.2 * sum(p.numel() for p in small.parameters())
    assert large.config == larger


@pytest.mark.parametrize("change", [{"plan": "ac"}, {"context": 8}, {"encoder_blocks": 0}, {"embed": 64}])
def test_only_what_can_grow_grows(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        grow(tiny_network(), replace(PRESETS["tiny"], **change))  # type: ignore[arg-type]


def test_carrying_adds_what_was_learnt() -> None:
    before, after = tiny_network(3), tiny_network(4)
    mine = grow(tiny_network(3), replace(PRESETS["tiny"], name="grown", plan="cac"))
    carried = carry(mine, before.synthesis, after.synthesis).synthesis.state_dict()
    for name, values in after.synthesis.state_dict().items():
        assert torch.allclose(carried[name], values, atol=1e-6)
    with pytest.raises(UsageError, match="has no place"):
        carry(tiny_network(3), mine.synthesis, mine.synthesis)


def test_a_decoder_is_adopted_where_its_latents_are_the_same() -> None:
    network, other = tiny_network(3), tiny_network(4)
    assert adopt(network, other.synthesis).synthesis is other.synthesis
    wider = Network(replace(PRESETS["tiny"], slices=(1, 3, 16)))
    with pytest.raises(UsageError, match="other latents"):
        adopt(network, wider.synthesis)


def test_replacements_get_cheaper_and_end_light() -> None:
    network = tiny_network(3)
    costs = [operations(network.synthesis, network.config)]
    kept = network.synthesis.linear.weight.clone()
    for step in replacements(network.synthesis):
        assert step.fresh and all(name.startswith(("head", "blocks")) for name in step.fresh)
        costs.append(operations(step.synthesis, network.config))
        assert torch.equal(step.synthesis.linear.weight, kept)
    assert step.synthesis.config.plan == "ll"
    big = tiny_network().config
    assert len(costs) == 2 + -(-len(big.plan) // 3) and costs[-1] < costs[0]


def test_operations_of_the_light_decoder() -> None:
    from mcmcodec.model.synthesis import Synthesis

    config = PRESETS["medium"]
    teacher = Synthesis(config)
    *_, last = replacements(teacher)
    assert operations(last.synthesis, config) < operations(teacher, config) / 4


def test_what_is_new_learns_from_the_teacher(crops: Crops) -> None:
    torch.manual_seed(0)
    network = tiny_network(3)
    teacher = network.synthesis
    step = next(replacements(teacher))
    network.synthesis = step.synthesis
    stage = Imitation(crops, 2, "cpu", teacher, step.fresh)
    trained = stage.trained(network)
    assert {id(p) for p in trained} == {id(p) for n, p in network.synthesis.named_parameters() if n in step.fresh}
    optimizer = torch.optim.Adam(trained, lr=3e-3)
    first = last = 0.0
    for number in range(12):
        torch.manual_seed(1)
        loss, _ = stage(network, number)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = first or float(loss.detach()), float(loss.detach())
    assert last < first


def test_a_decoder_of_other_sizes_survives_freezing(tmp_path: Path) -> None:
    network = tiny_network(3)
    *_, last = replacements(network.synthesis)
    light = tiny_network(3)
    light.synthesis = last.synthesis
    write(tmp_path, "two", 4002, network, {"fidelity": network, "light": light}, "fidelity",
          {"rdoq_strength": 0.5, "mask_lambda": 1.0}, {"stream": {"seen": 0}})  # fmt: skip
    thawed, _ = thaw(tmp_path / "two.json", "light")
    assert thawed.synthesis.config == last.synthesis.config
    assert thawed.config == network.config


def test_ms_ssim_knows_equal_from_different() -> None:
    x = batch()
    assert torch.allclose(ms_ssim(x, x), torch.ones(2), atol=1e-5)
    near, far = ms_ssim(x, (x + 0.02 * torch.randn_like(x))), ms_ssim(x, (x + 0.2 * torch.randn_like(x)))
    assert (far < near).all() and (near < 1).all()
    y = (x + 0.1 * torch.randn_like(x)).requires_grad_()
    (1 - ms_ssim(y, x)).sum().backward()
    assert y.grad is not None and torch.isfinite(y.grad).all()
    with torch.no_grad():
        assert (ms_ssim(y - 0.01 * y.grad / y.grad.abs().max(), x) > ms_ssim(y, x)).all()


def test_nudged_pictures_are_cut_alike_at_every_offset() -> None:
    x = torch.arange(64.0).view(1, 1, 8, 8).expand(2, 3, 8, 8)
    assert all(torch.equal(a, x) for a in nudged(1, x, x))
    torch.manual_seed(0)
    corners = set()
    for _ in range(60):
        a, b = nudged(3, x, x + 100)
        assert a.shape == (2, 3, 6, 6) and torch.equal(a + 100, b)
        corners.add(float(a[0, 0, 0, 0]))
    assert corners == {8.0 * y + x for y in range(3) for x in range(3)}


def test_the_adversary_tells_blur_from_pictures() -> None:
    torch.manual_seed(0)
    adversary, x = Adversary(width=8, rate=5e-3), batch(4)
    blurred = torch.nn.functional.avg_pool2d(x, 5, 1, 2)
    losses = [adversary.learn(x, blurred) for _ in range(15)]
    assert losses[-1] < losses[0]
    assert adversary.fooled(x, x).mean() < adversary.fooled(blurred, x).mean()


def test_every_judge_has_a_word(crops: Crops) -> None:
    torch.manual_seed(0)
    stage = DecoderOnly(crops, 2, "cpu", Judges(structure=0.1, adversary=Adversary(width=8), fooling=0.01))
    loss, numbers = stage(tiny_network(), 0)
    assert torch.isfinite(loss) and {"psnr", "msssim", "adversary"} <= set(numbers)


def test_plain_crops_and_jitter() -> None:
    crops = [plain(np.random.default_rng(seed), 32) for seed in range(8)]
    flat = [len(np.unique(crop.reshape(-1, 3), axis=0)) == 1 for crop in crops]
    assert any(flat) and not all(flat)
    torch.manual_seed(0)
    x = batch(8)
    assert 0 < sum(torch.allclose(a, b, atol=1e-6) for a, b in zip(x, jitter(x), strict=True)) < 8
