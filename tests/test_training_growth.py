"""Networks that grow and decoders that shrink keep what was learnt; what judges a decoder points the right way."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from models import save_pictures, smooth_noise, tiny_network

from mcmcodec.errors import ModelError, UsageError
from mcmcodec.model.config import PRESETS, ModelConfig
from mcmcodec.model.transforms import Transforms
from mcmcodec.model.weights import Weights
from mcmcodec.training.cached import LatentCache
from mcmcodec.training.data import Crops, jitter, plain
from mcmcodec.training.export import load_frozen, put_analysis, put_decoder, write
from mcmcodec.training.features import FeatureDistance
from mcmcodec.training.grow import add_task_vector, blend, grow, replace_decoder, with_noise
from mcmcodec.training.light import Imitation, operations, replacements
from mcmcodec.training.losses import Adversary, block_colour_loss, oklab, random_paired_crop
from mcmcodec.training.network import Network
from mcmcodec.training.stages import Perceptual


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("pictures"), 3)


@pytest.fixture(scope="module")
def crops(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Crops:
    return Crops(pictures, tmp_path_factory.mktemp("cache"), 192, seed=1)


def batch(count: int = 2) -> torch.Tensor:
    stack = np.stack([smooth_noise(192, 192, seed=40 + i) for i in range(count)])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 255


SHIPPED = Path(__file__).parents[1] / "weights" / "medium-5.json"
GREEN = {
    (0, 20): [0.44454, 0.1026, 0.57357, 0.6917, 0.55863, 0.46363, 0.5267],
    (0, 60): [0.33623, 0.04525, 0.56022, 0.63444, 0.60333, 0.50746, 0.58963],
    (1, 20): [0.46308, 0.11837, 0.59541, 0.68489, 0.55841, 0.47333, 0.53189],
    (1, 60): [0.34471, 0.07467, 0.58743, 0.61317, 0.61805, 0.51414, 0.6041],
}
"""Some values of what the shipped decoders (fidelity, perceptual) paint at a quality."""


GROWN = {
    "as trained now": PRESETS["medium"],
    "deeper": replace(PRESETS["medium"], plan="ccadccadccad", renderer=64),
    "coarse latents": replace(
        PRESETS["medium"], coarse_slices=(2, 6, 16), base_slices=0, expected_slices=3, encoder_plan="dadadadad"
    ),
}


@pytest.mark.parametrize("config", GROWN.values(), ids=GROWN.keys())
@pytest.mark.parametrize("quality", [20, 60])
def test_the_grown_network_paints_what_the_shipped_one_does(quality: int, config: ModelConfig) -> None:
    torch.set_num_threads(1)
    trained, history = load_frozen(SHIPPED, "fidelity")
    trained.second_decoder = load_frozen(SHIPPED)[0].synthesis
    network = grow(trained, config)
    assert history["seen"] == 142712
    x = torch.from_numpy(smooth_noise(128, 192, seed=0))[None].permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        seen, coded = network.eval().code(x, torch.tensor([float(quality)]), torch.ones(1, 8, 12, dtype=torch.bool))
        for number, decoder in enumerate((network.synthesis, network.second_decoder)):
            painted = network.paint(seen, decoder)[0, :, 5::40, 7::60].flatten()
            np.testing.assert_allclose(painted[[3, 9, 15, 23, 29, 37, 45]], GREEN[number, quality], atol=2e-5)
    assert float(coded.bits["mask"]) == 0


def test_a_blend_lies_between() -> None:
    before = tiny_network(3)
    after = grow(before, replace(PRESETS["tiny"], encoder_plan="dad"))
    trained = copy.deepcopy(after)
    with torch.no_grad():
        for p in trained.parameters():
            p.add_(1)
    known = {name: p.clone() for name, p in trained.state_dict().items()}
    for name, values in blend(before, trained, 0.75, 0.75).state_dict().items():
        # of the block that is new only what began as zeros is nearer to them
        moves = not name.startswith("analysis.blocks.2.") or not after.state_dict()[name].any()
        torch.testing.assert_close(values, known[name] - 0.25 * moves, atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match="has no place"):
        blend(Network(replace(PRESETS["tiny"], width=48)), after, 0.5, 0.5)


def test_task_vectors_add_what_was_learnt() -> None:
    before, after = tiny_network(3).synthesis, tiny_network(4).synthesis
    learnt = add_task_vector(with_noise(tiny_network(3).synthesis, 2), before, after).state_dict()
    for name, values in after.state_dict().items():
        room = learnt[name][tuple(slice(n) for n in values.shape)]
        assert torch.allclose(room, values, atol=1e-6)
    with pytest.raises(UsageError, match="has no place"):
        add_task_vector(before, with_noise(after, 2), with_noise(after, 2))


def test_a_decoder_is_replaced_where_its_latents_are_the_same() -> None:
    network, other = tiny_network(3), tiny_network(4)
    assert replace_decoder(network, other.synthesis).synthesis is other.synthesis
    wider = Network(replace(PRESETS["tiny"], slices=(1, 3, 16)))
    with pytest.raises(UsageError, match="other latents"):
        replace_decoder(network, wider.synthesis)


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
    cache = LatentCache()
    cache.fill(network, crops, "cpu", lambda count: count >= 4, 2)
    stage = Imitation(crops, 2, "cpu", cache, teacher, step.fresh)
    trained = stage.trained(network)
    assert {*trained} == {f"synthesis.{name}" for name in step.fresh}
    optimizer = torch.optim.Adam(trained.values(), lr=3e-3)
    first = last = 0.0
    for _ in range(12):
        torch.manual_seed(1)
        loss, _ = stage(network)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = first or float(loss.detach()), float(loss.detach())
    assert last < first


def test_a_decoder_of_other_sizes_survives_freezing(tmp_path: Path) -> None:
    network = tiny_network(3)
    *_, last = replacements(network.synthesis)
    write(tmp_path, "two", 4002, network, {"fidelity": network.synthesis, "light": last.synthesis}, "fidelity",
          {"rdoq_strength": 0.5, "mask_lambda": 1.0}, {"stream": {"seen": 0}})  # fmt: skip
    loaded, _ = load_frozen(tmp_path / "two.json", "light")
    assert loaded.synthesis.config == last.synthesis.config
    assert loaded.config == network.config


def test_a_decoder_is_put_into_a_frozen_model(tmp_path: Path) -> None:
    network = tiny_network(3)
    write(tmp_path, "one", 4002, network, {"fidelity": network.synthesis}, "fidelity",
          {"rdoq_strength": 0.5, "mask_lambda": 1.0}, {"stream": {"seen": 5, "runs": [1]}})  # fmt: skip
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    deeper = grow(network, replace(network.config, plan="cada")).synthesis
    put_decoder(tmp_path, "one", "perceptual", deeper, {"seen": 9, "runs": [1, 2]})
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors") if path.name in before} == before
    loaded, history = load_frozen(tmp_path / "one.json", "perceptual")
    assert loaded.synthesis.config == deeper.config and history["seen"] == 5
    card = json.loads((tmp_path / "one.json").read_text())
    assert card["decoders"]["perceptual"]["config"] == {"plan": "cada"}
    assert card["training"]["perceptual"] == {"begins": "stream", "seen": 9, "runs": [2]}
    wider = Network(replace(PRESETS["tiny"], slices=(1, 3, 16)))
    with pytest.raises(UsageError, match="other latents"):
        put_decoder(tmp_path, "one", "perceptual", wider.synthesis, {})


def test_an_analysis_is_put_into_a_frozen_model(tmp_path: Path) -> None:
    network = tiny_network(3)
    write(tmp_path, "one", 4002, network, {"fidelity": network.synthesis}, "fidelity",
          {"rdoq_strength": 0.5, "mask_lambda": 1.0}, {"stream": {"seen": 5, "runs": [1]}})  # fmt: skip
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    larger = grow(network, replace(network.config, encoder_plan="dad", stem=8)).analysis
    put_analysis(tmp_path, "one", "perceptual", larger, {"seen": 9, "runs": [1, 2]})
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors") if path.name in before} == before
    card = json.loads((tmp_path / "one.json").read_text())
    assert card["analyses"]["perceptual"]["config"] == {"encoder_plan": "dad", "stem": 8}
    assert card["training"]["for perceptual"] == {"begins": "stream", "seen": 9, "runs": [2]}
    weights = Weights("one", card, tmp_path)
    chosen = {name: weights.analysis_for(name) for name in (None, "perceptual", "light")}
    assert chosen == {None: "fidelity", "perceptual": "perceptual", "light": "fidelity"}
    x, mask = (smooth_noise(64, 96, seed=3), np.ones((4, 6), bool))
    found = [Transforms(weights, "cpu").analyse(x, mask, 40, name) for name in ("fidelity", "perceptual")]
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-4)  # it has not learnt yet
    with torch.no_grad():
        larger.log_gain += 1e-3
    with pytest.raises(UsageError, match="the analysis gives other latents than one has; train it from this model"):
        put_analysis(tmp_path, "one", "perceptual", larger, {})


def test_paired_pictures_are_cut_alike_at_every_offset() -> None:
    x = torch.arange(64.0).view(1, 1, 8, 8).expand(2, 3, 8, 8)
    assert all(torch.equal(a, x) for a in random_paired_crop(1, x, x))
    torch.manual_seed(0)
    corners = set()
    for _ in range(60):
        a, b = random_paired_crop(3, x, x + 100)
        assert a.shape == (2, 3, 6, 6) and torch.equal(a + 100, b)
        corners.add(float(a[0, 0, 0, 0]))
    assert corners == {8.0 * y + x for y in range(3) for x in range(3)}


def test_the_adversary_tells_blur_from_pictures() -> None:
    torch.manual_seed(0)
    adversary, x = Adversary(width=8, rate=5e-3), batch(4)
    blurred = torch.nn.functional.avg_pool2d(x, 5, 1, 2)
    losses = [adversary.discriminator_step(x, blurred) for _ in range(15)]
    assert losses[-1] < losses[0]
    assert adversary.generator_loss(x, x).mean() < adversary.generator_loss(blurred, x).mean()


def test_every_term_has_a_word() -> None:
    class Blurred(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool2d(x - y, 8).abs().flatten(1).mean(1)

    torch.manual_seed(0)
    x, quality = batch(), torch.tensor([10.0, 60.0])
    x_hat = (x + 0.05).requires_grad_()
    plain_loss, _ = Perceptual(Blurred(), reach=1, periodic=0, colour=0)(x_hat, x, quality)
    for more in ({"periodic": 60.0, "colour": 0}, {"periodic": 0, "colour": 40.0}, {"structure": 0.1, "periodic": 0}):
        loss, _ = Perceptual(Blurred(), reach=1, **more)(x_hat, x, quality)  # type: ignore[arg-type]
        assert (loss > plain_loss).all()
    loss, numbers = Perceptual(Blurred(), adversary=Adversary(width=8))(x_hat, x, quality)
    loss.sum().backward()
    assert "adversary" in numbers and x_hat.grad is not None and x_hat.grad.isfinite().all()


def test_half_of_a_batch_has_another_judge() -> None:
    class Fixed(torch.nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x),), self.value)

    x, quality = torch.rand(3, 3, 64, 64), torch.tensor([10.0, 40.0, 60.0])
    judge = Perceptual(Fixed(1.0), reach=1, features=Fixed(5.0), features_weight=0.5)
    loss, numbers = judge(x, x, quality)
    torch.testing.assert_close(loss, torch.tensor([1.0, 1.0, 2.5]))
    assert (numbers["lpips2"], numbers["features2"]) == (1.0, 5.0)


def test_features_tell_blur_and_noise_from_pictures() -> None:
    try:
        distance = FeatureDistance()
    except ModelError as error:
        pytest.skip(str(error))
    x = torch.from_numpy(smooth_noise(64, 96, seed=3)).permute(2, 0, 1)[None].float() / 255
    blurred = torch.nn.functional.avg_pool2d(x, 5, 1, 2, count_include_pad=False).requires_grad_()
    flat = torch.full_like(x, 0.5).requires_grad_()
    same, near, far = (float(distance(one, x).detach()) for one in (x, blurred, flat))
    assert abs(same) < 1e-5 < near < far <= 1
    for one in (blurred, flat):
        distance(one, x).sum().backward()
        assert one.grad is not None and one.grad.isfinite().all()
    assert not any(p.requires_grad for p in distance.parameters())


def test_oklab_of_known_colours() -> None:
    """Ottosson's table, within what the softening near black moves."""
    colours = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 0, 1]]).T.reshape(3, 1, 3)
    wanted = torch.tensor([[1, 0, 0], [0.628, 0.225, 0.126], [0.452, -0.032, -0.312]]).T.reshape(3, 1, 3)
    assert (oklab(colours) - wanted).abs().max() < 0.01
    assert oklab(torch.zeros(3, 1, 1)).abs().max() < 0.11


def test_the_colour_of_blocks_counts_and_their_detail_does_not() -> None:
    x = batch()
    checker = 0.02 * (torch.arange(192)[:, None] + torch.arange(192)[None, :]).remainder(2).mul(2).sub(1)
    grey = x.mean(1, keepdim=True)
    fine, faded = block_colour_loss(x + checker, x), block_colour_loss(grey + 0.9 * (x - grey), x)
    assert (fine < 0.1 * faded).all() and (block_colour_loss(x, x) == 0).all()
    black = torch.zeros(1, 3, 16, 16, requires_grad=True)
    block_colour_loss(black, torch.full((1, 3, 16, 16), 0.1)).sum().backward()
    assert black.grad is not None and black.grad.isfinite().all()


def test_plain_crops_and_jitter() -> None:
    crops = [plain(np.random.default_rng(seed), 32) for seed in range(8)]
    flat = [len(np.unique(crop.reshape(-1, 3), axis=0)) == 1 for crop in crops]
    assert any(flat) and not all(flat)
    torch.manual_seed(0)
    x = batch(8)
    assert 0 < sum(torch.allclose(a, b, atol=1e-6) for a, b in zip(x, jitter(x), strict=True)) < 8
