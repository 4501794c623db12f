"""Alpha planes: cheap, near enough, lossless when asked, and bounded whatever the bytes say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from mcmcodec.bitstream import alpha
from mcmcodec.errors import FormatError


def disc(width: int = 96, height: int = 64, blur: float = 0) -> alpha.Plane:
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).ellipse((width // 5, height // 5, width * 4 // 5, height * 4 // 5), fill=255)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(blur)) if blur else image)


def method(body: bytes) -> int:
    return body[0] & 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (37, 21), (64, 96)])
def test_quality_100_is_lossless(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    for plane in (
        rng.integers(0, 256, shape, dtype=np.uint8),
        (rng.random(shape) < 0.1).astype(np.uint8) * np.uint8(255),
        disc(*shape[::-1]) if min(shape) > 1 else np.zeros(shape, np.uint8),
        np.full(shape, 77, np.uint8),
    ):
        body = alpha.encode(plane, 100)
        np.testing.assert_array_equal(alpha.decode(body, shape[::-1]), plane)


def test_shapes_are_cheap_and_near() -> None:
    plane = disc(384, 256)
    sizes = []
    for quality in (0, 50, 90, 100):
        body = alpha.encode(plane, quality)
        shown = alpha.decode(body, (384, 256))
        assert set(np.unique(shown)) == {0, 255}
        assert (shown != plane).sum() <= (100 - quality) * 4e-4 * (plane > 0).sum()
        sizes.append(len(body))
    assert sizes == sorted(sizes)
    assert sizes[1] < 100 and sizes[3] < 400
    assert method(alpha.encode(plane, 100)) == 1


def test_soft_shadows_are_cheap_and_near() -> None:
    plane = disc(384, 256, blur=15)
    body = alpha.encode(plane, 50)
    assert method(body) in (2, 3) and len(body) < 400
    error = np.abs(alpha.decode(body, (384, 256)).astype(int) - plane)
    assert error.sum() <= 0.02 * plane.sum()


def test_one_value_costs_two_bytes() -> None:
    assert alpha.encode(np.full((512, 768), 9, np.uint8), 50) == b"\0\x09"
    assert (alpha.decode(b"\0\x09", (3, 2)) == 9).all()


def test_noise_is_smoothed_rather_than_outweighing_the_picture() -> None:
    plane = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)
    body = alpha.encode(plane, 50)
    assert len(body) <= 256
    assert abs(alpha.decode(body, (96, 96)).mean() - plane.mean()) < 5


@pytest.mark.parametrize(
    "body",
    [b"", b"\0", b"\0\1\2", b"\x04\1", b"\x81\0", b"\xe1\0", bytes((1 | 6 << 2, 0)), b"\1\0",
     b"\2\0", b"\3abc", bytes((3,)) + b"\xb0\x03\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(50)],
)  # fmt: skip
def test_damage_is_named(body: bytes) -> None:
    with pytest.raises(FormatError, match="alpha plane is damaged"):
        alpha.decode(body, (100, 60))


def test_contexts_are_refused_where_they_would_take_long() -> None:
    with pytest.raises(FormatError):
        alpha.decode(b"\x01\x00", (4096, 4096))


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=60))
def test_any_bytes_end_in_a_plane_or_an_error(body: bytes) -> None:
    try:
        plane = alpha.decode(body, (33, 18))
    except FormatError:
        return
    assert plane.shape == (18, 33) and plane.dtype == np.uint8
