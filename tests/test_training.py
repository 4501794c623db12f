"""Training: every stage moves the weights that are its own; the commands lead from pictures to a model that codes."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from models import save_pictures, smooth_noise, tiny_network
from PIL import Image

import mcmcodec
from mcmcodec.errors import InputError
from mcmcodec.model.weights import FOLDER_VARIABLE, find
from mcmcodec.training import data
from mcmcodec.training.commands import main
from mcmcodec.training.data import Crops, DeviceCrops, build_cache, load_folder
from mcmcodec.training.loop import Average, LoopConfig, _schedule
from mcmcodec.training.stages import Check, DecoderOnly, Judges, MaskedImageModelling, RateDistortion
from mcmcodec.training.work import load

ROOT = Path(mcmcodec.__file__).parents[1]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five small pictures."""
    return save_pictures(tmp_path_factory.mktemp("pictures"), 5, 192, 224)


@pytest.fixture(scope="module")
def crops(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Crops:
    return Crops(pictures, tmp_path_factory.mktemp("cache"), 64, seed=1)


def moved(stage: MaskedImageModelling, half: bool = False) -> tuple[set[str], set[str]]:
    """Names of weights that one step changes, and of those that it is meant to change."""
    torch.manual_seed(0)
    network = tiny_network(5)
    network.half = half
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    trained = stage.trained(network)
    for p in network.parameters():
        p.requires_grad_(any(p is t for t in trained))
    loss, numbers = stage(network, 0)
    assert math.isfinite(loss.item()) and all(math.isfinite(value) for value in numbers.values())
    assert 5 < numbers["psnr"] < 60
    loss.backward()
    torch.optim.SGD(trained, lr=1.0).step()  # so far that float32 shows it everywhere
    changed = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert all(torch.isfinite(p).all() for p in network.parameters())
    wanted = {name for name, p in network.named_parameters() if any(p is t for t in trained)}
    return changed, wanted


@pytest.mark.parametrize("half", [False, True])
def test_joint_step_moves_everything(crops: Crops, half: bool) -> None:
    changed, wanted = moved(RateDistortion(crops, 6, "cpu"), half)
    assert changed == wanted == {name for name, _ in tiny_network().named_parameters()}


def test_mim_step(crops: Crops) -> None:
    changed, wanted = moved(MaskedImageModelling(crops, 6, "cpu"))
    assert changed == wanted
    assert {"synthesis.mask_token", "analysis.blocks.0.qkv.weight", "entropy.hyper_weight1"} < changed
    assert not any(name.startswith(("entropy.slices", "entropy.mask")) for name in changed)


def test_decoder_step_leaves_the_stream_alone(crops: Crops) -> None:
    changed, wanted = moved(DecoderOnly(crops, 6, "cpu", Judges()))
    assert changed == wanted
    assert changed and all(name.startswith("synthesis.") for name in changed)


def test_training_lowers_the_loss(crops: Crops) -> None:
    """A dozen steps on one batch: gradients point the right way."""
    torch.manual_seed(0)
    network, stage = tiny_network(5), RateDistortion(crops, 6, "cpu")
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    batch, losses = crops.batch(6, "cpu"), []
    quality, mask = torch.tensor([5, 25, 45, 60, 80, 95]), torch.rand(6, 4, 4) < 0.7
    for _ in range(12):
        optimizer.zero_grad()
        x_hat, coded = network(batch, quality, mask)
        weight = 0.6 * 2500 ** (quality / 100)
        error = (x_hat - batch).square().flatten(1).mean(1)
        loss = ((coded.loss_bits / 64**2 + weight * error) / weight.sqrt()).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0], losses
    assert stage.name == "joint"


def test_check_counts_and_measures(pictures: Path) -> None:
    numbers = Check(pictures, 2, "cpu")(tiny_network(5))
    assert all(math.isfinite(value) for value in numbers.values())
    assert numbers["bpp10"] < numbers["bpp50"] < numbers["bpp90"]
    assert 0 < numbers["base50"] < numbers["bpp50"]


