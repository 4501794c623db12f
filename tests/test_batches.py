"""Batches of tensors: the same files and pictures as one at a time, and errors that name the picture."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import smooth_noise
from torch import Tensor

import mcmcodec
from mcmcodec.errors import FormatError, InputError, UsageError
from mcmcodec.image import tiling
from mcmcodec.model import batches
from mcmcodec.options import EncodeOptions

RGB = np.stack([smooth_noise(72, 104, seed=seed) for seed in range(3)])
IMAGES = torch.from_numpy(RGB).permute(0, 3, 1, 2)
EACH = [EncodeOptions(quality) for quality in (10, 50, 90)]
RECIPES = re.findall(
    r"```python\n(.*?)```", (Path(mcmcodec.__file__).parents[1] / "docs" / "cookbook.md").read_text("utf-8"), re.S
)


def pixels(codec: Any, data: bytes, **options: Any) -> Tensor:
    return torch.from_numpy(np.array(codec.decode(data, **options).convert("RGB"))).permute(2, 0, 1)


@pytest.mark.parametrize(
    "options", [{}, {"effort": 1}, {"mask": "texture", "keep": 0.3}, {"keep": 0.5}, {"mode": "base"}], ids=str
)
def test_files_are_those_of_one_at_a_time(tiny_codec: Any, options: dict[str, Any]) -> None:
    files = tiny_codec.encode_batch(IMAGES, quality=40, **options)
    assert files == [tiny_codec.encode(picture, quality=40, **options) for picture in RGB]


def test_each_has_its_quality_and_caption(tiny_codec: Any) -> None:
    words = ["one dog", "", "two dogs"]
    each = [replace(options, caption=text) for options, text in zip(EACH, words, strict=True)]
    files = tiny_codec.encode_batch(IMAGES, each)
    alone = [tiny_codec.encode(x, quality=q, caption=text) for x, q, text in zip(RGB, (10, 50, 90), words, strict=True)]
    assert files == alone
    assert [mcmcodec.info(data).caption for data in files] == words


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64])
def test_floating_point_is_rounded(tiny_codec: Any, kind: torch.dtype) -> None:
    assert tiny_codec.encode_batch((IMAGES / 255).to(kind)) == tiny_codec.encode_batch(IMAGES)


@pytest.mark.parametrize("options", [{}, {"decoder": "perceptual"}, {"realism": 0.5}], ids=str)
def test_pictures_are_those_of_one_at_a_time(tiny_codec: Any, options: dict[str, Any]) -> None:
    files = tiny_codec.encode_batch(IMAGES, EACH)
    files.insert(1, tiny_codec.encode(smooth_noise(33, 17)))
    pictures = tiny_codec.decode_batch(files, **options)
    assert [tuple(one.shape) for one in pictures] == [(3, 72, 104), (3, 33, 17), (3, 72, 104), (3, 72, 104)]
    for data, picture in zip(files, pictures, strict=True):
        assert picture.dtype == torch.uint8 and not picture.is_inference()
        assert torch.equal(picture, pixels(tiny_codec, data, **options))


def test_what_shares_runs_differs_by_rounding_only(tiny_codec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = tiny_codec.encode_batch(IMAGES, EACH)
    monkeypatch.setattr(batches, "shares_runs", lambda device: True)
    monkeypatch.setattr(batches, "SHARED", 2 * 72 * 104)
    transforms = tiny_codec.transforms()
    padded = np.stack([tiling.pad(picture) for picture in RGB])
    every = np.ones((3, 5, 7), bool)
    latents = transforms.analyse_batch(padded, every, [10, 50, 90])
    for i, quality in enumerate((10, 50, 90)):
        for several, one in zip(latents, transforms.analyse(padded[i], every[i], quality), strict=True):
            np.testing.assert_allclose(several[i], one, rtol=1e-4, atol=1e-4)
    together = tiny_codec.encode_batch(IMAGES, EACH)
    for one, other in zip(alone, together, strict=True):
        assert abs(len(one) - len(other)) <= 0.05 * len(one)
        assert mcmcodec.info(one).quality == mcmcodec.info(other).quality
    for data, picture in zip(together, tiny_codec.decode_batch(together), strict=True):
        assert (picture.int() - pixels(tiny_codec, data).int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (IMAGES[0], {}, r"a tensor of shape \(3, 72, 104\) and type torch.uint8 is no stack of pictures; give \(B, 3,"),
        (IMAGES[:, :1], {}, "is no stack of pictures"),
        (IMAGES.int(), {}, "type torch.int32 is no stack"),
        (IMAGES[:, :, :0], {}, "the pictures have no pixels; leave them out"),
        (IMAGES.float(), {}, r"values are not in \[0, 1\]; divide by 255, or clamp them"),
        (IMAGES / 255 + float("nan"), {}, r"values are not in \[0, 1\]"),
        (IMAGES, {"options": EACH[:2]}, "2 options for 3 pictures; give one for each, or one for all"),
        (IMAGES, {"options": [1, 2, 3]}, "options are of type int; give EncodeOptions"),
        (IMAGES, {"quality": 101}, "quality 101 is not 0 to 100"),
        (IMAGES, {"effort": 0}, "effort 0 is not 1 to 5"),
        (IMAGES, {"mask": "fog"}, "there is no mask fog; choose from rd, "),
        (RGB, {}, "ndarray is no tensor"),
    ],
)
def test_wrong_batches(tiny_codec: Any, images: Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tiny_codec.encode_batch(images, **options)


def test_errors_name_the_picture(tiny_codec: Any) -> None:
    files = tiny_codec.encode_batch(IMAGES)
    with pytest.raises(FormatError, match="picture 1: "):
        tiny_codec.decode_batch([files[0], files[1][:-1], files[2]])
    words = tiny_codec.encode(RGB[0], mode="caption", caption="a dog")
    with pytest.raises(FormatError, match="picture 1: the file holds a caption and no picture; decode it with a p"):
        tiny_codec.decode_batch([files[0], words])
    with pytest.raises(InputError, match="picture 2: "):
        tiny_codec.encode_batch(IMAGES, [EncodeOptions(caption=text, mode="caption") for text in ("a", "b", "")])
    with pytest.raises(UsageError, match=r"realism -?[\d.]+ is not 0 to 1|both choose a decoder"):
        tiny_codec.decode_batch(files, realism=2)
    with pytest.raises(UsageError, match="batches are of whole pictures"):
        tiny_codec.decode_batch(files, scale=0.5)


def test_nothing_is_nothing(tiny_codec: Any) -> None:
    assert tiny_codec.encode_batch(IMAGES[:0]) == [] and tiny_codec.decode_batch([]) == []


def test_the_recipe() -> None:
    (recipe,) = RECIPES
    names: dict[str, Any] = {}
    exec(recipe, names)
    assert names["pictures"].shape == (3, 3, 64, 96) and names["pictures"].dtype == torch.uint8
    assert [mcmcodec.info(data).caption for data in names["files"]] == ["fog", "snow", "sand"]
