"""``codec export``: its files run alone, with nothing of ours, and do what the codec does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from models import smooth_noise

from mcmcodec.codec import Codec, symbols


@pytest.fixture
def exported(tiny_codec: Codec, run_codec: Any, here: Path) -> Path:
    done = run_codec("export", "--format", "onnx", "--model", "tiny", "out")
    assert (done.code, done.out) == (0, b""), done.err
    assert done.err.startswith("out, ")
    return here / "out"


def run(path: Path, **given: Any) -> dict[str, Any]:
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, given), strict=True))


def test_files_run_alone(tiny_codec: Codec, exported: Path) -> None:
    names = {path.name for path in exported.iterdir()}
    networks = {f"tiny-{part}.onnx" for part in ("for-fidelity", "fidelity", "perceptual")}
    assert names == {"README.md", "gains.json"} | networks
    picture, quality = smooth_noise(96, 64), np.array([55], np.float32)
    visible = np.ones((1, 6, 4), bool)
    found = run(exported / "tiny-for-fidelity.onnx", pixels=picture[None], visible=visible, quality=quality)
    fine, coarse, hyper = tiny_codec.transforms().analyse(picture, visible[0], 55)
    for one, other in ((found["fine"], fine), (found["coarse"], coarse), (found["hyper"], hyper)):
        np.testing.assert_allclose(one.ravel(), other.ravel(), atol=1e-4)

    data = tiny_codec.encode(picture, quality=55)
    decoded, log_gain = symbols(data), np.array(json.loads((exported / "gains.json").read_text())["log_gain"])
    gain = np.exp(0.25 * log_gain[2] + 0.75 * log_gain[3])
    for name in ("fidelity", "perceptual"):
        given = {"latents": decoded.v_hat[None] / 64 / gain, "features": decoded.psi[None] / 64, "quality": quality}
        given = {key: value.astype(np.float32) for key, value in given.items()}
        found = run(exported / f"tiny-{name}.onnx", visible=visible, **given)
        pixels = np.clip(np.rint(255 * found["pixels"][0]), 0, 255)
        assert np.abs(pixels - np.asarray(tiny_codec.decode(data, decoder=name), float)).max() <= 1


def test_the_page_names_what_is_in_the_files(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    for path in exported.glob("*.onnx"):
        assert path.name in text
        graph = onnx.load(path).graph
        for value in (*graph.input, *graph.output):
            assert f"`{value.name}`" in text


def test_existing_files_are_kept(exported: Path, run_codec: Any) -> None:
    done = run_codec("export", "--model", "tiny", "out")
    assert (done.code, done.err) == (1, "codec: out/tiny-for-fidelity.onnx exists; give -f to overwrite it\n")
    assert run_codec("export", "--model", "tiny", "--quiet", "-f", "out").code == 0
    assert "there is no model huge" in run_codec("export", "--model", "huge", "out").err


def test_models_without_graphs(tiny: Path, here: Path, run_codec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    card = json.loads((tiny / "tiny.json").read_text())
    del card["analyses"]["fidelity"]["graph"]
    (here / "tiny.json").write_text(json.dumps(card))
    monkeypatch.setenv("MCMCODEC_WEIGHTS", str(here))
    done = run_codec("export", "--model", "tiny", "out")
    assert done.code == 1 and "model tiny has no graphs; python -m mcmcodec.training graphs FOLDER" in done.err
