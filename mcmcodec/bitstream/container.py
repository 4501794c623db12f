"""The .mcm container: header, extension sections, payload, CRC-32. Standard library only.

``formats/mcm.md`` is the specification; section numbers below are its. All checks here come before the payload is
decoded.
"""

import zlib
from dataclasses import dataclass
from typing import Final

from ..errors import FormatError, UsageError, damaged
from .varint import read_varint, varint

MAGIC: Final = b"\x8aMC"
VERSION: Final = 1
PATCH: Final = 16
MAX_SIDE: Final = 65535
MAX_MODEL: Final = 4095
MAX_QUALITY: Final = 100
CAPTION_ONLY: Final = 9
"""Extension type of a file that holds a caption and no picture (section 4.2)."""
REDUCED: Final = 11
"""Extension type of a file whose picture is coded smaller than it is (section 4.5)."""
REDUCTIONS: Final = (2, 4, 8)
FINGERPRINT_SIZE: Final = 32
CRC_SIZE: Final = 4

_MUST_UNDERSTAND: Final = (CAPTION_ONLY, REDUCED)
_VARIANTS: Final = 8
_FLAG_CAPTION: Final = 0x10
_FLAG_EXTENSIONS: Final = 0x20
_FLAG_NO_MASK: Final = 0x40
_FLAG_RESERVED: Final = 0x80
_MAX_EXTENSIONS: Final = 64
_MAX_EXTENSION_TYPE: Final = 65535
_MAX_EXTENSION_SIZE: Final = 2**24
# The shortest file: magic, version, five one-byte fields, CRC. The payload may be empty.
_MIN_SIZE: Final = len(MAGIC) + 1 + 5 + CRC_SIZE

