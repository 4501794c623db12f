"""Small pictures at low rates: ours beside the peers and beside what the masked compression model reports, 256x256.

    python benchmarks/val.py FOLDER --model NAME --out benchmarks/results/val256_NAME.json

Takes the centre square of evenly spread pictures, 256 pixels a side. Peers do not depend on the model: they are
measured once, into ``val256_peers.json`` beside the results, and again only for other pictures. Prints LPIPS at the
published rates, and writes all of it to OUT's name with ``.md``; ``--html PAGE`` writes the page of ``codec bench``
too. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import common
import report

from mcmcodec.cli.bench import curves, ours, peers, suite
from mcmcodec.cli.bench.curves import Curve
from mcmcodec.metrics.judge import METRICS

SIDE = 256
QUALITIES = "5,15,25,35,45,55,65,75"
NAMES = "WebP,AVIF,JPEG XL,VVC"
# MCM-base of Li, Li, Han, Bai et al., "You Can Mask More For Extremely Low-Bitrate Image Compression" (2023): LPIPS by
# bits per pixel, on pictures of COCO at 256x256.
PUBLISHED = {0.032: 0.385, 0.057: 0.298, 0.075: 0.239, 0.091: 0.205}
REMARK = (
    "MCM's numbers are those of its authors, on other pictures (of COCO, at 256x256), without a container around the "
    "bits. All others are means over {images} pictures, of whole files, interpolated in log rate. Most of the bytes of "
    "a small AVIF file are its container: the smallest files are 300 bytes long, 0.037 bpp."
)


def beside_published(mine: list[Curve], others: list[Curve]) -> list[str]:
    """Markdown table of LPIPS at the published rates."""
    rows = [("LPIPS at bpp", [f"{rate:g}" for rate in PUBLISHED]), ("---", ["---"] * len(PUBLISHED))]
    rows.append(("MCM-base, published", [f"{value:.3f}" for value in PUBLISHED.values()]))
    for curve in [*mine, *others]:
        values = [curve.at("lpips", rate) for rate in PUBLISHED]
        rows.append((curve.name, ["–" if value is None else f"{value:.3f}" for value in values]))
    return [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]


def rivals(options: argparse.Namespace, paths: list[Path], watch: suite.Watch) -> dict[str, Any]:
    """Results of the peers on the same pictures: those that are there, or measured now."""
    path = options.out.with_name("val256_peers.json")
    if path.exists():
        known: dict[str, Any] = json.loads(path.read_text())
        if {row["image"] for row in known["rows"]} == {one.stem for one in paths}:
            return known
    found, missing = peers.find()
    for one in missing:
        print(f"without {one.name}: {one.remedy}")
    names = options.peers.split(",")
    candidates = suite.peer_candidates([one for one in found if one.name in names], (1, 2))
    journal = path.with_suffix(".partial")
    content = suite.rate_distortion(options.folder.name, paths, candidates, common.referee(options),
                                    common.begin(options), journal, watch, SIDE)  # fmt: skip
    suite.finish(content, path, journal)
    return content


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_sample(parser, 24, QUALITIES)
    parser.add_argument("--peers", default=NAMES, help=f"[{NAMES}]")
    parser.add_argument("--html", type=Path, help="write a page with plots to hover over, too")
    options = parser.parse_args()
    paths = common.sample(options)
    coder, about = common.start(options)
    candidate = ours.candidate(coder, coder.weights.name, *common.points(options))
    journal = options.out.with_suffix(".partial")
    with common.watch() as watch:
        content = suite.rate_distortion(options.folder.name, paths, [candidate], common.referee(options), about,
                                        journal, watch, SIDE)  # fmt: skip
        others = rivals(options, paths, watch)
    suite.finish(content, options.out, journal)
    mine = [curve for family in curves.of(content).values() for curve in family]
    lines = report.peers_of(others)
    published = beside_published(mine, lines)
    print("\n".join(published))
    text = ["# 256x256", "", REMARK.format(images=len(paths)), "", *published, ""]
    for metric in METRICS:
        if report.known(metric, mine):
            text += report.table(metric, mine + lines)
    text += report.measured([content, others])
    options.out.with_suffix(".md").write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")
    if options.html:
        suite.write_page(options.html, [content, others])


if __name__ == "__main__":
    common.run(main)
