"""What searches cost and gain: encodes per goal, and one budget spread over pictures beside one quality for all.

    python benchmarks/searches.py FOLDER --out benchmarks/results/searches.json

Goals: as many bytes as 0.02, 0.05 and 0.1 bits per pixel; a PSNR and an MS-SSIM. Budgets: what the pictures take in all
at qualities 20, 40 and 60, spent at equal rates, at equal quality, and at equal slope as --total-bytes does; they are
compared by the PSNR of all pixels together (decoder `fidelity`).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import common
import numpy as np
from numpy.typing import NDArray

from mcmcodec import Codec
from mcmcodec.encoder.rate_allocation import Point, spread
from mcmcodec.encoder.rate_control import Goal, crossing, fit, ladder
from mcmcodec.image.io import open_image, to_rgb

Picture = NDArray[np.uint8]
RATES = (0.02, 0.05, 0.1)
LIKENESS = (("psnr", 23.0), ("msssim", 0.8))
QUALITIES = (20, 40, 60)


def goals(codec: Codec, pictures: list[Picture]) -> list[dict[str, Any]]:
    """Encodes per goal, and how near the byte limits are met."""
    rows = []
    for rate in RATES:
        limits = [round(rate * x.shape[0] * x.shape[1] / 8) for x in pictures]
        found = [fit(codec, x, Goal("bytes", limit)) for x, limit in zip(pictures, limits, strict=True)]
        used = [len(one.data) / limit for one, limit in zip(found, limits, strict=True)]
        rows.append(_row(f"--max-bytes of {rate} bpp", [one.encodes for one in found]) | {"used": _mean(used)})
    for name, value in LIKENESS:
        found = [fit(codec, x, Goal(name, value)) for x in pictures]
        rows.append(_row(f"--target {name}={value}", [one.encodes for one in found]))
    return rows


def budgets(codec: Codec, pictures: list[Picture]) -> list[dict[str, Any]]:
    """One budget, spent in three ways."""
    known: dict[tuple[int, int], Point] = {}

    def measure(i: int, quality: int, effort: int = 3) -> Point:
        if (i, quality) not in known:
            data = codec.encode(pictures[i], quality=quality)
            error = np.asarray(codec.decode(data, "fidelity").convert("RGB"), np.float64) - pictures[i]
            known[i, quality] = Point(quality, len(data), float((error**2).sum()), data)
        return known[i, quality]

    typical = ladder(codec.weights.card, "bpp"), ladder(codec.weights.card, "psnr")
    values = sum(x.size for x in pictures)
    rows = []
    for quality in QUALITIES:
        equal = [measure(i, quality) for i in range(len(pictures))]
        total = sum(point.size for point in equal)
        chosen, encodes = spread([x.size // 3 for x in pictures], measure, total, typical)
        even = []
        for i, x in enumerate(pictures):
            share = total * x.size / values
            low, _ = crossing(
                lambda q, i=i: measure(i, q).size,
                lambda size, share=share: size <= share,
                share,
                typical[0] * x.size / 24,
                math.log,
            )
            even.append(measure(i, max(low, 0)))
        rows.append(
            {
                "budget": total,
                "quality": quality,
                "psnr, equal rate": _psnr(even, values),
                "psnr, equal quality": _psnr(equal, values),
                "psnr, equal slope": _psnr(chosen, values),
                "bytes": sum(point.size for point in chosen),
                "qualities": sorted(point.quality for point in chosen),
                "encodes per picture": round(encodes / len(pictures), 2),
            }
        )
    return rows


def _psnr(points: list[Point], values: int) -> float:
    return round(10 * math.log10(255**2 * values / sum(point.loss for point in points)), 3)


def _mean(numbers: list[float]) -> float:
    return round(float(np.mean(numbers)), 3)


def _row(goal: str, encodes: list[int]) -> dict[str, Any]:
    return {"goal": goal, "encodes": _mean([float(count) for count in encodes]), "most": max(encodes)}


def main() -> None:
    """Run on the pictures of a folder, spread evenly."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--count", type=int, default=8, help="pictures [8]")
    common.add_options(parser)
    options = parser.parse_args()
    codec, facts = common.start(options)
    paths = common.pictures(options.folder)
    pictures = []
    for path in paths[:: max(1, len(paths) // options.count)][: options.count]:
        with open_image(str(path)) as image:
            pictures.append(to_rgb(image))
    tables = {"goals": goals(codec, pictures), "budgets": budgets(codec, pictures)}
    common.write_json(options.out, {**facts, "pictures": len(pictures), **tables})
    for row in (*tables["goals"], *tables["budgets"]):
        print(row)


if __name__ == "__main__":
    main()
