"""DISTS and the Frechet distance of patches: ours beside the peers at nearly equal rates.

    python benchmarks/perception.py FOLDER --model NAME --out benchmarks/results/perception.json

Both need a pass of VGG16 over every picture, several seconds on one core. So fewer pictures are taken, evenly spread,
and every peer is judged only where it comes closest to some rates, in the variant (full, half or quarter size) that
has the least LPIPS there by the results of ``peers.py``. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import common

from mcmcodec.cli.bench import ours, peers, run, suite
from mcmcodec.cli.bench.table import markdown

QUALITIES = "20,40,50,60"
RATES = "0.03,0.1"
FAMILIES = "VVC,AVIF,JPEG XL,WebP"
# Settings whose rate is so near to a wanted one count as equal; among them LPIPS decides.
NEAR = math.log(1.25)


def nearest(measured: dict[str, Any], family: str, rate: float) -> tuple[int, float]:
    """Scale and setting of a family's point at about `rate` bpp."""

    def away(point: dict[str, Any]) -> tuple[float, float]:
        distance = abs(math.log(point["bpp"] / rate))
        return max(distance, NEAR), point["lpips"] if point["lpips"] is not None else 1.0

    curves = measured["curves"]
    points = [
        point
        for point in measured["points"]
        if curves[point["curve"]]["family"] == family and curves[point["curve"]]["scale"] in peers.SCALES
    ]
    if not points:
        raise SystemExit(f"the results of peers.py hold nothing of {family}; measure it first")
    best = min(points, key=away)
    return curves[best["curve"]]["scale"], best["setting"]


def rivals(measured: dict[str, Any], families: list[str], rates: list[float]) -> list[run.Candidate]:
    """Candidates of the peers that run here, with the settings that come closest to the rates."""
    found, missing = peers.find()
    for one in missing:
        if one.name in families:
            print(f"without {one.name}: {one.remedy}")
    chosen = []
    for one in found:
        if one.name not in families:
            continue
        settings: dict[int, set[float]] = {}
        for rate in rates:
            scale, setting = nearest(measured, one.name, rate)
            settings.setdefault(scale, set()).add(setting)
        chosen += [replace(run.peer(one, scale), settings=tuple(sorted(some))) for scale, some in settings.items()]
    return chosen


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_sample(parser, 12, QUALITIES)
    parser.add_argument("--peers", type=Path, default=Path(__file__).parent / "results/kodak_peers.json")
    parser.add_argument("--only", default=FAMILIES, help=f"peers [{FAMILIES}]")
    parser.add_argument("--rates", default=RATES, help=f"of the peers, bpp [{RATES}]")
    parser.set_defaults(metrics="psnr,lpips,dists,fd")
    options = parser.parse_args()
    paths = common.sample(options)
    coder, about = common.start(options)
    mine = ours.candidate(coder, coder.weights.name, *common.points(options))
    rates = [float(rate) for rate in options.rates.split(",")]
    others = rivals(json.loads(options.peers.read_text()), options.only.split(","), rates)
    journal = options.out.with_suffix(".partial")
    with common.watch() as watch:
        content = suite.rate_distortion(
            options.folder.name, paths, [mine, *others], common.referee(options), about, journal, watch
        )
    suite.finish(content, options.out, journal)
    print("\n".join(markdown(content["curves"], content["points"])))


if __name__ == "__main__":
    common.run(main)
