"""Damaged pictures: the damage is named, and what is there is encoded when that is asked for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from made_files import png, saved
from models import smooth_noise
from PIL import Image

from mcmcodec.errors import InputError
from mcmcodec.image.io import open_image
from mcmcodec.image.prepare import Source, prepare

PIXELS = smooth_noise(160, 120)
PICTURE = Image.fromarray(PIXELS)
REMEDY = "get a whole copy of the file, or take what is there with --allow-damaged (allow_damaged in Python)"


def taken(data: bytes, allow: bool) -> Source:
    with open_image(io.BytesIO(data), allow_damaged=allow) as image:
        return prepare(image, allow_damaged=allow)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


JPEG, PROGRESSIVE = saved(PICTURE, "JPEG", quality=90), saved(PICTURE, "JPEG", quality=90, progressive=True)
EARLY = {
    "no end marker": (JPEG[:-2], "JPEG"),
    "cut": (cut(JPEG), "JPEG"),
    "progressive, no end marker": (PROGRESSIVE[:-2], "JPEG"),
    "progressive, cut": (cut(PROGRESSIVE), "JPEG"),
    "PNG, cut": (cut(png(PICTURE)), "PNG"),
}


@pytest.mark.parametrize("name", list(EARLY))
def test_files_that_end_early(name: str) -> None:
    data, kind = EARLY[name]
    with pytest.raises(InputError) as caught:
        taken(data, False)
    assert (caught.value.cause, caught.value.remedy) == (
        f"truncated or damaged picture (the {kind} data end early)",
        REMEDY,
    )
    source = taken(data, True)
    assert source.lost == (f"the file is damaged (the {kind} data end early): what is missing is black or grey",)
    assert source.rgb.shape == PIXELS.shape
    whole = png(PICTURE) if kind == "PNG" else PROGRESSIVE if name.startswith("progressive") else JPEG
    apart = np.abs(source.rgb.astype(int) - np.asarray(Image.open(io.BytesIO(whole))))
    if name == "progressive, cut":  # the whole picture is there, but coarse
        assert 0 < apart.mean() < 15 and apart[-8:].mean() < 25
    else:
        assert not apart[:50].any()
    if "no end" in name:
        assert apart.any(2).mean() < 0.02


def test_broken_data_of_a_png() -> None:
    data = bytearray(png(PICTURE))
    at = data.index(b"IDAT") + len(data) // 2
    data[at : at + 40] = bytes(40)
    with pytest.raises(InputError, match="the PNG data are broken"):
        taken(bytes(data), False)
    source = taken(bytes(data), True)
    assert "the PNG data are broken" in source.lost[0]
    np.testing.assert_array_equal(source.rgb[:30], PIXELS[:30])


def test_a_file_without_any_pixels_stays_refused() -> None:
    head = JPEG[: JPEG.index(b"\xff\xda")]
    png_head = png(PICTURE)[:60]
    for data in (head, png_head, saved(PICTURE, "WEBP")[:100], b"\xff\xd8\xff", b""):
        with pytest.raises(InputError):
            taken(data, True)


def test_whole_files_are_the_same_when_damage_is_allowed(tmp_path: Path) -> None:
    for name in ("JPEG", "PNG", "WEBP", "TIFF", "GIF"):
        data = saved(PICTURE, name)
        plain, allowed = taken(data, False), taken(data, True)
        assert plain.lost == allowed.lost == ()
        np.testing.assert_array_equal(plain.rgb, allowed.rgb)
        path = tmp_path / "a.bin"
        path.write_bytes(data)
        np.testing.assert_array_equal(prepare(path, allow_damaged=True).rgb, plain.rgb)


def test_files_of_damaged_pictures_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(cut(JPEG))
    image = open_image(path, allow_damaged=True)
    file = image.fp
    prepare(image, allow_damaged=True)
    assert file is not None and file.closed
    assert prepare(path, allow_damaged=True).rgb.shape == PIXELS.shape


def test_limits_hold_for_damaged_pictures() -> None:
    with pytest.raises(InputError, match="over the limit"):
        open_image(io.BytesIO(cut(JPEG)), 100, allow_damaged=True)
