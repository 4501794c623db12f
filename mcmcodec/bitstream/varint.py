"""Stage: the container's integers, a byte for the small ones (specification, section 2). Standard library only."""

from __future__ import annotations

from ..errors import FormatError

_GET_WHOLE = "get a whole copy of the file"


def varint(value: int) -> bytes:
    """LEB128: seven bits a byte, lowest first, the top bit set on all but the last (section 2)."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int, end: int, limit: int, name: str) -> tuple[int, int]:
    """Read a varint at offset ``at``, of the shortest form only; return it and the offset after it."""
    value = shift = 0
    while True:
        if at >= end:
            raise FormatError("cut short inside the header", _GET_WHOLE)
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if value > limit:
            raise FormatError(f"damaged header: {name} is over {limit}", _GET_WHOLE)
        if byte < 0x80:
            break
        # Endless continuation bytes of value nought would never trip the limit.
        if shift > limit.bit_length():
            raise FormatError(f"damaged header: {name} is not in its shortest form", _GET_WHOLE)
    if byte == 0 and shift > 7:
        raise FormatError(f"damaged header: {name} is not in its shortest form", _GET_WHOLE)
    return value, at
