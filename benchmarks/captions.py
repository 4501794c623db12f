"""How many bytes does a caption take? In a file of ours, and by general compressors."""

from __future__ import annotations

import gzip
import statistics
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import brotli
import numpy as np
import zstandard

import mcmcodec
from mcmcodec import Codec

from .work import Work

OURS = "mcmcodec, in a file"
PICTURE = np.zeros((512, 768, 3), np.uint8)
LANGUAGES = {
    "English": "A brown dog runs along a sandy beach at sunset.",
    "German": "Ein brauner Hund läuft bei Sonnenuntergang einen Sandstrand entlang.",
    "French": "Un chien brun court le long d'une plage de sable au coucher du soleil.",
    "Spanish": "Un perro marrón corre por una playa de arena al atardecer.",
    "Italian": "Un cane marrone corre lungo una spiaggia sabbiosa al tramonto.",
    "Polish": "Brązowy pies biegnie po piaszczystej plaży o zachodzie słońca.",
    "Russian": "Коричневая собака бежит по песчаному пляжу на закате.",
    "Greek": "Ένας καφέ σκύλος τρέχει σε μια αμμώδη παραλία στο ηλιοβασίλεμα.",
    "Chinese": "一只棕色的狗在日落时分沿着沙滩奔跑。",
    "Japanese": "茶色い犬が夕暮れの砂浜を走っている。",
    "Arabic": "كلب بني يركض على شاطئ رملي عند غروب الشمس.",
    "Hindi": "एक भूरा कुत्ता सूर्यास्त के समय रेतीले समुद्र तट पर दौड़ता है।",
}


def measure(work: Work, *, folder: str, heldout: str, every: int, train_every: int) -> dict[str, Any]:
    """Every so many of the held-out captions, each coded alone.

    Args:
        work: the run.
        folder: captions to train a dictionary on, *.txt.gz, one a line.
        heldout: folder of the captions that are measured, *.txt.
        every: measure every so many.
        train_every: train on every so many.
    """
    held = [
        line.strip()
        for path in sorted((work.data / heldout).glob("*.txt"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    seen, training = set(held), []
    for path in sorted((work.data / folder).glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            training += [text for line in file if (text := line.strip()) not in seen]
    texts = held[::every]
    pack = compressors(training[::train_every])
    rows = [row(name, texts, [len(one(text.encode())) for text in texts]) for name, one in pack.items()]
    work.watch.start("captions", len(texts))
    sizes, seconds = [], 0.0
    for text in texts:
        size, took = coded(work.codec, text)
        sizes.append(size)
        seconds += took
        work.watch.advance("captions")
    rows.append(row(OURS, texts, sizes) | {"decode_ms": round(1000 * seconds / len(texts), 2)})
    languages = [
        {"language": name, "UTF-8": len(text.encode()), "zlib": len(zlib.compress(text.encode(), 9)),
         "brotli": len(brotli.compress(text.encode(), quality=11, lgwin=10)),
         OURS: round(coded(work.codec, text)[0], 1)}
        for name, text in LANGUAGES.items()
    ]  # fmt: skip
    return work.facts() | {"coders": rows, "languages": languages}


def coded(codec: Codec, text: str) -> tuple[float, float]:
    """Bytes that a caption takes in a file, and seconds of reading the file, captions included."""
    data = codec.encode(PICTURE, caption=text, mode="caption")
    started = time.process_time()
    facts = mcmcodec.info(data)
    seconds = time.process_time() - started
    if facts.caption != text:
        raise RuntimeError(f"the caption is not given back: {text}")
    return facts.bytes["caption"], seconds


def compressors(training: Sequence[str]) -> dict[str, Callable[[bytes], bytes]]:
    """General compressors at their strongest, without the headers that can be left out."""
    dictionary = zstandard.train_dictionary(112_640, [line.encode() for line in training])
    bare = zstandard.ZstdCompressionParameters.from_level(
        19, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=False, write_dict_id=False, write_checksum=False
    )
    zstd = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=bare)

    def deflate(data: bytes) -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(data) + packer.flush()

    return {
        "UTF-8": bytes,
        "zlib": lambda data: zlib.compress(data, 9),
        "raw deflate": deflate,
        "brotli": lambda data: brotli.compress(data, mode=brotli.MODE_TEXT, quality=11, lgwin=10),
        "zstd, trained dictionary": zstd.compress,
    }


def row(name: str, texts: Sequence[str], sizes: Sequence[float]) -> dict[str, Any]:
    """Means over captions: all of them, per ten words, and of captions of just ten words."""
    counts = [len(text.split()) for text in texts]
    ten = [size for size, count in zip(sizes, counts, strict=True) if count == 10]
    return {
        "coder": name,
        "captions": len(texts),
        "bytes": round(statistics.mean(sizes), 3),
        "bytes per ten words": round(10 * sum(sizes) / sum(counts), 3),
        "bytes of ten-word captions": round(statistics.mean(ten), 3) if ten else None,
    }
