"""Files that every reader must refuse, named for their defects; made by ``make.py``.

Their checksums are right, except where the checksum is the defect.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mcmcodec.bitstream import container, structure
from mcmcodec.bitstream.container import Header
from mcmcodec.caption import coder, language
from mcmcodec.caption.raw_bytes import encode_raw
from mcmcodec.codec import Codec, info
from mcmcodec.entropy.integer_networks import at_quality
from mcmcodec.entropy.rangecoder import RangeEncoder
from mcmcodec.entropy.symbol_tables import ESCAPE_BITS
from mcmcodec.errors import McmError

FOLDER = Path(__file__).resolve().parent / "invalid"
MAGIC = b"\x8aMC"
Case = tuple[str, str, bytes]
"""Name, reason of refusal (specification, before section 1), and bytes."""


def cases(codec: Codec) -> Iterator[Case]:
    """All of them."""
    fingerprint, number = codec.weights.fingerprint, codec.weights.number

    def sealed(body: bytes) -> bytes:
        return body + zlib.crc32(fingerprint + body).to_bytes(4, "little")

    def fields(*values: int, flags: int = 0x01, rest: bytes = b"") -> bytes:
        return sealed(MAGIC + bytes((flags, *values)) + rest)

    model = 8 * number
    base = container.pack(Header(16, 16, number, 0, 50, 255, all_visible=True), b"\x07\x21", fingerprint)

    yield "empty-file", "damaged", b""
    yield "magic-cut", "damaged", b"\x8aM"
    yield "magic-wrong", "not an .mcm file", sealed(b"\x89PNG" + base[4:-4])
    yield "too-short", "damaged", base[:12]
    yield "version-0", "damaged", sealed(base[:3] + b"\x40" + base[4:-4])
    yield "version-2", "newer", sealed(base[:3] + b"\x42" + base[4:-4])
    yield "version-15", "newer", sealed(base[:3] + b"\x4f" + base[4:-4])
    yield "flag-7", "newer", sealed(base[:3] + b"\xc1" + base[4:-4])
    yield "width-0", "damaged", fields(0, 1, model, 50, 9)
    yield "width-65536", "damaged", fields(0x80, 0x80, 4, 1, model, 50, 9)
    yield "width-not-shortest", "damaged", fields(0x81, 0, 1, model, 50, 9)
    yield "width-endless", "damaged", fields(*[0x80] * 12, 0, 1, model, 50, 9)
    yield "height-0", "damaged", fields(1, 0, model, 50, 9)
    yield "height-2-to-the-63", "damaged", fields(1, *[0xFF] * 8, 0x7F, model, 50, 9)
    yield "model-32768", "damaged", fields(1, 1, 0x80, 0x80, 2, 50, 9)
    yield "model-unknown", "model", fields(1, 1, 0xF8, 0xFF, 1, 50, 9)
    yield "variant-1", "model", fields(1, 1, model + 1, 50, 9)
    yield "quality-101", "damaged", fields(1, 1, model, 101, 9)
    yield "keep-254-all-visible", "damaged", fields(1, 1, model, 50, 254, flags=0x41)
    yield "header-cut", "damaged", sealed(MAGIC + b"\x01\xff\xff\x03\xff\xff")
    yield "header-without-keep", "damaged", sealed(MAGIC + b"\x01\xff\xff\x03\x01" + bytes((model, 50)))
    yield "bomb-65535x65535", "too large", fields(0xFF, 0xFF, 3, 0xFF, 0xFF, 3, model, 50, 9)
    yield "bomb-with-mask", "too large", fields(0x80, 0x80, 1, 0x80, 0x80, 1, model, 50, 128, rest=b"\xff")
    yield "extensions-0", "damaged", fields(1, 1, model, 50, 9, 0, flags=0x21)
    yield "extensions-65", "damaged", fields(1, 1, model, 50, 9, 65, *[100, 0] * 65, flags=0x21)
    yield "extension-order", "damaged", fields(1, 1, model, 50, 9, 2, 100, 0, 98, 0, flags=0x21)
    yield "extension-twice", "damaged", fields(1, 1, model, 50, 9, 2, 100, 0, 100, 0, flags=0x21)
    yield "extension-65536", "damaged", fields(1, 1, model, 50, 9, 1, 0x80, 0x80, 4, 0, flags=0x21)
    yield "extension-too-long", "damaged", fields(1, 1, model, 50, 9, 1, 100, 9, 1, 2, flags=0x21)
    yield "extension-length-2-to-the-27", "damaged", fields(1, 1, model, 50, 9, 1, 100, *[0x80] * 3, 0x40, flags=0x21)
    yield "extension-must-understand", "newer", fields(1, 1, model, 50, 9, 1, 0xFF, 0xFF, 3, 0, flags=0x21)
    yield "caption-only-with-quality", "damaged", fields(9, 9, model, 1, 0, 1, 9, 0, flags=0x31)
    yield "caption-only-with-keep", "damaged", fields(9, 9, model, 0, 1, 1, 9, 0, flags=0x31)
    yield "caption-only-without-caption", "damaged", fields(9, 9, model, 0, 0, 1, 9, 0, flags=0x21)
    yield "caption-only-and-no-mask", "damaged", fields(9, 9, model, 0, 0, 1, 9, 0, flags=0x71)
    yield "caption-only-with-body", "damaged", fields(9, 9, model, 0, 0, 1, 9, 1, 7, flags=0x31)
    yield "caption-only-and-payload", "damaged", fields(9, 9, model, 0, 0, 1, 9, 0, flags=0x31, rest=bytes(40) + b"\1")
    yield "reduced-by-1", "damaged", fields(9, 9, model, 50, 9, 1, 11, 1, 1, flags=0x21)
    yield "reduced-by-3", "damaged", fields(9, 9, model, 50, 9, 1, 11, 1, 3, flags=0x21)
    yield "reduced-by-nothing", "damaged", fields(9, 9, model, 50, 9, 1, 11, 0, flags=0x21)
    yield "reduced-by-two-bytes", "damaged", fields(9, 9, model, 50, 9, 1, 11, 2, 2, 0, flags=0x21)
    yield "reduced-caption-only", "damaged", fields(9, 9, model, 0, 0, 2, 9, 0, 11, 1, 2, flags=0x31)
    yield "bomb-reduced", "too large", fields(0xFF, 0xFF, 3, 0xFF, 0xFF, 3, model, 50, 9, 1, 11, 1, 8, flags=0x21)
    yield "crc-wrong", "damaged", base[:-1] + bytes([base[-1] ^ 1])
    yield "crc-of-other-weights", "damaged", base[:-4] + zlib.crc32(bytes(32) + base[:-4]).to_bytes(4, "little")
    yield "bit-flipped", "damaged", base[:-6] + bytes([base[-6] ^ 8]) + base[-5:]
    yield "byte-missing", "damaged", base[:-6] + base[-5:]
    yield "byte-after-crc", "damaged", base + b"\0"

    # edge maps, in sketches of 64 x 64: 32 x 32 samples
    edges = np.eye(32, dtype=np.uint8)
    map_ = structure.encode(structure.Structure(1, edges))
    for name, section in (
        ("empty", b""),
        ("scale-6", bytes((map_[0] + 5,)) + map_[1:]),
        ("table-3", bytes((25,)) + map_[1:]),
        ("noise-at-end", map_ + b"\1\2\3"),
        ("zero-at-end", map_ + b"\0"),
    ):
        head = fields(64, 64, model, 0, 0, 2, 9, 0, 10, len(section), flags=0x31, rest=section)
        yield f"structure-{name}", "damaged", head
    yield "structure-too-large", "damaged", fields(0x80, 8, 0x80, 8, model, 0, 0, 2, 9, 0, 10, 1, 0, flags=0x31)

    # payloads that no encoder writes
    body, good = base[:-4], codec.encode(np.full((8, 8, 3), 90, np.uint8), quality=40)[:-4]
    yield "payload-zero-at-end", "damaged", sealed(good + b"\0")
    yield "payload-byte-at-end", "damaged", sealed(good + b"\x01")
    yield "payload-noise-at-end", "damaged", sealed(good + bytes(range(40)))
    yield "payload-not-shortest", "damaged", sealed(good[:-1] + bytes([good[-1] - 1, 0xFF]))
    yield "payload-beyond-interval", "damaged", sealed(body[:-2] + b"\xff" * 24)
    yield "escape-too-long", "damaged", sealed(body[:-2] + _escape(codec))
    one = (1, 1, model, 50, 255)
    yield "caption-too-long", "damaged", fields(*one, flags=0x51, rest=_words(["a man, " * 585 + "ab"]))
    yield "caption-not-utf-8", "damaged", fields(*one, flags=0x51, rest=_words([b"\xc3("]))
    yield "caption-surrogate", "damaged", fields(*one, flags=0x51, rest=_words([b"\xed\xa0\x80"]))
    yield "caption-without-space", "damaged", fields(*one, flags=0x51, rest=_words([[language.FIRST_BYTE + 0x61]]))
    yield "phrase-empty", "damaged", fields(*one, flags=0x51, rest=_words(["a cup", []]))
    yield "phrase-too-long", "damaged", fields(*one, flags=0x51, rest=_words([b"a" * 4096, "a"]))
    yield "caption-noise", "damaged", fields(*one, flags=0x51, rest=b"\xff" * 60)


def write(codec: Codec) -> None:
    """Write the files and what is expected of each, and remove what is no longer one of them."""
    FOLDER.mkdir(exist_ok=True)
    listed = {}
    for name, reason, data in cases(codec):
        try:
            info(data)
        except McmError as error:
            listed[f"{name}.mcm"] = {"reason": reason, "error": type(error).__name__, "cause": error.cause}
        else:
            raise SystemExit(f"{name} is not refused")
        (FOLDER / f"{name}.mcm").write_bytes(data)
    for path in FOLDER.glob("*.mcm"):
        if path.name not in listed:
            path.unlink()
    (FOLDER.parent / "invalid.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8", newline="\n")


def _escape(codec: Codec) -> bytes:
    """A hyper-latent whose first escape has twenty zeros."""
    encoder, entropy = RangeEncoder(), codec.weights.entropy
    index = np.clip((at_quality(entropy.hyper_index, 50) << 4) >> 18, 0, 63)
    values = np.where(index == index.max(), entropy.tables.reach[index] + 1 + 2**ESCAPE_BITS, 0)
    entropy.tables.encode(encoder, values, index)
    return encoder.finish()


def _words(texts: list[str | bytes | list[int]]) -> bytes:
    """A caption and phrases, in a picture of one patch: texts in tokens, texts byte by byte, or tokens as they are."""
    encoder, model, echo = RangeEncoder(), language.load(), list[int]()
    for number, text in enumerate(texts):
        if number:
            encoder.bit(1, coder._MORE_P1 if number > 1 else coder._REGION_P1)
        encoder.symbol(
            coder.RAW if isinstance(text, bytes) else 0, coder._PHRASE_STYLES if number else coder._CAPTION_STYLES
        )
        if isinstance(text, bytes):
            encode_raw(encoder, text)
            continue
        tokens = language.cut(f" {text}", model.index) if isinstance(text, str) else text
        history = [language.END]
        for token in (*tokens, language.END):
            encoder.symbol(token, model.table(history, echo))
            history.append(token)
        echo = echo or sorted(set(tokens))
    encoder.bit(0, coder._MORE_P1 if len(texts) > 1 else coder._REGION_P1)
    return encoder.finish()
