"""The data path, both ways, with a tiny model: any size, the same bytes each time, and sums that add up."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import forget_models, smooth_noise
from PIL import Image

import mcmcodec
from mcmcodec.bitstream import file
from mcmcodec.bitstream.extras import Extras
from mcmcodec.codec import Codec, info
from mcmcodec.encoder import planning
from mcmcodec.entropy.latent_coder import Decoded, SymbolReader
from mcmcodec.errors import InputError, ModelError, UsageError
from mcmcodec.image import tiling
from mcmcodec.model.transforms import Transforms
from mcmcodec.model.weights import FOLDER_VARIABLE
from mcmcodec.options import MASKS

SIZES = [(1, 1), (500, 7), (16, 16), (641, 427), (17, 33)]
"""Width and height."""


@cache
def picture(width: int = 96, height: int = 80) -> Any:
    return smooth_noise(height, width, seed=5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("quality", [0, 63, 100])
def test_any_size(tiny_codec: Codec, size: tuple[int, int], quality: int) -> None:
    data = tiny_codec.encode(picture(*size), quality=quality)
    decoded = tiny_codec.decode(data)
    assert (decoded.size, decoded.mode) == (size, "RGB")
    facts = info(data)
    assert (facts.width, facts.height, facts.quality, facts.model) == (*size, quality, "tiny")
    assert facts.total == len(data)
    assert facts.bpp == pytest.approx(8 * len(data) / (size[0] * size[1]))
    assert sum(facts.bytes.values()) == pytest.approx(len(data))
    assert list(facts.bytes) == ["header", "caption", "base", "mask", "latents", "tail", "crc"]
    assert facts.patches == -(-size[0] // 16) * -(-size[1] // 16)
    assert facts.keep == pytest.approx(facts.visible / facts.patches)
    assert facts.bytes["caption"] == 0 and facts.caption == ""


def test_picture_comes_through(tiny_codec: Codec) -> None:
    """Twelve coefficients a patch and stirred weights make no beauty, but it is this picture and no other."""
    original = picture(320, 224).astype(float)
    decoded = np.asarray(tiny_codec.decode(tiny_codec.encode(picture(320, 224), quality=75)), float)
    error = np.square(decoded - original).mean()
    assert error < 0.3 * original.var()
    assert error < 0.3 * np.square(decoded[:, ::-1] - original).mean()


def test_the_right_corner_is_cut_off(tiny_codec: Codec) -> None:
    """A picture whose last row and column are repeated by hand is coded alike, and begins alike."""
    image = picture(85, 43)
    padded = np.pad(image, ((0, 5), (0, 11), (0, 0)), mode="edge")
    whole = np.asarray(tiny_codec.decode(tiny_codec.encode(padded)))
    assert np.array_equal(tiny_codec.decode(tiny_codec.encode(image)), whole[:43, :85])


def test_bytes_repeat(tiny: Path, tiny_codec: Codec) -> None:
    forget_models()
    first = tiny_codec.encode(picture(), quality=55, caption="a red disc")
    forget_models()
    again = Codec("tiny")
    assert again.encode(picture(), quality=55, caption="a red disc") == first
    assert np.array_equal(again.decode(first), tiny_codec.decode(first))


def test_kinds_of_picture(tiny_codec: Codec) -> None:
    from_array = tiny_codec.encode(picture())
    assert tiny_codec.encode(Image.fromarray(picture())) == from_array
    assert tiny_codec.encode(np.asfortranarray(picture())) == from_array
    grey = Image.fromarray(picture()).convert("L")
    assert tiny_codec.encode(grey, extras=Extras()) == tiny_codec.encode(grey.convert("RGB"))


def test_module_functions(tiny_codec: Codec) -> None:
    data = mcmcodec.encode(picture(), quality=30, model="tiny", device="cpu")
    assert data == tiny_codec.encode(picture(), quality=30)
    decoded = np.asarray(mcmcodec.decode(data, device="cpu"))
    assert np.array_equal(decoded, tiny_codec.decode(data))
    perceptual = np.asarray(mcmcodec.decode(data, decoder="perceptual"))
    assert perceptual.shape == decoded.shape and not np.array_equal(perceptual, decoded)
    with pytest.raises(ModelError, match="tiny has no decoder sharp; choose from fidelity, perceptual"):
        mcmcodec.decode(data, decoder="sharp")


def symbols(monkeypatch: pytest.MonkeyPatch) -> list[Decoded]:
    """The list that from now on receives what each coding run came to."""
    seen: list[Decoded] = []
    original = planning.code_latents

    def code_latents(*arguments: Any) -> Decoded:
        seen.append(original(*arguments))
        return seen[-1]

    for module in (planning, file):
        monkeypatch.setattr(module, "code_latents", code_latents)
    return seen


CHOICES = [
    (mode, keep) for mode in MASKS for keep in (None, 0.01, 0.4, 1.0) if mode != "none" or keep in (None, 1.0)
]


@pytest.mark.parametrize(("mode", "keep"), CHOICES)
def test_mask_modes(tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch, mode: str, keep: float | None) -> None:
    seen = symbols(monkeypatch)
    data = tiny_codec.encode(picture(), quality=80, mask=mode, keep=keep)
    asked, latents = [], SymbolReader.latents

    base = tiny_codec.weights.config.base

    def listening(self: SymbolReader, where: Any, start: int, *rest: Any) -> Any:
        if start >= base:
            asked.append(np.stack(where))
        return latents(self, where, start, *rest)

    monkeypatch.setattr(SymbolReader, "latents", listening)
    tiny_codec.decode(data)
    written, read = seen[-2:]
    np.testing.assert_array_equal(written.psi, read.psi)
    np.testing.assert_array_equal(written.v_hat, read.v_hat)
    np.testing.assert_array_equal(written.mask, read.mask)
    facts = info(data)
    if keep is not None:
        assert facts.visible == max(1, round(keep * facts.patches))
    elif mode != "rd":
        assert facts.visible == (facts.patches if mode == "none" else facts.patches // 2)
    assert asked and not (~read.mask[tuple(np.concatenate(asked, 1))]).any(), "no symbols of hidden patches"
    assert read.expected.any() and read.v_hat[~read.mask].any() == (not read.mask.all())
    assert (facts.bytes["mask"] > 0) == (facts.visible < facts.patches)


def test_modes_differ(tiny_codec: Codec) -> None:
    files = {mode: tiny_codec.encode(picture(), keep=0.4, mask=mode) for mode in MASKS if mode != "none"}
    assert len(set(files.values())) == len(files)


@pytest.mark.parametrize("least", [0.0, 1e9])
def test_masks_that_save_little_are_not_tried(
    tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch, least: float
) -> None:
    monkeypatch.setattr(planning, "MASK_BITS", least)
    tried, analyse = [], Transforms.analyse

    def counted(self: Transforms, padded: Any, visible: Any, *rest: Any) -> Any:
        tried.append(bool(visible.all()))
        return analyse(self, padded, visible, *rest)

    monkeypatch.setattr(Transforms, "analyse", counted)
    data = tiny_codec.encode(picture(320, 224), quality=20, mask="rd")
    assert tried == ([True] if least else [True, False])
    assert (info(data).keep == 1) == bool(least)
    tiny_codec.encode(picture(320, 224), quality=20, keep=0.5)
    assert tried[-1] is False, "a share that was asked for is kept"


def test_quality_decides_how_many_are_visible(tiny_codec: Codec) -> None:
    shares = [info(tiny_codec.encode(picture(320, 224), quality=q, mask="rd")).keep for q in (5, 50, 75, 95)]
    assert shares == sorted(shares) and shares[0] < 0.2 and shares[-1] > 0.5


@pytest.mark.parametrize("mode", ["rd", "dual", "texture", "random"])
def test_region_of_interest_steers(tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    seen = symbols(monkeypatch)
    image = picture(160, 128)
    for side in (np.s_[:, :80], np.s_[:, 80:]):
        roi = np.full(image.shape[:2], 1, np.uint8)
        roi[side] = 255
        tiny_codec.encode(image, quality=90, keep=0.3, mask=mode, roi=roi)
        half = seen[-1].mask[:, :5] if side[1].start is None else seen[-1].mask[:, 5:]
        assert half.sum() > 0.9 * seen[-1].mask.sum()


def test_region_of_interest_without_share(tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = symbols(monkeypatch)
    image, roi = picture(160, 128), np.zeros((128, 160))
    roi[:, :80] = 1
    tiny_codec.encode(image, quality=90, roi=roi)
    assert seen[-1].mask[:, :5].any() and not seen[-1].mask[:, 5:].any()


@pytest.mark.parametrize(
    "options",
    [
        {"quality": -1}, {"quality": 101}, {"keep": 0.0}, {"keep": 1.01}, {"keep": -0.5}, {"keep": float("nan")},
        {"mask": "best"}, {"mask": "none", "keep": 0.5}, {"mask": "none", "roi": np.ones((80, 96))},
        {"roi": np.ones((96, 80))}, {"roi": np.zeros((80, 96))}, {"roi": -np.ones((80, 96))},
        {"roi": np.full((80, 96), np.nan)}, {"caption": "x" * 4097}, {"caption": "\ud800"},
    ],
)  # fmt: skip
def test_contradictions(tiny_codec: Codec, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        tiny_codec.encode(picture(), **options)
    assert caught.value.remedy and "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (8,), (8, 8, 2), (8, 8, 1), (2, 8, 8, 3), ()])
def test_arrays_that_are_no_pictures(tiny_codec: Codec, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        tiny_codec.encode(np.zeros(shape, np.uint8))


def test_arrays_over_the_formats_limit(tiny_codec: Codec) -> None:
    with pytest.raises(InputError, match="outside the format's limits"):
        tiny_codec.encode(np.zeros((1, 65536, 3), np.uint8))


def test_arrays_of_other_types(tiny_codec: Codec) -> None:
    with pytest.raises(UsageError, match="uint8"):
        tiny_codec.encode(picture() / 255)
    with pytest.raises(UsageError, match="device"):
        Codec("tiny", "abacus").encode(picture())


@pytest.mark.parametrize(
    "caption", ["a red disc on a cloudy ground", "Ein großer Hund \u2014 \u96ea\u3060\U0001f415", "\n"]
)
def test_captions(tiny_codec: Codec, caption: str) -> None:
    # one mask: what the words cost may tip the balance between two
    plain, with_caption = (tiny_codec.encode(picture(), mask="none", caption=text) for text in ("", caption))
    facts = info(with_caption)
    assert facts.caption == caption
    assert facts.bytes["caption"] == pytest.approx(len(with_caption) - len(plain), abs=2)
    assert np.array_equal(tiny_codec.decode(with_caption), tiny_codec.decode(plain))


def test_fixed_cost(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Header, checksum and tail of an ordinary picture, with a model number below 16 as shipped models have."""
    shutil.copytree(tiny, tmp_path / "weights")
    card = json.loads((tiny / "tiny.json").read_text())
    (tmp_path / "weights" / "tiny.json").write_text(json.dumps({**card, "id": 15}))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "weights"))
    for mode in ("none", "rd"):
        parts = info(Codec("tiny").encode(picture(768, 512), quality=50, mask=mode)).bytes
        assert parts["header"] + parts["crc"] + max(0.0, parts["tail"]) <= 16


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    def make(interior: int, halo: int) -> None:
        monkeypatch.setattr(tiling, "INTERIOR", interior)
        monkeypatch.setattr(tiling, "HALO", halo)
        assert len(list(tiling.tiles(26, 41))) == 4 * 6

    return make


