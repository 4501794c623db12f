"""Without torch: graphs compute what the torch modules define, and the usual ways through the codec load no torch."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import smooth_noise
from numpy.typing import NDArray

import mcmcodec
from mcmcodec.codec import Codec, symbols
from mcmcodec.errors import ModelError, UsageError
from mcmcodec.image import tiling
from mcmcodec.image.tiling import View
from mcmcodec.model import devices, onnx_runtime
from mcmcodec.model.analysis import Analysis
from mcmcodec.model.config import PRESETS
from mcmcodec.model.frozen import Frozen, Latents
from mcmcodec.model.onnx_runtime import OnnxRuntime
from mcmcodec.model.synthesis import Synthesis
from mcmcodec.model.torch_runtime import TorchRuntime
from mcmcodec.model.transforms import Transforms
from mcmcodec.model.weights import FOLDER_VARIABLE, Weights, find
from mcmcodec.training import commands
from mcmcodec.training.export import add_graphs
from mcmcodec.training.graphs import analysis_graph, decoder_graph

TINY = PRESETS["tiny"]
CONFIGS = {
    "tiny": TINY,
    "every kind of block, noise": replace(TINY, encoder_plan="adwc", plan="cldaw", noise_channels=3),
    "nothing but base slices": replace(TINY, coarse_slices=(), expected_slices=0, renderer=0),
}
SHAPES = [(1, 1, 1), (2, 5, 7), (1, 8, 16), (1, 3, 40), (3, 17, 9)]
"""Pictures, rows and columns of patches."""
HERE = {**os.environ, "PYTHONPATH": str(Path(mcmcodec.__file__).parents[1])}


def torch_transforms(weights: Weights) -> Transforms:
    """The transforms of a model that has no graphs."""
    card = copy.deepcopy(weights.card)
    del card["analyses"][weights.analyses[0]]["graph"]
    transforms = Transforms(Weights(weights.name, card, weights.folder), "cpu")
    assert isinstance(transforms.runtime, TorchRuntime)
    return transforms


def frozen(module: Analysis | Synthesis, graph: bytes) -> Frozen:
    """A fresh network as a frozen one, with something in place of the zeros."""
    for parameter in module.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return Frozen(module.config, lambda: {name: values.numpy() for name, values in module.state_dict().items()}, graph)


@pytest.mark.parametrize("name", CONFIGS)
def test_graphs_are_the_networks(name: str) -> None:
    config, rng = CONFIGS[name], np.random.default_rng(0)
    torch.manual_seed(0)
    analysis = frozen(Analysis(config), analysis_graph(config))
    decoder = frozen(Synthesis(config), decoder_graph(config))
    runtimes = OnnxRuntime("it"), TorchRuntime("it", "cpu")
    for shape in SHAPES:
        visible = rng.random(shape) < 0.6
        quality = rng.integers(0, 101, shape[0]).tolist()
        pixels = rng.integers(0, 256, (shape[0], 16 * shape[1], 16 * shape[2], 3), np.uint8)
        for mask in (visible, np.ones_like(visible)):
            ours, theirs = (one.analyse(analysis, pixels, mask, quality) for one in runtimes)
            assert_close(ours, theirs, mask)
        given = [rng.normal(size=(*shape, n)).astype(np.float32) for n in (config.latents, config.features)]
        ours, theirs = (one.synthesise(decoder, *given, visible, quality) for one in runtimes)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        assert theirs.std() > 0.1


def assert_close(ours: Latents, theirs: Latents, visible: NDArray[np.bool_]) -> None:
    np.testing.assert_allclose(ours[0][visible], theirs[0][visible], atol=1e-4)
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.fixture(params=["tiny", None], ids=["tiny", "default"])
def weights(request: pytest.FixtureRequest, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    if request.param is None:
        monkeypatch.delenv(FOLDER_VARIABLE)
    return find(request.param)


@pytest.mark.parametrize("size", [(1, 1), (33, 100), (161, 47)])
@pytest.mark.parametrize("tiles", [(96, 16), (8, 8)])
def test_pixels_and_latents_agree(
    weights: Weights, size: tuple[int, int], tiles: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every decoder and a blend, whole and half pictures, in one tile or several."""
    ours, theirs = Transforms(weights, "cpu"), torch_transforms(weights)
    assert isinstance(ours.runtime, OnnxRuntime)
    padded = tiling.pad(smooth_noise(*size))
    data = Codec(weights.name, "cpu").encode(smooth_noise(*size), quality=60)
    decoded = symbols(data)
    monkeypatch.setattr(tiling, "INTERIOR", tiles[0])
    monkeypatch.setattr(tiling, "HALO", tiles[1])
    shown = np.ones(decoded.mask.shape, bool)
    for tune in weights.analyses:
        for mask in (shown, ~shown):
            assert_close(ours.analyse(padded, mask, 60, tune), theirs.analyse(padded, mask, 60, tune), mask)
    for decoder in (*weights.decoders, 0.3):
        for factor in (1, 2, 4):
            view = View.of(size, factor=factor)
            pictures = [one.synthesise(decoded, 60, decoder, view).astype(int) for one in (ours, theirs)]
            assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_a_model_without_graphs_runs_with_torch(tiny: Path, tiny_codec: Codec) -> None:
    transforms = torch_transforms(tiny_codec.weights)
    transforms.open("fidelity")
    transforms.open(0.5)


