"""What a caption costs: the coders of this package, general compressors, and a language model of 135 M parameters.

    python benchmarks/captions.py FOLDER --smollm2 FILE.gguf --out benchmarks/results/captions

FOLDER holds captions to train on (*.txt.gz, one a line; only the zstd dictionary is trained here) and, in heldout/,
those that are measured (*.txt). Writes OUT.json and OUT.md. Every caption is coded alone, to whole bytes; "in a file"
is what it adds to a payload that goes on. The language model's figure is the ideal code length: no coder, no rounding.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import brotli
import zstandard

from mcmcodec.caption import Region, Words, coders
from mcmcodec.cli.bench import provenance
from mcmcodec.entropy.rangecoder import RangeDecoder, RangeEncoder
from mcmcodec.training.caption_model import without

EVERY = 8
SAMPLE = 100
EXAMPLES = 10
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
REGIONS = (
    Region(20, 18, 10, 8, "a brown dog"),
    Region(0, 24, 48, 8, "wet sand"),
    Region(30, 4, 4, 4, "the setting sun"),
)
GRID = (32, 48)


def coded(name: str, words: Words) -> tuple[bytes, float]:
    """The words alone in whole bytes, and the bytes that they take in a file."""
    encoder = RangeEncoder()
    coders.find(name).encode(encoder, words, GRID)
    return encoder.finish(), encoder.position() / 8


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
        "bytes_per_ten_words": round(10 * sum(sizes) / sum(counts), 3),
        "bytes_of_ten_word_captions": round(statistics.mean(ten), 3),
    }


def measure(texts: Sequence[str], training: Sequence[str]) -> list[dict[str, Any]]:
    """A row per coder."""
    rows = [
        row(name, texts, [len(pack(t.encode()) or b"") for t in texts]) for name, pack in compressors(training).items()
    ]
    for name in ("english-1", "words-2"):
        found, started = [coded(name, Words(text)) for text in texts], time.process_time()
        for text, (data, _) in zip(texts, found, strict=True):
            decoder = RangeDecoder(data)
            if coders.find(name).decode(decoder, GRID) != Words(text) or not decoder.exhausted():
                raise SystemExit(f"{name} does not give back: {text}")
        seconds = time.process_time() - started
        rows.append(row(name, texts, [len(data) for data, _ in found]))
        rows[-1]["decode_ms"] = round(1000 * seconds / len(texts), 2)
        rows.append(row(f"{name}, in a file", texts, [size for _, size in found]))
    return rows


def ideal(path: Path, texts: Sequence[str], examples: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The language model's rows, and ours on the same captions."""
    from smollm2 import SmolLM2

    model = SmolLM2(path)
    yield row("SmolLM2-135M, ideal", texts, model.bytes_of(texts, ""))
    prompt = "".join(line + "\n" for line in examples)
    yield row(f"SmolLM2-135M, ideal, after {len(examples)} captions", texts, model.bytes_of(texts, prompt))
    yield row("words-2, in a file", texts, [coded("words-2", Words(text))[1] for text in texts])


def languages() -> list[dict[str, Any]]:
    """Bytes of one sentence in several languages."""
    return [
        {"language": name, "UTF-8": len(text.encode()), "zlib": len(zlib.compress(text.encode(), 9)),
         "brotli": len(brotli.compress(text.encode(), quality=11, lgwin=10)),
         **{coder: len(coded(coder, Words(text))[0]) for coder in ("english-1", "words-2")}}
        for name, text in LANGUAGES.items()
    ]  # fmt: skip


def regions() -> list[dict[str, Any]]:
    """Bytes in a file of a caption with more and more regions."""
    caption = LANGUAGES["English"]
    return [
        {"regions": count, "bytes": round(coded("words-2", Words(caption, REGIONS[:count]))[1], 2)}
        for count in range(len(REGIONS) + 1)
    ]


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown of rows with the same keys."""
    keys = list(dict.fromkeys(key for one in rows for key in one))
    lines = ["| " + " | ".join(key.replace("_", " ") for key in keys) + " |", "|---" * len(keys) + "|"]
    return lines + ["| " + " | ".join(str(one.get(key, "")) for key in keys) + " |" for one in rows] + [""]


def report(results: dict[str, Any]) -> str:
    """The Markdown page."""
    lines = ["# What a caption costs", "", f"`{results['command']}`", ""]
    lines += ["Mean bytes over held-out captions (every eighth), each coded alone.", "", *table(results["coders"])]
    if results["ideal"]:
        lines += ["Against a language model of 135 M parameters, on fewer of them:", "", *table(results["ideal"])]
    lines += ["One sentence in several languages, bytes:", "", *table(results["languages"])]
    lines += ["A caption and phrases about boxes on a grid of 48 x 32 patches:", "", *table(results["regions"])]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--smollm2", type=Path, help="GGUF file of SmolLM2-135M")
    parser.add_argument("--out", type=Path, required=True, help="results file, without its ending")
    options = parser.parse_args()
    training = []
    for path in sorted(options.folder.glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            training += [line.strip() for line in file]
    held = []
    for path in sorted((options.folder / "heldout").glob("*.txt")):
        held += [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    training = without(training, held)
    texts = held[::EVERY]
    few = texts[:: len(texts) // SAMPLE][:SAMPLE]
    examples = training[:: len(training) // EXAMPLES][:EXAMPLES]
    results = {
        "command": "python benchmarks/captions.py FOLDER --smollm2 FILE.gguf --out benchmarks/results/captions",
        **provenance.gather("cpu", 1),
        "coders": measure(texts, training[::16]),
        "languages": languages(),
        "regions": regions(),
        "ideal": list(ideal(options.smollm2, few, examples)) if options.smollm2 else [],
    }
    provenance.write_json(options.out.with_suffix(".json"), results)
    options.out.with_suffix(".md").write_text(report(results), encoding="utf-8")


if __name__ == "__main__":
    main()
