"""What do the decoders of one model make of the same files? Quality, operations and time, and realism between two.

LPIPS is also taken off the grid: of the same pictures without their first rows and columns. It looks at every fourth
pixel first, so that a pattern that a decoder paints into every patch can please it in one position of that grid only.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from mcmcodec.image.io import open_image, to_rgb
from mcmcodec.metrics.judge import Judge, Reference
from mcmcodec.model.synthesis import Synthesis
from mcmcodec.training.light import operations

from .work import Work

OFFSETS = ((1, 2), (2, 3), (3, 1))
"""Rows and columns left out for LPIPS off the grid."""
TIMED = (768, 512)
"""Size of the picture that is timed."""


class Original:
    """A picture to compare with, whole and off the grid."""

    def __init__(self, picture: np.ndarray, judge: Judge) -> None:
        self.whole = Reference("", picture, judge)
        self.shifted = [(x, y, Reference("", picture[y:, x:].copy(), judge)) for y, x in OFFSETS]

    def judge(self, decoded: Image.Image) -> dict[str, float]:
        """Metrics of a decoded picture."""
        found = self.whole.judge(decoded)[0]
        if found.get("lpips") is not None:  # None: its weights are not installed
            off = [r.judge(decoded.crop((x, y, *decoded.size)))[0]["lpips"] for x, y, r in self.shifted]
            found["off_grid"] = statistics.fmean(off)
        return found


def measure(
    work: Work, *, folder: str, count: int, qualities: Sequence[int], realism: Sequence[float], metrics: Sequence[str],
    turns: int,
) -> dict[str, Any]:  # fmt: skip
    """Every decoder, and every realism, on the same files; times are medians of ``turns`` decodes, taking turns."""
    facts, codec, judge = work.facts(), work.codec, work.judge(metrics)
    pictures = []
    for path in work.pictures(folder, count):
        with open_image(path) as image:
            pictures.append(to_rgb(image))
    originals = [Original(picture, judge) for picture in pictures]
    choices: list[tuple[str, dict[str, Any]]] = [(name, {"decoder": name}) for name in codec.weights.decoders]
    choices += [(f"realism {value:g}", {"realism": value}) for value in realism]
    costs = cost(work, pictures[0], turns)
    rows: list[dict[str, Any]] = [{"name": name, "metrics": {}, **costs.get(name, {})} for name, _ in choices]
    work.watch.start("decoders", len(qualities) * len(choices))
    for quality in qualities:
        files = [codec.encode(picture, quality=quality) for picture in pictures]
        for row, (name, choice) in zip(rows, choices, strict=True):
            found = [one.judge(codec.decode(data, **choice)) for one, data in zip(originals, files, strict=True)]
            row["metrics"][str(quality)] = {
                key: None if None in values else round(statistics.fmean(values), 4)
                for key in found[0]
                for values in [[one[key] for one in found]]
            }
            work.watch.advance(name)
    return facts | {"pictures": len(pictures), "decoders": rows}


def cost(work: Work, picture: np.ndarray, turns: int) -> dict[str, dict[str, float]]:
    """Multiplications per pixel and median seconds of every decoder on a picture of 768x512."""
    codec = work.codec
    image = Image.fromarray(picture).resize(TIMED, Image.Resampling.BICUBIC)
    data = codec.encode(image, quality=50)
    found: dict[str, dict[str, float]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in codec.weights.decoders}
    for name in seconds:
        codec.decode(data, decoder=name)  # opens the networks; it is not timed
        decoder = Synthesis(codec.weights.decoder_config(name))
        found[name] = {"operations": round(operations(decoder, codec.weights.config))}
    for _ in range(turns):
        for name, times in seconds.items():
            begin = time.perf_counter()
            codec.decode(data, decoder=name)
            times.append(time.perf_counter() - begin)
    return {name: one | {"seconds": round(statistics.median(seconds[name]), 4)} for name, one in found.items()}
