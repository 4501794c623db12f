"""Pictures as they come: grey, transparent, deep, animated, with metadata; what is kept, and what is said."""

import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command
from models import smooth_noise
from PIL import Image, ImageDraw

from mcmcodec.bitstream import container, extras
from mcmcodec.bitstream.extras import Extras
from mcmcodec.codec import Codec, info
from mcmcodec.errors import FormatError, UsageError
from mcmcodec.image.io import open_image, save_bytes
from mcmcodec.image.prepare import over, prepare, restore

XMP = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf tiff:Orientation='6'/><tiff:Orientation>8</tiff:Orientation></x:xmpmeta>"
)


def sprite(width: int = 96, height: int = 64) -> Image.Image:
    image = Image.fromarray(smooth_noise(height, width)).convert("RGBA")
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).ellipse((width // 4, height // 4, width * 3 // 4, height * 3 // 4), fill=255)
    image.putalpha(mask)
    return image


def reopened(image: Image.Image, name: str, **options: Any) -> Image.Image:
    out = BytesIO()
    image.save(out, format=name, **options)
    return open_image(BytesIO(out.getvalue()))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I", "I;16", "F"])
def test_grey_is_marked(mode: str) -> None:
    image = Image.fromarray(np.full((4, 5), 60, np.uint16)) if mode == "I;16" else Image.new(mode, (5, 4))
    taken = prepare(image)
    assert taken.extras.grey and taken.rgb.shape == (4, 5, 3)
    assert (taken.rgb == taken.rgb[..., :1]).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr", "LAB"])
def test_colour_is_not(mode: str) -> None:
    image = Image.fromarray(smooth_noise(16, 16)).convert("P" if mode == "P" else "RGB")
    assert not prepare(image if mode in ("P", "LAB") else image.convert(mode)).extras.grey


def test_grey_stays_grey_and_costs_less(tiny_codec: Codec) -> None:
    picture = Image.fromarray(smooth_noise(96, 128))
    data = tiny_codec.encode(picture.convert("L"), quality=60)
    decoded = tiny_codec.decode(data)
    assert (decoded.mode, decoded.size) == ("L", (128, 96))
    several = [Image.fromarray(smooth_noise(96, 128, seed)) for seed in range(4)]
    sizes = {mode: [len(tiny_codec.encode(one.convert(mode), quality=60)) for one in several] for mode in ("L", "RGB")}
    assert sum(sizes["L"]) < sum(sizes["RGB"])
    # the marker itself: a count, a type and a length
    assert len(data) == 3 + len(tiny_codec.encode(picture.convert("L").convert("RGB"), quality=60))
    assert info(data).bytes["grey"] == 0 and sum(info(data).bytes.values()) == pytest.approx(len(data))


def test_transparency_stays(tiny_codec: Codec) -> None:
    data = tiny_codec.encode(sprite(), quality=100)
    decoded = tiny_codec.decode(data)
    assert decoded.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(decoded)[..., 3], np.asarray(sprite())[..., 3])
    assert 20 < info(data).bytes["alpha"] < 120
    part = tiny_codec.decode(data, crop=(30, 10, 41, 33))
    np.testing.assert_array_equal(np.asarray(part)[..., 3], np.asarray(sprite())[10:43, 30:71, 3])
    small = tiny_codec.decode(data, scale=1 / 4)
    assert (small.mode, small.size) == ("RGBA", (24, 16)) and small.getpixel((0, 0))[3] == 0
    grey = tiny_codec.decode(tiny_codec.encode(sprite().convert("LA"), quality=20))
    assert grey.mode == "LA"


def test_what_is_invisible_is_painted_over() -> None:
    """The hidden part goes on with the colours around it, whatever the file happens to hold there."""
    wild, shown = np.array(sprite()), np.asarray(sprite())[..., 3] > 0
    wild[~shown, :3] = np.random.default_rng(0).integers(0, 256, wild[~shown, :3].shape)
    rgb = prepare(Image.fromarray(wild)).rgb
    np.testing.assert_array_equal(rgb[shown], wild[shown, :3])
    np.testing.assert_array_equal(rgb, prepare(sprite()).rgb)
    assert np.abs(np.diff(rgb[0].astype(int), axis=0)).max() <= 8
    assert prepare(Image.new("RGBA", (40, 30))).rgb.shape == (30, 40, 3)


def test_opaque_alpha_is_dropped_and_backgrounds_replace_it() -> None:
    assert prepare(Image.new("RGBA", (4, 4), (1, 2, 3, 255))).extras == Extras()
    taken = prepare(Image.new("RGBA", (4, 4)), background="#102030")
    assert taken.extras == Extras() and taken.rgb[0, 0].tolist() == [16, 32, 48]
    assert prepare(Image.new("LA", (4, 4)), background="white").extras == Extras(grey=True)
    assert prepare(Image.new("LA", (4, 4)), background="red").extras == Extras()
    assert over(Image.new("LA", (4, 4)), "black").mode == "L"
    with pytest.raises(UsageError, match="no colour fog"):
        prepare(Image.new("RGBA", (4, 4)), background="fog")


def test_what_is_lost_is_said(tmp_path: Path) -> None:
    deep = prepare(reopened(Image.fromarray(np.zeros((4, 4), np.uint16)), "PNG"))
    assert deep.lost == ("16 bits a channel are reduced to 8",)
    assert prepare(open_image(BytesIO(b"P6 1 1 65535\n\0\0\0\0\0\0"))).lost == deep.lost
    assert prepare(Image.new("F", (4, 4))).lost == ("floating-point values are reduced to 8 bits",)
    frames = reopened(Image.new("RGB", (4, 4)), "GIF", save_all=True, append_images=[Image.new("RGB", (4, 4), "red")])
    assert prepare(frames).lost == ("only one of 2 pictures in the file is kept",)
    assert prepare(reopened(Image.new("CMYK", (4, 4)), "JPEG")).lost == ()


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF", "MPO", "AVIF"])
def test_further_pictures_are_counted(name: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    taken = prepare(reopened(frames[0], name, save_all=True, append_images=frames[1:]))
    assert taken.lost == ("only one of 3 pictures in the file is kept",)
    assert np.abs(taken.rgb[8, 8].astype(int) - (255, 0, 0)).max() < 8
    assert prepare(reopened(frames[0], name, save_all=name != "MPO")).lost == ()


def test_a_second_picture_that_is_a_gain_map_is_called_that() -> None:
    main, beside = Image.new("RGB", (16, 16), "red"), Image.new("L", (8, 8))
    xmp = b'<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>'
    taken = prepare(reopened(main, "MPO", save_all=True, append_images=[beside], xmp=xmp))
    assert taken.lost == ("the gain map for high dynamic range is left out",)


def exif() -> Image.Exif:
    made = Image.Exif()
    made[0x010E], made[0x0112] = "a harbour", 6
    details = made.get_ifd(0x8769)
    details[0xA002], details[0xA003] = 32, 24
    return made


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_metadata_goes_along_upright(tiny_codec: Codec, name: str) -> None:
    image = reopened(Image.new("RGB", (32, 24)), "JPEG", exif=exif(), xmp=XMP)
    assert prepare(image).extras == Extras()
    taken = prepare(image, keep_metadata=True)
    decoded = tiny_codec.decode(tiny_codec.encode(taken.rgb, extras=taken.extras))
    assert decoded.size == (24, 32)
    written = Image.open(BytesIO(save_bytes(decoded, name)))
    found = written.getexif()
    assert found[0x010E] == "a harbour" and found.get(0x0112, 1) == 1
    assert dict(found.get_ifd(0x8769)) == {0xA002: 24, 0xA003: 32}
    xmp = written.info["xmp"]
    assert b"tiff:Orientation='1'" in xmp and b"<tiff:Orientation>1</tiff:Orientation>" in xmp


def test_storage_tags_of_tiff_stay_behind() -> None:
    image = reopened(Image.new("RGB", (32, 24)), "TIFF", exif=exif())
    kept = Image.Exif()
    kept.load(prepare(image, keep_metadata=True).extras.exif)
    assert {0x010E} <= set(kept) <= {0x010E, 0x8769, 282, 283, 296, 305}


def test_metadata_is_bounded(tiny_codec: Codec) -> None:
    data = tiny_codec.encode(Image.new("RGB", (16, 16)))
    header, payload = container.unpack(data, tiny_codec.weights.fingerprint)

    def with_section(kind: int, body: bytes) -> bytes:
        return container.pack(replace(header, extensions=((kind, body),)), payload, tiny_codec.weights.fingerprint)

    bomb = zlib.compress(bytes(2**26), 9)
    whole = zlib.compress(bytes(4))
    for body in (bomb, b"", b"no", whole[:-1], whole + b"x", zlib.compress(b"\1"), zlib.compress(b"\xff\xff\xff\xff")):
        with pytest.raises(FormatError, match="the metadata is damaged"):
            tiny_codec.decode(with_section(extras.METADATA, body))
    with pytest.raises(FormatError, match="the grey marker is damaged"):
        tiny_codec.decode(with_section(extras.GREY, b"x"))
    assert tiny_codec.decode(with_section(100, b"unknown")).mode == "RGB"
    with pytest.raises(UsageError, match="metadata of"):
        extras.pack(Extras(exif=bytes(2**22)), 50)
    huge = Image.new("RGB", (4, 4))
    huge.info["xmp"] = bytes(range(1, 256)) * 20000
    taken = prepare(huge, keep_metadata=True)
    assert taken.extras == Extras() and taken.lost == ("the metadata is too large and is left out",)


def test_put_gives_back() -> None:
    plane = np.arange(12, dtype=np.uint8).reshape(3, 4)
    picture = restore(Image.new("RGB", (4, 3)), Extras(True, plane, b"MM", b"<x/>"))
    assert picture.mode == "LA" and picture.info == {"exif": b"Exif\0\0MM", "xmp": b"<x/>"}


def test_command_line(codec: Command, here: Path) -> None:
    sprite(8, 6).save("a.png")
    Image.fromarray(np.zeros((6, 8), np.uint16)).save("deep.png")
    Image.new("RGB", (8, 6)).save("meta.jpg", exif=exif())
    done = codec("encode", "a.png", "deep.png", "meta.jpg", "--keep-metadata")
    assert done.code == 0
    assert done.err.splitlines()[:-1] == ["codec: deep.png: warning: 16 bits a channel are reduced to 8"]
    assert b'"alpha"' in Path("a.mcm").read_bytes() and b'"grey"' in Path("deep.mcm").read_bytes()
    assert b'"exif"' in Path("meta.mcm").read_bytes()
    assert codec("encode", "deep.png", "-f", "--quiet").err == ""
    assert b'"lost": ["16 bits' in codec("encode", "deep.png", "-f", "--json").out
    assert codec("encode", "a.png", "-f", "--background", "navy").code == 0
    assert b'"alpha"' not in Path("a.mcm").read_bytes()
    for command in ("encode", "decode"):
        done = codec(command, "a.png", "--background", "fog")
        assert (done.code, done.err) == (2, "codec: there is no colour fog; use a name such as white, or #rrggbb\n")
