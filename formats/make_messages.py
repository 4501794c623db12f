"""Write ``messages.json``, the test vectors of ``messages.md``: ``python formats/make_messages.py``."""

import hashlib
import json
from pathlib import Path

from mcmcodec.bitstream.armor import ALPHABETS, armor
from mcmcodec.bitstream.messages import split


def noise(length: int) -> bytes:
    """Bytes that anybody can make: SHA-256 of 0, 1, 2, ... as one byte each, one after the other, cut to the length."""
    return b"".join(hashlib.sha256(bytes((number,))).digest() for number in range(-(-length // 32)))[:length]


CASES = (
    ("one byte", b"m", 0x0000, 100, 0.0),
    ("one message, two spare ones", b"a picture", 0xABCD, 32, 2.0),
    ("three messages without padding", bytes(range(30)), 0x1234, 14, 0.0),
    ("three messages with padding, all spare ones", noise(38), 0xF00D, 17, 9.0),
    ("content that ends like padding", noise(10) + b"\x80\0\0", 0xFFFF, 9, 0.5),
    ("bytes that frames escape", b"\xc0\xdb\xc0\xdb\xdc\xdd\0", 0xC0DB, 11, 0.0),
    ("a file of 300 bytes for Meshtastic", noise(293), 0x5EED, 160, 0.5),
    ("128 messages", noise(128 * 3 - 1), 0x0001, 7, 0.05),
)


def main() -> None:
    """Write the file beside this one."""
    vectors = []
    for name, content, stream, size, redundancy in CASES:
        messages = split(content, stream, size, redundancy)
        vectors.append(
            {
                "name": name,
                "content": content.hex(),
                "stream": f"{stream:04x}",
                "size": size,
                "messages": [message.hex() for message in messages],
                "texts": {alphabet: armor(messages[-1], alphabet) for alphabet in ALPHABETS},
            }
        )
    path = Path(__file__).with_name("messages.json")
    path.write_text(json.dumps(vectors, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
