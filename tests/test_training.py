"""Training: every stage moves the weights that are its own; the commands lead from pictures to a model that codes."""

from __future__ import annotations

import io
import json
import math
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import save_pictures, smooth_noise, tiny_network
from PIL import Image
from torch import Tensor, nn

import mcmcodec
from mcmcodec.errors import InputError, UsageError
from mcmcodec.metrics import lpips
from mcmcodec.model.config import PRESETS
from mcmcodec.model.weights import FOLDER_VARIABLE, find
from mcmcodec.training import data, export
from mcmcodec.training.cached import FirstDecoder, LatentCache, SecondDecoder
from mcmcodec.training.data import Crops, DeviceCrops, build_cache, load_folder
from mcmcodec.training.grow import with_noise
from mcmcodec.training.loop import Average, LoopConfig, load, schedule
from mcmcodec.training.losses import Adversary
from mcmcodec.training.network import Network
from mcmcodec.training.stages import Check, EntropyOnly, Fidelity, ForOneDecoder, Joint, Perceptual, Stage
from mcmcodec.training.timed import Options, run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five small pictures."""
    return save_pictures(tmp_path_factory.mktemp("pictures"), 5, 192, 224)


@pytest.fixture(scope="module")
def crops(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Crops:
    return Crops(pictures, tmp_path_factory.mktemp("cache"), 64, seed=1)


class Blurred(nn.Module):
    """Stands for LPIPS, whose weights need not be installed."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x - y, 8).abs().flatten(1).mean(1)


def pair(seed: int = 5) -> Network:
    """A network with two decoders."""
    network = tiny_network(seed)
    network.second_decoder = with_noise(tiny_network(seed + 1).synthesis, 2)
    return network


def both(crops: Crops, batch: int = 6, weight: float = 0.1, **weights: Any) -> Joint:
    return Joint(crops, batch, "cpu", Fidelity(structure=0.0, **weights), Perceptual(Blurred(), reach=1), weight)


def moved(stage: Stage, low_precision: bool = False) -> tuple[set[str], set[str]]:
    """Names of weights that one step changes, and of those that it is meant to change."""
    network = pair()
    torch.manual_seed(4)  # some patches are hidden
    network.low_precision = low_precision
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    trained = stage.trained(network)
    for name, p in network.named_parameters():
        p.requires_grad_(name in trained)
    loss, numbers = stage(network)
    assert math.isfinite(loss.item()) and all(math.isfinite(value) for value in numbers.values())
    loss.backward()
    torch.optim.SGD(trained.values(), lr=1.0).step()  # so far that float32 shows it everywhere
    changed = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert all(torch.isfinite(p).all() for p in network.parameters())
    return changed, set(trained)


@pytest.mark.parametrize("low_precision", [False, True])
def test_joint_step_moves_the_stream_and_both_decoders(crops: Crops, low_precision: bool) -> None:
    changed, wanted = moved(both(crops, 8), low_precision)
    assert wanted == {name for name, _ in pair().named_parameters()}
    assert not {name for name in wanted - changed if "mask_token" not in name}


def test_the_stream_serves_both(crops: Crops) -> None:
    """What the second decoder lacks reaches the analysis, and reaches it not when it weighs nothing."""
    seen = []
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        network = pair()
        crops.rng = np.random.default_rng(3)
        loss, _ = both(crops, 4, weight, error=0.0, colour=0.0)(network)
        loss.backward()
        assert network.second_decoder is not None
        gradient = network.second_decoder.linear.weight.grad
        assert gradient is not None and bool(gradient.any()) == (weight > 0)
        assert network.analysis.embed.weight.grad is not None
        seen.append(network.analysis.embed.weight.grad)
    assert not torch.equal(*seen)


