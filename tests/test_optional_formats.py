"""Formats of other packages: which package reads what, what is said without it, and that it is used where it is."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_files import dng, exif_block, saved
from models import smooth_noise
from PIL import Image, TiffImagePlugin

from mcmcodec.errors import InputError
from mcmcodec.image import metadata, optional_formats
from mcmcodec.image.io import open_image, readable_extensions, to_rgb
from mcmcodec.image.optional_formats import HEIF, JXL, RAW, package_for
from mcmcodec.image.prepare import prepare

HEIC_START = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
JXL_STARTS = (b"\xff\x0a\xff\x07\x08\x83", b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ")
RAWS = {
    "a.cr2": b"II*\0\x10\0\0\0CR\2\0", "a.cr3": b"\0\0\0\x18ftypcrx \0\0\0\1", "a.raf": b"FUJIFILMCCD-RAW 0201",
    "a.rw2": b"IIU\0\x18\0\0\0", "a.orf": b"IIRO\x08\0\0\0", "a.x3f": b"FOVb\0\0", "a.mrw": b"\0MRM\0\0",
}  # fmt: skip


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional_formats, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "rawpy", None)
    own = {extension: name for extension, name in Image.registered_extensions().items() if name not in ("HEIF", "JXL")}
    monkeypatch.setattr(Image, "EXTENSION", own)  # another test may have registered theirs with Pillow


def thumbnail() -> bytes:
    """A TIFF that says it is the reduced copy of another picture, which is not there as Pillow could read it."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = 1
    return saved(Image.new("RGB", (32, 21)), "TIFF", tiffinfo=tags)


def test_which_package_reads_what() -> None:
    assert package_for(".HEIC") is HEIF and package_for(".jxl") is JXL
    assert all(package_for(extension) is RAW for extension in (".cr2", ".NEF", ".arw", ".dng"))
    assert package_for(".png") is None and package_for("") is None
    assert [one.name for one in optional_formats.PACKAGES] == ["pillow-heif", "pillow-jxl-plugin", "rawpy"]


def test_extensions_follow_what_is_installed(nothing_installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not {".heic", ".jxl", ".nef"} & readable_extensions() and ".png" in readable_extensions()
    monkeypatch.setattr(optional_formats, "find_spec", lambda name: name if name == "rawpy" else None)
    assert ".nef" in readable_extensions() and not {".heic", ".jxl"} & readable_extensions()


def test_missing_packages_are_named(nothing_installed: None) -> None:
    for start, what, name in (
        (HEIC_START, "HEIC", "pillow-heif"),
        (JXL_STARTS[0], "JPEG XL", "pillow-jxl-plugin"),
        (JXL_STARTS[1], "JPEG XL", "pillow-jxl-plugin"),
    ):
        with pytest.raises(InputError, match=rf"{what} pictures need the package {name}; .*\(pip install {name}\)"):
            open_image(io.BytesIO(start))


@pytest.mark.usefixtures("nothing_installed")
def test_raw_photographs_are_not_taken_for_their_thumbnail(tmp_path: Path) -> None:
    mosaic = dng(np.full((32, 32), 9, np.uint16))
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[50706] = b"\1\4\0\0"
    tags.tagtype[50706] = 1
    made = saved(Image.new("RGB", (32, 21)), "TIFF", tiffinfo=tags)
    (tmp_path / "a.nef").write_bytes(saved(Image.new("RGB", (32, 21)), "TIFF"))
    starts = [io.BytesIO(data + bytes(64)) for data in RAWS.values()]
    for source in (*starts, io.BytesIO(mosaic), io.BytesIO(made), tmp_path / "a.nef"):
        with pytest.raises(
            InputError, match=r"a raw photograph, .* without rawpy; install rawpy \(pip install rawpy\)"
        ):
            open_image(source)  # type: ignore[arg-type]


def test_pages_that_are_thumbnails_are_passed_over() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = 1
    first, second = Image.new("RGB", (32, 21), "red"), Image.new("RGB", (64, 42), "blue")
    second.encoderinfo = {"tiffinfo": {}}  # its own, without the tag
    image = open_image(io.BytesIO(saved(first, "TIFF", save_all=True, append_images=[second], tiffinfo=tags)))
    assert image.size == (64, 42) and to_rgb(image)[0, 0].tolist() == [0, 0, 255]
    with pytest.raises(InputError, match="holds only a thumbnail of a picture; give the file that holds"):
        open_image(io.BytesIO(thumbnail()))


@contextmanager
def _photograph(source: Any) -> Iterator[Any]:
    assert isinstance(source, str) or source.tell() == 0
    developed = np.full((4, 6, 3), 77, np.uint8)
    yield SimpleNamespace(sizes=SimpleNamespace(width=6, height=4), postprocess=lambda **options: developed)


def test_raw_photographs_are_developed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class LibRawError(Exception):
        pass

    def refuse(source: Any) -> None:
        raise LibRawError(b"Unsupported file format")

    stand_in: Any = ModuleType("rawpy")
    stand_in.imread, stand_in.LibRawError = _photograph, LibRawError
    monkeypatch.setitem(sys.modules, "rawpy", stand_in)
    path = tmp_path / "a.cr2"
    path.write_bytes(RAWS["a.cr2"] + bytes(64))
    for source in (path, str(path)):
        taken = prepare(source)
        assert taken.rgb.tolist() == np.full((4, 6, 3), 77).tolist()
        assert taken.lost[0].startswith("a raw photograph is developed by rawpy")
    with open_image(io.BytesIO(path.read_bytes())) as image:
        assert prepare(image).rgb.shape == (4, 6, 3)
    with pytest.raises(InputError, match="over the limit"):
        open_image(path, 10)
    stand_in.imread = refuse
    with pytest.raises(InputError, match=r"that rawpy cannot read \(Unsupported file format\); develop it to PNG"):
        open_image(path)


def test_heic_with_the_package(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    picture = Image.fromarray(smooth_noise(48, 64))
    data = saved(picture, "HEIF", quality=95, exif=metadata.EXIF_START + exif_block(orientation=6))
    (tmp_path / "a.heic").write_bytes(data)
    taken = prepare(tmp_path / "a.heic", keep_metadata=True)
    assert taken.rgb.shape == (64, 48, 3) and b"J\xfcrgen" in taken.extras.exif
    assert np.abs(taken.rgb.mean((0, 1)) - np.asarray(picture).mean((0, 1))).max() < 3
    several = saved(picture, "HEIF", save_all=True, append_images=[picture])
    assert prepare(open_image(io.BytesIO(several))).lost == ("only one of 2 pictures in the file is kept",)
    assert ".heic" in readable_extensions()


def test_jpeg_xl_with_the_package() -> None:
    pytest.importorskip("pillow_jxl")
    picture = Image.fromarray(smooth_noise(48, 64))
    data = saved(picture, "JXL", lossless=True)
    np.testing.assert_array_equal(prepare(open_image(io.BytesIO(data))).rgb, np.asarray(picture))


def test_dng_with_the_package() -> None:
    """A reddish mosaic is developed to a reddish picture of its size."""
    pytest.importorskip("rawpy")
    mosaic = np.full((64, 96), 20000, np.uint16)
    mosaic[::2, ::2], mosaic[1::2, 1::2] = 40000, 5000
    taken = prepare(open_image(io.BytesIO(dng(mosaic))))
    assert taken.rgb.shape == (64, 96, 3)
    red, green, blue = taken.rgb.mean((0, 1))
    assert red > green + 30 > blue + 60
