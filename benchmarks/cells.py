"""Numbers and tables as the pages write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcmcodec.cli.bench.curves import Curve
from mcmcodec.metrics.judge import METRICS, QUICK

DASH = "–"
MCM = {0.032: 0.385, 0.057: 0.298, 0.075: 0.239, 0.091: 0.205}
"""LPIPS of MCM-base by bits per pixel, on pictures of COCO at 256x256: Li, Li, Han, Bai et al., "You Can Mask More For
Extremely Low-Bitrate Image Compression" (2023)."""


def grid(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join('' if cell is None else str(cell) for cell in line)} |" for line in lines]


def number(metric: str, value: float | None) -> str:
    """A metric's value in its digits; a dash for None."""
    return DASH if value is None else f"{value:.{METRICS[metric].digits}f}"


def signed(metric: str, value: float) -> str:
    """A difference of a metric's values, with its sign."""
    text = f"{value:+.{METRICS[metric].digits}f}"
    return text if float(text) else text.lstrip("+-")


def triple(values: Sequence[float | None]) -> str:
    """``24.81 / .830 / .537``."""
    return " / ".join(number(m, v).removeprefix("0") for m, v in zip(QUICK, values, strict=True))


def title(curve: Curve) -> str:
    """``mcm medium fidelity, 1/2`` becomes ``mcmcodec `fidelity`, 1/2``."""
    name, _, variant = curve.name.partition(", ")
    words = name.split()
    if words[0] != "mcm":
        return curve.name
    return f"mcmcodec `{words[2]}`" + (f", {variant}" if variant else "")
