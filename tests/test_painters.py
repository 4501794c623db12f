"""Painters: what they are asked, what becomes of their pictures, and pipelines of diffusers that paint."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command
from models import smooth_noise
from PIL import Image

from mcmcodec import plugins
from mcmcodec.bitstream.structure import Structure
from mcmcodec.caption import Region
from mcmcodec.codec import Codec
from mcmcodec.errors import UsageError
from mcmcodec.image import painting
from mcmcodec.image.painting import PaintRequest
from mcmcodec.metrics.colour_difference import colour
from mcmcodec.options import DecodeOptions

SIZE = (40, 30)
REGION = Region(0, 0, 2, 1, "a dog")


class Listener:
    """A painter that keeps what it was asked, and answers with one colour."""

    def __init__(self) -> None:
        self.asked: list[PaintRequest] = []

    def __call__(self, request: PaintRequest) -> Image.Image:
        self.asked.append(request)
        return Image.new("L", (7, 5), 90)


@pytest.fixture
def listener() -> Listener:
    return Listener()


def lines() -> Structure:
    return Structure(1, np.eye(15, 20, dtype=np.uint8))


def test_painters_are_told_everything(tiny_codec: Codec, listener: Listener) -> None:
    picture = smooth_noise(*SIZE[::-1])
    words: dict[str, Any] = {"caption": "a park", "regions": [REGION, Region(2, 1, 1, 1, "a cat")]}
    data = tiny_codec.encode(picture, quality=60, structure=lines(), **words)
    painted = tiny_codec.decode(data, painter=listener, seed=7)
    assert (painted.mode, painted.size) == ("RGB", SIZE)
    (asked,) = listener.asked
    assert (asked.caption, asked.size, asked.seed) == ("a park", SIZE, 7)
    assert asked.regions == (((0, 0, 32, 16), "a dog"), ((32, 16, 40, 30), "a cat"))
    assert asked.picture is not None and asked.picture.tobytes() == tiny_codec.decode(data).tobytes()
    assert asked.edges is not None and (asked.edges.mode, asked.edges.size) == ("L", SIZE)
    assert asked.edges.getpixel((1, 1)) > 100 and asked.edges.getpixel((39, 2)) == 0
    assert asked.strength == painting.strength_of(8 * len(data) / 1200)

    for mode, edges in (("sketch", True), ("caption", False)):
        data = tiny_codec.encode(picture, mode=mode, structure=lines() if edges else None, **words)
        tiny_codec.decode(data, painter=listener, strength=0.3)
        asked = listener.asked[-1]
        assert (asked.picture, asked.strength, asked.edges is not None) == (None, 1.0, edges)
    tiny_codec.decode(tiny_codec.encode(picture, mode="base"), painter=listener, strength=0.3)
    assert listener.asked[-1].picture is not None and listener.asked[-1].strength == 0.3


def test_files_are_parsed_once(tiny_codec: Codec, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcmcodec import codec

    parsed = []

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(codec, name)
        return lambda *given, **more: (parsed.append(name), real(*given, **more))[1]

    data = tiny_codec.encode(smooth_noise(*SIZE[::-1]), quality=60, structure=lines())
    for name in ("open_file", "unpack_extras", "structure_of"):
        monkeypatch.setattr(codec, name, counted(name))
    tiny_codec.decode(data, painter=listener)
    assert parsed == ["open_file", "unpack_extras", "structure_of"]


def test_more_is_painted_anew_at_lower_rates() -> None:
    strengths = [painting.strength_of(bpp) for bpp in (1e-4, 0.005, 0.02, 0.05, 1)]
    assert strengths == sorted(strengths, reverse=True)
    assert (strengths[0], strengths[2], strengths[-1]) == (0.8, 0.5, 0.2)


def test_parts_and_extras_of_painted_pictures(tiny_codec: Codec) -> None:
    def checks(request: PaintRequest) -> Image.Image:
        rows, cols = np.indices(request.size[::-1])
        return Image.fromarray(((rows // 4 + cols // 4) % 2 * 255).astype(np.uint8))

    rgba = np.dstack([smooth_noise(60, 80), np.full((60, 80), 90, np.uint8)])
    data = tiny_codec.encode(rgba, quality=40)
    whole = tiny_codec.decode(data, painter=checks)
    assert whole.mode == "RGBA" and whole.getpixel((5, 5))[3] == 90
    part = tiny_codec.decode(data, painter=checks, crop=(16, 8, 24, 20))
    np.testing.assert_array_equal(np.asarray(part), np.asarray(whole)[8:28, 16:40])
    half = tiny_codec.decode(data, painter=checks, crop=(16, 8, 24, 20), scale=1 / 2)
    assert half.size == (12, 10)


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (30, 40), (77, 131)])
def test_colours_come_back(shape: tuple[int, int]) -> None:
    decoded = np.clip(smooth_noise(*shape), 40, 200)
    rng = np.random.default_rng(1)
    painted = np.clip(decoded * 0.8 + [30, -20, 10] + rng.normal(0, 12, (*shape, 3)), 0, 255).astype(np.uint8)
    found = np.asarray(painting.corrected(Image.fromarray(painted), Image.fromarray(decoded), 16))
    off = [painting._means(one.astype(np.float32), 16) - painting._means(decoded.astype(np.float32), 16)
           for one in (painted, found)]  # fmt: skip
    assert np.abs(off[0]).max() > 10 and np.abs(off[1]).mean() < 0.3
    if min(shape) > 16:  # what was painted inside of blocks stays
        details = [one.astype(float)[1:, 1:] - one.astype(float)[:-1, :-1] for one in (painted, found)]
        assert np.corrcoef(*(one.ravel() for one in details))[0, 1] > 0.97
        reference, before, after = (Image.fromarray(one) for one in (decoded, painted, found))
        assert colours(reference, after) < 0.2 * colours(reference, before)


def colours(reference: Image.Image, other: Image.Image) -> float:
    return colour(np.asarray(reference), np.asarray(other))[0]


def test_colours_may_be_free(tiny_codec: Codec, listener: Listener) -> None:
    data = tiny_codec.encode(smooth_noise(*SIZE[::-1]), quality=60)
    kept, free = (np.asarray(tiny_codec.decode(data, painter=listener, correct_colours=on)) for on in (True, False))
    assert (free == 90).all() and (kept != 90).any()
    decoded = np.asarray(tiny_codec.decode(data), np.float32)
    assert np.abs(painting._means(kept.astype(np.float32), 16) - painting._means(decoded, 16)).mean() < 0.3


@pytest.mark.parametrize("keywords", [{"strength": 2}, {"strength": "much"}, {"seed": -1}, {"seed": 0.5}])
def test_options_are_checked(tiny_codec: Codec, keywords: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(keywords))} .* is not "):
        tiny_codec.decode(b"", **keywords)


@pytest.mark.parametrize(("name", "value"), [("strength", 0.0), ("seed", 3), ("correct_colours", False)])
def test_options_need_a_painter(listener: Listener, name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        DecodeOptions(**{name: value})
    assert str(caught.value) == f"{name} is for painters, and there is none; give a painter, or leave it out"
    assert getattr(DecodeOptions(painter=listener, **{name: value}), name) == value


@pytest.mark.parametrize("option", ["--controlnet x", "--strength 0.0", "--seed 0", "--free-colours"])
def test_commands_need_a_painter(run_codec: Command, here: Path, option: str) -> None:
    done = run_codec("decode", "a.mcm", *option.split())
    assert (done.code, done.out) == (2, b"")
    name = option.partition(" ")[0]
    assert done.err == f"codec: {name} is for painters, and there is none; give --painter, or leave it out\n"


def test_commands_ask_the_painter(
    tiny_codec: Codec, run_codec: Command, here: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "load_painter", lambda *given: listener)
    Path("a.mcm").write_bytes(tiny_codec.encode(smooth_noise(*SIZE[::-1]), quality=60))
    painter = ("decode", "a.mcm", "-f", "--painter", "mine:folder")
    for options in (["--strength", "0.4", "--seed", "7", "--free-colours"], []):
        assert run_codec(*painter, *options).code == 0
    assert [(asked.strength, asked.seed) for asked in listener.asked][0] == (0.4, 7)
    assert listener.asked[1].seed == 0
    done = run_codec(*painter, "--seed", "-1")
    assert (done.code, done.err) == (2, "codec: --seed -1 is not 0 to 4294967295; 0 is the default\n")


def test_encode_keeps_the_caption_that_paints_best(
    tiny: Path, run_codec: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcmcodec.encoder import rate_control

    def load(spec: str, device: str) -> painting.Painter:
        assert (spec, device) == ("mine:folder", "auto")
        return lambda request: Image.new("RGB", request.size, request.caption.split()[0])

    def likeness(name: str, rgb: np.ndarray) -> Callable[[Image.Image], float]:
        assert name == "lpips"
        return lambda picture: float(np.abs(np.asarray(picture, float) - rgb).mean())

    monkeypatch.setattr(plugins, "load_painter", load)
    monkeypatch.setattr(rate_control, "likeness", likeness)
    Image.new("RGB", (48, 40), "green").save("p.png")
    captions = ["--caption", "red is a colour", "--caption", "green is a colour", "--caption", "blue"]
    # where the file has colours of its own, all captions paint alike, and the shortest is kept
    for mode, kept in {"caption": "green", "sketch": "green", "base": "blue"}.items():
        options = ["--mode", mode, "--painter", "mine:folder", "-f"]
        assert run_codec("encode", "p.png", *captions, *options, "-o", "p.mcm").code == 0
        assert run_codec("caption", "p.mcm").out.decode().startswith(kept)
    for more in (captions, ["--mode", "base"], [*captions, "--mode", "base", "--total-bytes", "9kB"]):
        done = run_codec("encode", "p.png", *more, "--painter", "mine:folder")
        assert done.code == 2 and "--painter chooses captions of single files without detail" in done.err


# pipelines


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    import tiny_pipelines

    from mcmcodec.plugins import painter

    monkeypatch.setattr(painter, "STEPS", 4)
    return tiny_pipelines


@pytest.fixture
def asked() -> PaintRequest:
    picture = Image.fromarray(smooth_noise(*SIZE[::-1]))
    edges = Image.new("L", SIZE)
    edges.paste(255, (5, 5, 30, 7))
    return PaintRequest("a dog", (((0, 0, 20, 16), "a cat"),), picture, edges, SIZE, 0.5, 3)


KINDS = ("stable_diffusion", "sdxl", "sd3", "flux")


@pytest.mark.parametrize("kind", KINDS)
def test_pipelines_start_from_words_or_from_the_picture(
    pipelines: Any, tmp_path: Path, asked: PaintRequest, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcmcodec.plugins.painter import Painter

    if kind == "flux":  # its folder does not say for which size it was trained, and the usual one takes its time
        monkeypatch.setattr(Painter, "_side", lambda self: 32)
    folder = getattr(pipelines, kind)(tmp_path)
    painter = plugins.load_painter(f"diffusers:{folder}", "cpu")
    from_picture = painter(asked)
    from_words = painter(replace(asked, picture=None, strength=1.0))
    assert from_picture.mode == from_words.mode == "RGB" and from_picture.width >= from_picture.height
    assert np.array_equal(from_picture, painter(asked))
    assert not np.array_equal(from_picture, painter(replace(asked, seed=4)))
    assert not np.array_equal(from_words, painter(replace(asked, picture=None, strength=1.0, seed=4)))
    # the less is painted anew, the nearer it is to what was decoded
    assert asked.picture is not None
    start = np.asarray(asked.picture.resize(from_picture.size, Image.Resampling.LANCZOS), float)
    assert np.array_equal(painter(replace(asked, strength=0.0)), start)


def test_a_controlnet_follows_edges(pipelines: Any, tmp_path: Path, asked: PaintRequest) -> None:
    folder = pipelines.stable_diffusion(tmp_path / "plain")
    control = pipelines.controlnet(tmp_path / "control")
    plain = plugins.load_painter(f"diffusers:{folder}", "cpu")
    painter = plugins.load_painter(f"diffusers:{folder}", "cpu", control)
    other = asked.edges and asked.edges.transpose(Image.Transpose.ROTATE_180)
    for request in (asked, replace(asked, picture=None, strength=1.0)):
        assert np.array_equal(painter(replace(request, edges=None)), plain(request))
        assert not np.array_equal(painter(request), plain(request))
        assert not np.array_equal(painter(request), painter(replace(request, edges=other)))


def test_a_controlnet_may_be_in_the_pipeline(pipelines: Any, tmp_path: Path, asked: PaintRequest) -> None:
    from diffusers import ControlNetModel

    control = ControlNetModel.from_pretrained(pipelines.controlnet(tmp_path / "control"))
    folder = pipelines.stable_diffusion(tmp_path, "StableDiffusionControlNetPipeline", controlnet=control)
    painter = plugins.load_painter(f"diffusers:{folder}", "cpu")
    assert not np.array_equal(painter(asked), painter(replace(asked, edges=None)))


@pytest.mark.parametrize("channels", [4, 9])
def test_inpainting_paints_regions(pipelines: Any, tmp_path: Path, asked: PaintRequest, channels: int) -> None:
    folder = pipelines.stable_diffusion(tmp_path, "StableDiffusionInpaintPipeline", channels)
    painter = plugins.load_painter(f"diffusers:{folder}", "cpu")
    whole = painter(replace(asked, regions=()))
    assert not np.array_equal(whole, painter(asked))
    assert np.array_equal(painter(asked), painter(asked))
    assert painter(replace(asked, picture=None, strength=1.0)).size == whole.size


def test_prompts_fit_the_tokenizer(pipelines: Any, tmp_path: Path) -> None:
    painter = plugins._load(plugins.PAINTERS, f"diffusers:{pipelines.stable_diffusion(tmp_path)}", "cpu")
    assert painter._prompt("a dog", ["a cat", "a dog"]) == "a dog, a cat"
    assert painter._prompt("", ["a cat"]) == "a cat"
    # of sixteen tokens, two are the beginning and the end
    assert painter._prompt("abc def ghi jkl mno", []) == "abc def ghi jkl"
    assert painter._prompt("abc def ghi", ["too much", "ab"]) == "abc def ghi, ab"


def test_folders_that_hold_something_else(pipelines: Any, tmp_path: Path) -> None:
    folder = pipelines.stable_diffusion(tmp_path)
    with pytest.raises(UsageError, match="there is no ControlNet in the folder 'x'"):
        plugins.load_painter(f"diffusers:{folder}", "cpu", "x")
    index = Path(folder, "model_index.json")
    index.write_text(json.dumps({"_class_name": "DogPipeline"}))
    with pytest.raises(UsageError, match="does not start"):
        plugins.load_painter(f"diffusers:{folder}", "cpu")


def test_commands_paint(
    pipelines: Any, tiny: Path, run_codec: Command, here: Path, picture: Callable[..., Path]
) -> None:
    folder, control = pipelines.stable_diffusion(here / "sd"), pipelines.controlnet(here / "control")
    Image.fromarray(smooth_noise(48, 64)).save("p.png")
    sizes = {}
    for name, options in {
        "caption": ["--mode", "caption"], "sketch": ["--mode", "sketch", "--structure", "60"],
        "base": ["--mode", "base"], "full": ["-q", "40", "--structure", "60"],
    }.items():  # fmt: skip
        assert run_codec("encode", "p.png", "--caption", "a dog", *options, "-o", f"{name}.mcm").code == 0
        arguments = ["--painter", f"diffusers:{folder}", "--controlnet", control, "--device", "cpu"]
        assert run_codec("decode", f"{name}.mcm", *arguments).err.count("warning") == 0
        with Image.open(f"{name}.png") as shown:
            assert shown.size == (64, 48)
            sizes[name] = shown.tobytes()
    assert len(set(sizes.values())) == 4
    again = ["--painter", f"diffusers:{folder}", "--controlnet", control, "--seed", "1", "-f"]
    assert run_codec("decode", "sketch.mcm", *again).code == 0
    with Image.open("sketch.png") as shown:
        assert shown.tobytes() != sizes["sketch"]
