"""Several decoders read one file: by name, or between two of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import TUNING, smooth_noise, stir, tiny_network

from mcmcodec.codec import Codec
from mcmcodec.errors import ModelError, UsageError
from mcmcodec.model.config import PRESETS
from mcmcodec.model.synthesis import Synthesis
from mcmcodec.model.weights import FOLDER_VARIABLE
from mcmcodec.training.export import write
from mcmcodec.training.network import Network


@pytest.fixture(scope="module")
def data(tiny_codec: Any) -> bytes:
    return bytes(tiny_codec.encode(smooth_noise(64, 80), quality=50))


def pixels(codec: Any, data: bytes, **options: Any) -> np.ndarray:
    return np.asarray(codec.decode(data, **options), np.int16)


def test_ends_of_realism_are_the_two_decoders(tiny_codec: Any, data: bytes) -> None:
    for realism, name in ((0, "fidelity"), (1.0, "perceptual")):
        assert (pixels(tiny_codec, data, realism=realism) == pixels(tiny_codec, data, decoder=name)).all()


def test_between_them_lies_another_picture(tiny_codec: Any, data: bytes) -> None:
    first, between, last = (pixels(tiny_codec, data, realism=realism) for realism in (0, 0.5, 1))
    assert np.abs(first - last).mean() > np.abs(first - between).mean() > 0


@pytest.mark.parametrize("plan", ["cdawa", "ca"])
def test_between_a_decoder_and_a_deeper_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: str) -> None:
    """Blocks and a renderer that the first one lacks have no effect at its end of the line."""
    fidelity = Synthesis(replace(PRESETS["tiny"], renderer=0))
    fidelity.load_state_dict(tiny_network().synthesis.state_dict(), strict=False)
    tiny = PRESETS["tiny"]
    deeper = stir(Network(tiny, replace(tiny, plan=plan, noise_channels=2)), 5).synthesis
    network = tiny_network()
    write(tmp_path, "deep", 4002, network, {"fidelity": fidelity, "perceptual": deeper}, "fidelity", TUNING, {})
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    codec = Codec("deep", "cpu")
    data = codec.encode(smooth_noise(64, 80), quality=50)
    first, between, last = (pixels(codec, data, realism=realism) for realism in (0, 0.5, 1))
    assert np.abs(first - pixels(codec, data, decoder="fidelity")).max() <= 1
    assert np.abs(last - pixels(codec, data, decoder="perceptual")).max() <= 1
    assert np.abs(first - last).mean() > np.abs(first - between).mean() > 0


def test_decoders_of_other_shapes_have_nothing_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_network()
    decoders = {"fidelity": network.synthesis, "perceptual": Synthesis(replace(PRESETS["tiny"], plan="aca", head=8))}
    write(tmp_path, "other", 4002, network, decoders, "fidelity", TUNING, {})
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    codec = Codec("other", "cpu")
    with pytest.raises(ModelError, match="differ in shape, so none lies between"):
        codec.decode(codec.encode(smooth_noise(64, 80), quality=50), realism=0.5)


@pytest.mark.parametrize("options", [{"realism": 1.5}, {"realism": -0.1}, {"realism": 0.5, "decoder": "fidelity"}])
def test_contradictions_are_refused(tiny_codec: Any, data: bytes, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"realism -?[\d.]+ is not 0 to 1|both choose a decoder"):
        tiny_codec.decode(data, **options)


def test_a_missing_decoder_names_those_that_exist(tiny_codec: Any, data: bytes) -> None:
    with pytest.raises(ModelError, match="no decoder generative; choose from fidelity, perceptual"):
        tiny_codec.decode(data, decoder="generative")


def test_command_line(codec: Any, here: Any) -> None:
    (here / "a.mcm").write_bytes(b'{"size": [4, 3]}')
    assert codec("decode", "a.mcm", "--decoder", "light", "--realism", "0.5").code == 2
    assert codec("decode", "a.mcm", "--realism", "1").code == 0
    assert codec("decode", "a.mcm", "--realism", "2", "-f").code == 2