@pytest.mark.parametrize(("second", "its"), [(0, 3), (1, 1), (4, 4)])
def test_the_second_decoder_paints_as_many_as_asked(crops: Crops, second: int, its: int) -> None:
    network, painted = pair(), {}
    assert network.second_decoder is not None
    for name, decoder in (("first", network.synthesis), ("second", network.second_decoder)):
        decoder.register_forward_hook(lambda _, __, x, name=name: painted.update({name: len(x)}))
    Joint(crops, 6, "cpu", Fidelity(structure=0.0), Perceptual(Blurred()), 0.1, second)(network)
    assert painted == {"first": 6 - its, "second": its}
    with pytest.raises(UsageError, match="needs a picture for each"):
        Joint(crops, 4, "cpu", Fidelity(), Perceptual(Blurred()), 0.1, 4)


def test_entropy_step_leaves_the_transforms_alone(crops: Crops) -> None:
    changed, wanted = moved(EntropyOnly(crops, 6, "cpu"))
    assert changed == wanted and all(name.startswith("entropy.") for name in wanted)


@pytest.mark.parametrize(
    ("judge", "decoder"),
    [(Perceptual(Blurred(), reach=1, features=Blurred()), "second_decoder"), (Fidelity(structure=0.0), "synthesis")],
)
def test_analysis_steps_leave_entropy_networks_and_gains_alone(
    crops: Crops, judge: Fidelity | Perceptual, decoder: str
) -> None:
    changed, wanted = moved(ForOneDecoder(crops, 6, "cpu", judge, 0.1))
    assert {name for name in wanted - changed if "mask_token" not in name} == set()
    assert {name.split(".")[0] for name in wanted} == {"analysis", decoder}
    assert not any(name.endswith("log_gain") for name in wanted)


@pytest.mark.parametrize("kind", ["second", "first"])
def test_decoder_steps_leave_the_stream_alone(crops: Crops, kind: str) -> None:
    cache, torch_seed = LatentCache(), 3
    torch.manual_seed(torch_seed)
    cache.fill(pair(), crops, "cpu", lambda count: count >= 12, 6)
    assert cache.count == 12
    judge = Perceptual(Blurred(), reach=1, adversary=Adversary(width=8, side=32))
    stage = SecondDecoder(crops, 6, "cpu", cache, judge) if kind == "second" else FirstDecoder(
        crops, 6, "cpu", cache, Perceptual(Blurred()))  # fmt: skip
    changed, wanted = moved(stage)
    assert {name for name in wanted - changed if "mask_token" not in name} == set()
    assert all(name.startswith("second_decoder." if kind == "second" else "synthesis.") for name in wanted)


def test_cached_latents_are_what_a_decoder_gets(crops: Crops) -> None:
    network, cache = pair(), LatentCache()
    x, quality = crops.batch(4, "cpu"), torch.tensor([10.0, 30.0, 60.0, 90.0])
    torch.manual_seed(1)
    cache.add(network, x, quality)
    torch.manual_seed(1)
    seen, _ = network.code((x * 255).round() / 255, quality)
    pixels, qualities, cached = cache.batch(50)
    assert set(qualities.tolist()) == set(quality.tolist())
    for i, q in enumerate(quality):
        here = qualities == q
        assert (pixels[here] - x[i]).abs().max() < 1 / 255
        assert (cached.mask[here] == seen.mask[i]).float().mean() > 0.9
        torch.testing.assert_close(cached.weights[here][0], seen.weights[i])


def test_training_lowers_the_loss(crops: Crops) -> None:
    """A dozen steps on one batch: gradients point the right way."""
    torch.manual_seed(0)
    network = pair()
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


def test_check_counts_and_measures(pictures: Path) -> None:
    numbers = Check(pictures, 2, "cpu", Blurred())(pair())
    assert all(math.isfinite(value) for value in numbers.values())
    assert numbers["bpp5"] < numbers["bpp20"] < numbers["bpp60"]
    assert 0 < numbers["coarse60"] < numbers["bpp60"]
    assert 0 <= numbers["visible5m"] <= numbers["visible60m"] <= 1
    assert numbers["bpp20m"] < numbers["bpp20"]