def test_schedule() -> None:
    config = LoopConfig("joint", 1.0)
    rates = [_schedule(step / 100, config) for step in range(101)]
    assert 0 < rates[0] < 0.1 and max(rates) == pytest.approx(1, abs=0.05)
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(config.floor) and _schedule(1.4, config) == rates[-1]


def test_average_follows() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    average = Average(module, 0.9)
    torch.nn.init.ones_(module.weight)
    average.update(module)
    assert average.module.weight.item() == pytest.approx(9 / 11)
    for _ in range(200):
        average.update(module)
    assert average.module.weight.item() == pytest.approx(1, abs=1e-6)


def ramp(folder: Path) -> Path:
    """A picture whose red says the row and whose green the column."""
    rows, cols = np.indices((200, 240))
    Image.fromarray(np.stack([rows, cols, np.full_like(rows, 7)], -1).astype(np.uint8)).save(folder / "ramp.png")
    return folder


@pytest.mark.parametrize("kind", [Crops, DeviceCrops])
def test_crops_are_pieces_of_pictures(tmp_path: Path, kind: type[Crops], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "PLAIN", 0)
    monkeypatch.setattr(data, "jitter", lambda x: x)
    device = () if kind is Crops else ("cpu",)
    crops = [kind(ramp(tmp_path), tmp_path / "cache", 96, 3, *device) for _ in range(2)]
    x = torch.cat([crops[0].batch(4, "cpu") for _ in range(6)])
    assert torch.equal(x, torch.cat([crops[1].batch(4, "cpu") for _ in range(6)]))
    assert x.shape == (24, 3, 96, 96) and x.dtype == torch.float32
    x = x * 255
    assert (x[:, 2] - 7).abs().max() < 1
    down, across = x[:, 0].diff(dim=1), x[:, 1].diff(dim=2)
    inner = slice(4, -4)
    level, upright = x[:, 0].diff(dim=2)[:, inner, inner], x[:, 1].diff(dim=1)[:, inner, inner]
    assert max(level.abs().max(), upright.abs().max()) < 2
    slope = down[:, inner].mean((1, 2))
    assert slope.min() > 0.4 and slope.max() < 1.3
    mirrored = across[:, :, inner].mean((1, 2)) < 0
    assert 0 < mirrored.sum() < len(x)
    exact = ((down == 1).all((1, 2)) & (across.abs() == 1).all((1, 2))).sum()
    assert 0 < exact < len(x), "most of the crops are scaled"
    assert x[:, 0, 0, 0].unique().numel() > 10


@pytest.mark.parametrize("kind", [Crops, DeviceCrops])
def test_calm_crops_are_common(tmp_path: Path, kind: type[Crops], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two pictures, one noise and one flat, crops show the flat one more often than every second time."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    for name, picture in (("noise", noise), ("flat", np.full_like(noise, 99))):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(data, "PLAIN", 0)
    shares = []
    for calm in (0, data.CALM):
        monkeypatch.setattr(data, "CALM", calm)
        crops = kind(tmp_path, tmp_path / "cache", 64, 3, *(() if kind is Crops else ("cpu",)))
        shares.append(float((crops.batch(200, "cpu").std((1, 2, 3)) < 0.01).float().mean()))
    assert 0.4 < shares[0] < 0.6 < shares[1] < 0.8, shares  # the calmest of three is noise one time in eight


def test_cache_takes_what_is_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "a.tar", "w") as archive:
        for name, size in (("good.png", (200, 210)), ("small.png", (100, 300)), ("broken.png", None), ("a.txt", None)):
            sink = io.BytesIO()
            if size:
                Image.fromarray(smooth_noise(*size)).save(sink, "PNG")
            entry = tarfile.TarInfo(name)
            entry.size = len(sink.getvalue())
            archive.addfile(entry, io.BytesIO(sink.getvalue()))
    build_cache(tmp_path / "in", tmp_path / "cache")
    assert json.loads((tmp_path / "cache" / "index.json").read_text()) == [[200, 210]]
    assert "skipped broken.png" in capsys.readouterr().out
    crops = Crops(tmp_path / "in", tmp_path / "cache", 64, 0)
    assert np.array_equal(crops.picture(0), smooth_noise(200, 210))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no pictures of at least 192 pixels; "):
        build_cache(tmp_path / "empty", tmp_path / "cache2")