def test_tiles_do_not_show(tiny_codec: Codec, small_tiles: Callable[[int, int], None]) -> None:
    """A halo as wide as the smaller model's reach, in the measure of the usual halo to the usual model."""
    data = tiny_codec.encode(picture(41 * 16 - 5, 26 * 16), quality=80, keep=0.6)
    whole = np.asarray(tiny_codec.decode(data), int)
    small_tiles(8, 8)
    tiled = np.asarray(tiny_codec.decode(data), int)
    assert 0 < np.abs(tiled - whole).max() <= 2
    small_tiles(8, 0)
    assert np.abs(np.asarray(tiny_codec.decode(data), int) - whole).max() > 2, "tiles show nothing, whatever the halo"


def test_tiles_do_not_move_latents(tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles begin at multiples of 16 patches: windows of the coarse blocks are 8 cells wide."""
    transforms = tiny_codec.transforms()
    image = tiling.pad(picture(70 * 16 - 5, 58 * 16))
    visible = np.random.default_rng(0).random((58, 70)) < 0.6
    visible[8:16, 8:16] = False
    v, c, z = transforms.analyse(image, visible, 80)
    monkeypatch.setattr(tiling, "INTERIOR", 16)
    monkeypatch.setattr(tiling, "HALO", 16)
    assert len(list(tiling.tiles(58, 70))) > 1
    tiled_v, tiled_c, tiled_z = transforms.analyse(image, visible, 80)
    np.testing.assert_allclose(tiled_v[visible], v[visible], atol=1e-3)
    np.testing.assert_allclose(tiled_c, c, atol=1e-3)
    np.testing.assert_allclose(tiled_z, z, atol=1e-3)


def test_info_needs_no_torch(tiny_codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(mcmcodec.__file__).parents[1]))
    path = tmp_path / "a.mcm"
    path.write_bytes(tiny_codec.encode(picture(), caption="a red disc"))
    program = f"""
import sys, pathlib, mcmcodec
facts = mcmcodec.info(pathlib.Path({str(path)!r}).read_bytes())
print(facts.caption, facts.visible > 0, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "a red disc True False\n"), done.stderr
