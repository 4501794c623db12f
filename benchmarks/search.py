"""What search costs on a large archive, and how often it finds what was meant.

    python benchmarks/search.py DATA --out benchmarks/results/search

Writes OUT.json and OUT.md. DATA has captions/*.txt.gz (a caption a line), pairs.csv (name, split, kind, caption) and
val/ (pictures); --files sets the size of the archive, --skip leaves parts out (speed, words, likeness).

Speed: an archive of caption-only files; --distinct captions are coded, and the files repeat them. Times are CPU seconds
of one thread, and seconds of wall time. Words: each picture of pairs.csv with several human captions is a file with the
first of them; every other caption is a query, which finds its picture among the first 1, 5 or 10 files, or not.
Likeness: an archive of the pictures of val/; the queries are the same pictures, coded with other settings.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mcmcodec.bitstream.file import encode_caption_only, open_file
from mcmcodec.caption import Words
from mcmcodec.cli.search import semantic
from mcmcodec.cli.search.index import Hit, Index
from mcmcodec.cli.search.index_file import VARIABLE, Place
from mcmcodec.codec import Codec
from mcmcodec.errors import UsageError
from mcmcodec.model import weights

Row = dict[str, Any]
RANKS = (1, 5, 10)
QUERIES = 200
POOL = 50
"""Files of each list that are combined."""


@contextmanager
def timed(row: Row, name: str) -> Iterator[None]:
    """Add seconds of wall time and of CPU time to a row."""
    clock, cpu = time.perf_counter(), time.process_time()
    yield
    row[name] = {"seconds": round(time.perf_counter() - clock, 3), "cpu": round(time.process_time() - cpu, 3)}


@contextmanager
def patch_cache(folder: str) -> Iterator[None]:
    """Keep indexes in a folder, in the processes that are started too."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = folder
    yield
    os.environ.pop(VARIABLE)
    if before is not None:
        os.environ[VARIABLE] = before


def captions(folder: Path, count: int) -> list[str]:
    """So many captions, taken evenly from all files."""
    files = sorted((folder / "captions").glob("*.txt.gz"))
    lines = [gzip.decompress(path.read_bytes()).decode().splitlines() for path in files]
    every = [line for line in itertools.chain(*lines) if line.strip()]
    step = len(every) / count
    return [every[int(i * step)] for i in range(count)]


