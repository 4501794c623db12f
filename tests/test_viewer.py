"""The viewer: what its JavaScript decodes, in Node and in a browser; the page; the command that opens and writes it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import PROGRAM, Chromium
from numpy.typing import NDArray
from PIL import Image

from mcmcodec.cli.viewer import page_files
from mcmcodec.codec import Codec, info
from mcmcodec.model import transforms
from mcmcodec.model.weights import FOLDER_VARIABLE, forget

TESTS = Path(__file__).parent
FOLDER = TESTS.parent / "formats" / "vectors"
VALID = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))
INVALID = json.loads((FOLDER / "invalid.json").read_text(encoding="utf-8"))
HARNESS = TESTS / "viewer_harness.js"
NODE = shutil.which("node")
TOLERANCE = 2
"""Of 255: between the pixels of the viewer and those of ``codec decode``."""

Answers = dict[str, dict[str, Any]]
Files = list[tuple[str, bytes, str | float | None]]
Decode = Callable[[Files], Answers]


def write_site(folder: Path) -> Path:
    for name, data in (*page_files.page_files(), ("given.js", b"mcm.given = null;")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The viewer with the models that are shipped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(FOLDER_VARIABLE, raising=False)
        yield write_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if PROGRAM is None:
        pytest.skip("there is no Chromium")
    with Chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def request(files: Files) -> str:
    keys = ("name", "data", "choice")
    listed = [(name, base64.b64encode(data).decode(), choice) for name, data, choice in files]
    return json.dumps([{k: v for k, v in zip(keys, one, strict=True) if v is not None} for one in listed])


def in_node(site: Path, folder: Path, files: Files) -> Answers:
    if NODE is None:
        pytest.skip("there is no Node.js")
    asked = folder / "request.json"
    asked.write_text(request(files))
    done = subprocess.run([NODE, HARNESS, site, asked], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: Answers = json.loads(done.stdout)
    return found


def in_browser(browser: Chromium, site: Path, files: Files) -> Answers:
    browser.open((site / "index.html").as_uri())
    browser.run(HARNESS.read_text(encoding="utf-8") + "; undefined")
    load = """file => new Promise(resolve => {
        const script = document.createElement("script");
        mcm.deliver = (name, text) => resolve(text);
        script.src = `weights/${file}.js`;
        document.head.append(script);
    })"""
    found: Answers = json.loads(browser.run(f"decodeAll(mcm, {load}, {request(files)}).then(JSON.stringify)"))
    return found


@pytest.fixture(params=["node", "browser"])
def decode(request: pytest.FixtureRequest, site: Path, tmp_path: Path) -> Decode:
    """Decode files with the shipped models: in Node, and in a browser."""
    if request.param == "node":
        return lambda files: in_node(site, tmp_path, files)
    browser = request.getfixturevalue("browser")
    return lambda files: in_browser(browser, site, files)


def pixels(answer: dict[str, Any]) -> NDArray[np.int16]:
    flat = np.frombuffer(base64.b64decode(answer["rgba"]), np.uint8)
    return flat.reshape(answer["height"], answer["width"], 4).astype(np.int16)


def expected(image: Image.Image) -> NDArray[np.int16]:
    return np.asarray(image.convert("RGBA"), np.int16)


def edge_hash(edges: dict[str, Any] | None) -> str | None:
    """SHA-256 of an edge map, as the vectors have it."""
    if edges is None:
        return None
    digest = hashlib.sha256(f"{edges['scale']} {(edges['rows'], edges['cols'])}".encode())
    digest.update(np.frombuffer(base64.b64decode(edges["edges"]), np.uint8).astype("<i4").tobytes())
    return digest.hexdigest()


def test_vectors(decode: Decode, request: pytest.FixtureRequest) -> None:
    """Every valid vector: its symbols, what it says, and the pixels of its reference picture."""
    decoder = {name: entry["picture"]["decoder"] if entry["symbols"] else None for name, entry in VALID.items()}
    found = decode([(name, (FOLDER / name).read_bytes(), decoder[name]) for name in VALID])
    in_a_browser = "browser" in request.node.callspec.id
    for name, wanted in VALID.items():
        answer = found[name]
        assert answer["symbols"] == wanted["symbols"], name
        facts = [answer[key] for key in ("width", "height", "quality", "visible", "caption")]
        assert facts == wanted["facts"], name
        assert [[r[key] for key in ("x", "y", "w", "h", "text")] for r in answer["regions"]] == wanted["regions"], name
        data = (FOLDER / name).read_bytes()
        wanted_bytes = {part: size for part, size in info(data).bytes.items()}
        assert answer["bytes"] == pytest.approx(wanted_bytes, abs=1e-6), name
        assert edge_hash(answer["edges"]) == wanted.get("edges"), name
        if not wanted["symbols"]:
            continue
        entry = wanted["picture"]
        with Image.open(FOLDER / entry["file"]) as image:
            reference = expected(image)
        rows, cols = (slice(entry[at], entry[at] + reference.shape[i]) for i, at in enumerate(("top", "left")))
        channels = 4 if in_a_browser else 3  # Node has no WebP, in which alpha may be coded
        error = np.abs(pixels(answer)[rows, cols] - reference)[..., :channels]
        assert error.max() <= TOLERANCE, name


def test_invalid_vectors(decode: Decode) -> None:
    """Every invalid vector is refused for the reason and with the words of the package."""
    found = decode([(name, (FOLDER / "invalid" / name).read_bytes(), None) for name in INVALID])
    for name, wanted in INVALID.items():
        assert (found[name]["reason"], found[name]["cause"]) == (wanted["reason"], wanted["cause"]), name
        assert found[name]["remedy"]


def test_realism_and_light_decoder(site: Path, tmp_path: Path) -> None:
    data = (FOLDER / "keep40-texture.mcm").read_bytes()
    choices: list[str | float] = ["light", 0.0, 0.35, 1.0]
    found = in_node(site, tmp_path, [(str(choice), data, choice) for choice in choices])
    codec = Codec(device="cpu")
    for choice in choices:
        keywords: dict[str, Any] = {"decoder": choice} if isinstance(choice, str) else {"realism": choice}
        error = np.abs(pixels(found[str(choice)]) - expected(codec.decode(data, **keywords)))
        assert error.max() <= TOLERANCE, choice


def add_decoder(folder: Path, name: str, **sizes: Any) -> None:
    """Give the tiny model one more decoder, of other sizes than the model's."""
    import torch
    from safetensors.torch import save

    from mcmcodec.model.config import PRESETS
    from mcmcodec.model.synthesis import Synthesis

    torch.manual_seed(3)
    synthesis = Synthesis(replace(PRESETS["tiny"], **sizes))
    for parameter in synthesis.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.02)
    data = save({key: value.half().contiguous() for key, value in synthesis.state_dict().items()})
    (folder / f"tiny-{name}.safetensors").write_bytes(data)
    card = json.loads((folder / "tiny.json").read_text())
    entry = {"file": f"tiny-{name}.safetensors", "sha256": hashlib.sha256(data).hexdigest(), "config": sizes}
    card["decoders"][name] = entry
    (folder / "tiny.json").write_text(json.dumps(card))
    forget()


