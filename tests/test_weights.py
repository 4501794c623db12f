"""Frozen models: what is not exactly what the card names is refused, in one line with a remedy."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import NUMBER, forget_models, smooth_noise

import mcmcodec
from mcmcodec.caption import language
from mcmcodec.codec import Codec
from mcmcodec.entropy.latent_coder import EntropyModel
from mcmcodec.errors import ModelError
from mcmcodec.model import weights
from mcmcodec.model.config import PRESETS
from mcmcodec.model.weights import available, find, find_number

WORDS = Path(language.__file__).with_name(language.FILE)


@pytest.fixture
def folder(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where weights are: a copy of the tiny model that a test may spoil."""
    shutil.copytree(tiny, tmp_path / "weights")
    monkeypatch.setattr(weights, "folders", lambda: [tmp_path / "weights"])
    forget_models()
    return tmp_path / "weights"


def refused(call: Callable[[], object], cause: str) -> None:
    with pytest.raises(ModelError, match=cause) as caught:
        call()
    assert caught.value.remedy and "\n" not in str(caught.value)


def edit_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / "tiny.json").read_text())
    (folder / "tiny.json").write_text(json.dumps({**card, **changes}))


def test_a_whole_model(folder: Path) -> None:
    model = find("tiny")
    assert available() == ["tiny"]
    assert (model.name, model.number, model.config) == ("tiny", NUMBER, PRESETS["tiny"])
    assert model.decoders == ["fidelity", "perceptual"]
    stream = hashlib.sha256((folder / "tiny.safetensors").read_bytes()).digest()
    words = hashlib.sha256(WORDS.read_bytes()).digest()
    assert model.fingerprint == hashlib.sha256(stream + words).digest()
    assert find_number(NUMBER, 0).name == "tiny"
    assert "log_gain" in model.stream and "embed.weight" in model.analysis("fidelity")
    assert model.stream["entropy.hyper.weight1"].dtype == np.int16


