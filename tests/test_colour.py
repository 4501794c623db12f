"""Colours as files describe them: profiles, gamma, primaries, codes of ITU-T H.273. Values are worked out by hand."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from made_files import ADOBE, P3, chunk, icc, png, raw_png, saved
from models import smooth_noise
from PIL import Image

from mcmcodec.image import srgb
from mcmcodec.image.io import open_image
from mcmcodec.image.prepare import Source, prepare

LINEAR_GREY = icc(b"GRAY", 1.0)
# the primaries of sRGB under D50 (ICC.1), with linear light
LINEAR_RGB = icc(b"RGB ", 1.0, ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)))


def taken(data: bytes) -> Source:
    with open_image(io.BytesIO(data)) as image:
        return prepare(image)


def grey16(*values: int) -> Any:
    return np.array([values], np.uint16)[..., None]


def compressed(profile: bytes) -> tuple[bytes, bytes]:
    import zlib

    return b"iCCP", b"p\0\0" + zlib.compress(profile)


def with_profile(kind: str) -> bytes:
    """Two pixels, 64 and 200 of 255 in linear light, of which the second is transparent where the kind allows it."""
    grey = Image.fromarray(np.array([[64, 200]], np.uint8))
    alpha = Image.fromarray(np.array([[255, 0]], np.uint8))
    if kind == "L":
        return png(grey, icc_profile=LINEAR_GREY)
    if kind == "L+tRNS":
        return png(grey, icc_profile=LINEAR_GREY, transparency=200)
    if kind == "LA":
        grey.putalpha(alpha)
        return png(grey, icc_profile=LINEAR_GREY)
    if kind == "16":
        return raw_png(grey16(64 * 257, 200 * 257), 0, compressed(LINEAR_GREY))
    if kind == "16+tRNS":
        key = struct.pack(">H", 200 * 257)
        return raw_png(grey16(64 * 257, 200 * 257), 0, compressed(LINEAR_GREY), (b"tRNS", key))
    if kind == "LA16":
        samples = np.array([[[64 * 257, 65535], [200 * 257, 0]]], np.uint16)
        return raw_png(samples, 4, compressed(LINEAR_GREY))
    rgb = grey.convert("RGB")
    if kind == "RGBA":
        rgb.putalpha(alpha)
    if kind == "P":
        rgb = rgb.quantize(2)
    if kind == "RGB+tRNS":
        return png(rgb, icc_profile=LINEAR_RGB, transparency=(200, 200, 200))
    return png(rgb, icc_profile=LINEAR_RGB)


@pytest.mark.parametrize("kind", ["L", "LA", "L+tRNS", "16", "16+tRNS", "LA16", "RGB", "RGBA", "RGB+tRNS", "P"])
def test_profiles_apply_beside_transparency(kind: str) -> None:
    """64 of 255 is 0.251 of white, which is 137 in sRGB (IEC 61966-2-1)."""
    source = taken(with_profile(kind))
    np.testing.assert_allclose(source.rgb[0, 0], [137] * 3, atol=1)
    assert source.extras.grey == (kind[0] in "L1")
    if kind in ("L", "16", "RGB", "P"):
        assert source.extras.alpha is None
        np.testing.assert_allclose(source.rgb[0, 1], [229] * 3, atol=1)
    else:
        assert source.extras.alpha is not None and source.extras.alpha.tolist() == [[255, 0]]


def test_transparent_grey_of_sixteen_bits_is_compared_in_sixteen_bits() -> None:
    source = taken(raw_png(grey16(25700, 25701, 0), 0, (b"tRNS", struct.pack(">H", 25700))))
    assert source.extras.alpha is not None and source.extras.alpha.tolist() == [[0, 255, 255]]


def test_transparent_colour_of_sixteen_bits() -> None:
    samples = np.array([[[0x1234, 0x5678, 0x9ABC], [0x3412, 0x7856, 0xBC9A]]], np.uint16)
    source = taken(raw_png(samples, 2, (b"tRNS", samples[0, 0].astype(">u2").tobytes())))
    assert source.extras.alpha is not None and source.extras.alpha.tolist() == [[0, 255]]


def gama(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100000))


@pytest.mark.parametrize(
    ("gamma", "sample", "shown"),
    [(1.0, 64, 137), (1 / 1.8, 128, 146), (0.45455, 64, 64), (0.45455, 200, 200), (0.0, 64, 64), (50.0, 64, 64)],
)
def test_gamma(gamma: float, sample: int, shown: int) -> None:
    """sRGB(0.2510) = 137 of 255; (128 / 255) ** 1.8 = 0.2892, and sRGB(0.2892) = 146."""
    for mode in ("L", "RGB"):
        source = taken(png(Image.new("L", (2, 2), sample).convert(mode), gama(gamma)))
        assert source.rgb[0, 0].tolist() == [shown] * 3
        assert bool(source.lost) == (gamma in (0.0, 50.0))
    deep = taken(raw_png(grey16(sample * 257), 0, gama(gamma)))
    assert deep.rgb[0, 0].tolist() == [shown] * 3


def test_linear_samples_look_as_light_as_the_original() -> None:
    original = smooth_noise(40, 60)
    unit = original / 255
    light = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    linear = Image.fromarray(np.rint(light * 255).astype(np.uint8))
    assert np.asarray(linear).mean() < original.mean() - 40
    assert np.abs(taken(png(linear, gama(1.0))).rgb.astype(int) - original).max() <= 13  # 8 bits are coarse when linear
    assert np.abs(taken(png(linear, gama(1.0))).rgb.mean() - original.mean()) < 0.5


CHRM_P3 = (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
CHRM_SRGB = (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))


def test_primaries() -> None:
    """Display P3 (128, 64, 64) by its matrix to sRGB: light (0.2529, 0.0443, 0.0480), samples (138, 59, 62)."""
    picture = Image.new("RGB", (2, 2), (128, 64, 64))
    for data in (png(picture, CHRM_P3), png(picture, (b"cICP", bytes((12, 13, 0, 1))))):
        assert taken(data).rgb[0, 0].tolist() == [138, 59, 62]
    by_profile = taken(png(picture, icc_profile=icc(b"RGB ", 2.2, P3)))
    np.testing.assert_allclose(by_profile.rgb[0, 0], [138, 59, 62], atol=3)
    assert taken(png(picture, CHRM_SRGB)).rgb[0, 0].tolist() == [128, 64, 64]
    # grey has no primaries
    assert taken(png(picture.convert("L"), CHRM_P3)).rgb[0, 0].tolist() == [83] * 3


def test_matrices_are_those_of_the_standards() -> None:
    """ITU-R BT.2087 for BT.2020; Display P3 as Apple and CSS Color 4 give it."""
    bt2020 = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    p3 = [[1.22494, -0.22494, 0.0], [-0.04206, 1.04206, 0.0], [-0.01964, -0.07864, 1.09828]]
    for number, known in ((9, bt2020), (12, p3)):
        np.testing.assert_allclose(srgb._to_linear_srgb(srgb._PRIMARIES[number]), known, atol=6e-4)
    for number in srgb._PRIMARIES:  # white stays white, whichever it is
        matrix = srgb._to_linear_srgb(srgb._PRIMARIES[number])
        np.testing.assert_allclose(np.eye(3).sum(1) if matrix is None else matrix.sum(1), 1, atol=1e-6)


def test_nonsense_in_primaries_is_ignored() -> None:
    picture = Image.new("RGB", (2, 2), (128, 64, 64))
    for numbers in ((0,) * 8, (31270, 32900) + (30000, 30000) * 3):
        source = taken(png(picture, (b"cHRM", struct.pack(">8I", *numbers))))
        assert source.rgb[0, 0].tolist() == [128, 64, 64]
        assert source.lost == ("the file's primaries make no sense and are ignored",)


def test_which_description_counts() -> None:
    """PNG, Third Edition, section 4.3: cICP, iCCP, sRGB, gAMA with cHRM."""
    picture = Image.new("L", (2, 2), 64)
    srgb, code = (b"sRGB", b"\0"), (b"cICP", bytes((1, 13, 0, 1)))
    profile = compressed(icc(b"GRAY", 1.8))
    assert taken(png(picture, srgb, gama(1.0))).rgb[0, 0, 0] == 64
    assert abs(int(taken(png(picture, profile, gama(1.0))).rgb[0, 0, 0]) - 80) <= 2
    assert taken(png(picture, code, profile, gama(1.0))).rgb[0, 0, 0] == 64


PQ, HLG = 16, 18


@pytest.mark.parametrize(
    ("transfer", "sample", "shown"),
    [
        (PQ, 23468, 89),  # BT.2100: 20.3 cd/m2, a tenth of white; sRGB(0.1) = 89
        (PQ, 38055, 244),  # 203 cd/m2: 1, compressed to 0.908
        (PQ, 65535, 255),
        (PQ, 0, 0),
        (HLG, 16384, 61),  # 0.25**2 / 3 = 0.02083 of the scene, 9.60 cd/m2, 0.0473 of white
        (HLG, 49151, 244),  # 75 % is 203 cd/m2 (BT.2408)
        (HLG, 65535, 255),
    ],
)
def test_high_dynamic_range(transfer: int, sample: int, shown: int) -> None:
    code = (b"cICP", bytes((9, transfer, 0, 1)))
    source = taken(raw_png(grey16(sample), 0, code))
    assert abs(int(source.rgb[0, 0, 0]) - shown) <= 1
    assert any(f"high dynamic range ({'PQ' if transfer == PQ else 'HLG'}) is converted" in one for one in source.lost)
    rgb = taken(raw_png(np.full((2, 2, 3), sample, np.uint16), 2, code))
    # 8 bits of PQ are a little coarse
    np.testing.assert_allclose(rgb.rgb[0, 0], [shown] * 3, atol=2)


def test_narrow_range_is_widened() -> None:
    picture = Image.fromarray(np.array([[16, 235, 125, 0, 255]], np.uint8)).convert("RGB")
    source = taken(png(picture, (b"cICP", bytes((1, 13, 0, 0)))))
    assert source.rgb[0, :, 0].tolist() == [0, 255, 127, 0, 255]


def test_unknown_codes_are_said() -> None:
    picture = Image.new("RGB", (2, 2), (128, 64, 64))
    source = taken(png(picture, (b"cICP", bytes((99, 77, 0, 1)))))
    assert source.rgb[0, 0].tolist() == [128, 64, 64]
    assert "colour primaries 99" in source.lost[0] and "transfer function 77" in source.lost[1]
    assert taken(png(picture, (b"cICP", bytes((2, 2, 0, 1))))).lost == ()


def test_code_of_a_picture_that_pillow_opened() -> None:
    data = png(Image.new("RGB", (2, 2), (128, 64, 64)), (b"cICP", bytes((12, 13, 0, 1))))
    assert prepare(Image.open(io.BytesIO(data))).rgb[0, 0].tolist() == [138, 59, 62]


def test_avif_with_high_dynamic_range() -> None:
    """Pillow does not tell the code of an AVIF; here that of sRGB is made one of PQ in the file."""
    data = bytearray(saved(Image.new("RGB", (32, 32), (148, 148, 148)), "AVIF", quality=100))
    at = data.index(b"colrnclx") + 8
    plain = taken(bytes(data))
    assert plain.lost == () and np.abs(plain.rgb.astype(int) - 148).max() <= 3
    data[at : at + 4] = struct.pack(">HH", 9, PQ)
    source = taken(bytes(data))
    assert "high dynamic range (PQ) is converted" in source.lost[0]
    assert np.abs(source.rgb.astype(int) - 244).max() <= 3


def test_clipped_colours_are_said() -> None:
    inside, outside = Image.new("RGB", (64, 64), (150, 120, 110)), Image.new("RGB", (64, 64), (150, 120, 110))
    outside.paste((10, 250, 10), (0, 0, 64, 16))
    for space in (P3, ADOBE):
        profile = icc(b"RGB ", 2.2, space)
        assert taken(png(inside, icc_profile=profile)).lost == ()
        assert taken(png(outside, icc_profile=profile)).lost == (
            "colours outside sRGB are clipped (25% of the picture)",
        )
    assert taken(png(outside, CHRM_P3)).lost == ("colours outside sRGB are clipped (25% of the picture)",)


def test_gain_maps_are_said() -> None:
    xmp = b'<x:xmpmeta xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
    with open_image(io.BytesIO(saved(Image.new("RGB", (8, 8)), "JPEG", xmp=xmp))) as image:
        assert prepare(image).lost == ("the gain map for high dynamic range is left out",)
    plain = saved(Image.new("RGB", (8, 8)), "JPEG")
    segment = b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)
    marked = plain[:2] + b"\xff\xe2" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    with open_image(io.BytesIO(marked)) as image:
        assert prepare(image).lost == ("the gain map for high dynamic range is left out",)


def test_broken_chunks_of_colour_do_no_harm() -> None:
    picture = Image.new("RGB", (2, 2), (128, 64, 64))
    for kind, body in ((b"cICP", b"\1"), (b"gAMA", b""), (b"cHRM", bytes(3)), (b"iCCP", b"x"), (b"iCCP", b"x\0\0no")):
        data = png(picture)
        data = data[:33] + chunk(kind, body) + data[33:]
        assert taken(data).rgb[0, 0].tolist() == [128, 64, 64]
