"""Messages taken apart and put together from ``formats/messages.md`` alone, slowly, without the package.

Bits instead of tables, Gaussian elimination instead of a Reed-Solomon decoder: what both agree on is in the text.
"""

from __future__ import annotations

ALPHABETS = {
    "9": 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&()*+,./:;<=>?@[]^_`{|}~"',
    "6": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "3": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
}


def crc16(data: bytes) -> int:
    value = 0xFFFF
    for byte in data:
        for bit in range(7, -1, -1):
            top = value >> 15 ^ byte >> bit & 1
            value = (value << 1 & 0xFFFF) ^ (0x1021 if top else 0)
    return value


def times(a: int, b: int) -> int:
    """Product in GF(256), x^8 = x^4 + x^3 + x^2 + 1."""
    product = 0
    for bit in range(8):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11D << bit - 8
    return product


def inverse(a: int) -> int:
    return next(b for b in range(1, 256) if times(a, b) == 1)


def spares(needed: int) -> int:
    return min(needed + 8, 255 - needed)


def codeword(data: list[int]) -> list[int]:
    """The data, and the remainder of data x^P by (x - 1)(x - 2)(x - 4)..., highest powers first."""
    count = spares(len(data))
    generator = [1]
    root = 1
    for _ in range(count):
        generator = [a ^ times(b, root) for a, b in zip([*generator, 0], [0, *generator], strict=True)]
        root = times(root, 2)
    rest = data + [0] * count
    for at in range(len(data)):
        factor = rest[at]
        for offset, coefficient in enumerate(generator):
            rest[at + offset] ^= times(factor, coefficient)
    return data + rest[len(data) :]


def split(content: bytes, stream: int, size: int, spare: int) -> list[bytes]:
    needed = -(-len(content) // (size - 4))
    length = -(-len(content) // needed)
    padding = needed * length - len(content)
    if padding:
        content += b"\x80" + b"\0" * (padding - 1)
    columns = [codeword([content[row * length + column] for row in range(needed)]) for column in range(length)]
    messages = []
    for index in range(needed + spare):
        start = bytes([needed - 1 + (128 if padding else 0), index])
        payload = bytes(column[index] for column in columns)
        messages.append(start + (crc16(start + payload) ^ stream).to_bytes(2, "big") + payload)
    return messages


def join(messages: list[bytes]) -> tuple[bytes, int]:
    """Content and identifier, from as many messages of one stream as are needed."""
    needed = (messages[0][0] & 127) + 1
    basis = [codeword([int(row == column) for column in range(needed)]) for row in range(needed)]
    rows = [
        ([basis[column][message[1]] for column in range(needed)], list(message[4:])) for message in messages[:needed]
    ]
    for at in range(needed):
        pivot = next(row for row in range(at, needed) if rows[row][0][at])
        rows[at], rows[pivot] = rows[pivot], rows[at]
        factor = inverse(rows[at][0][at])
        rows[at] = tuple([times(factor, value) for value in part] for part in rows[at])  # type: ignore[assignment]
        for row in range(needed):
            if row != at and (factor := rows[row][0][at]):
                rows[row] = tuple(
                    [a ^ times(factor, b) for a, b in zip(part, other, strict=True)]
                    for part, other in zip(rows[row], rows[at], strict=True)
                )  # type: ignore[assignment]
    content = b"".join(bytes(payload) for _, payload in rows)
    if messages[0][0] & 128:
        content = content[: content.rindex(b"\x80")]
    first = messages[0]
    return content, int.from_bytes(first[2:4], "big") ^ crc16(first[:2] + first[4:])


def armor(message: bytes, digit: str) -> str:
    alphabet = ALPHABETS[digit]
    out = ""
    if digit == "9":
        bits = [byte >> bit & 1 for byte in message for bit in range(8)]
        while len(bits) >= 14:
            value = sum(bit << at for at, bit in enumerate(bits[:13]))
            taken = 13 if value > 88 else 14
            value = sum(bit << at for at, bit in enumerate(bits[:taken]))
            bits = bits[taken:]
            out += alphabet[value % 91] + alphabet[value // 91]
        if bits:
            value = sum(bit << at for at, bit in enumerate(bits))
            out += alphabet[value % 91]
            if len(bits) > 7 or value > 90:
                out += alphabet[value // 91]
    else:
        width = 6 if digit == "6" else 5
        text = "".join(f"{byte:08b}" for byte in message)
        text += "0" * (-len(text) % width)
        out = "".join(alphabet[int(text[at : at + width], 2)] for at in range(0, len(text), width))
    return f"{digit}-{out}-"
