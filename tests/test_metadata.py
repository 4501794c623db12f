"""EXIF and XMP that are carried along: every byte stays, but for orientation, sizes and thumbnail."""

from __future__ import annotations

import io
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import exif_block, saved
from PIL import Image, TiffImagePlugin

from mcmcodec.codec import Codec
from mcmcodec.image import metadata
from mcmcodec.image.io import open_image, save_bytes
from mcmcodec.image.prepare import prepare

PICTURE = Image.new("RGB", (32, 24), "teal")
ORDERS = ("<", ">")


def differing(before: bytes, after: bytes) -> set[int]:
    return {at for at, (a, b) in enumerate(zip(before, after, strict=True)) if a != b}


def corrected(order: str, size: tuple[int, int]) -> bytes:
    """The block of ``exif_block`` without thumbnail, as it has to come back, patched by hand."""
    out = bytearray(exif_block(order, thumbnail=b"THUMB"))
    del out[out.index(b"THUMB") - 42 :]  # the directory of the thumbnail has three entries
    struct.pack_into(order + "I", out, 10 + 8, size[0])  # ImageWidth, the first entry of IFD0
    struct.pack_into(order + "H", out, 10 + 12 + 8, 1)  # Orientation, the second
    struct.pack_into(order + "I", out, 82, 0)  # the offset of IFD1
    struct.pack_into(order + "H", out, 88 + 12 + 8, size[0])  # width and height in the Exif directory
    struct.pack_into(order + "I", out, 88 + 24 + 8, size[1])
    return bytes(out)


@pytest.mark.parametrize("order", ORDERS)
def test_every_other_byte_stays(order: str) -> None:
    block = exif_block(order)
    found = metadata.upright(block, (24, 32))
    assert found == corrected(order, (24, 32))
    # and nothing but the offset of the thumbnail where there was nothing to correct
    again = metadata.upright(found, (24, 32))
    assert again == found
    assert (
        differing(exif_block(order, b"", orientation=1), metadata.upright(exif_block(order, b"", 1), (32, 24))) == set()
    )


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_metadata_comes_back_byte_for_byte(tiny_codec: Codec, name: str) -> None:
    """From a JPEG through an .mcm file to each format; AVIF has no orientation in Exif but one of its own."""
    xmp = "<x:xmpmeta tiff:Orientation='6' dc:creator='Jürgen 日本'/>".encode()
    data = saved(PICTURE, "JPEG", exif=metadata.EXIF_START + exif_block(), xmp=xmp)
    source = prepare(open_image(io.BytesIO(data)), keep_metadata=True)
    assert source.extras.exif == corrected(">", (24, 32))
    assert source.extras.xmp == xmp.replace(b"'6'", b"'1'")
    decoded = tiny_codec.decode(tiny_codec.encode(source.rgb, extras=source.extras))
    written = save_bytes(decoded, name)
    expected = corrected(">", (24, 32))
    if name == "AVIF":
        expected = metadata.without_orientation(expected)
        assert differing(expected, corrected(">", (24, 32))) <= set(range(8, 86))
    assert expected in written
    image = Image.open(io.BytesIO(written))
    assert image.getexif().get(0x0112, 1) == 1 and image.size == (24, 32)
    assert image.info["xmp"] == source.extras.xmp


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_metadata_of_each_format_is_found(name: str) -> None:
    picture = PICTURE.copy()
    picture.info["exif"] = metadata.EXIF_START + exif_block(orientation=1)
    exif = prepare(open_image(io.BytesIO(save_bytes(picture, name))), keep_metadata=True).extras.exif
    expected = corrected(">", (32, 24))
    assert exif == (metadata.without_orientation(expected) if name == "AVIF" else expected)


def test_place_goes_only_on_demand() -> None:
    data = saved(PICTURE, "JPEG", exif=metadata.EXIF_START + exif_block())
    assert prepare(open_image(io.BytesIO(data))).extras.exif == b""
    exif = Image.Exif()
    exif.load(prepare(open_image(io.BytesIO(data)), keep_metadata=True).extras.exif)
    assert exif.get_ifd(0x8825) == {0: b"\2\3\0\0"}


def test_no_directory_is_added() -> None:
    exif = Image.Exif()
    exif[0x010E] = "plain"
    data = saved(PICTURE, "JPEG", exif=exif)
    found = prepare(open_image(io.BytesIO(data)), keep_metadata=True).extras.exif
    assert found == exif.tobytes().removeprefix(metadata.EXIF_START)


def test_thumbnail_in_the_middle_leaves_zeros() -> None:
    """Behind the thumbnail there is something else, so nothing moves."""
    block = exif_block() + b"the maker's own"
    # make the maker note, whose offset stands in the first entry of Exif, point behind the thumbnail
    out = bytearray(block)
    struct.pack_into(">II", out, 88 + 4, 15, len(block) - 15)
    found = metadata.upright(bytes(out), (24, 32))
    assert len(found) == len(out) and found.endswith(b"the maker's own")
    assert b"thumb" not in found and found[: -15 - 9 - 42] == corrected(">", (24, 32))[:86] + found[86:-66]


