"""What the decoders of one model make of the same files: quality, operations and time, and what lies between two.

    python benchmarks/decoders.py FOLDER --count 24 --out benchmarks/results/decoders

Writes OUT.json and OUT.md. LPIPS is also taken off the grid: of the same pictures without their first rows and columns.
It looks at every fourth pixel first, so that a pattern that a decoder paints into every patch can please it in one
position of that grid only. Times are medians of decodes of one picture of 768x512, the decoders taking turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mcmcodec import Codec
from mcmcodec.metrics.judge import Judge, Reference
from mcmcodec.training.data import load_folder
from mcmcodec.training.light import operations

QUALITIES = (40, 60)
REALISM = (0.0, 0.25, 0.5, 0.75, 1.0)
METRICS = ("psnr", "msssim", "lpips")
OFFSETS = ((1, 2), (2, 3), (3, 1))
"""Rows and columns left out for LPIPS off the grid."""


class Original:
    """A picture to compare with, whole and off the grid."""

    def __init__(self, picture: np.ndarray, judge: Judge) -> None:
        self.whole = Reference("", picture, judge)
        self.shifted = [(x, y, Reference("", picture[y:, x:].copy(), judge)) for y, x in OFFSETS]

    def judge(self, decoded: Image.Image) -> dict[str, float]:
        """Metrics of a decoded picture."""
        off = [r.judge(decoded.crop((x, y, *decoded.size)))[0]["lpips"] for x, y, r in self.shifted]
        return {**self.whole.judge(decoded)[0], "off_grid": statistics.fmean(off)}


def quality_of(codec: Codec, originals: list[Original], files: list[bytes], **choice: Any) -> dict[str, float]:
    """Mean metrics of one decoder over decoded files."""
    rows = [original.judge(codec.decode(data, **choice)) for original, data in zip(originals, files, strict=True)]
    return {metric: round(statistics.fmean(row[metric] for row in rows), 4) for metric in (*METRICS, "off_grid")}


def times(codec: Codec, picture: np.ndarray, turns: int = 5) -> dict[str, float]:
    """Median seconds of decoding 768x512 after load, per decoder, taking turns."""
    data = codec.encode(cv2.resize(picture, (768, 512), interpolation=cv2.INTER_CUBIC), quality=50)
    seconds: dict[str, list[float]] = {name: [] for name in codec.weights.decoders}
    for turn in range(turns + 1):
        for name, found in seconds.items():
            begin = time.perf_counter()
            codec.decode(data, name)
            if turn:
                found.append(time.perf_counter() - begin)
    return {name: round(statistics.median(found), 4) for name, found in seconds.items()}


def table(content: dict[str, Any]) -> str:
    """Markdown."""
    head = " | ".join(f"q {quality}: PSNR / MS-SSIM / LPIPS (off the grid)" for quality in QUALITIES)
    lines = [
        "# Decoders", "",
        f"Model {content['model']}, {content['pictures']} pictures, one stream for all.",
        "Made by `python benchmarks/decoders.py FOLDER --out benchmarks/results/decoders`.", "",
        f"| decoder | operations per pixel | seconds (768x512, one core) | {head} |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for row in content["decoders"]:
        cells = [
            f"{v['psnr']:.2f} / {v['msssim']:.3f} / {v['lpips']:.3f} ({v['off_grid']:.3f})"
            for v in row["metrics"].values()
        ]
        cost = (f"{row['operations']}", f"{row['seconds']:.3f}") if "operations" in row else ("", "")
        lines.append(f"| {row['name']} | {cost[0]} | {cost[1]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="[the default]")
    parser.add_argument("--count", type=int, default=24, help="pictures [24]")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/decoders"))
    options = parser.parse_args()
    codec, pictures = Codec(options.model, "cpu"), load_folder(options.folder, options.count)
    judge = Judge(METRICS)
    originals = [Original(picture, judge) for picture in pictures]
    seconds, transforms = times(codec, pictures[0]), codec.transforms()
    choices: list[tuple[str, dict[str, Any]]] = [(name, {"decoder": name}) for name in codec.weights.decoders]
    choices += [(f"realism {value:g}", {"realism": value}) for value in REALISM]
    rows: list[dict[str, Any]] = [{"name": name, "metrics": {}} for name, _ in choices]
    for quality in QUALITIES:
        files = [codec.encode(picture, quality=quality) for picture in pictures]
        for row, (_, choice) in zip(rows, choices, strict=True):
            row["metrics"][str(quality)] = quality_of(codec, originals, files, **choice)
    for row in rows:
        if row["name"] in seconds:
            row["operations"] = round(operations(transforms.synthesis(row["name"]), codec.weights.config))
            row["seconds"] = seconds[row["name"]]
    content = {"model": codec.weights.name, "pictures": len(pictures), "decoders": rows}
    options.out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    options.out.with_suffix(".md").write_text(table(content))
    print(table(content), end="")


if __name__ == "__main__":
    main()
