"""Options are checked once, whatever comes in: wrong values and types are one line, and never an error from inside."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import smooth_noise
from PIL import Image

import mcmcodec
from mcmcodec import DecodeOptions, EncodeOptions, InputError, UsageError
from mcmcodec.options import DecodeKeywords, EncodeKeywords

PICTURE = smooth_noise(48, 64)
WRONG: list[Any] = [30.5, "30", None, [30], (), {}, b"30", float("nan"), True, ..., 1j, np.ones(3)]


def refused(call: Any) -> str:
    with pytest.raises((UsageError, InputError)) as caught:
        call()
    assert isinstance(caught.value, ValueError)
    assert caught.value.remedy and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("value", [*WRONG, -1, 101, 10**30], ids=repr)
def test_wrong_qualities(value: Any) -> None:
    assert "quality" in refused(lambda: EncodeOptions(quality=value))


@pytest.mark.parametrize("name", ["effort", "reduce"])
@pytest.mark.parametrize("value", [*WRONG, 0, 6, 2.0], ids=repr)
def test_wrong_whole_numbers(name: str, value: Any) -> None:
    assert name in refused(lambda: EncodeOptions(**{name: value}))


@pytest.mark.parametrize("name", ["mask", "mode"])
@pytest.mark.parametrize("value", [*WRONG, "", "RD"], ids=repr)
def test_wrong_choices(name: str, value: Any) -> None:
    if name == "mask" and value is None:
        pytest.skip("None leaves it to the effort")
    assert name in refused(lambda: EncodeOptions(**{name: value}))


@pytest.mark.parametrize("value", ["0.5", 0, -1, 1.01, float("nan"), float("inf"), [0.5], True, ...], ids=repr)
def test_wrong_shares(value: Any) -> None:
    assert "keep" in refused(lambda: EncodeOptions(keep=value))


@pytest.mark.parametrize(
    ("name", "value"),
    [("caption", None), ("caption", b"a"), ("caption", 3), ("regions", 3), ("regions", "ab"),
     ("regions", [(0, 0, 1, 1)]),
     ("regions", [mcmcodec.Region(0, 0, 1.5, 1, "a")]), ("regions", [mcmcodec.Region(0, 0, 1, 1, None)]),
     ("roi", "faces"), ("roi", [[1], [1, 2]]), ("roi", np.ones(3)), ("roi", np.ones((2, 2), complex)),
     ("extras", {}), ("extras", "all")],
    ids=repr,
)  # fmt: skip
def test_wrong_companions(name: str, value: Any) -> None:
    refused(lambda: EncodeOptions(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("decoder", 3), ("decoder", []), ("realism", "0.5"), ("realism", 1.5), ("realism", float("nan")),
     ("painter", "sd"), ("strength", 1.5), ("strength", "0.5"), ("seed", -1), ("seed", 2**32), ("seed", None),
     ("crop", (1, 2, 3)), ("crop", "1,2,3,4"), ("crop", (0.5, 0, 1, 1)), ("crop", 7), ("scale", "1/2"), ("scale", None),
     ("scale", 0.3), ("scale", [1])],
    ids=repr,
)  # fmt: skip
def test_wrong_decoding(name: str, value: Any) -> None:
    refused(lambda: DecodeOptions(**{name: value}))


@pytest.mark.parametrize("mode", ["sketch", "caption"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("quality", 30), ("effort", 4), ("reduce", 2), ("rdoq_strength", 0.1), ("tune", "fidelity"), ("max_time", 9.0),
     ("extras", mcmcodec.Extras(grey=True))],
)  # fmt: skip
def test_files_without_a_picture_have_nothing_to_set(mode: str, name: str, value: Any) -> None:
    told = refused(lambda: EncodeOptions(mode=mode, caption="a dog", **{name: value}))
    assert told == f"mode {mode} keeps no picture, so {name} says nothing; leave one out"
    EncodeOptions(mode="base", **({"effort": 5} if name == "max_time" else {}), **{name: value})


def test_time_is_for_refining() -> None:
    assert refused(lambda: EncodeOptions(max_time=9)) == (
        "max_time limits the refining of efforts 4 and 5, not of 3; leave one out"
    )


def test_numbers_of_numpy_are_numbers() -> None:
    assert EncodeOptions(quality=np.int64(30), keep=np.float32(0.5)) == EncodeOptions(quality=30, keep=0.5)
    assert type(EncodeOptions(quality=np.int64(30)).quality) is int


def test_options_are_frozen_and_have_the_keywords_of_the_functions() -> None:
    with pytest.raises(FrozenInstanceError):
        EncodeOptions().quality = 3  # type: ignore[misc]
    for options, keywords in ((EncodeOptions, EncodeKeywords), (DecodeOptions, DecodeKeywords)):
        assert [one.name for one in fields(options)] == list(keywords.__annotations__)


def test_options_and_keywords_meet(tiny_codec: mcmcodec.Codec) -> None:
    options = EncodeOptions(quality=20, caption="a disc")
    data = tiny_codec.encode(PICTURE, options, quality=40)
    assert data == tiny_codec.encode(PICTURE, quality=40, caption="a disc")
    half = tiny_codec.decode(data, DecodeOptions(scale=0.5, decoder="fidelity"))
    assert np.array_equal(half, tiny_codec.decode(data, scale=0.5, decoder="fidelity"))
    assert "options" in refused(lambda: tiny_codec.encode(PICTURE, {"quality": 3}))  # type: ignore[arg-type]
    assert "options" in refused(lambda: tiny_codec.decode(data, "fidelity"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="qualty"):
        tiny_codec.encode(PICTURE, qualty=3)  # type: ignore[call-arg]


NO_PICTURES = [None, 3, [[1]], b"\x89PNG", np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8)]


@pytest.mark.parametrize("image", NO_PICTURES, ids=repr)
def test_what_is_no_picture(tiny_codec: mcmcodec.Codec, image: Any) -> None:
    assert "picture" in refused(lambda: tiny_codec.encode(image))


@pytest.mark.parametrize("data", [None, "a.mcm", 3, [1, 2], Path("a.mcm")], ids=repr)
def test_what_are_no_bytes(tiny_codec: mcmcodec.Codec, data: Any) -> None:
    for read in (tiny_codec.decode, mcmcodec.decode, mcmcodec.info):
        refused(lambda read=read: read(data))


def test_closed_and_missing_pictures(tiny_codec: mcmcodec.Codec, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PICTURE).save(path)
    image = Image.open(path)
    image.close()
    assert "picture" in refused(lambda: tiny_codec.encode(image))
    with pytest.raises(FileNotFoundError):
        tiny_codec.encode(tmp_path / "none.png")


def test_paths_and_arrays_of_all_kinds(tiny_codec: mcmcodec.Codec, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PICTURE).save(path)
    data = tiny_codec.encode(PICTURE)
    assert data == tiny_codec.encode(path) == tiny_codec.encode(str(path)) == tiny_codec.encode(Image.open(path))
    grey, alpha = PICTURE[..., 0], np.dstack([PICTURE, PICTURE[..., :1]])
    assert tiny_codec.encode(grey) == tiny_codec.encode(Image.fromarray(grey))
    assert tiny_codec.encode(alpha) == tiny_codec.encode(Image.fromarray(alpha))
    assert [tiny_codec.decode(tiny_codec.encode(one)).mode for one in (grey, alpha)] == ["L", "RGBA"]
    assert np.array_equal(tiny_codec.decode(bytearray(data)), tiny_codec.decode(memoryview(data)))  # type: ignore[arg-type]


def test_codecs_can_be_pickled(tiny_codec: mcmcodec.Codec) -> None:
    tiny_codec.encode(PICTURE)
    data = pickle.dumps(tiny_codec)
    assert len(data) < 500
    assert pickle.loads(data).encode(PICTURE) == tiny_codec.encode(PICTURE)


def test_what_is_exported_is_there() -> None:
    for name in mcmcodec.__all__:
        assert getattr(mcmcodec, name) is not None
    assert set(mcmcodec.__all__) <= set(dir(mcmcodec))


def test_no_setting_of_the_process_changes(tiny_codec: mcmcodec.Codec, tmp_path: Path) -> None:
    import os
    import warnings

    import torch

    path = tmp_path / "a.png"
    Image.fromarray(PICTURE).save(path)

    def settings() -> list[Any]:
        flags = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.get_num_threads()
        return [flags, Image.MAX_IMAGE_PIXELS, [*warnings.filters], dict(os.environ)]

    before = settings()
    tiny_codec.decode(mcmcodec.Codec("tiny", max_pixels=10**6).encode(path))
    assert settings() == before


def test_strength_of_rdoq() -> None:
    assert EncodeOptions(rdoq_strength=1).rdoq_strength == 1.0 and EncodeOptions().rdoq_strength is None
    for wrong in (-0.1, 101, "1", float("nan"), True):
        with pytest.raises(UsageError, match="rdoq_strength .* is not"):
            EncodeOptions(rdoq_strength=wrong)  # type: ignore[arg-type]
