"""Confidence intervals over pictures: how far a mean, or a difference of means, would move with other pictures.

The bootstrap of Efron and Tibshirani ("An Introduction to the Bootstrap", 1993), percentile intervals: as many pictures
as there are, drawn with replacement, again and again. All codecs are drawn the same pictures, so that comparisons are
paired: what makes a picture hard for all of them cancels. Intervals tell of the choice of pictures alone, not of the
choice of the set, of settings or of metrics.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcmcodec.cli.bench import curves
from mcmcodec.cli.bench.curves import Curve
from mcmcodec.metrics.judge import METRICS

Array = NDArray[np.float64]
Interval = tuple[float, float]
DRAWS, SEED = 1000, 1
FEWER_DRAWS = 250
"""For differences of rate, each of which takes a millisecond."""
COVERED = 0.95
REACHED = 0.9
"""Share of the draws that have to reach a rate; below it there is no interval."""


class Bootstrap:
    """Draws of the pictures of some results files, which have to be of the same pictures.

    Raises ValueError when they are not.
    """

    def __init__(self, contents: Sequence[Mapping[str, Any]], draws: int = DRAWS) -> None:
        self.images = sorted({row["image"] for row in contents[0]["rows"]})
        for content in contents[1:]:
            if {row["image"] for row in content["rows"]} != set(self.images):
                raise ValueError("results of different pictures cannot be paired")
        count = len(self.images)
        # not numpy's generator, whose numbers may change between releases: committed pages are compared with these
        chance = random.Random(SEED)  # noqa: S311
        drawn = [[chance.randrange(count) for _ in range(count)] for _ in range(draws)]
        self.weights = np.array([np.bincount(one, minlength=count) for one in drawn]) / count
        """(draws, pictures): how much each picture weighs in each draw."""
        self._rows: dict[str, list[Mapping[str, Any]]] = {}
        for content in contents:
            for row in content["rows"]:
                self._rows.setdefault(row["curve"], []).append(row)
        self._known: dict[tuple[str, str], tuple[Array, Array]] = {}

    def pictures(self, name: str, metric: str) -> tuple[Array, Array]:
        """Rates and values of a curve, (settings, pictures) each, for the settings that all pictures have."""
        if (name, metric) not in self._known:
            settings: dict[float, dict[str, tuple[float, float]]] = {}
            for row in self._rows.get(name, ()):
                if row.get(metric) is not None:
                    settings.setdefault(float(row["setting"]), {})[row["image"]] = row["bpp"], row[metric]
            whole = [[one[image] for image in self.images] for one in settings.values() if len(one) == len(self.images)]
            whole.sort(key=lambda pairs: sum(rate for rate, _ in pairs))
            both = np.array(whole, np.float64).reshape(-1, len(self.images), 2)
            self._known[name, metric] = both[..., 0], both[..., 1]
        return self._known[name, metric]

    def at(self, curve: Curve, metric: str, rates: Sequence[float]) -> Array:
        """(draws, rates): what :meth:`Curve.at` would say of each draw; NaN out of its range.

        A curve with parts is NaN in a draw where the part that is best of all pictures does not reach the rate: another
        one in its place would say something of the settings, not of the pictures.
        """
        if curve.parts:
            parts = np.stack([self.at(part, metric, rates) for part in curve.parts])
            means = np.array([[_nan(part.at(metric, rate)) for rate in rates] for part in curve.parts])
            known = np.isfinite(means)
            leader = np.where(known, METRICS[metric].score(means), -np.inf).argmax(0)
            lost = np.isnan(np.take_along_axis(parts, leader[None, None], 0)[0]) | ~known.any(0)
            return np.where(lost, np.nan, _best(metric, np.where(known[:, None], parts, np.nan)))
        drawn = [one @ self.weights.T for one in self.pictures(curve.name, metric)]
        return _interpolated(*drawn, rates)

    def each(self, curve: Curve, metric: str, rates: Sequence[float]) -> Array:
        """(pictures, rates): the same of every picture by itself."""
        if curve.parts:
            return _best(metric, np.stack([self.each(part, metric, rates) for part in curve.parts]))
        return _interpolated(*self.pictures(curve.name, metric), rates)

    def bd_rate(self, curve: Curve, metric: str, anchor: Curve) -> Array:
        """(FEWER_DRAWS,): what :meth:`Curve.bd_rate` would say of each draw; NaN without a common range."""
        score = METRICS[metric].score
        drawn = [[one @ self.weights[:FEWER_DRAWS].T for one in self.pictures(which.name, metric)]
                 for which in (anchor, curve)]  # fmt: skip
        found = np.full(min(FEWER_DRAWS, len(self.weights)), np.nan)
        for index in range(len(found)):
            pairs = [[(r, score(v)) for r, v in zip(rates[:, index], values[:, index], strict=True)]
                     for rates, values in drawn]  # fmt: skip
            try:
                found[index] = curves.bd_rate(*pairs)
            except ValueError:
                continue
        return found


def interval(draws: Array) -> Interval | None:
    """The middle 95 % of the draws; None when too few of them have a value."""
    known = draws[np.isfinite(draws)]
    if not len(draws) or len(known) < REACHED * len(draws):
        return None
    tail = (1 - COVERED) / 2
    low, high = np.quantile(known, (tail, 1 - tail))
    return float(low), float(high)


def _nan(value: float | None) -> float:
    return np.nan if value is None else value


def _best(metric: str, parts: Array) -> Array:
    """The best of the parts (parts, ...), entry by entry; NaN where all are."""
    scores: Array = np.where(np.isnan(parts), -np.inf, METRICS[metric].score(parts))
    found: Array = np.take_along_axis(parts, scores.argmax(0)[None], 0)[0]
    return found


def _interpolated(rates: Array, values: Array, wanted: Sequence[float]) -> Array:
    """(columns, wanted): every column's value at the wanted rates, linear in log rate, NaN out of its range."""
    if not len(rates):
        return np.full((rates.shape[1], len(wanted)), np.nan)
    order = rates.argsort(0, kind="stable")
    logs, values = np.log(np.take_along_axis(rates, order, 0)), np.take_along_axis(values, order, 0)
    at = np.log(wanted)
    rows = [np.interp(at, x, y, np.nan, np.nan) for x, y in zip(logs.T, values.T, strict=True)]
    return np.array(rows).reshape(-1, len(wanted))
