"""What effort buys: bytes at equal PSNR and time of every level, over a folder of pictures, through real files.

    python benchmarks/effort.py FOLDER --count 12 --out benchmarks/results/effort

Writes OUT.json and OUT.md. The rate difference is Bjontegaard's over the common range, against level 3, the default.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from mcmcodec import Codec
from mcmcodec.cli.bench import curves
from mcmcodec.encoder.refinement import LEVELS
from mcmcodec.metrics import pixel_metrics
from mcmcodec.training.data import load_folder

QUALITIES = (20, 35, 50, 65)
USUAL = 3


def measure(codec: Codec, pictures: list[np.ndarray], level: int) -> dict[str, Any]:
    """Mean bpp and PSNR (fidelity decoder) per quality, and seconds of encoding per picture."""
    points, seconds = [], 0.0
    for quality in QUALITIES:
        rates, psnr = [], []
        for picture in pictures:
            begin = time.perf_counter()
            data = codec.encode(picture, quality=quality, effort=level)
            seconds += time.perf_counter() - begin
            rates.append(8 * len(data) / (picture.shape[0] * picture.shape[1]))
            psnr.append(pixel_metrics.psnr(picture, np.asarray(codec.decode(data, "fidelity"))))
        points.append([round(float(np.mean(rates)), 6), round(float(np.mean(psnr)), 4)])
    return {"effort": level, "points": points, "seconds": round(seconds / len(pictures) / len(QUALITIES), 4)}


def table(content: dict[str, Any]) -> str:
    """Markdown."""
    rows = content["levels"]
    usual = next(row for row in rows if row["effort"] == USUAL)
    lines = [
        "# Effort", "",
        f"Model {content['model']}, {content['pictures']} pictures, qualities {', '.join(map(str, QUALITIES))}, "
        "decoder `fidelity`, one thread.",
        "Made by `python benchmarks/effort.py FOLDER --out benchmarks/results/effort`.", "",
        "| effort | bytes at equal PSNR | time of encoding | bpp / PSNR at quality 50 |", "|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        change = curves.bd_rate([tuple(p) for p in usual["points"]], [tuple(p) for p in row["points"]])
        bpp, psnr = row["points"][QUALITIES.index(50)]
        time_ = row["seconds"] / usual["seconds"]
        lines.append(f"| {row['effort']} | {change:+.1f} % | {time_:.1f} x | {bpp:.4f} / {psnr:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="[the default]")
    parser.add_argument("--count", type=int, default=12, help="pictures [12]")
    parser.add_argument("--levels", default=",".join(map(str, LEVELS)), help="separated by commas [all]")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/effort"))
    options = parser.parse_args()
    codec, pictures = Codec(options.model, "cpu"), load_folder(options.folder, options.count)
    codec.decode(codec.encode(pictures[0], effort=4), "fidelity")  # kernels and memory are set up: not timed
    rows = [measure(codec, pictures, int(level)) for level in options.levels.split(",")]
    content = {"model": codec.weights.name, "pictures": len(pictures), "qualities": QUALITIES, "levels": rows}
    options.out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(table(content))
    print(table(content), end="")


if __name__ == "__main__":
    main()
