"""What a PNG holds beside pixels, however large or damaged, does not keep a sound picture from being read."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import chunk, exif_block, icc, png, raw_png, saved
from models import smooth_noise
from PIL import Image

from mcmcodec.bitstream.extras import MAX_METADATA
from mcmcodec.errors import InputError
from mcmcodec.image import png_chunks
from mcmcodec.image.io import open_image, to_rgb
from mcmcodec.image.prepare import prepare
from mcmcodec.image.spliced import splice

PIXELS = smooth_noise(40, 56)
PICTURE = Image.fromarray(PIXELS)
XMP_KEY = b"XML:com.adobe.xmp\0"


def damaged(data: bytes, kind: bytes) -> bytes:
    """The file with a wrong checksum of the first chunk of a kind."""
    out = bytearray(data)
    at = data.index(kind)
    (length,) = struct.unpack(">I", data[at - 4 : at])
    out[at + 4 + length] ^= 0xFF
    return bytes(out)


def behind(data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """The file with chunks between the pixels and the end."""
    return data[:-12] + b"".join(chunk(*one) for one in chunks) + data[-12:]


LARGE = 1_500_000
TEXTS = {
    "large XMP": (b"iTXt", XMP_KEY + b"\1\0\0\0" + zlib.compress(b"A" * LARGE)),
    "huge XMP": (b"iTXt", XMP_KEY + b"\1\0\0\0" + zlib.compress(b"A" * 2**26)),
    "large iTXt": (b"iTXt", b"Note\0\1\0\0\0" + zlib.compress(b"A" * LARGE)),
    "plain iTXt": (b"iTXt", b"Note\0\0\0\0\0" + b"A" * LARGE),
    "large zTXt": (b"zTXt", b"Note\0\0" + zlib.compress(b"A" * LARGE)),
    "bomb": (b"zTXt", b"Note\0\0" + zlib.compress(b"A" * 2**28)),
    "large tEXt": (b"tEXt", b"Note\0" + b"A" * LARGE),
    "broken zTXt": (b"zTXt", b"Note\0\0no"),
    "strange zTXt": (b"zTXt", b"Note\0\7no"),
    "broken iTXt": (b"iTXt", b"Note\0\1"),
    "no key": (b"tEXt", b""),
    "private": (b"prVt", bytes(2**20)),
}


@pytest.mark.parametrize("name", list(TEXTS))
def test_texts_do_not_matter(tmp_path: Path, name: str) -> None:
    for data in (png(PICTURE, TEXTS[name]), behind(png(PICTURE), TEXTS[name])):
        path = tmp_path / "a.png"
        path.write_bytes(data)
        for source in (path, io.BytesIO(data)):
            with open_image(source) as image:
                np.testing.assert_array_equal(to_rgb(image), PIXELS)


def test_many_texts_do_not_matter() -> None:
    many = [(b"zTXt", b"Note\0\0" + zlib.compress(b"A" * 1_000_000))] * 100
    np.testing.assert_array_equal(to_rgb(open_image(io.BytesIO(png(PICTURE, *many)))), PIXELS)


def test_xmp_is_read_up_to_the_limit_of_metadata() -> None:
    taken = prepare(open_image(io.BytesIO(png(PICTURE, TEXTS["large XMP"]))), keep_metadata=True)
    assert (taken.extras.xmp, taken.lost) == (b"A" * LARGE, ())
    taken = prepare(open_image(io.BytesIO(png(PICTURE, TEXTS["huge XMP"]))), keep_metadata=True)
    assert (taken.extras.xmp, taken.lost) == (b"", ("the metadata is too large and is left out",))
    packet = b"<x>\xc3\xbc\xff</x>"
    plain = (b"iTXt", XMP_KEY + b"\0\0\0\0" + packet)
    assert prepare(open_image(io.BytesIO(png(PICTURE, plain))), keep_metadata=True).extras.xmp == packet
    block = png_chunks.screen(io.BytesIO(png(PICTURE, TEXTS["huge XMP"])))
    assert block.xmp is not None and len(block.xmp) == MAX_METADATA + 1


def test_description_can_still_be_a_caption() -> None:
    image = open_image(io.BytesIO(png(PICTURE, (b"tEXt", b"Description\0a harbour"), TEXTS["large tEXt"])))
    assert image.info["Description"] == "a harbour" and "Note" not in image.info


@pytest.mark.parametrize("size", [2**20, 2**23])
def test_large_profiles_are_applied(size: int) -> None:
    """A printer's profile has megabytes; here a linear one is filled up to that size."""
    profile = icc(b"GRAY", 1.0) + bytes(size)
    profile = struct.pack(">I", len(profile)) + profile[4:]
    data = png(Image.new("L", (2, 2), 64), (b"iCCP", b"p\0\0" + zlib.compress(profile)))
    assert abs(int(prepare(open_image(io.BytesIO(data))).rgb[0, 0, 0]) - 137) <= 1


