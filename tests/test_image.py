"""Pictures of every kind become plain upright sRGB, and what is no picture is refused in one line."""

import contextlib
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from mcmcodec.errors import InputError, UsageError
from mcmcodec.image.io import (
    develop,
    from_rgb,
    open_image,
    readable_extensions,
    readable_formats,
    save_bytes,
    to_rgb,
    writable_format,
)

RNG = np.random.default_rng(1)


def noise(height: int = 5, width: int = 7) -> Any:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def reopened(image: Image.Image, name: str, **options: Any) -> Image.Image:
    out = BytesIO()
    image.save(out, format=name, **options)
    out.seek(0)
    return open_image(out)


@pytest.mark.parametrize("name", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_rgb_is_untouched(name: str) -> None:
    array = noise()
    result = to_rgb(reopened(from_rgb(array), name))
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous and result.flags.writeable
    np.testing.assert_array_equal(result, array)


def test_one_pixel() -> None:
    assert to_rgb(from_rgb(noise(1, 1))).shape == (1, 1, 3)


def test_grey_palette_and_bilevel() -> None:
    grey = noise()[..., 0]
    np.testing.assert_array_equal(to_rgb(reopened(Image.fromarray(grey), "PNG")), np.repeat(grey[..., None], 3, axis=2))
    few = from_rgb((noise() // 128 * 255).astype(np.uint8))
    np.testing.assert_array_equal(to_rgb(reopened(few.quantize(8), "PNG")), np.asarray(few))
    bits = Image.fromarray(grey > 127)
    assert bits.mode == "1"
    np.testing.assert_array_equal(to_rgb(reopened(bits, "PNG"))[..., 0], np.where(grey > 127, 255, 0))


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 128, 257, 32768, 65535, 65407]], dtype=np.uint16)
    for name in ("PNG", "TIFF"):
        result = to_rgb(reopened(Image.fromarray(values), name))
        np.testing.assert_array_equal(result[0, :, 0], [0, 0, 1, 128, 255, 255])


def test_sixteen_bit_rgb() -> None:
    rows = np.array([[0, 128 * 257, 65535]], dtype=">u2").tobytes()
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + rows)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    np.testing.assert_array_equal(to_rgb(open_image(BytesIO(data)))[0, 0], [0, 128, 255])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 65535, -5]], dtype=np.int32), [0, 255, 0]),
        (np.array([[0, 2**31 - 1, 2**30]], dtype=np.int32), [0, 255, 128]),
        (np.array([[0.0, 1.0, 0.5]], dtype=np.float32), [0, 255, 128]),
        (np.array([[0, 255, 64]], dtype=np.int32), [0, 255, 64]),
        (np.array([[0, 1000, 500]], dtype=np.int32), [0, 255, 128]),
        (np.array([[-100, 100, 0]], dtype=np.int32), [0, 255, 128]),
        (np.array([[0.0, 1.2, -0.2, 0.5]], dtype=np.float32), [0, 255, 0, 128]),
        (np.array([[0.0, 255.0, 51.0]], dtype=np.float32), [0, 255, 51]),
        (np.array([[-3.0, 260.0, 51.0]], dtype=np.float32), [0, 255, 51]),
        (np.array([[0.0, 60000.0, 65535.0 / 5]], dtype=np.float32), [0, 233, 51]),
        (np.array([[0.0, 8.0, 4.0]], dtype=np.float32), [0, 255, 128]),
        (np.array([[-1.0, 1.0, 0.0]], dtype=np.float32), [0, 255, 128]),
        (np.array([[-4.0, -1.0, -2.0]], dtype=np.float32), [0, 255, 170]),
    ],
)
def test_wide_greys(values: Any, expected: list[int]) -> None:
    np.testing.assert_array_equal(to_rgb(Image.fromarray(values))[0, :, 0], expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    values = np.full((4, 4), 0.5, np.float32)
    values[1, 2] = value
    with pytest.raises(InputError, match="holds NaN or infinite values; replace"):
        to_rgb(Image.fromarray(values))


@pytest.mark.parametrize("bright", [300.0, 50000.0, 1e9])
def test_a_range_that_would_turn_black_is_refused(bright: float) -> None:
    values = np.full((40, 40), 0.5, np.float32)
    values[0, 0] = bright
    with pytest.raises(InputError, match=r"would turn black when scaled; map its tones to 0\.\.1 first"):
        to_rgb(Image.fromarray(values))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.array([[0.0, 1.2]], np.float32), "values above 1 are clipped (up to 1.2)"),
        (np.array([[-0.2, 1.0]], np.float32), "values below 0 are clipped (down to -0.2)"),
        (np.array([[0.0, 200.0]], np.float32), "floating-point values are taken as 0 to 255"),
        (np.array([[0.0, 65535.0]], np.float32), "floating-point values are taken as 0 to 65535"),
        (np.array([[0.0, 8.0]], np.float32), "floating-point values from 0 to 8 are scaled to black and white"),
        (np.array([[0.0, 0.01]], np.float32), "the largest of the values is 0.01 of 1, so the picture is dark"),
        (np.array([[0, 200]], np.int32), "32-bit integers are taken as 0 to 255"),
        (np.array([[0, 60000]], np.int32), "32-bit integers are taken as 0 to 65535"),
        (np.array([[0, 1000]], np.int32), "32-bit integers from 0 to 1000 are scaled to black and white"),
        (np.array([[0, 60000]], np.uint16), "16-bit integers are taken as 0 to 65535"),
        (np.array([[0, 255]], np.uint16), "the largest of the values is 255 of 65535, so the picture is dark"),
    ],
)
def test_the_range_that_is_assumed_is_said(values: Any, told: str) -> None:
    assert told in develop(Image.fromarray(values)).notes


