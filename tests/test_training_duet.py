"""Training with two decoders: both learn with the stream, each is kept in a checkpoint of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from click.testing import CliRunner
from models import save_pictures, tiny_network
from torch import Tensor, nn

from mcmcodec.errors import UsageError
from mcmcodec.metrics import lpips
from mcmcodec.model.config import PRESETS
from mcmcodec.training.commands import main
from mcmcodec.training.data import Crops
from mcmcodec.training.duet import Duet
from mcmcodec.training.grow import grow
from mcmcodec.training.loop import LoopConfig, save
from mcmcodec.training.optimizer import Muon, optimizers
from mcmcodec.training.stages import Check, Judges
from mcmcodec.training.work import load


class Blurred(nn.Module):
    """Stands for LPIPS, whose weights need not be installed."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x - y, 8).abs().flatten(1).mean(1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("pictures"), 3)


@pytest.fixture(scope="module")
def crops(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Crops:
    return Crops(pictures, tmp_path_factory.mktemp("cache"), 64, seed=1)


def test_one_step_moves_the_stream_and_both_decoders(crops: Crops) -> None:
    torch.manual_seed(0)
    network = tiny_network(5)
    network.companion = tiny_network(6).synthesis
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    stage = Duet(crops, 6, "cpu", Judges(Blurred()), liking=0.1)
    loss, numbers = stage(network, 0)
    assert {"psnr", "its_psnr", "its_lpips", "base", "latents"} <= set(numbers)
    loss.backward()
    torch.optim.SGD(stage.trained(network), lr=1.0).step()
    still = {name for name, p in network.named_parameters() if torch.equal(p, before[name])}
    assert not {name for name in still if "mask_token" not in name}, "all but what only hidden patches use"
    assert any(name.startswith("companion.") for name in before)


def test_the_stream_hears_both(crops: Crops) -> None:
    """What the companion lacks reaches the analysis, and reaches it not when it weighs nothing."""
    seen = []
    for liking in (0.0, 1.0):
        torch.manual_seed(0)
        network = tiny_network(5)
        network.companion = tiny_network(6).synthesis
        crops.rng = np.random.default_rng(3)
        loss, _ = Duet(crops, 4, "cpu", Judges(Blurred()), liking, share=0.0)(network, 0)
        loss.backward()
        gradient = network.companion.linear.weight.grad
        assert gradient is not None and bool(gradient.any()) == (liking > 0)
        assert network.analysis.embed.weight.grad is not None
        seen.append(network.analysis.embed.weight.grad)
    assert not torch.equal(*seen)


@pytest.mark.parametrize(("second", "its"), [(0, 3), (1, 1), (4, 4)])
def test_the_companion_paints_as_many_as_asked(crops: Crops, second: int, its: int) -> None:
    network = tiny_network(5)
    network.companion = tiny_network(6).synthesis
    painted: dict[str, int] = {}
    for name, decoder in (("mine", network.synthesis), ("its", network.companion)):
        decoder.register_forward_hook(lambda _, __, x, name=name: painted.update({name: len(x)}))
    Duet(crops, 6, "cpu", Judges(Blurred()), liking=0.1, second=second)(network, 0)
    assert painted == {"mine": 6 - its, "its": its}


def test_each_decoder_has_its_checkpoint(tmp_path: Path) -> None:
    network, other = tiny_network(5), tiny_network(6)
    network.companion = other.synthesis
    save(tmp_path / "last.pt", network, {"seen": 3}, LoopConfig("duet", 0))
    mine, history = load(tmp_path / "last.pt")
    its, _ = load(tmp_path / "companion.pt")
    assert history["runs"][-1]["stage"] == "duet" and mine.companion is its.companion is None
    for name, values in mine.state_dict().items():
        wanted = other if name.startswith("synthesis.") else network
        assert torch.equal(its.state_dict()[name], wanted.state_dict()[name])
        assert torch.equal(values, network.state_dict()[name])


def test_a_check_shows_what_each_decoder_is_for(pictures: Path) -> None:
    network, other = tiny_network(5), tiny_network(6)
    alone = Check(pictures, 2, "cpu", Blurred())(network)
    network.companion = other.synthesis
    both = Check(pictures, 2, "cpu", Blurred())(network)
    network.synthesis, network.companion = other.synthesis, None
    its = Check(pictures, 2, "cpu", Blurred())(network)
    assert (both["psnr50"], both["lpips50"]) == (alone["psnr50"], its["lpips50"])
    assert alone["psnr50"] != its["psnr50"]


def test_the_command_grows_and_trains_both(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpips, "LPIPS", Blurred)
    monkeypatch.setitem(PRESETS, "grown", replace(PRESETS["tiny"], name="grown", encoder_blocks=2, plan="cac"))
    network = tiny_network(5)
    save(tmp_path / "start.pt", network, {"seen": 0}, LoopConfig("pca", 0))
    options = [
        "run", "duet", pictures, "--init", tmp_path / "start.pt", "--out", tmp_path / "out", "--val", pictures,
        "--cache", tmp_path / "cache", "--minutes", "0.03", "--batch", "4", "--size", "64", "--muon",
    ]  # fmt: skip
    for command in main.commands["run"].params:
        if command.name == "preset":
            monkeypatch.setattr(command.type, "choices", [*command.type.choices, "grown"])
    arguments = [str(option) for option in [*options, "--lpips", "3", "--preset", "grown"]]
    CliRunner().invoke(main, arguments, catch_exceptions=False, standalone_mode=False)
    mine, its = load(tmp_path / "out" / "last.pt")[0], load(tmp_path / "out" / "companion.pt")[0]
    assert mine.config == its.config == PRESETS["grown"]
    same = {n for n, p in mine.state_dict().items() if torch.equal(p, its.state_dict()[n])}
    assert same and not any(name.startswith("synthesis.blocks.0") for name in same)
    apart = {name for name in same if not name.startswith(("analysis.", "entropy."))}
    assert apart <= {"synthesis.mask_token"}, apart
    for wrong in ([], ["--lpips", "3", "--second", "4"]):
        asked = [str(option) for option in [*options, *wrong]]
        with pytest.raises(UsageError, match="a duet needs --lpips"):
            CliRunner().invoke(main, asked, catch_exceptions=False, standalone_mode=False)


def test_a_companion_keeps_its_basis_slow() -> None:
    network = tiny_network(5)
    network.companion = grow(tiny_network(6), replace(PRESETS["tiny"], plan="cac")).synthesis
    adam, muon = optimizers(network, list(network.parameters()), 1e-3, muon=True)
    slow = [p for group in adam.param_groups if group["pace"] < 1 for p in group["params"]]
    assert any(p is network.companion.linear.weight for p in slow)
    everything = [p for o in (adam, muon) for group in o.param_groups for p in group["params"]]
    assert {id(p) for p in everything} == {id(p) for p in network.parameters()}
    assert len(everything) == len(list(network.parameters()))


def stepped() -> list[Tensor]:
    """Three matrices after two steps with known gradients."""
    generator = torch.Generator().manual_seed(4)
    params = [nn.Parameter(torch.randn(8 + n, 16, generator=generator)) for n in range(3)]
    optimizer = Muon([{"params": params, "weight_decay": 0.1}], lr=0.1)
    for _ in range(2):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
    return [p.detach() for p in params]


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2)
    torch.save(stepped(), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_processes_share_the_work_of_a_step(tmp_path: Path) -> None:
    mp.spawn(process, args=(tmp_path,), nprocs=2)
    alone = stepped()
    for rank in range(2):
        for mine, its in zip(torch.load(tmp_path / f"{rank}.pt"), alone, strict=True):
            assert torch.equal(mine, its)
