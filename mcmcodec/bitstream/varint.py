"""Variable-length integers of the container (specification, section 2). Standard library only."""

from __future__ import annotations

from ..errors import damaged


def varint(value: int) -> bytes:
    """LEB128: seven bits a byte, lowest first, the top bit set on all but the last (section 2)."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int, end: int, limit: int, name: str) -> tuple[int, int]:
    """Read a varint.

    Args:
        data: the bytes of the file.
        at: offset of the varint.
        end: offset that it must not reach beyond.
        limit: its largest value.
        name: of the field, for messages.

    Returns:
        The value, and the offset after it.

    Raises:
        FormatError: it is over the limit, not in its shortest form, or cut short.
    """
    value = shift = 0
    while True:
        if at >= end:
            raise damaged("cut short inside the header")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if value > limit:
            raise damaged(f"damaged header: {name} is over {limit}")
        if byte < 0x80:
            break
        # Endless continuation bytes of value 0 would never exceed the limit.
        if shift > limit.bit_length():
            raise damaged(f"damaged header: {name} is not in its shortest form")
    if byte == 0 and shift > 7:
        raise damaged(f"damaged header: {name} is not in its shortest form")
    return value, at
