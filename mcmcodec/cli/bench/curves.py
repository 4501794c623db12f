"""Rate-distortion curves: values at a rate, the best of several variants, and Bjontegaard's rate difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...metrics.judge import METRICS

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """Mean (bpp, value) pairs of every metric for one codec, or, with `parts`, the best of its variants."""

    name: str
    points: Mapping[str, list[tuple[float, float]]]
    parts: tuple[Curve, ...] = ()

    def at(self, metric: str, rate: float) -> float | None:
        """Value at `rate` bpp, linear in log rate (the best of the parts); None out of range."""
        if self.parts:
            found = [value for part in self.parts if (value := part.at(metric, rate)) is not None]
            return max(found, key=METRICS[metric].score, default=None)
        return interpolate(self.points[metric], rate)

    def bd_rate(self, metric: str, anchor: Curve) -> float | None:
        """Per cent of rate needed beyond `anchor` at equal `metric`; None without a common range."""
        try:
            return metric_bd_rate(metric, anchor.points[metric], self.points[metric])
        except ValueError:
            return None


def of(content: Mapping[str, Any]) -> dict[str, list[Curve]]:
    """Curves of a results file by family, as they stand in it; a metric that was not measured has no points."""
    families: dict[str, list[Curve]] = {}
    for name, about in content["curves"].items():
        rows = [row for row in content["points"] if row["curve"] == name]
        points = {m: sorted((row["bpp"], row[m]) for row in rows if row.get(m) is not None) for m in METRICS}
        families.setdefault(about["family"], []).append(Curve(name, points))
    return families


def best(family: str, parts: Sequence[Curve]) -> Curve:
    """The curve that is at every rate and for every metric by itself the best of its parts."""
    return Curve(f"{family}, best variant", {metric: [] for metric in METRICS}, tuple(parts))


def metric_bd_rate(metric: str, anchor: Points, test: Points) -> float:
    """As :func:`bd_rate`, of (rate, value) pairs of a metric, whichever way that one is better."""
    score = METRICS[metric].score
    return bd_rate(*([(rate, score(value)) for rate, value in points] for points in (anchor, test)))


def bd_rate(anchor: Points, test: Points) -> float:
    """Bjontegaard's rate difference: how many per cent more bits `test` needs than `anchor` at equal quality.

    Curves are (rate, quality) pairs, higher quality is better (negate LPIPS). Log rate as a function of
    quality is interpolated with piecewise cubics (PCHIP) and averaged over the qualities that both curves
    reach. Bjontegaard, ITU-T VCEG-M33 (2001) and VCEG-AI11 (2008). Points that cost more and give no more are
    left out.

    Raises ValueError for fewer than two usable points or for curves without a common range of quality.
    """
    from scipy.interpolate import PchipInterpolator

    curves = [_monotone(points) for points in (anchor, test)]
    low = max(quality[0] for _, quality in curves)
    high = min(quality[-1] for _, quality in curves)
    if not low < high:
        raise ValueError("the two curves have no quality in common")
    areas = [float(PchipInterpolator(quality, np.log(rate)).integrate(low, high)) for rate, quality in curves]
    return float(np.expm1((areas[1] - areas[0]) / (high - low)) * 100)


def interpolate(points: Points, rate: float) -> float | None:
    """Quality of a curve of (rate, quality) pairs at `rate`, linear in log rate; None outside its range."""
    rates, qualities = np.array(sorted(points)).reshape(-1, 2).T
    if not len(rates) or not rates[0] <= rate <= rates[-1]:
        return None
    return float(np.interp(np.log(rate), np.log(rates), qualities))


def _monotone(points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rates and qualities of the points that are better than every cheaper one."""
    kept: list[tuple[float, float]] = []
    for rate, quality in sorted(points):
        if not kept or quality > kept[-1][1]:
            kept.append((rate, quality))
    if len(kept) < 2 or kept[0][0] <= 0:
        raise ValueError("a rate-distortion curve needs two points of rising quality and positive rates")
    rates, qualities = np.array(kept).T
    return rates, qualities
