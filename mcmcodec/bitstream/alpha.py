"""The alpha plane of a picture, to the bytes of an extension section and back (specification, section 4.4).

The plane is scaled down as far as its outline allows. Then it is coded block by block with adaptive binary contexts or,
if it has soft edges, by WebP. The shortest code whose error is within bounds is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..entropy.adaptive import AdaptiveBit
from ..entropy.rangecoder import RangeDecoder, RangeEncoder
from ..errors import damaged

Plane = NDArray[np.uint8]
_DAMAGED: Final = "the alpha plane is damaged"

MAX_SCALE: Final = 5
MAX_CODED: Final = 2**19
"""Samples that the context coder takes at most; it bounds the time that a hostile file can take."""
_BLOCK: Final = 8
_FEW: Final = 256
"""Bytes that every plane may take. A plane that exceeds its bits per pixel beyond that is coded at a coarser scale."""
_MAX_SIDE: Final = 16383
"""Of a WebP picture."""
_CONSTANT, _CONTEXTS, _LOSSLESS, _LOSSY = range(4)
_TAGS: Final = {_LOSSLESS: b"VP8L", _LOSSY: b"VP8 "}
_TWO_LEVELS, _FOUR_LEVELS, _SHARP = 0, 1, 2


def encode(plane: Plane, quality: int) -> bytes:
    """Code a plane.

    Args:
        plane: (H, W) uint8, 0 for invisible and 255 for opaque.
        quality: 0..100; 100 is lossless if the sides are at most 16383, 50 puts outlines a fraction of a pixel off.

    Returns:
        The section's bytes: the shortest whose error is within bounds, or else the nearest one.
    """
    if plane.min() == plane.max():
        return bytes((_CONSTANT, plane.flat[0]))
    visible = float(plane.sum(dtype=np.float64))
    allowed = (100 - quality) * 4e-4 * min(visible, 255.0 * plane.size - visible)
    most = 2**30 if quality == 100 else max(_FEW, plane.size * (20 + quality) // 8000)
    return next(body for n in (0, 1, 2, 3, 5) if len(body := _shortest(plane, allowed, n)) <= most or n == MAX_SCALE)


def decode(body: bytes, size: tuple[int, int]) -> Plane:
    """Decode a plane.

    Args:
        body: The section's bytes.
        size: Width and height of the picture.

    Returns:
        (H, W) uint8.

    Raises:
        FormatError: The section is damaged.
    """
    if len(body) < 2:
        raise damaged(_DAMAGED)
    method, scale, detail = body[0] & 3, body[0] >> 2 & 7, body[0] >> 5
    if method == _CONSTANT:
        if len(body) > 2 or body[0]:
            raise damaged(_DAMAGED)
        return np.full(size[::-1], body[1], np.uint8)
    if scale > MAX_SCALE or detail > _SHARP + _FOUR_LEVELS * (method == _CONTEXTS):
        raise damaged(_DAMAGED)
    width, height = (-(-side // (1 << scale)) for side in size)
    if method == _CONTEXTS:
        if width * height > MAX_CODED:
            raise damaged(_DAMAGED)
        decoder = RangeDecoder(body[1:])
        levels = _code_plane(decoder, np.zeros((height, width), np.uint8), bool(detail & _FOUR_LEVELS))
        if not decoder.exhausted():
            raise damaged(_DAMAGED)
        small = Image.fromarray(levels * np.uint8(85))
    else:
        small = _from_webp(_TAGS[method], body[1:], (width, height))
    return _full_size(small, size, scale, bool(detail & _SHARP))


def _full_size(small: Image.Image, size: tuple[int, int], scale: int, sharp: bool) -> Plane:
    """Scale a plane up by a power of two, and cut the result at a half if it is to be ``sharp``."""
    if scale:
        box = (0, 0, size[0] / (1 << scale), size[1] / (1 << scale))
        small = small.resize(size, Image.Resampling.BILINEAR, box)
    plane = np.asarray(small)
    return np.where(plane < 128, 0, 255).astype(np.uint8) if sharp else plane


def _error(plane: Plane, other: Plane) -> float:
    return float(np.abs(other.astype(np.int16) - plane).sum(dtype=np.float64))


def _is_sharp(plane: Plane) -> bool:
    return bool(((plane == 0) | (plane == 255)).all())


def _shortest(plane: Plane, allowed: float, finest: int) -> bytes:
    """The shortest body whose error is allowed, of the three coarsest scales that have one; else the nearest."""
    found: list[bytes] = []
    nearest = (np.inf, b"")
    enough = 3
    for scale in range(MAX_SCALE, finest - 1, -1):
        coded = [*_by_contexts(plane, scale, allowed)]
        found += coded
        for body in () if coded and _is_sharp(plane) else _by_webp(plane, scale):
            error = _error(plane, decode(body, plane.shape[::-1]))
            nearest = min(nearest, (error, body), key=lambda one: (one[0], len(one[1])))
            if error <= allowed:
                found.append(body)
        enough = enough - 1 if found else enough
        if not enough:
            break
    return min(found, key=len) if found else nearest[1]


def _by_contexts(plane: Plane, scale: int, allowed: float) -> Iterator[bytes]:
    """Code a plane scaled down by a power of two in two levels, or in four, where that is near enough."""
    small = np.asarray(Image.fromarray(plane).reduce(1 << scale))
    if small.size > MAX_CODED:
        return
    sharp = _is_sharp(plane)
    for detail, levels in ((_TWO_LEVELS, 1), (_FOUR_LEVELS, 3)):
        rounded = (np.rint(small * (levels / 255)) * (3 / levels)).astype(np.uint8)
        shown = Image.fromarray(rounded * np.uint8(85))
        if _error(plane, _full_size(shown, plane.shape[::-1], scale, sharp)) <= allowed:
            encoder = RangeEncoder()
            _code_plane(encoder, rounded, levels == 3)
            yield bytes((_CONTEXTS | scale << 2 | (detail | sharp * _SHARP) << 5,)) + encoder.finish()
            return


def _by_webp(plane: Plane, scale: int) -> Iterator[bytes]:
    """Code a plane scaled down by a power of two, without loss and with."""
    small = Image.fromarray(plane).reduce(1 << scale)
    if max(small.size) > _MAX_SIDE:
        return
    sharp = _is_sharp(plane)
    ways: list[tuple[int, dict[str, int]]] = [
        (_LOSSLESS, {"lossless": True}),
        *((_LOSSY, {"quality": q}) for q in (10, 40, 80)),
    ]
    for method, options in ways:
        out = BytesIO()
        small.convert("RGB").save(out, format="WEBP", method=4, **options)
        data = out.getvalue()
        yield (
            bytes((method | scale << 2 | sharp * _SHARP << 5,)) + data[20 : 20 + int.from_bytes(data[16:20], "little")]
        )


def _code_plane(coder: RangeEncoder | RangeDecoder, plane: Plane, four: bool) -> Plane:
    """Code or decode a plane (h, w) of levels 0..3 (0 and 3 only, unless ``four``) block by block; returns it."""
    height, width = plane.shape
    known = np.zeros((height + 1, width + 2), np.int64).tolist()  # with a border of zeros above, left and right
    truth = plane.tolist()
    writes = isinstance(coder, RangeEncoder)
    mixed_bits = [AdaptiveBit() for _ in range(9)]
    fill_bits = [AdaptiveBit() for _ in range(16)]
    first = [AdaptiveBit(_start(context), 2) for context in range(256)]
    second = [AdaptiveBit() for _ in range(512)]
    mixed_above = [0] * (-(-width // _BLOCK) + 1)

    def code(state: AdaptiveBit, bit: bool) -> int:
        if isinstance(coder, RangeEncoder):
            state.encode(coder, int(bit))
            return int(bit)
        return state.decode(coder)

    for top in range(0, height, _BLOCK):
        mixed_left = 0
        for number, left in enumerate(range(0, width, _BLOCK)):
            rows, cols = range(top, min(top + _BLOCK, height)), range(left, min(left + _BLOCK, width))
            block = {truth[row][col] for row in rows for col in cols} if writes else set()
            mixed = code(mixed_bits[3 * mixed_left + mixed_above[number]], len(block) > 1 or not block <= {0, 3})
            if mixed:
                for row in rows:
                    above, here = known[row], known[row + 1]
                    for col in cols:
                        near = here[col] << 6 | above[col + 1] << 4 | above[col] << 2 | above[col + 2]
                        high = code(first[near], truth[row][col] > 1)
                        low = code(second[near << 1 | high], truth[row][col] & 1 > 0) if four else high
                        here[col + 1] = high << 1 | low
            else:
                near = known[top + 1][left] << 2 | known[top][left + 1]
                level = 3 * code(fill_bits[near], 3 in block)
                for row in rows:
                    known[row + 1][left + 1 : cols.stop + 1] = [level] * len(cols)
            mixed_left = mixed_above[number] = 1 + mixed
    return np.array(known, np.uint8)[1:, 1:-1]


def _start(context: int) -> int:
    """Initial probability that a sample is in the upper half, in 1/4096, from the levels of its four neighbours."""
    return 128 + 320 * sum(context >> shift & 3 for shift in (0, 2, 4, 6))


def _from_webp(tag: bytes, body: bytes, size: tuple[int, int]) -> Image.Image:
    """Decode the content of a WebP chunk; the rest of the WebP file is not stored."""
    if _webp_size(tag, body) != size:
        raise damaged(_DAMAGED)
    chunk = tag + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
    whole = b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk
    try:
        with Image.open(BytesIO(whole), formats=["WEBP"]) as image:
            shown = image.convert("L")
    except MemoryError:
        raise
    # A hostile file can make Pillow raise any exception.
    except Exception as error:
        raise damaged(_DAMAGED) from error
    if shown.size != size:
        raise damaged(_DAMAGED)
    return shown


def _webp_size(tag: bytes, body: bytes) -> tuple[int, int]:
    """Width and height in the coded data (RFC 9649), because Pillow allocates memory before it can be asked."""
    if tag == b"VP8L":
        fields = int.from_bytes(body[1:5], "little")
        return (fields & 0x3FFF) + 1, (fields >> 14 & 0x3FFF) + 1
    fields = int.from_bytes(body[6:10], "little")
    return fields & 0x3FFF, fields >> 16 & 0x3FFF