def test_every_kind_of_block_and_latent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Coarse latents, masks, odd sizes, tiles, reduced and grey pictures, a renderer, and all kinds of blocks."""
    from models import export_tiny, smooth_noise

    export_tiny(tmp_path)
    add_decoder(tmp_path, "blocks", plan="dlaw", width=48, head_dim=20, noise_channels=3, renderer=12, head=20)
    add_decoder(tmp_path, "plain", plan="d", renderer=0, head_features=5)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(page_files.weights, "available", lambda: ["tiny"])
    site = write_site(tmp_path / "site")
    monkeypatch.setattr(transforms, "_loaded", {})  # other tests know a tiny model with fewer decoders
    codec = Codec("tiny", "cpu")
    grey = np.repeat(smooth_noise(70, 45)[..., :1], 3, 2)
    pictures: dict[str, bytes] = {
        "masked": codec.encode(smooth_noise(150, 213), quality=70, mask="texture", keep=0.4, caption="Two dogs."),
        "tiles": codec.encode(smooth_noise(40, 2100), quality=35),
        "reduced": codec.encode(smooth_noise(133, 90), quality=90, reduce=4),
        "grey": codec.encode(Image.fromarray(grey).convert("L"), quality=0),
    }
    names = ["fidelity", "blocks", "plain"]
    asked: Files = [(f"{key} {name}", data, name) for key, data in pictures.items() for name in names]
    found = in_node(site, tmp_path, asked)
    for key, data in pictures.items():
        for name in names:
            error = np.abs(pixels(found[f"{key} {name}"]) - expected(codec.decode(data, decoder=name)))
            assert error.max() <= TOLERANCE, (key, name)
    assert found["masked plain"]["decoders"] == ["fidelity", "perceptual", "blocks", "plain"]
    assert found["masked plain"]["blends"]
