"""A photograph in a message: pictures of so few bytes beside other codecs' smallest, and files through a lossy link."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcmcodec import Codec
from mcmcodec.bitstream.armor import ALPHABETS, armor
from mcmcodec.cli.bench import peers, run
from mcmcodec.encoder.best_within import best_within
from mcmcodec.image.prepare import prepare
from mcmcodec.metrics.judge import Reference
from mcmcodec.options import EncodeOptions

from .work import Work, mean

PROGRAM = Path(__file__).parents[1] / "tests/fuzz/radio.py"
METRICS = ("lpips", "dists", "ciede", "chroma", "psnr")
LENGTH, TEXTS = 160, 200
"""Bytes of the messages that are written as text, and how many."""


def measure(
    work: Work, *, sets: Sequence[tuple[str, int]], count: int, sizes: Sequence[int], names: Sequence[str],
    scales: Sequence[int],
) -> dict[str, Any]:  # fmt: skip
    """Mean metrics of the default decoder at most so many bytes, and of the smallest file that each codec makes.

    Args:
        work: the run.
        sets: folders of pictures, and the side that their middle square is scaled to.
        count: pictures of each set, evenly spread.
        sizes: limits in bytes.
        names: other codecs.
        scales: by which these may divide the sides.
    """
    facts, judge = work.facts(), work.judge(METRICS)
    others = [one for one in peers.find()[0] if one.name in names]
    rows = []
    for folder, square in sets:
        paths = work.pictures(folder, count)
        work.watch.start(f"{folder} {square}", len(paths))
        found: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for reference in run.references(paths, judge, square):
            for size in sizes:
                found.setdefault(("mcmcodec", size), []).append(ours(work.codec, reference, size))
            for one in others:
                found.setdefault((one.name, 0), []).append(smallest(one, reference, scales))
            work.watch.advance(reference.name)
        for (name, size), values in found.items():
            means = {key: mean([value[key] for value in values], 4) for key in values[0]}
            rows.append({"set": folder, "side": square, "codec": name, "limit": size or None} | means)
    return facts | {"pictures": count, "rows": rows}


def ours(codec: Codec, reference: Reference, size: int) -> dict[str, Any]:
    """Bytes and metrics of the best picture within a size."""
    best = best_within(codec, prepare(reference.picture), size, EncodeOptions())
    values, _ = reference.judge(codec.decode(best.found.data))
    chosen = {"bytes": len(best.found.data), "reduce": best.found.reduce}
    return chosen | {name: values.get(name) for name in METRICS}


def smallest(one: peers.Peer, reference: Reference, scales: Sequence[int]) -> dict[str, Any]:
    """Of the smallest file that a codec makes, at whichever scale."""
    files = []
    for scale in scales:
        candidate = run.peer(one, scale)
        data = candidate.encode(reference.image, candidate.settings[0])
        files.append((len(data) + candidate.extra, scale, data, candidate.decoders))
    size, scale, data, decoders = min(files, key=lambda file: file[0])
    (decode,) = decoders.values()
    image = decode(data, reference.image.size)
    values = reference.judge(image)[0] if image else {}
    return {"bytes": size, "reduce": scale} | {name: values.get(name) for name in METRICS}


def measure_link(work: Work, *, rounds: int, seed: int) -> dict[str, Any]:
    """Files through a simulated link, where messages get lost; and characters of text for a byte.

    Raises:
        CalledProcessError: a promise was broken.
    """
    work.watch.start("radio", 1)
    command = [sys.executable, str(PROGRAM), "--rounds", str(rounds), "--seed", str(seed)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    work.watch.advance("radio")
    rng = random.Random(seed)
    messages = [rng.randbytes(LENGTH) for _ in range(TEXTS)]
    characters = {name: [len(armor(message, name)) / LENGTH for message in messages] for name in ALPHABETS}
    text = {
        name: {"mean": round(statistics.fmean(values), 4), "most": round(max(values), 4)}
        for name, values in characters.items()
    }
    return {"link": json.loads(done.stdout), "characters_per_byte": text, "message_bytes": LENGTH}
