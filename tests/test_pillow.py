"""Pillow and imageio read and write .mcm files once the plugin is imported."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import NAME, smooth_noise
from PIL import Image

import mcmcodec.plugins.pillow as plugin
from mcmcodec.caption import Region
from mcmcodec.codec import Codec, info


@pytest.fixture(autouse=True)
def own_default(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_codec", lambda model, device: Codec(model or NAME, "cpu"))


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(smooth_noise(70, 90))


def test_open_reads_the_header_only(tiny_codec: Codec, picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_codec.encode(picture, quality=30)
    monkeypatch.setattr(plugin, "_codec", lambda *_: pytest.fail("decoded"))
    with Image.open(BytesIO(data)) as opened:
        assert (opened.format, opened.mode, opened.size) == ("MCM", "RGB", (90, 70))
        assert opened.get_format_mimetype() == "image/x-mcm"
        assert opened.info == {"quality": 30, "model": tiny_codec.weights.number}


def test_pixels_come_on_load(tiny_codec: Codec, picture: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "a.mcm"
    path.write_bytes(tiny_codec.encode(picture))
    with Image.open(path) as opened:
        np.testing.assert_array_equal(np.asarray(opened), np.asarray(tiny_codec.decode(path.read_bytes())))
        opened.load()


def test_save(tiny_codec: Codec, picture: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "a.mcm"
    exif = Image.Exif()
    exif[0x010E] = "a harbour"
    picture.save(path, quality=20, effort=1, exif=exif, xmp=b"<x/>", optimize=True)
    assert info(path.read_bytes()).quality == 20
    with Image.open(path) as opened:
        assert opened.getexif()[0x010E] == "a harbour" and opened.info["xmp"] == b"<x/>"
    out = BytesIO()
    picture.save(out, "MCM", model=NAME, device="cpu")
    assert out.getvalue() == tiny_codec.encode(picture)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
def test_modes(mode: str, picture: Image.Image) -> None:
    image = picture.convert(mode)
    if "A" in mode:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    out = BytesIO()
    image.save(out, "MCM")
    with Image.open(out) as opened:
        assert opened.mode == mode
        opened.load()
        assert (opened.mode, opened.size) == (mode, image.size)


def test_thumbnails_decode_less(tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_codec.encode(smooth_noise(256, 333))
    asked: list[float] = []

    class Spy:
        def decode(self, data: bytes, scale: float) -> Image.Image:
            asked.append(scale)
            return tiny_codec.decode(data, scale=scale)

    monkeypatch.setattr(plugin, "_codec", lambda *_: Spy())
    with Image.open(BytesIO(data)) as opened:
        opened.thumbnail((40, 40))
        assert opened.size == (40, 31) and asked == [1 / 2]
    with Image.open(BytesIO(data)) as opened:
        assert opened.draft(None, (300, 300)) is not None and opened.size == (333, 256)


def test_errors_are_those_of_pillow(tiny_codec: Codec, picture: Image.Image) -> None:
    data = bytearray(tiny_codec.encode(picture))
    data[-5] ^= 1
    with Image.open(BytesIO(bytes(data))) as opened, pytest.raises(OSError, match="checksum is wrong"):
        opened.load()
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(BytesIO(bytes(data[:9])))
    for options, message in (
        ({"quality": 101}, "quality 101 is not 0 to 100"),
        ({"quality": "high"}, "quality 'high' is not a whole number"),
        ({"mask": "fog"}, "there is no mask fog"),
        ({"reduce": 2, "regions": [Region(0, 0, 1, 1, "a")]}, "reduce 2 is not possible with regions"),
        ({"regions": 7}, "a region is of type int"),
        ({"exif": 7}, "exif is of type int; give bytes"),
        ({"xmp": "<x/>"}, "xmp is of type str; give bytes"),
        ({"roi": np.ones((3, 3))}, "region map"),
        ({"xmp": bytes(2**22)}, "metadata of 4194308 bytes"),
    ):
        with pytest.raises(ValueError, match=message):
            picture.save(BytesIO(), "MCM", **options)
    with pytest.raises(OSError, match="there is no caption"):
        picture.save(BytesIO(), "MCM", mode="caption")
    with pytest.raises(OSError, match="there is no model none"):
        picture.save(BytesIO(), "MCM", model="none")
    with pytest.raises(OSError, match="65536 x 1 pixels are outside the format's limits"):
        Image.new("L", (65536, 1)).save(BytesIO(), "MCM")


def test_regions_are_saved(picture: Image.Image) -> None:
    out = BytesIO()
    picture.save(out, "MCM", caption="noise", regions=[Region(1, 0, 2, 1, "a disc")], exif=None)
    assert info(out.getvalue()).regions == (Region(1, 0, 2, 1, "a disc"),)


def test_imageio(picture: Image.Image, tmp_path: Path) -> None:
    imageio: Any = pytest.importorskip("imageio.v3")
    path = tmp_path / "a.mcm"
    imageio.imwrite(path, np.asarray(picture), plugin="pillow", quality=20)
    assert info(path.read_bytes()).quality == 20
    with Image.open(path) as opened:
        np.testing.assert_array_equal(imageio.imread(path), np.asarray(opened))