def speed(folder: Path, model: str, count: int, distinct: int) -> Row:
    """Index and query an archive of ``count`` files."""
    words = captions(folder, distinct + QUERIES)
    queries, stored = words[:: len(words) // QUERIES][:QUERIES], words
    row: Row = {"files": count, "distinct": distinct, "model": model}
    stored = [text for text in stored if text not in set(queries)][:distinct]
    with timed(row, "coding"):
        coded = [encode_caption_only(weights.find(model), 768, 512, Words(text)) for text in stored]
    row["bytes_per_file"] = round(sum(map(len, coded)) / len(coded), 2)
    with tempfile.TemporaryDirectory() as top, tempfile.TemporaryDirectory() as cache, patch_cache(cache):
        for number in range(count):
            path = Path(top, f"{number // 1000:03}", f"{number:06}.mcm")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(coded[number % len(coded)])

        def command(*arguments: str) -> list[Row]:
            done = subprocess.run([sys.executable, "-m", "mcmcodec", *arguments], capture_output=True, check=True)
            return [json.loads(line) for line in done.stdout.splitlines()]

        for name in ("index", "index_again"):
            start, cpu = time.perf_counter(), os.times().children_user
            changes = command("index", top, "-r", "--quiet", "--json")[0]
            row[name] = {
                "seconds": round(time.perf_counter() - start, 3),
                "cpu": round(os.times().children_user - cpu, 3),
                **{key: changes[key] for key in ("new", "same", "failed")},
            }
        row["index_bytes"] = os.path.getsize(Place.of(top).path)
        with timed(row, "command"):
            command("search", queries[0], top, "-r", "--as-is", "--json")
        times = []
        with Index(Place.of(top)) as index:
            for query in queries:
                start = time.process_time()
                index.search(query, 10)
                times.append(1000 * (time.process_time() - start))
        row["query_ms"] = {
            "median": round(float(np.median(times)), 2),
            "p95": round(float(np.quantile(times, 0.95)), 2),
        }
    return row


def recalls(ranks: list[int | None]) -> Row:
    """Shares of the queries whose file came among the first 1, 5 and 10."""
    return {str(k): round(sum(rank is not None and rank < k for rank in ranks) / len(ranks), 4) for k in RANKS}


def rank(hits: list[Hit], path: str) -> int | None:
    """Where a file is among the hits."""
    return next((place for place, hit in enumerate(hits) if hit.path == path), None)


def words(folder: Path, model: str) -> list[Row]:
    """Recall by words, by meaning and by both."""
    said: dict[str, dict[str, list[str]]] = {"val": {}, "all": {}}
    with (folder / "pairs.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["kind"] == "human":
                for split in {"all", line["split"]} & said.keys():
                    said[split].setdefault(line["name"], []).append(line["caption"])
    found = []
    for split, pictures in said.items():
        pairs = {name: texts for name, texts in pictures.items() if len(texts) > 1}
        found += [{"pictures": split, **row} for row in by_words(pairs, model)]
        print(*found[-3:], sep="\n", flush=True)
    return found


def by_words(pairs: dict[str, list[str]], model: str) -> list[Row]:
    """Recall of pictures, given their captions, by words, by meaning and by both."""
    files = {name: encode_caption_only(weights.find(model), 768, 512, Words(texts[0])) for name, texts in pairs.items()}
    index = Index()
    index.update({name: (1, 1) for name in files}, files.__getitem__, _refuse)
    queries = [(text, name) for name, texts in pairs.items() for text in texts[1:]]
    lists = {"words": [index.search(text, POOL) for text, _ in queries]}
    try:
        semantic.complete(index)
        wanted = semantic.embed([text for text, _ in queries])
    except UsageError as error:
        print(error, file=sys.stderr)
    else:
        lists["meaning"] = [index.nearest(semantic.KIND, one, np.matmul, POOL) for one in wanted]
        lists["both"] = [fuse(pair, 10) for pair in zip(lists["meaning"], lists["words"], strict=True)]
    rows = []
    for way, hits in lists.items():
        ranks = [rank(found, name) for found, (_, name) in zip(hits, queries, strict=True)]
        rows.append({"files": len(files), "queries": len(queries), "way": way, **recalls(ranks)})
    return rows


def fuse(lists: tuple[list[Hit], list[Hit]], limit: int) -> list[Hit]:
    """Reciprocal rank fusion: a file's score is the sum of 1 / (60 + rank) (Cormack, Clarke and Büttcher 2009)."""
    scores: dict[str, float] = {}
    for ranked in lists:
        for place, hit in enumerate(ranked, 1):
            scores[hit.path] = scores.get(hit.path, 0.0) + 1 / (60 + place)
    hits = {hit.path: hit for ranked in lists for hit in ranked}
    return [hits[path] for path in sorted(scores, key=lambda path: -scores[path])[:limit]]


def likeness(folder: Path, model: str, count: int) -> list[Row]:
    """Recall of pictures by other encodings of them."""
    from mcmcodec.cli.search.likeness import KIND, complete, descriptor, similarity

    codec = Codec(model, "cpu")
    paths = sorted((folder / "val").glob("*.webp"))
    pictures = {path.name: np.asarray(Image.open(path).convert("RGB")) for path in paths}
    files = {name: codec.encode(x, quality=40, effort=1) for name, x in pictures.items()}
    index = Index()
    index.update({name: (1, 1) for name in files}, files.__getitem__, _refuse)
    complete(index, files.__getitem__)
    ways: dict[str, Callable[[Any], bytes]] = {
        "quality 70 instead of 40": lambda x: codec.encode(x, quality=70, effort=1),
        "base layer only, quality 10": lambda x: codec.encode(x, quality=10, effort=1, mode="base"),
        "cropped to 7/8, quality 40": lambda x: codec.encode(
            np.ascontiguousarray(x[: x.shape[0] * 7 // 8, : x.shape[1] * 7 // 8]), quality=40, effort=1
        ),
        "darker by a quarter, quality 40": lambda x: codec.encode((x * 0.75).astype(np.uint8), quality=40, effort=1),
    }
    found = []
    for way, encode in ways.items():
        ranks = []
        for name in list(pictures)[:: max(1, len(pictures) // count)]:
            wanted = descriptor(open_file(encode(pictures[name])))
            ranks.append(rank(index.nearest(KIND, wanted, similarity, 10), name))
        found.append({"query": way, "files": len(files), "queries": len(ranks), **recalls(ranks)})
        print(found[-1], flush=True)
    return found


def _refuse(path: str, error: Exception) -> None:
    raise error


def table(rows: list[Row]) -> list[str]:
    """Rows in Markdown."""
    names = [str(name) for name in rows[0]]
    heads = [f"recall at {name}" if name in map(str, RANKS) else name for name in names]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return [*lines, *(f"| {' | '.join(str(row[name]) for name in names)} |" for row in rows), ""]


def report(results: Row) -> str:
    """The results in Markdown."""
    lines = ["# Search", "", "Made by `python benchmarks/search.py DATA --out benchmarks/results/search`.", ""]
    if "speed" in results:
        s = results["speed"]
        rows = [
            {"step": f"index {s['files']:,} files", **_times(s["index"])},
            {"step": "index again, nothing changed", **_times(s["index_again"])},
            {
                "step": "one `codec search --as-is`, start included",
                "seconds": s["command"]["seconds"],
                "CPU seconds": "",
            },
        ]
        lines += [
            "## Speed", "",
            f"An archive of {s['files']:,} caption-only files, {s['bytes_per_file']} bytes each on average, "
            f"of {s['distinct']:,} different captions (model `{s['model']}`), on one thread.", "",
            *table(rows),
            f"The index has {s['index_bytes'] / 1e6:.1f} MB. A query for the ten best files takes "
            f"{s['query_ms']['median']} ms of CPU time (median of {QUERIES} captions as queries; 95 %: "
            f"{s['query_ms']['p95']} ms).", "",
        ]  # fmt: skip
    if "words" in results:
        lines += [
            "## Words", "",
            "Each picture with several human captions is a file with the first one; every other caption is a query. "
            "*words*: `codec search` (FTS5, BM25); *meaning*: `codec search --semantic`, sentence embeddings; "
            "*both*: the two lists fused by reciprocal ranks, which `codec search` therefore does not do.", "",
            *table(results["words"]),
        ]  # fmt: skip
    if "likeness" in results:
        lines += [
            "## Likeness", "",
            "`codec search --like`: the validation pictures, coded at quality 40; the queries are the same pictures, "
            "coded with other settings.", "", *table(results["likeness"]),
        ]  # fmt: skip
    return "\n".join(lines)


def _times(row: Row) -> Row:
    return {"seconds": row["seconds"], "CPU seconds": row["cpu"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--distinct", type=int, default=2_000)
    parser.add_argument("--queries", type=int, default=40, help="pictures asked for by likeness")
    parser.add_argument("--model", default=weights.DEFAULT)
    parser.add_argument("--skip", action="append", default=[], choices=("speed", "words", "likeness"))
    given = parser.parse_args()
    path = given.out.with_suffix(".json")
    results: Row = json.loads(path.read_text(encoding="utf-8")) if given.skip and path.exists() else {}
    if "words" not in given.skip:
        results["words"] = words(given.data, given.model)
    if "likeness" not in given.skip:
        results["likeness"] = likeness(given.data, given.model, given.queries)
    if "speed" not in given.skip:
        results["speed"] = speed(given.data, given.model, given.files, given.distinct)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    given.out.with_suffix(".md").write_text(report(results), encoding="utf-8")


if __name__ == "__main__":
    main()