@pytest.mark.parametrize("big", [False, True])
def test_tags_of_tiff_files_keep_their_bytes(big: bool) -> None:
    """A TIFF holds its metadata among the tags of its pixels: the former are taken over, the latter are not."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112] = 6
    tags[0x8769] = {0x927C: b"Maker\1\2", 0xA002: 32}
    tags[0x8825] = {0: b"\2\3\0\0"}
    data = saved(PICTURE, "TIFF", tiffinfo=tags, big_tiff=big)
    assert data.startswith(b"II+" if big else b"II*")
    image = open_image(io.BytesIO(data))
    found = prepare(image, keep_metadata=True).extras.exif
    assert found[:4] == b"II*\0"
    back = Image.Exif()
    back.load(found)
    assert back.get(0x0112, 1) == 1 and 0x0111 not in back and 0x0100 not in back
    assert dict(back.get_ifd(0x8769)) == {0x927C: b"Maker\1\2", 0xA002: 24}
    assert dict(back.get_ifd(0x8825)) == {0: b"\2\3\0\0"}


def test_text_of_tiff_files_keeps_its_encoding(tmp_path: Path) -> None:
    text = "© 2024 Jürgen 日本".encode()
    data = saved(PICTURE, "TIFF", description="x" * len(text)).replace(b"x" * len(text), text)
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    assert text in prepare(path, keep_metadata=True).extras.exif


def test_profile_of_imagemagick() -> None:
    info: Any = Image.new("RGB", (4, 4))
    info.info["Raw profile type exif"] = f"\nexif\n{400}\n{(metadata.EXIF_START + exif_block()).hex()}"
    assert metadata.exif_of(info) == exif_block()
    info.info["Raw profile type exif"] = "\nexif\n4\nzz"
    assert metadata.exif_of(info) == b""


def test_xmp_keeps_every_other_byte() -> None:
    xmp = (
        b"<?xpacket begin='\xef\xbb\xbf'?><a tiff:Orientation = \"8\" tiff:ImageWidth='32' exif:PixelYDimension='24'>"
        b"<tiff:Orientation> 6 </tiff:Orientation><tiff:ImageLength>24</tiff:ImageLength>\xff\xfe\0</a> <?xpacket?>"
    )
    assert metadata.upright_xmp(xmp, (24, 32)) == (
        b"<?xpacket begin='\xef\xbb\xbf'?><a tiff:Orientation = \"1\" tiff:ImageWidth='24' exif:PixelYDimension='32'>"
        b"<tiff:Orientation> 1 </tiff:Orientation><tiff:ImageLength>32</tiff:ImageLength>\xff\xfe\0</a> <?xpacket?>"
    )


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(ORDERS))
def test_any_bytes_come_back_or_nothing(data: st.DataObject, order: str) -> None:
    """Whatever a block holds, what comes back is no longer, and a block that is none comes back as nothing."""
    block = bytearray(exif_block(order))
    for at in data.draw(st.lists(st.integers(4, len(block) - 1), max_size=8)):
        block[at] = data.draw(st.integers(0, 255))
    block = block[: data.draw(st.integers(0, len(block)))]
    found = metadata.upright(bytes(block), (24, 32))
    assert len(found) <= len(block) and found[:4] == (block[:4] if len(block) >= 4 else b"")
    assert len(metadata.without_orientation(found)) == len(found)
    assert metadata.upright(b"no" + bytes(block), (24, 32)) == b""


def test_a_directory_that_holds_itself_ends() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x8769] = 8
    tags.tagtype[0x8769] = 4
    data = saved(PICTURE, "TIFF", tiffinfo=tags)
    assert len(prepare(open_image(io.BytesIO(data)), keep_metadata=True).extras.exif) < 2000


def test_metadata_of_a_loaded_tiff_is_found(tmp_path: Path) -> None:
    """A captioner may have looked at the pixels before, and Pillow has closed the file."""
    path = tmp_path / "a.tif"
    path.write_bytes(saved(PICTURE, "TIFF", description="a harbour"))
    image = open_image(path)
    image.load()
    assert b"a harbour\0" in prepare(image, keep_metadata=True).extras.exif


def overlapping(count: int, size: int) -> bytes:
    """A TIFF structure of many directories that overlap, each of which names others as Exif and GPS."""
    entry = struct.pack(">HHII", 0x8769, 4, 1, 10) + struct.pack(">HHII", 0x8825, 4, 1, 20)
    table = b"".join(struct.pack(">HHII", 0x8769, 4, 1, 12 * at + 10) for at in range(count))
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", count) + table + struct.pack(">I", 8) + entry * (size // 24)


@pytest.mark.parametrize("count", [1, 300, 511, 5000])
def test_hostile_directories_take_no_time(count: int) -> None:
    block = overlapping(count, 2**21)
    start = time.process_time()
    metadata.upright(block, (24, 32))
    metadata.without_orientation(block)
    metadata._taken_over(io.BytesIO(block))
    assert time.process_time() - start < 3
