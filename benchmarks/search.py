"""How often does a search find what was meant, and what does it cost on a large archive?

All by the command line. Words: each picture with several human captions is a file with the first of them; every other
caption is a query, which finds its picture among the first 1, 5 or 10 files, or not: by words, by meaning, by both.
Likeness: an archive of pictures; the queries are the same pictures coded otherwise. Speed: an archive of files that
hold a caption only.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np

from mcmcodec.cli.main import main
from mcmcodec.cli.search.index_file import VARIABLE
from mcmcodec.image.io import open_image, to_rgb

from .work import Work

Row = dict[str, Any]
RANKS = (1, 5, 10)
POOL = 50
"""Files of each list, of which two may be combined."""
PICTURE = np.zeros((512, 768, 3), np.uint8)


def measure(
    work: Work, *, folder: str, captions: str, ways: Sequence[str], texts: str, queries: int, quality: int, files: int,
    distinct: int,
) -> Row:  # fmt: skip
    """All three.

    Args:
        work: the run.
        folder: set of pictures for likeness.
        captions: table of pictures and captions.
        ways: of searching by words: ``words`` (the default), ``meaning`` (``--semantic``), or ``both``, combined.
        texts: folder of captions, *.txt.gz, for the large archive.
        queries: pictures asked for by likeness, and captions asked for in the large archive.
        quality: of the archive's pictures.
        files: size of the large archive.
        distinct: different captions in it; the files have them in turn.
    """
    facts = work.facts()
    work.watch.start("search", 3)
    results: Row = {}
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, {VARIABLE: cache}):
        for name, part in {
            "words": lambda: words(work, captions, ways),
            "likeness": lambda: likeness(work, folder, quality, queries),
            "speed": lambda: speed(work, texts, files, distinct, queries),
        }.items():
            results[name] = part()
            work.watch.advance(name)
    return facts | results


def words(work: Work, captions: str, ways: Sequence[str]) -> list[Row]:
    """Recall of the validation pictures and of all, in several ways."""
    described: dict[str, dict[str, list[str]]] = {"val": {}, "all": {}}
    with (work.data / captions).open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["kind"] == "human":
                for split in {"all", line["split"]} & described.keys():
                    described[split].setdefault(line["name"], []).append(line["caption"])
    rows = []
    for split, pictures in described.items():
        pairs = {name: texts for name, texts in pictures.items() if len(texts) > 1}
        with tempfile.TemporaryDirectory() as top:
            for name, texts in pairs.items():
                data = work.codec.encode(PICTURE, caption=texts[0], mode="caption")
                Path(top, name).with_suffix(".mcm").write_bytes(data)
            codec("index", top, "--json", *(["--semantic"] if {"meaning", "both"} & set(ways) else []))
            asked = [(text, name) for name, texts in pairs.items() for text in texts[1:]]
            options = ("--as-is", "--json", "-k", str(POOL))
            lists = {"words": [codec("search", text, top, *options) for text, _ in asked]}
            if {"meaning", "both"} & set(ways):
                lists["meaning"] = [codec("search", text, top, "--semantic", *options) for text, _ in asked]
                pairs_of_lists = zip(lists["meaning"], lists["words"], strict=True)
                lists["both"] = [combined(*one) for one in pairs_of_lists]
            for way in ways:
                ranks = [rank(hits, name) for hits, (_, name) in zip(lists[way], asked, strict=True)]
                row = {"pictures": split, "files": len(pairs), "queries": len(ranks), "way": way}
                rows.append(row | recalls(ranks))
    return rows


def combined(*lists: Sequence[Row]) -> list[Row]:
    """Lists of hits made into one by reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)."""
    scores: dict[str, float] = {}
    for hits in lists:
        for place, hit in enumerate(hits, 1):
            scores[hit["file"]] = scores.get(hit["file"], 0.0) + 1 / (60 + place)
    return [{"file": file} for file in sorted(scores, key=lambda file: -scores[file])]


def likeness(work: Work, folder: str, quality: int, queries: int) -> list[Row]:
    """Recall of pictures by other encodings of them."""
    pictures = {}
    for path in work.pictures(folder):
        with open_image(path) as image:
            pictures[path.stem] = to_rgb(image)
    encode = work.codec.encode
    ways: dict[str, Callable[[Any], bytes]] = {
        "quality 70": lambda x: encode(x, quality=70, effort=1),
        "base layer only, quality 10": lambda x: encode(x, quality=10, effort=1, mode="base"),
        "cropped to 7/8": lambda x: encode(
            np.ascontiguousarray(x[: x.shape[0] * 7 // 8, : x.shape[1] * 7 // 8]), quality=quality, effort=1
        ),
        "darker by a quarter": lambda x: encode((x * 0.75).astype(np.uint8), quality=quality, effort=1),
    }
    rows = []
    with tempfile.TemporaryDirectory() as top, tempfile.TemporaryDirectory() as asked:
        for name, picture in pictures.items():
            Path(top, f"{name}.mcm").write_bytes(encode(picture, quality=quality, effort=1))
        codec("index", top, "--likeness", "--json")
        for way, code in ways.items():
            ranks = []
            for name in list(pictures)[:: max(1, len(pictures) // queries)]:
                path = Path(asked, f"{name}.mcm")
                path.write_bytes(code(pictures[name]))
                ranks.append(rank(codec("search", "--like", str(path), top, "--as-is", "--json"), name))
            rows.append({"query": way, "files": len(pictures), "queries": len(ranks), **recalls(ranks)})
    return rows


def speed(work: Work, texts: str, files: int, distinct: int, queries: int) -> Row:
    """Seconds of ``codec index`` and ``codec search`` in processes of their own, on a large archive."""
    lines: list[str] = []
    for path in sorted((work.data / texts).glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines += [line.strip() for line in itertools.islice(file, distinct + queries)]
    asked, stored = lines[:queries], lines[queries : queries + distinct]
    coded = [work.codec.encode(PICTURE, caption=text, mode="caption") for text in stored]
    row: Row = {"files": files, "distinct": len(coded), "bytes_per_file": round(float(np.mean([*map(len, coded)])), 2)}
    with tempfile.TemporaryDirectory() as top:
        for number in range(files):
            path = Path(top, f"{number // 1000:03}", f"{number:06}.mcm")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(coded[number % len(coded)])
        for name in ("index", "index_again"):
            row[name] = alone("index", top, "-r", "--quiet", "--json")
        row["search"] = alone("search", asked[0], top, "-r", "--as-is", "--json")
        times = []
        for text in asked:
            start = time.process_time()
            codec("search", text, top, "-r", "--as-is", "--json")
            times.append(1000 * (time.process_time() - start))
    row["query_ms"] = {"median": round(float(np.median(times)), 1), "p95": round(float(np.quantile(times, 0.95)), 1)}
    return row


def codec(*arguments: str) -> list[Row]:
    """The lines of JSON of a command run in this process; ClickException where it fails."""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            main(list(arguments))
    except SystemExit as end:
        if end.code:
            raise click.ClickException(f"codec {arguments[0]} failed with status {end.code}") from None
    return [json.loads(line) for line in out.getvalue().splitlines()]


def alone(*arguments: str) -> Row:
    """Seconds on the clock and of CPU time of a command in a process of its own."""
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-m", "mcmcodec", *arguments], capture_output=True, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": round(time.perf_counter() - start, 3), "cpu": round(used, 3)}


def rank(hits: Sequence[Row], name: str) -> int | None:
    """Where the file of a picture is among the hits."""
    return next((place for place, hit in enumerate(hits) if Path(hit["file"]).stem == Path(name).stem), None)


def recalls(ranks: Sequence[int | None]) -> Row:
    """Shares of the queries whose file came among the first 1, 5 and 10."""
    return {
        f"recall at {k}": round(sum(rank is not None and rank < k for rank in ranks) / len(ranks), 4) for k in RANKS
    }