def test_a_check_shows_what_each_decoder_is_for(pictures: Path) -> None:
    network = pair()
    apart = Check(pictures, 2, "cpu", Blurred())(network)
    second, network.second_decoder = network.second_decoder, None
    first = Check(pictures, 2, "cpu", Blurred())(network)
    assert second is not None
    network.synthesis = second
    last = Check(pictures, 2, "cpu", Blurred())(network)
    assert (apart["psnr20"], apart["lpips20"]) == (first["psnr20"], last["lpips20"])
    assert apart["psnr20"] != last["psnr20"]


def test_masks_by_energy_hide_what_the_coarse_latents_say() -> None:
    """Smooth patches are hidden before busy ones, and more of them at low quality."""
    network = pair()
    x = torch.from_numpy(np.stack([smooth_noise(192, 192, seed=3)] * 2)).permute(0, 3, 1, 2).float() / 255
    x[:, :, :, :96] = x[:, :, :, :96].mean()
    seen, _ = network.code(x, torch.tensor([10.0, 70.0]), 1.5)
    shares = seen.mask.float().mean(1)  # (2, columns)
    assert shares[1, :4].mean() < shares[1, 8:].mean()
    assert shares[0].mean() < shares[1].mean()


def testschedule() -> None:
    config = LoopConfig("joint", 1.0)
    rates = [schedule(step / 100, config) for step in range(101)]
    assert 0 < rates[0] < 0.1 and max(rates) == pytest.approx(1, abs=0.05)
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(config.floor) and schedule(1.4, config) == rates[-1]


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