_UPDATE: Final = "update mcmcodec"


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself before its payload (specification, section 3).

    Attributes:
        width: Picture width in pixels, 1..65535.
        height: Picture height in pixels, 1..65535.
        model: Number of the stream model, 0..4095.
        variant: Variant of the stream model, 0..7.
        quality: 0..100, the encoder's setting.
        keep: Share of visible patches in 255ths, 0..255; 255 when ``all_visible``.
        caption: Whether the payload carries a caption.
        all_visible: Whether every patch is visible, so that the payload has no mask.
        extensions: (type, bytes) pairs with types that rise; even types may be ignored by readers.
        none_visible: Whether no patch is visible, so that the payload ends after the base layer; ``keep`` is 0.
    """

    width: int
    height: int
    model: int
    variant: int
    quality: int
    keep: int
    caption: bool = False
    all_visible: bool = False
    extensions: tuple[tuple[int, bytes], ...] = ()
    none_visible: bool = False

    @property
    def caption_only(self) -> bool:
        """Whether the payload is a caption and nothing else."""
        return any(kind == CAPTION_ONLY for kind, _ in self.extensions)

    @property
    def reduction(self) -> int:
        """Pixels of the picture, along a side, that a coded one stands for: 1, 2, 4 or 8."""
        return next((body[0] for kind, body in self.extensions if kind == REDUCED), 1)

    @property
    def coded(self) -> tuple[int, int]:
        """Height and width in pixels of the picture that is coded."""
        return -(-self.height // self.reduction), -(-self.width // self.reduction)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the 16x16 patches that cover the coded picture."""
        height, width = self.coded
        return -(-height // PATCH), -(-width // PATCH)

    @property
    def pixels(self) -> int:
        """Number of pixels of the picture."""
        return self.width * self.height


def pack(header: Header, payload: bytes, fingerprint: bytes) -> bytes:
    """Build a whole file.

    Args:
        header: Its fields must be in range.
        payload: The range-coded bytes, opaque here; may be empty.
        fingerprint: 32 bytes that identify the stream model's weights; part of the CRC, not of the file.

    Returns:
        The bytes of the file.

    Raises:
        UsageError: A field is out of range.
    """
    problem = _problem(header)
    if problem:
        raise UsageError(problem)
    if any(kind % 2 and kind not in _MUST_UNDERSTAND for kind, _ in header.extensions):
        raise UsageError("format 1 does not define this extension section of odd type")
    flags = (
        VERSION
        | _FLAG_CAPTION * header.caption
        | _FLAG_EXTENSIONS * bool(header.extensions)
        | _FLAG_NO_MASK * (header.all_visible or header.none_visible)
    )
    out = bytearray(MAGIC)
    out.append(flags)
    for value in (header.width, header.height, header.model * _VARIANTS + header.variant):
        out += varint(value)
    out += bytes((header.quality, header.keep))
    if header.extensions:
        out += varint(len(header.extensions))
        for kind, body in header.extensions:
            out += varint(kind) + varint(len(body)) + body
    out += payload
    return seal(bytes(out), fingerprint)


def seal(body: bytes, fingerprint: bytes) -> bytes:
    """Put the CRC behind everything that comes before it in a file (section 6)."""
    return body + _crc(body, fingerprint).to_bytes(CRC_SIZE, "little")


def as_bytes(data: object) -> bytes:
    """The bytes of a file, from any object that holds bytes. UsageError for anything else."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise UsageError(f"{type(data).__name__} is not the bytes of a file", "read the file: Path(name).read_bytes()")


def parse_header(data: bytes) -> tuple[Header, int]:
    """Read the header without checking the CRC, to learn which model a file needs.

    Args:
        data: A whole file. Of a longer one, the header and any four bytes more are enough.

    Returns:
        The header and the offset of the payload.

    Raises:
        FormatError: Not an .mcm file, made by a newer version, cut short, or a field is out of range.
    """
    flags = _check_start(data)
    end = len(data) - CRC_SIZE
    width, at = read_varint(data, len(MAGIC) + 1, end, MAX_SIDE, "width")
    height, at = read_varint(data, at, end, MAX_SIDE, "height")
    model, at = read_varint(data, at, end, MAX_MODEL * _VARIANTS + _VARIANTS - 1, "model")
    if at + 2 > end:
        raise damaged("cut short inside the header")
    quality, keep = data[at], data[at + 1]
    at += 2
    extensions: tuple[tuple[int, bytes], ...] = ()
    if flags & _FLAG_EXTENSIONS:
        extensions, at = _read_extensions(data, at, end)
    header = Header(
        width=width,
        height=height,
        model=model // _VARIANTS,
        variant=model % _VARIANTS,
        quality=quality,
        keep=keep,
        caption=bool(flags & _FLAG_CAPTION),
        all_visible=bool(flags & _FLAG_NO_MASK) and keep != 0,
        extensions=extensions,
        none_visible=bool(flags & _FLAG_NO_MASK) and keep == 0,
    )
    problem = _problem(header)
    if problem:
        raise damaged(f"damaged header: {problem}")
    if any(kind % 2 and kind not in _MUST_UNDERSTAND for kind, _ in extensions):
        raise FormatError("made by a newer version: it has an extension that must be understood", _UPDATE)
    return header, at


def unpack(data: bytes, fingerprint: bytes) -> tuple[Header, bytes]:
    """Check a whole file and take it apart.

    Args:
        data: The bytes of the file.
        fingerprint: 32 bytes that identify the stream model's weights.

    Returns:
        The header and the payload.

    Raises:
        FormatError: As ``parse_header``, and when the CRC is wrong.
    """
    _check_start(data)
    if not is_whole(data, fingerprint):
        raise FormatError(
            "checksum is wrong: the file is damaged, or its model's weights are not these",
            "get a whole copy of the file, or the weights that it was made with",
        )
    header, at = parse_header(data)
    return header, data[at:-CRC_SIZE]


def is_whole(data: bytes, fingerprint: bytes) -> bool:
    """Whether the checksum is right, for this file and these weights."""
    return crc_of(data) == _crc(data[:-CRC_SIZE], fingerprint)


def crc_of(data: bytes) -> int:
    """The CRC in the last four bytes of a file, right or wrong."""
    return int.from_bytes(data[-CRC_SIZE:], "little")


def _crc(body: bytes, fingerprint: bytes) -> int:
    """CRC-32 over the fingerprint and everything before the CRC (section 6)."""
    if len(fingerprint) != FINGERPRINT_SIZE:
        raise UsageError(f"a fingerprint has {FINGERPRINT_SIZE} bytes, not {len(fingerprint)}")
    return zlib.crc32(body, zlib.crc32(fingerprint))


def _check_start(data: bytes) -> int:
    """Check magic, length and version; return the byte of version and flags."""
    if not data:
        raise damaged("the file is empty")
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise FormatError("not an .mcm file", "give a file that codec encode wrote")
    if len(data) < _MIN_SIZE:
        raise damaged(f"cut short: {len(data)} bytes")
    flags = data[len(MAGIC)]
    version = flags & 0x0F
    if version == 0:
        raise damaged("damaged header: there is no format 0")
    if version > VERSION:
        raise FormatError(f"made by a newer version: it is format {version}", _UPDATE)
    if flags & _FLAG_RESERVED:
        raise FormatError("made by a newer version: it has a flag that must be understood", _UPDATE)
    return flags


def _problem(header: Header) -> str:
    """Say which field is out of range (sections 3 and 4), or nothing."""
    for name, value, low, high in (
        ("width", header.width, 1, MAX_SIDE),
        ("height", header.height, 1, MAX_SIDE),
        ("model", header.model, 0, MAX_MODEL),
        ("variant", header.variant, 0, _VARIANTS - 1),
        ("quality", header.quality, 0, MAX_QUALITY),
        ("keep", header.keep, 0, 255),
        ("number of extensions", len(header.extensions), 0, _MAX_EXTENSIONS),
    ):
        if not low <= value <= high:
            return f"{name} is {value}, not {low} to {high}"
    if header.all_visible and header.keep != 255:
        return f"keep is {header.keep} although every patch is visible"
    if header.none_visible and (header.keep or header.all_visible):
        return f"keep is {header.keep} although no patch is visible"
    before = -1
    for kind, body in header.extensions:
        if not before < kind <= _MAX_EXTENSION_TYPE:
            return f"extension type {kind} is out of order or over {_MAX_EXTENSION_TYPE}"
        if len(body) > _MAX_EXTENSION_SIZE:
            return f"extension type {kind} has {len(body)} bytes, over {_MAX_EXTENSION_SIZE}"
        if kind == CAPTION_ONLY and (
            body or not header.caption or header.none_visible or header.keep or header.quality
        ):
            return "a file of a caption only has a quality, patches, or no caption"
        if kind == REDUCED and (len(body) != 1 or body[0] not in REDUCTIONS or header.caption_only):
            return "the reduction is not 2, 4 or 8, or there is no picture"
        before = kind
    return ""


def _read_extensions(data: bytes, at: int, end: int) -> tuple[tuple[tuple[int, bytes], ...], int]:
    """Read the extension sections (section 4) from offset ``at``; return them and the offset after them."""
    count, at = read_varint(data, at, end, _MAX_EXTENSIONS, "number of extensions")
    if count == 0:
        raise damaged("damaged header: extensions are announced but there are none")
    found = []
    for _ in range(count):
        kind, at = read_varint(data, at, end, _MAX_EXTENSION_TYPE, "extension type")
        size, at = read_varint(data, at, end, _MAX_EXTENSION_SIZE, "extension length")
        if at + size > end:
            raise damaged("cut short inside an extension")
        found.append((kind, data[at : at + size]))
        at += size
    return tuple(found), at
