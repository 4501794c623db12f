"""Metadata, alpha and greyness of a picture, to extension sections and back (specification, sections 4.1 to 4.4).

Sizes are checked before anything is unpacked.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import UsageError, damaged
from .container import REDUCED
from .structure import STRUCTURE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .container import Header

METADATA: Final = 2
ALPHA: Final = 4
GREY: Final = 6
NAMES: Final = {METADATA: "metadata", ALPHA: "alpha", GREY: "grey", STRUCTURE: "structure"}
MAX_METADATA: Final = 2**22
"""Bytes of EXIF and XMP together, before compression."""

Sections = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True)
class Extras:
    """What a file stores beside the RGB picture.

    Attributes:
        grey: Whether the picture is to be decoded to one channel.
        alpha: (H, W) uint8, 0 for invisible and 255 for opaque; None if all is opaque.
        exif: Exif data as it stands after ``Exif\\0\\0`` in a JPEG file (a TIFF structure), or nothing.
        xmp: an XMP packet, or nothing.
    """

    grey: bool = False
    alpha: NDArray[np.uint8] | None = None
    exif: bytes = b""
    xmp: bytes = b""


def pack(extras: Extras, quality: int) -> Sections:
    """Extension sections, in the order of their types.

    Raises:
        UsageError: The metadata is over ``MAX_METADATA`` bytes.
    """
    sections = []
    if extras.exif or extras.xmp:
        size = len(extras.exif)
        body = size.to_bytes(4, "little") + extras.exif + extras.xmp
        if len(body) > MAX_METADATA:
            raise UsageError(f"metadata of {len(body)} bytes is over {MAX_METADATA}", "leave it out")
        sections.append((METADATA, zlib.compress(body, 9)))
    if extras.alpha is not None:
        from . import alpha

        sections.append((ALPHA, alpha.encode(extras.alpha, quality)))
    if extras.grey:
        sections.append((GREY, b""))
    return tuple(sections)


def unpack(header: Header) -> Extras:
    """Read a header's extension sections; other types are ignored.

    Raises:
        FormatError: A section is damaged.
    """
    found = dict(header.extensions)
    exif, xmp = metadata(found)
    plane = None
    if ALPHA in found:
        from . import alpha

        plane = alpha.decode(found[ALPHA], (header.width, header.height))
    if found.get(GREY):
        raise damaged("the grey marker is damaged")
    return Extras(GREY in found, plane, exif, xmp)


def sizes(header: Header) -> dict[str, float]:
    """Bytes of the sections' bodies by name, those of other types as ``section N`` if they have any.

    That of a reduction counts as the header's.
    """
    named = ((n, body) for n, body in header.extensions if n != REDUCED and (body or n in NAMES))
    return {NAMES.get(n, f"section {n}"): float(len(body)) for n, body in named}


def metadata(sections: Mapping[int, bytes]) -> tuple[bytes, bytes]:
    """Exif data and XMP packet, each empty if there is none. FormatError if they are damaged or too large."""
    if METADATA not in sections:
        return b"", b""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(sections[METADATA], MAX_METADATA + 1)
    except zlib.error as error:
        raise damaged("the metadata is damaged") from error
    at = 4 + int.from_bytes(data[:4], "little")
    if len(data) > MAX_METADATA or not unpacker.eof or unpacker.unused_data or not 4 <= at <= len(data):
        raise damaged("the metadata is damaged")
    return data[4:at], data[at:]