def options(pictures: Path, folder: Path, **more: Any) -> Options:
    given: dict[str, Any] = {
        "val": pictures, "preset": "tiny", "steps": 2, "batch": 4, "size": 192, "check_pictures": 1, "export": True,
        "decoder_share": 0.4, "entropy_minutes": 1.0, "save_every": 0.0, "check_every": 0.0,
    }  # fmt: skip
    return Options(pictures, folder / "out", folder / "cache", **(given | more))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No LPIPS, and a PCA start from 40 crops rather than 400."""
    monkeypatch.setattr(lpips, "LPIPS", Blurred)
    for kind in (Crops, DeviceCrops):
        batch = kind.batch
        monkeypatch.setattr(kind, "batch", lambda self, n, device, batch=batch: batch(self, min(n, 40), device))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("resident", [False, True])
def test_a_rehearsal_runs_to_the_last_line(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resident: bool
) -> None:
    """Steps instead of minutes: every stage, checkpoints, frozen files that code a picture; and as on a GPU."""
    run(options(pictures, tmp_path, resident=resident, large=pictures))
    network, history = load(tmp_path / "out" / "last.pt")
    names = [made["stage"] for made in history["runs"]]
    assert names == ["entropy", "joint", "perceptual", "adversarial", *["light"] * 3]
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["seen"] == history["seen"] > 0 and math.isfinite(log[-1]["loss"])
    assert log[0]["seen"] == 0 and math.isfinite(log[0]["cost"]), "the first line is a check before the first step"
    assert all(row["per_s"] > 0 and row["of_peak"] >= 0 for row in log[1:])
    assert network.config == PRESETS["tiny"] and network.second_decoder is not None
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "out" / "frozen"))
    model = find("tiny")
    assert model.decoders == ["perceptual", "fidelity", "light"]
    assert model.decoder_config("light").plan == "ll" and not model.decoder_config("light").renderer
    picture = smooth_noise(100, 150, seed=77)
    file = mcmcodec.encode(picture, model="tiny", quality=75)
    for name in model.decoders:
        decoded = np.asarray(mcmcodec.decode(file, decoder=name), float)
        assert np.square(decoded - picture).mean() < 0.5 * picture.astype(float).var()


@pytest.mark.parametrize(
    ("more", "cause"),
    [({"stages": ("analysis", "nosuch")}, "there is no stage nosuch; choose from entropy, joint"),
     ({"size": 100}, "crops of 100 pixels do not fit the networks; give --size a multiple of 64"),
     ({"size": 64, "stages": ("joint",)}, "too small for MS-SSIM; give --size 192 or more"),
     ({"size": 128, "stages": ("analysis",), "tune": "fidelity"}, "too small for MS-SSIM"),
     ({"size": 128, "stages": ("analysis",), "structure": 0.3}, "too small for MS-SSIM")],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused_at_once(
    pictures: Path, tmp_path: Path, more: dict[str, Any], cause: str
) -> None:
    with pytest.raises(UsageError, match=cause):
        run(replace(options(pictures, tmp_path), **more))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("quick")
def test_only_the_stages_asked_for(pictures: Path, tmp_path: Path) -> None:
    """A decoder alone, on a stream that stays as it is."""
    run(options(pictures, tmp_path, entropy_minutes=0.0, decoder_share=0.0, stages=("joint",)))
    begun, _ = load(tmp_path / "out" / "last.pt")
    more = {"init": tmp_path / "out" / "last.pt", "decoder_share": 1.0, "entropy_minutes": 0.0}
    run(replace(options(pictures, tmp_path, stages=("perceptual",), **more), out=tmp_path / "on"))
    network, history = load(tmp_path / "on" / "last.pt")
    assert [made["stage"] for made in history["runs"]] == ["joint", "perceptual"]
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, begun.state_dict()[k])}
    assert changed and all(name.startswith("second_decoder.") for name in changed)
    with pytest.raises(UsageError, match="no time for perceptual"):
        run(replace(options(pictures, tmp_path, stages=("perceptual",), decoder_share=0.0), out=tmp_path / "none"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("tune", "decoder"), [("perceptual", "second_decoder"), ("fidelity", "synthesis")])
def test_an_analysis_learns_with_its_decoder(pictures: Path, tmp_path: Path, tune: str, decoder: str) -> None:
    run(options(pictures, tmp_path, entropy_minutes=0.0, decoder_share=0.0, stages=("joint",)))
    begun, _ = load(tmp_path / "out" / "last.pt")
    more = {"init": tmp_path / "out" / "last.pt", "decoder_share": 1.0, "entropy_minutes": 0.0, "tune": tune}
    run(replace(options(pictures, tmp_path, stages=("analysis",), **more), out=tmp_path / "on"))
    network, _ = load(tmp_path / "on" / "last.pt")
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, begun.state_dict()[k])}
    assert {name.split(".")[0] for name in changed} == {"analysis", decoder}


@pytest.mark.usefixtures("quick")
def test_a_killed_run_goes_on(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle of a stage, it begins there again, and ends with as many steps as one that was not."""
    calls = 0

    def dies(self: Joint, network: Network) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return original(self, network)

    original = Joint.__call__
    monkeypatch.setattr(Joint, "__call__", dies)
    with pytest.raises(KeyboardInterrupt):
        run(options(pictures, tmp_path, steps=4, decoder_share=0.0, export=False, val=None))
    state = torch.load(tmp_path / "out" / "state.pt", weights_only=True)
    assert (state["stage"], state["steps"]) == ("joint", 2)
    monkeypatch.setattr(Joint, "__call__", original)
    run(options(pictures, tmp_path, steps=4, decoder_share=0.0, export=False, val=None))
    _, history = load(tmp_path / "out" / "last.pt")
    assert [made["stage"] for made in history["runs"]] == ["entropy", "joint"]
    assert history["seen"] == 4 * 8 + 4 * 4


def test_large_files_are_cut_and_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PIECE", 20_000)
    network = pair()
    export.freeze_network(network, None, tmp_path, "cut", {"seen": 0})
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    assert {path.name for path in export.join(tmp_path)} >= {"cut.safetensors", "cut-perceptual.safetensors"}
    loaded, _ = export.load_frozen(tmp_path / "cut.json", "fidelity")
    torch.testing.assert_close(loaded.synthesis.enter.weight, network.synthesis.enter.weight, atol=1e-3, rtol=1e-3)