def test_plain_ranges_are_not_worth_a_word() -> None:
    assert develop(Image.fromarray(np.array([[0.0, 1.0]], np.float32))).notes == ()
    for name in ("PNG", "TIFF"):
        assert develop(reopened(Image.fromarray(np.array([[0, 65535]], np.uint16)), name)).notes == ()


def test_portable_greymaps_have_the_range_of_their_header() -> None:
    """Pillow scales them to 16 bits in mode I, where a dark picture would look like one of 8 bits."""
    image = open_image(BytesIO(b"P5 2 1 1023\n\0\x01\0\x02"))
    np.testing.assert_array_equal(to_rgb(image)[0, :, 0], [0, 0])
    image = open_image(BytesIO(b"Pf 2 1 -1.0\n" + struct.pack("<2f", 0.5, 1.1)))
    np.testing.assert_array_equal(to_rgb(image)[0, :, 0], [128, 255])


def test_twelve_bits_of_tiff() -> None:
    out = BytesIO()
    Image.fromarray(np.zeros((1, 2), np.uint16)).save(out, "TIFF", tiffinfo={258: 16})
    # two samples of 12 bits, 0xFFF and 0x800, in three bytes at the place of the four of 16 bits
    data = bytearray(out.getvalue())
    image = Image.open(BytesIO(data))
    (at,) = image.tag_v2[273]
    data[at : at + 4] = b"\xff\xf8\x00\0"
    entry = data.index(struct.pack("<HHI", 258, 3, 1))
    data[entry + 8 : entry + 10] = struct.pack("<H", 12)
    np.testing.assert_array_equal(to_rgb(open_image(BytesIO(data)))[0, :, 0], [255, 128])


def test_cmyk_jpeg() -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red = to_rgb(reopened(image, "JPEG", quality=95))[8, 8]
    assert red[0] > 200 and red[1] < 60 and red[2] < 60


