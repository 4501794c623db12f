"""Container: what goes in comes out, and nothing else is let through."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcmcodec.bitstream.container import MAX_SIDE, Header, crc_of, pack, parse_header, unpack
from mcmcodec.errors import FormatError, UsageError

PRINT = bytes(range(32))
HEADER = Header(768, 512, 0, 0, 50, 100)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    width = draw(st.integers(1, MAX_SIDE))
    height = draw(st.integers(1, MAX_SIDE))
    patches = draw(st.sampled_from(("masked", "all", "none", "caption")))
    types = draw(st.lists(st.integers(0, 32767), unique=True, max_size=4))
    extensions = [(2 * kind, draw(st.binary(max_size=200))) for kind in types]
    keep = {"masked": st.integers(0, 255), "all": st.just(255), "none": st.just(0), "caption": st.just(0)}[patches]
    return Header(
        width=width,
        height=height,
        model=draw(st.integers(0, 4095)),
        variant=draw(st.integers(0, 7)),
        quality=0 if patches == "caption" else draw(st.integers(0, 100)),
        keep=draw(keep),
        caption=patches == "caption" or draw(st.booleans()),
        all_visible=patches == "all",
        extensions=tuple(sorted([*extensions, (9, b"")] if patches == "caption" else extensions)),
        none_visible=patches == "none",
    )


def with_crc(body: bytes) -> bytes:
    return body + zlib.crc32(PRINT + body).to_bytes(4, "little")


@given(headers(), st.binary(max_size=300), st.binary(min_size=32, max_size=32))
def test_round_trip(header: Header, payload: bytes, fingerprint: bytes) -> None:
    data = pack(header, payload, fingerprint)
    assert unpack(data, fingerprint) == (header, payload)
    parsed, offset = parse_header(data)
    assert parsed == header
    assert data[offset:-4] == payload


@given(headers(), st.binary(max_size=40))
def test_one_file_for_one_meaning(header: Header, payload: bytes) -> None:
    data = pack(header, payload, PRINT)
    assert pack(*unpack(data, PRINT), PRINT) == data


@given(st.binary(max_size=60), st.booleans())
def test_noise_is_refused_cleanly(noise: bytes, disguised: bool) -> None:
    data = with_crc(b"\x8aMC" + noise) if disguised else noise
    try:
        header, payload = unpack(data, PRINT)
    except FormatError as error:
        assert error.remedy
    else:
        assert pack(header, payload, PRINT) == data


def test_exact_bytes() -> None:
    data = pack(HEADER, b"\x01\x02", PRINT)
    assert data[:-4].hex(" ") == "8a 4d 43 01 80 06 80 04 00 32 64 01 02"
    assert crc_of(data) == zlib.crc32(PRINT + data[:-4])
    flagged = pack(Header(1, 1, 2, 3, 0, 255, True, True, ((4, b"xy"),)), b"", PRINT)
    assert flagged[:-4].hex(" ") == "8a 4d 43 71 01 01 13 00 ff 01 04 02 78 79"


def test_exact_bytes_without_patches() -> None:
    base = pack(Header(768, 512, 0, 0, 50, 0, none_visible=True), b"\x01", PRINT)
    assert base[:-4].hex(" ") == "8a 4d 43 41 80 06 80 04 00 32 00 01"
    words = Header(768, 512, 0, 0, 0, 0, caption=True, extensions=((9, b""),))
    assert pack(words, b"\x01", PRINT)[:-4].hex(" ") == "8a 4d 43 31 80 06 80 04 00 00 00 01 09 00 01"
    assert words.caption_only and not HEADER.caption_only


def test_fixed_cost_leaves_room_below_sixteen_bytes() -> None:
    assert len(pack(HEADER, b"", PRINT)) == 15
    assert len(pack(Header(16383, 16383, 15, 7, 100, 255), b"", PRINT)) == 15


EXTENDED = Header(768, 512, 0, 0, 50, 100, True, False, ((2, b"hello"),))


@pytest.mark.parametrize("header", [HEADER, EXTENDED])
def test_every_flipped_bit_is_refused(header: Header) -> None:
    data = pack(header, bytes(range(40)), PRINT)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            unpack(bytes(damaged), PRINT)


@pytest.mark.parametrize("header", [HEADER, EXTENDED])
def test_every_truncation_is_refused(header: Header) -> None:
    data = pack(header, bytes(range(40)), PRINT)
    for size in range(len(data)):
        with pytest.raises(FormatError):
            unpack(data[:size], PRINT)
    with pytest.raises(FormatError):
        unpack(data + b"\0", PRINT)


def test_other_weights_and_damage_are_told_as_either() -> None:
    with pytest.raises(FormatError, match=r"damaged, or its model's weights are not these; get a whole copy"):
        unpack(pack(HEADER, b"abc", PRINT), bytes(32))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n0000000000", "not an .mcm file"),
        (b"\x8a", "cut short: 1 bytes"),
        (b"\x8aMC\x01", "cut short: 4 bytes"),
        (b"\x8aX", "not an .mcm file"),
        (b"\x8aMC\x00" + bytes(12), "there is no format 0"),
        (b"\x8aMC\x02" + bytes(12), "newer version: it is format 2; update mcmcodec"),
        (b"\x8aMC\x0f" + bytes(12), "newer version: it is format 15"),
        (b"\x8aMC\x81" + bytes(12), "newer version: it has a flag that must be understood"),
    ],
)
def test_what_a_file_is_comes_before_its_checksum(data: bytes, message: str) -> None:
    for read in (parse_header, lambda data: unpack(data, PRINT)):
        with pytest.raises(FormatError) as caught:
            read(data)
        assert message in str(caught.value)


def body(*fields: int, flags: int = 0x01) -> bytes:
    return with_crc(b"\x8aMC" + bytes((flags, *fields)) + b"payload")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (body(0, 1, 0, 50, 9), "width is 0"),
        (body(1, 0, 0, 50, 9), "height is 0"),
        (body(0x80, 0x80, 4, 1, 0, 50, 9), "width is over 65535"),
        (body(1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 50, 9), "height is over 65535"),
        (body(1, 1, 0x80, 0x80, 2, 50, 9), "model is over 32767"),
        (body(1, 1, 0, 101, 9), "quality is 101"),
        (body(0x81, 0, 1, 0, 50, 9), "width is not in its shortest form"),
        (body(1, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 50, 9), "height is not in its shortest form"),
        (body(1, 1, 0x80, 0, 50, 9), "model is not in its shortest form"),
        (body(1, 1, 0, 50, 254, flags=0x41), "keep is 254 although every patch is visible"),
        (body(1, 1, 0, 50, 1, flags=0x41), "keep is 1 although every patch is visible"),
        (body(1, 1, 0, 0, 0, 1, 9, 1, 7, flags=0x31), "a file of a caption only has"),
        (body(1, 1, 0, 0, 0, 1, 9, 0, flags=0x21), "a file of a caption only has"),
        (body(1, 1, 0, 1, 0, 1, 9, 0, flags=0x31), "a file of a caption only has"),
        (body(1, 1, 0, 0, 1, 1, 9, 0, flags=0x31), "a file of a caption only has"),
        (body(1, 1, 0, 0, 0, 1, 9, 0, flags=0x71), "a file of a caption only has"),
        (body(1, 1, 0, 50, 9, 0, flags=0x21), "announced but there are none"),
        (body(1, 1, 0, 50, 9, 65, flags=0x21), "number of extensions is over 64"),
        (body(1, 1, 0, 50, 9, 1, 2, 99, flags=0x21), "cut short inside an extension"),
        (body(1, 1, 0, 50, 9, 2, 2, 0, 2, 0, flags=0x21), "extension type 2 is out of order"),
        (body(1, 1, 0, 50, 9, 1, 3, 0, flags=0x21), "newer version: it has an extension"),
        (with_crc(b"\x8aMC\x01\xff\xff\x03\xff\xff\x03\x00"), "cut short inside the header"),
        (with_crc(b"\x8aMC\x01\x80\x80\x80\x80\x80"), "not in its shortest form"),
    ],
)
def test_fields_out_of_range(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        unpack(data, PRINT)
    assert message in str(caught.value)


def test_unknown_ignorable_extension_is_carried() -> None:
    header, payload = unpack(body(1, 1, 0, 50, 9, 1, 100, 2, 7, 7, flags=0x21), PRINT)
    assert header.extensions == ((100, b"\x07\x07"),)
    assert payload == b"payload"


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"width": 65536},
        {"height": -1},
        {"model": 4096},
        {"variant": 8},
        {"quality": 101},
        {"keep": 256},
        {"all_visible": True},
        {"none_visible": True},
        {"none_visible": True, "keep": 0, "all_visible": True},
        {"extensions": ((9, b""),), "caption": True, "keep": 0},
        {"extensions": ((1, b""),)},
        {"extensions": ((4, b""), (2, b""))},
        {"extensions": ((70000, b""),)},
        {"extensions": ((2, bytes(2**24 + 1)),)},
        {"extensions": tuple((2 * kind, b"") for kind in range(65))},
    ],
)
def test_pack_refuses_what_it_could_not_read(change: dict[str, object]) -> None:
    from dataclasses import replace

    with pytest.raises(UsageError):
        pack(replace(HEADER, **change), b"", PRINT)  # type: ignore[arg-type]


def test_fingerprint_has_32_bytes() -> None:
    with pytest.raises(UsageError, match="32 bytes, not 31"):
        pack(HEADER, b"", bytes(31))


@pytest.mark.parametrize(
    ("size", "grid"), [((1, 1), (1, 1)), ((16, 16), (1, 1)), ((17, 16), (1, 2)), ((768, 512), (32, 48))]
)
def test_grid(size: tuple[int, int], grid: tuple[int, int]) -> None:
    header = Header(*size, 0, 0, 50, 100)
    assert header.grid == grid
    assert header.pixels == size[0] * size[1]
