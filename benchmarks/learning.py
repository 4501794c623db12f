"""What training bought: bytes at equal quality, model after model, over the pictures that each was trained on.

A part of report.py's tables and plots. Pictures count from the first run of a model's ancestors on, as its card does;
one that was seen twice counts twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from mcmcodec.cli.bench import curves
from mcmcodec.cli.bench.curves import Curve
from mcmcodec.metrics.judge import METRICS

WEIGHTS = Path(__file__).parents[1] / "weights"
JUDGED = {"psnr": "fidelity", "msssim": "fidelity", "lpips": "perceptual"}
"""Each metric, and the decoder that was trained for it."""
Lesson = tuple[str, int, dict[str, float | None]]


def lessons(contents: Sequence[dict[str, Any]], anchor: Curve, weights: Path = WEIGHTS) -> list[Lesson]:
    """A model's name, the pictures that its stream has seen, and per cent of bytes beyond the anchor's, by metric.

    Args:
        contents: results of kodak.py, one for each model; those of models without a card in ``weights`` are left out.
        anchor: the curve to compare with.
        weights: folder of the models' cards.
    """
    found = []
    for content in contents:
        name = content["model"]["name"]
        card = weights / f"{name}.json"
        if card.is_file():
            pictures = int(json.loads(card.read_text(encoding="utf-8"))["training"]["stream"]["seen"])
            lines = {line.name.split()[-1]: line for family in curves.of(content).values() for line in family}
            rates = {m: lines[d].bd_rate(m, anchor) if d in lines else None for m, d in JUDGED.items()}
            if any(rate is not None for rate in rates.values()):  # those of reduced pictures are of no such decoder
                found.append((name, pictures, rates))
    return sorted(found, key=lambda lesson: lesson[1])


def section(contents: Sequence[dict[str, Any]], anchor: Curve, path: Path, weights: Path = WEIGHTS) -> list[str]:
    """Markdown of the table and the plot, which goes to ``path``; nothing for fewer than two models."""
    rows = lessons(contents, anchor, weights)
    if len(rows) < 2:
        return []
    plot(rows, anchor.name, path)
    out = ["### What training bought", "",
           f"Bytes beyond those of {anchor.name} at its full size, at equal quality (Bjontegaard), and how many "
           "pictures the stream model and its ancestors were trained on.", "",
           "| model | pictures | " + " | ".join(f"{METRICS[m].title}, `{d}`" for m, d in JUDGED.items()) + " |",
           "|---" * (len(JUDGED) + 2) + "|"]  # fmt: skip
    for name, pictures, rates in rows:
        cells = ["–" if rate is None else f"{rate:+.0f} %" for rate in rates.values()]
        out.append(f"| {name} | {pictures:,} | {' | '.join(cells)} |")
    return [*out, "", f"![Bytes at equal quality over training pictures]({path.name})", ""]


def plot(rows: Sequence[Lesson], anchor: str, path: Path) -> None:
    """A line for each metric, a point for each model."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for metric, decoder in JUDGED.items():
        pairs = [(pictures, rates[metric]) for _, pictures, rates in rows if rates[metric] is not None]
        if pairs:
            axes.plot(*zip(*pairs, strict=True), marker="o", label=f"{METRICS[metric].title}, {decoder}")
    axes.axhline(0, color="grey", linewidth=0.8)
    for name, pictures, rates in rows:
        if (height := rates[next(iter(JUDGED))]) is not None:
            axes.annotate(name, (pictures, height), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xlabel("pictures of 256x256 trained on")
    axes.set_ylabel(f"% of bytes beyond {anchor}'s")
    axes.grid(alpha=0.3)
    axes.margins(0.08, 0.12)
    axes.legend(fontsize=8, loc=(0.03, 0.28))
    figure.savefig(path, dpi=110)
    plt.close(figure)