def test_lab_and_ycbcr() -> None:
    lab = ImageCms.profileToProfile(
        from_rgb(noise()), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    assert to_rgb(lab).shape == (5, 7, 3)
    assert to_rgb(from_rgb(noise()).convert("YCbCr")).shape == (5, 7, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_exif_orientation(orientation: int, name: str) -> None:
    shown = np.zeros((32, 48, 3), dtype=np.uint8)
    shown[:16, :16] = (255, 0, 0)
    shown[:16, 32:] = (0, 255, 0)
    shown[16:, :16] = (0, 0, 255)
    # What a camera stores for each value of the tag.
    stored = {
        1: shown,
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.swapaxes(0, 1),
        6: np.rot90(shown, 1),
        7: shown[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(shown, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(name, {})
    result = to_rgb(reopened(from_rgb(stored[orientation].copy()), name, exif=exif, **options))
    assert result.shape == shown.shape
    assert np.abs(result.astype(int) - shown).max() <= 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_ignored() -> None:
    array = noise()
    result = to_rgb(reopened(from_rgb(array), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_goes_on_white(mode: str) -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    if mode == "PA":
        converted = Image.new("P", image.size)
        converted.putalpha(image.getchannel("A"))
    else:
        converted = image.convert(mode)
    np.testing.assert_array_equal(to_rgb(converted)[0, :, 0], [0, 255, 127])


def test_transparent_colour_goes_on_white() -> None:
    image = from_rgb(np.array([[[10, 20, 30], [40, 50, 60]]], dtype=np.uint8))
    result = to_rgb(reopened(image, "PNG", transparency=(10, 20, 30)))
    np.testing.assert_array_equal(result[0], [[255, 255, 255], [40, 50, 60]])
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    result = to_rgb(reopened(palette, "PNG", transparency=0))
    np.testing.assert_array_equal(result[0], [[255, 255, 255], [40, 50, 60]])


def swapped_profile() -> bytes:
    """sRGB with the colorant tags of red and blue exchanged: a profile that shows whether it is used."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", data[128:132])[0]
    entries = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data)


def test_icc_profile_is_applied() -> None:
    array = np.zeros((4, 4, 3), dtype=np.uint8)
    array[...] = (250, 5, 5)
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = to_rgb(reopened(from_rgb(array), "PNG", icc_profile=plain))
    assert np.abs(same.astype(int) - array).max() <= 2
    for image in (from_rgb(array), from_rgb(array).convert("RGBA"), from_rgb(array).quantize(2)):
        swapped = to_rgb(reopened(image, "PNG", icc_profile=swapped_profile()))
        assert swapped[0, 0, 2] > 200 and swapped[0, 0, 0] < 60


@pytest.mark.parametrize("profile", [b"garbage", swapped_profile()[:200]])
def test_broken_icc_profile_is_ignored(profile: bytes) -> None:
    array = noise()
    np.testing.assert_array_equal(to_rgb(reopened(from_rgb(array), "PNG", icc_profile=profile)), array)


def test_profile_of_another_colour_space_is_ignored() -> None:
    grey = noise()[..., 0]
    result = to_rgb(reopened(Image.fromarray(grey), "PNG", icc_profile=swapped_profile()))
    assert result.shape == (5, 7, 3)
    cmyk = Image.new("CMYK", (4, 4))
    cmyk.info["icc_profile"] = swapped_profile()
    np.testing.assert_array_equal(to_rgb(cmyk), np.full((4, 4, 3), 255))


@pytest.mark.parametrize(("name", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})])
def test_animation_gives_its_first_frame(name: str, options: dict[str, Any]) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    image = reopened(frames[0], name, save_all=True, append_images=frames[1:], duration=50, **options)
    assert getattr(image, "n_frames", 1) == 3
    np.testing.assert_array_equal(to_rgb(image)[0, 0], [255, 0, 0])


def test_truncated_jpeg() -> None:
    out = BytesIO()
    from_rgb(noise(64, 64)).save(out, format="JPEG")
    image = open_image(BytesIO(out.getvalue()[:-400]))
    with pytest.raises(InputError, match="truncated or damaged picture .*; get a whole copy of the file"):
        to_rgb(image)


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return data + struct.pack(">I", 10) + b"IDAT" + bytes(14)


@pytest.mark.parametrize("size", [(65535, 65535), (65536, 10), (10, 70000), (20000, 20000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_by_their_header(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="pixels"):
        open_image(BytesIO(png_header(*size)))


def test_large_pictures_that_pillow_finds_suspicious_are_opened() -> None:
    before = Image.MAX_IMAGE_PIXELS
    with open_image(BytesIO(png_header(16384, 8192))) as image:
        assert image.size == (16384, 8192)
    assert before == Image.MAX_IMAGE_PIXELS


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"


@pytest.mark.parametrize("data", [b"", b"hello", b"\x8aMC\x01", EPS])
def test_not_a_picture(data: bytes) -> None:
    with pytest.raises(InputError, match="not a picture in a format that can be read; convert"):
        open_image(BytesIO(data))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_image(tmp_path / "none.png")


def test_damaged_files_raise_nothing_else() -> None:
    for name in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "ICO", "PPM", "TGA", "JPEG2000", "DDS"):
        out = BytesIO()
        try:
            from_rgb(noise(32, 32)).save(out, format=name)
        except (KeyError, OSError):
            continue
        for _ in range(40):
            data = bytearray(out.getvalue())
            for at in RNG.integers(0, len(data), 4):
                data[at] = RNG.integers(0, 256)
            with contextlib.suppress(InputError):
                to_rgb(open_image(BytesIO(data[: RNG.integers(1, len(data) + 1)])))


def test_from_rgb_checks_its_input() -> None:
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(InputError, match="is no picture"):
            from_rgb(wrong)  # type: ignore[arg-type]


def test_formats() -> None:
    assert {"PNG", "JPEG", "WEBP"} <= set(readable_formats())
    assert {".png", ".jpg", ".jpeg", ".webp", ".tif"} <= readable_extensions()
    assert not {".eps", ".ps", ".pdf", ".mcm", ".mpg"} & readable_extensions()
    assert writable_format("a/b.JPG") == "JPEG"
    for name in ("x.mcm", "x", "x.xyz"):
        with pytest.raises(UsageError, match=r"use \.png, \.jpg or \.webp"):
            writable_format(name)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
def test_save_bytes(name: str) -> None:
    image = from_rgb(np.full((8, 8, 3), 77, np.uint8))
    assert np.abs(to_rgb(open_image(BytesIO(save_bytes(image, name)))).astype(int) - 77).max() <= 1


def test_save_bytes_refuses_what_a_format_cannot_hold() -> None:
    with pytest.raises(InputError, match="WEBP holds at most 16383 pixels a side; write .png instead"):
        save_bytes(Image.new("RGB", (16384, 1)), "WEBP")
