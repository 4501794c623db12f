"""Rate-distortion curves for the report: ours from results files, the competitors' from peers/*.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import metrics

# Metric: its name in print, whether more is better, digits.
METRICS = {
    "psnr": ("PSNR (dB)", True, 2),
    "msssim": ("MS-SSIM", True, 3),
    "lpips": ("LPIPS (AlexNet)", False, 3),
}


@dataclass(frozen=True)
class Curve:
    """Mean (bpp, value) pairs of every metric for one codec, or, with `parts`, the best of its variants."""

    name: str
    points: dict[str, list[tuple[float, float]]]
    parts: tuple[Curve, ...] = ()

    def at(self, metric: str, rate: float) -> float | None:
        """Value at `rate` bpp, linear in log rate (the best of the parts); None out of range."""
        if self.parts:
            found = [value for part in self.parts if (value := part.at(metric, rate)) is not None]
            better = max if METRICS[metric][1] else min
            return better(found) if found else None
        return metrics.interpolate(self.points[metric], rate)

    def bd_rate(self, metric: str, anchor: Curve) -> float | None:
        """Per cent of rate needed beyond `anchor` at equal `metric`; None without a common range."""
        sign = 1 if METRICS[metric][1] else -1
        both = [[(rate, sign * value) for rate, value in curve.points[metric]] for curve in (anchor, self)]
        try:
            return metrics.bd_rate(*both)
        except ValueError:
            return None


def from_points(name: str, rows: list[dict[str, Any]]) -> Curve:
    """Curve of rows with "bpp" and the metrics; a metric that is None is left out."""
    points = {m: sorted((row["bpp"], row[m]) for row in rows if row[m] is not None) for m in METRICS}
    return Curve(name, points)


def ours(content: dict[str, Any], label: str) -> list[Curve]:
    """One curve per decoder of a results file of kodak.py; `label` goes before the decoder's name."""
    decoders = dict.fromkeys(row["decoder"] for row in content["means"])
    return [
        from_points(f"{label} {decoder}", [row for row in content["means"] if row["decoder"] == decoder])
        for decoder in decoders
    ]


def peers(path: Path, families: list[str]) -> list[Curve]:
    """Every family's full-size curve and, if it has scaled variants, the best variant at every rate."""
    content = json.loads(path.read_text())
    result = []
    for family in families:
        variants = [curve for curve in content["curves"] if curve["family"] == family]
        parts = tuple(from_points(f"{v['name']} 1/{v['scale']}", v["points"]) for v in variants)
        full = next((i for i, variant in enumerate(variants) if variant["scale"] == 1), None)
        if full is not None:
            result.append(Curve(variants[full]["name"], parts[full].points))
        if len(parts) > 1:
            result.append(Curve(f"{family}, best variant", {m: [] for m in METRICS}, parts))
    return result