def test_graphs_are_added_to_frozen_files(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = json.loads((tiny / "tiny.json").read_text())
    card = json.loads((tiny / "tiny.json").read_text())
    for entry in (*card["analyses"].values(), *card["decoders"].values()):
        del entry["graph"]
    (tmp_path / "tiny.json").write_text(json.dumps(card))
    with monkeypatch.context() as patch:
        patch.delattr("mcmcodec.training.graphs")
        patch.delitem(sys.modules, "mcmcodec.training.graphs")
        patch.setitem(sys.modules, "onnx", None)
        with pytest.raises(UsageError, match="graphs cannot be made without onnx; pip install onnx onnxruntime"):
            add_graphs(tmp_path, "tiny")
    assert json.loads((tmp_path / "tiny.json").read_text()) == card
    commands.main(["graphs", str(tmp_path), "--name", "tiny"], standalone_mode=False)
    assert json.loads((tmp_path / "tiny.json").read_text()) == whole
    for entry in (*whole["analyses"].values(), *whole["decoders"].values()):
        name = entry["graph"]["file"]
        assert (tmp_path / name).read_bytes() == (tiny / name).read_bytes()


def test_a_model_without_graphs_needs_torch(tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mcmcodec.model.torch_runtime")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match="model tiny needs torch; pip install torch"):
        torch_transforms(tiny_codec.weights)


def test_a_damaged_graph_is_refused(tiny_codec: Codec) -> None:
    analysis = tiny_codec.transforms().frozen_analysis()
    arrays = analysis.load()
    for graph, given in (
        (b"nonsense", arrays),
        (analysis.graph, {**arrays, "embed.bias": np.zeros(5, np.float32)}),
        (analysis.graph, {k: v for k, v in arrays.items() if k != "embed.bias"}),
        (analysis.graph, {**arrays, "more": np.zeros(5, np.float32)}),
    ):
        with pytest.raises(ModelError, match="weights of tiny do not fit its card; install mcmcodec again"):
            OnnxRuntime("tiny").open(Frozen(analysis.config, lambda given=given: given, graph))


def test_inputs_that_do_not_fit(tiny_codec: Codec) -> None:
    transforms = tiny_codec.transforms()
    latents, features = np.zeros((1, 1, 1, TINY.latents), np.float32), np.zeros((1, 1, 1, 99), np.float32)
    with pytest.raises(ModelError, match="weights of tiny do not fit its card; install mcmcodec again"):
        visible = np.ones((1, 1, 1), bool)
        transforms.runtime.synthesise(transforms.frozen_decoder("fidelity"), latents, features, visible, [50])


@pytest.mark.parametrize(("given", "expected"), [("3", 3), ("", None), ("0", None), ("x", None)])
def test_threads(given: str, expected: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(onnx_runtime, "_chosen", [])
    assert onnx_runtime.threads() == expected or (expected is None and 1 <= onnx_runtime.threads() <= 8)
    onnx_runtime.set_threads(2)
    assert onnx_runtime.threads() == 2


def test_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert devices.device_of("auto") == "cpu"
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match="device cuda needs torch; pip install torch"):
        devices.device_of("cuda")
    monkeypatch.setattr(devices, "_may_have_gpu", lambda: True)
    assert devices.device_of("auto") == "cpu"


PROGRAM = """
import sys
sys.modules["torch"] = None  # importing it is an error
from mcmcodec.cli.main import cli
for line in sys.argv[1:]:
    cli.main(line.split(" "), standalone_mode=False)
print(*(name for name in ("cv2", "torch") if sys.modules.get(name)))
"""


def run_without_torch(*commands: str, folder: Path, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *commands], cwd=folder, env={**HERE, **environment}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_encode_and_decode_load_neither_torch_nor_opencv(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(smooth_noise(90, 70)).save(tmp_path / "a.png")
    loaded = run_without_torch(
        "encode --quiet a.png", "decode --quiet a.mcm -o b.png", "decode --quiet --realism 0.5 a.mcm -o c.png",
        "decode --quiet --decoder light --scale 1/2 --crop 3,5,40,50 a.mcm -o d.png", "verify --quiet --pixels a.mcm",
        "encode --quiet -f --bpp 0.1 a.png", "encode --quiet -f --target psnr=20 a.png", "encode -f --quiet -e 1 a.png",
        folder=tmp_path, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="",
    )  # fmt: skip
    assert loaded == []
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.mcm", "b.png", "c.png", "d.png"}


def test_sessions_have_their_own_weights(tiny_codec: Codec) -> None:
    """What was given to a session may be freed: it would take memory twice."""
    transforms = tiny_codec.transforms()
    stored = transforms.frozen_decoder("fidelity")
    given = stored.load()
    runtime, network = OnnxRuntime("tiny"), Frozen(stored.config, lambda: given, stored.graph)
    latents, features = np.ones((1, 2, 3, TINY.latents), np.float32), np.ones((1, 2, 3, TINY.features), np.float32)
    pixels = []
    for _ in range(2):
        pixels.append(runtime.synthesise(network, latents, features, np.ones((1, 2, 3), bool), [50]))
        for values in given.values():
            values[...] = np.nan
    np.testing.assert_array_equal(*pixels)


def opened(transforms: Any) -> Any:
    return transforms.runtime._network(transforms.frozen_analysis())._opened


def test_networks_follow_the_number_of_threads(tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    transforms, picture = Transforms(tiny_codec.weights, "cpu"), np.zeros((16, 16, 3), np.uint8)
    found = []
    for count in (1, 2):
        monkeypatch.setattr(onnx_runtime, "_chosen", [count])
        transforms.analyse(picture, np.ones((1, 1), bool), 50)
        found.append(opened(transforms).session.get_session_options().intra_op_num_threads)
    assert found == [1, 2]