def test_validation_pictures_are_cut(pictures: Path) -> None:
    loaded = load_folder(pictures, 3)
    assert [x.shape for x in loaded] == [(192, 224, 3)] * 3
    assert np.array_equal(loaded[1], smooth_noise(192, 224, seed=1))


def command(*arguments: str | Path) -> None:
    CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False, standalone_mode=False)


@pytest.fixture(scope="module")
def started(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint pca/last.pt and a cache."""
    folder = tmp_path_factory.mktemp("training")
    arguments = ["pca", pictures, "--preset", "tiny", "--out", folder / "pca", "--cache", folder / "cache"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "mcmcodec.training", *map(str, arguments)], check=True, env=environment)
    return folder


def train(started: Path, pictures: Path, stage: str, init: str, out: str, *more: str) -> None:
    command(
        "run", stage, pictures, "--init", started / init / "last.pt", "--out", started / out, "--val", pictures,
        "--cache", started / "cache", "--minutes", "0.03", "--batch", "2", "--size", "64", *more,
    )  # fmt: skip


def test_from_pictures_to_a_model(started: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(started, pictures, "joint", "pca", "joint", "--muon")
    train(started, pictures, "decoder", "joint", "decoder")
    network, history = load(started / "joint" / "last.pt")
    decoder, _ = load(started / "decoder" / "last.pt")
    assert [run["stage"] for run in history["runs"]] == ["pca", "joint"]
    log = [json.loads(line) for line in (started / "joint" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["seen"] == history["seen"] > 0 and math.isfinite(log[-1]["cost"])
    names = [name for name, _ in network.named_parameters()]
    pairs = zip(names, network.parameters(), decoder.parameters(), strict=True)
    changed = {name.split(".")[0] for name, a, b in pairs if not torch.equal(a, b)}
    assert changed == {"synthesis"}
    monkeypatch.setenv(FOLDER_VARIABLE, str(started / "weights"))
    command(
        "export", "--stream", started / "joint" / "last.pt",
        "--decoder", f"fidelity={started / 'joint' / 'last.pt'}", "--name", "fresh", "--number", "4001",
        "--decoder", f"painter={started / 'decoder' / 'last.pt'}", "--out", started / "weights",
    )  # fmt: skip
    model = find("fresh")
    assert model.decoders == ["fidelity", "painter"]
    assert [run["stage"] for run in model.card["training"]["stream"]["runs"]] == ["pca", "joint"]
    painter = model.card["training"]["painter"]
    assert [run["stage"] for run in painter["runs"]] == ["decoder"] and painter["begins"] == "stream"
    picture = smooth_noise(100, 150, seed=77)
    file = mcmcodec.encode(picture, model="fresh", quality=75)
    for name in model.decoders:
        decoded = np.asarray(mcmcodec.decode(file, decoder=name), float)
        assert np.square(decoded - picture).mean() < 0.3 * picture.astype(float).var()


def test_a_light_decoder_is_grown_and_frozen(started: Path, pictures: Path) -> None:
    train(started, pictures, "light", "pca", "light")
    network, history = load(started / "light" / "last.pt")
    assert network.synthesis.config.plan == "ll"
    assert [row["replaced"] for row in history["replacements"]] == ["nothing", "head", "ca"]
    assert history["replacements"][-1]["operations"] < history["replacements"][0]["operations"]


@pytest.mark.slow
def test_two_processes_train_together(started: Path, pictures: Path) -> None:
    train(started, pictures, "mim", "pca", "pair", "--workers", "2")
    _, history = load(started / "pair" / "last.pt")
    log = [json.loads(line) for line in (started / "pair" / "log.jsonl").read_text().splitlines()]
    assert history["seen"] == log[-1]["seen"] > 0
    assert history["seen"] % 4 == 0, "two pictures for each of two processes"
    assert all(math.isfinite(value) for value in log[-1].values() if not isinstance(value, str))