def test_profiles_beyond_the_limit_are_left_out() -> None:
    large = (b"iCCP", np.random.default_rng(0).bytes(png_chunks.MAX_PROFILE + 1))
    taken = prepare(open_image(io.BytesIO(png(PICTURE, large))))
    assert taken.lost == ("the colour profile is too large and is left out",)
    np.testing.assert_array_equal(taken.rgb, PIXELS)


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        (b"tEXt", b"Comment\0hello", "a damaged text in the file is left out"),
        (b"gAMA", struct.pack(">I", 100000), "a damaged gamma in the file is left out"),
        (b"iCCP", b"p\0\0" + zlib.compress(icc(b"RGB ", 1.0)), "a damaged colour profile in the file is left out"),
        (b"cICP", bytes((9, 16, 0, 1)), "a damaged colour code (cICP) in the file is left out"),
        (b"tRNS", bytes(6), "a damaged transparency in the file is left out"),
        (b"tIME", bytes(7), "a damaged tIME chunk in the file is left out"),
    ],
)
def test_damaged_chunks_are_named(kind: bytes, body: bytes, told: str) -> None:
    taken = prepare(open_image(io.BytesIO(damaged(png(PICTURE, (kind, body)), kind))))
    assert taken.lost == (told,)
    np.testing.assert_array_equal(taken.rgb, PIXELS)


def test_damaged_header_is_refused_unless_allowed() -> None:
    for kind, data in ((b"IHDR", png(PICTURE)), (b"PLTE", png(PICTURE.quantize(8)))):
        wrong = damaged(data, kind)
        with pytest.raises(InputError, match=f"damaged PNG picture .wrong checksum of {kind.decode()}.; get a whole"):
            open_image(io.BytesIO(wrong))
        with open_image(io.BytesIO(wrong), allow_damaged=True) as image:
            taken = prepare(image, allow_damaged=True)
        assert taken.lost == (f"the file is damaged (wrong checksum of {kind.decode()})",)
        np.testing.assert_array_equal(taken.rgb, prepare(open_image(io.BytesIO(data))).rgb)


def test_a_png_is_not_told_to_become_one() -> None:
    whole = png(PICTURE)
    broken = [whole[:8], whole[:20], whole[:33], whole[:40], whole[:8] + b"\0\0\0\1????", whole[:8] + whole[33:]]
    broken.append(raw_png(np.zeros((2, 2, 3), np.uint8), 9))
    for data in broken:
        with pytest.raises(InputError) as caught:
            prepare(open_image(io.BytesIO(data)))
        assert "damaged" in caught.value.cause and "PNG" not in caught.value.remedy, str(caught.value)
        assert "unpack" not in caught.value.cause
    with pytest.raises(InputError, match=r"damaged PNG picture .the file ends early.; get a whole copy of the file"):
        open_image(io.BytesIO(whole[:40]))


def test_animations_keep_their_frames() -> None:
    frames = [Image.new("RGB", (8, 8), name) for name in ("red", "lime", "blue")]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=50)
    data = data[:33] + chunk(*TEXTS["large zTXt"]) + data[33:]
    image = open_image(io.BytesIO(data))
    assert getattr(image, "n_frames", 1) == 3
    image.seek(2)
    assert image.convert("RGB").getpixel((0, 0)) == (0, 0, 255)


def test_files_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(PICTURE, TEXTS["large tEXt"]))
    with open_image(path) as image:
        file = image.fp
        assert file is not None and not file.closed
        image.load()
    assert file.closed
    stream = io.BytesIO(path.read_bytes())
    with open_image(stream) as image:
        image.load()
    assert not stream.closed


def test_exif_before_and_behind_the_pixels() -> None:
    for data in (png(PICTURE, (b"eXIf", exif_block())), behind(png(PICTURE), (b"eXIf", exif_block()))):
        image = open_image(io.BytesIO(data))
        assert prepare(image, keep_metadata=True).rgb.shape == (56, 40, 3)


@given(st.lists(st.binary(max_size=9) | st.tuples(st.integers(0, 99), st.integers(0, 40)), max_size=8), st.data())
def test_spliced_files_read_like_joined_bytes(parts: list[bytes | tuple[int, int]], data: st.DataObject) -> None:
    whole = bytes(range(100)) * 2
    pieces = [part if isinstance(part, bytes) else range(part[0], part[0] + part[1]) for part in parts]
    joined = b"".join(part if isinstance(part, bytes) else whole[part.start : part.stop] for part in pieces)
    file = splice(io.BytesIO(whole), pieces, close=True)
    assert file.read() == joined and file.seek(0, io.SEEK_END) == len(joined)
    for _ in range(3):
        at, length = data.draw(st.integers(0, len(joined))), data.draw(st.integers(0, 50))
        file.seek(at)
        assert file.read(length) == joined[at : at + length] and file.tell() == min(at + length, len(joined))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(8, 400), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_any_damage_ends_in_a_picture_or_an_error(changes: list[tuple[int, int]], allow: bool) -> None:
    out = bytearray(png(PICTURE.resize((9, 7)), (b"tEXt", b"a\0b"), (b"gAMA", struct.pack(">I", 50000))))
    for at, value in changes:
        out[at % len(out)] = value
    try:
        with open_image(io.BytesIO(out), 2**16, allow_damaged=allow) as image:
            prepare(image, max_pixels=2**16, allow_damaged=allow)
    except InputError as error:
        assert error.remedy and "\n" not in str(error)


def test_many_bombs_take_no_time() -> None:
    profile = (b"iCCP", b"p\0\0" + zlib.compress(bytes(2**24)))
    packet = (b"iTXt", XMP_KEY + b"\1\0\0\0" + zlib.compress(bytes(2**22)))
    text = (b"zTXt", b"Note\0\0" + zlib.compress(bytes(2**20)))
    data = png(PICTURE, *[profile] * 100, *[packet] * 100, *[text] * 1000)
    start = time.process_time()
    np.testing.assert_array_equal(to_rgb(open_image(io.BytesIO(data))), PIXELS)
    assert time.process_time() - start < 2