def test_a_model_is_read_and_built_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a process does with it: encode, decode with either decoder, look into the file; by name or by number."""
    read: Counter[str] = Counter()
    built: Counter[str] = Counter()
    read_bytes, read_text, build = Path.read_bytes, Path.read_text, EntropyModel.__init__

    def count(original: Callable[..., Any]) -> Callable[..., Any]:
        def reading(path: Path, *arguments: Any, **options: Any) -> Any:
            read[path.name] += path.parent == folder
            return original(path, *arguments, **options)

        return reading

    def building(*arguments: Any) -> None:
        built["EntropyModel"] += 1
        build(*arguments)

    monkeypatch.setattr(Path, "read_bytes", count(read_bytes))
    monkeypatch.setattr(Path, "read_text", count(read_text))
    monkeypatch.setattr(EntropyModel, "__init__", building)
    for _ in range(2):
        data = mcmcodec.encode(smooth_noise(20, 20), model="tiny")
        for decoder in ("fidelity", "perceptual"):
            assert mcmcodec.decode(data, decoder=decoder).size == (20, 20)
        assert mcmcodec.decode(data, realism=0.5).size == (20, 20)
        assert mcmcodec.info(data).model == "tiny"
        assert find("tiny") is find_number(NUMBER, 0)
    blended = ("tiny-fidelity.safetensors", "tiny-perceptual.safetensors", "tiny-perceptual.onnx")  # once more for that
    expected = {path.name: 1 + (path.name in blended) for path in folder.iterdir()}
    assert {name: number for name, number in read.items() if number} == expected
    assert built == {"EntropyModel": 1}


def test_a_new_card_is_read(folder: Path) -> None:
    before = find("tiny")
    edit_card(folder, default_decoder="perceptual")
    assert (before.decoders[0], find("tiny").decoders[0]) == ("fidelity", "perceptual")


def test_other_captions_are_refused(folder: Path) -> None:
    entry = find("tiny").card["captions"]
    edit_card(folder, captions={**entry, "name": "words-99"})
    refused(lambda: find("tiny"), "model tiny needs another caption coder than is here; update")
    edit_card(folder, captions={**entry, "sha256": "0" * 64})
    refused(lambda: find("tiny"), "model tiny needs another caption coder than is here; update")
    edit_card(folder, captions="words-2")
    refused(lambda: find("tiny"), "cannot be read")


def test_default_decoder_comes_first(folder: Path) -> None:
    edit_card(folder, default_decoder="perceptual")
    assert find("tiny").decoders == ["perceptual", "fidelity"]


def test_unknown_model(folder: Path) -> None:
    refused(lambda: find("huge"), "there is no model huge; choose from tiny$")
    refused(lambda: Codec("huge"), "there is no model huge")
    refused(lambda: find_number(77, 0), "needs model 77.0, which is not installed; update")
    refused(lambda: find_number(NUMBER, 1), f"needs model {NUMBER}.1")


def test_no_weights_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "folders", lambda: [tmp_path / "nowhere", tmp_path])
    assert available() == []
    refused(find, f"there is no model {weights.DEFAULT}; choose from none: weights are missing")


def test_named_folder_goes_first(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.folders()[0] == tiny
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    assert weights.folders()[0] == tmp_path
    monkeypatch.delenv(weights.FOLDER_VARIABLE)
    package = Path(mcmcodec.__file__).parent
    assert weights.folders() == [package / "_weights", package.parent / "weights"]


@pytest.mark.parametrize(
    "name", ["tiny.safetensors", "tiny-for-fidelity.safetensors", "tiny-perceptual.safetensors", "tiny-fidelity.onnx"]
)
def test_missing_and_changed_files(folder: Path, name: str) -> None:
    data = mcmcodec.encode(smooth_noise(20, 20), model="tiny")
    forget_models()

    def use() -> object:
        if "-for-" in name:
            return mcmcodec.encode(smooth_noise(20, 20), model="tiny") == data
        return mcmcodec.decode(data, decoder="perceptual" if "perceptual" in name else None).size == (20, 20)

    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused(use, f"{name} are not those that tiny.json names")
    path.write_bytes(whole[:1000])
    refused(use, f"{name} are not those that tiny.json names")
    path.unlink()
    refused(use, f"{name} cannot be read")
    path.mkdir()
    refused(use, f"{name} cannot be read")
    path.rmdir()
    path.write_bytes(whole)
    assert use()


def test_another_decoder_may_be_broken(folder: Path) -> None:
    data = mcmcodec.encode(smooth_noise(20, 20), model="tiny")
    (folder / "tiny-perceptual.safetensors").unlink()
    assert mcmcodec.decode(data).size == (20, 20)


def test_file_of_other_weights_under_the_same_number(folder: Path) -> None:
    data = mcmcodec.encode(smooth_noise(20, 20), model="tiny")
    path = folder / "tiny.safetensors"
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    edit_card(folder, stream={"file": path.name, "sha256": hashlib.sha256(changed).hexdigest()})
    with pytest.raises(mcmcodec.FormatError, match="its model's weights are not these"):
        mcmcodec.info(data)


@pytest.mark.parametrize("text", [b"", b"{", b'{"id": 1', b"\xff\xfe"])
def test_card_that_is_no_json(folder: Path, text: bytes) -> None:
    (folder / "tiny.json").write_bytes(text)
    refused(lambda: find("tiny"), "model card .*tiny.json cannot be read; install mcmcodec again")
    refused(lambda: find_number(NUMBER, 0), "cannot be read")


@pytest.mark.parametrize(
    "missing", ["id", "config", "stream", "captions", "analyses", "decoders", "default_decoder", "tuning"]
)
def test_card_without_an_entry(folder: Path, missing: str) -> None:
    card = json.loads((folder / "tiny.json").read_text())
    del card[missing]
    (folder / "tiny.json").write_text(json.dumps(card))
    refused(lambda: mcmcodec.decode(mcmcodec.encode(smooth_noise(20, 20), model="tiny")), "tiny.json")


def test_card_without_any_analysis(folder: Path) -> None:
    edit_card(folder, analyses={})
    refused(lambda: find("tiny"), "model card .*tiny.json cannot be read; install mcmcodec again")


@pytest.mark.parametrize("card", ["[]", "7", '"tiny"', "{}"])
def test_card_of_another_shape(folder: Path, card: str) -> None:
    (folder / "tiny.json").write_text(card)
    refused(lambda: find("tiny").number, "tiny.json")


def test_card_with_other_sizes(folder: Path) -> None:
    """Torch builds networks after the card; graphs have their sizes in them."""
    card = json.loads((folder / "tiny.json").read_text())
    del card["analyses"]["fidelity"]["graph"]
    edit_card(folder, analyses=card["analyses"], config={**card["config"], "width": 64})
    refused(lambda: mcmcodec.decode(mcmcodec.encode(smooth_noise(20, 20), model="tiny")), "do not fit")


def test_card_with_unknown_sizes(folder: Path) -> None:
    edit_card(folder, config={**PRESETS["tiny"].to_dict(), "depth": 3})
    refused(lambda: mcmcodec.encode(smooth_noise(20, 20), model="tiny"), "tiny.json")
