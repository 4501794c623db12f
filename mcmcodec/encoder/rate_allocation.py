"""Rate allocation: spreads one budget of bytes over many pictures at equal slope.

The least squared error of the whole set within a budget is where a further byte helps every picture alike (Everett
1963; Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", 1988). Files are measured, not
modelled: a common quality first, which makes the set fit; then, picture by picture, the qualities that promise most
for the time they take, until nothing worth while is left to try or time is up. Where time is
limited, it also sets the effort: what the first pictures took says whether the usual one fits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UsageError
from .rate_control import TOP, Curve, crossing

LEAST_GAIN = 5e-4
"""Share of the set's loss that a round of measurements must promise to save."""
ROUNDS = 8
"""Rounds of measurements at most: the curves are known well after three."""
REACH = 15
"""Qualities beyond those measured that a picture's curve is continued for."""
USUAL_EFFORT, HURRIED_EFFORT = 3, 2
"""The effort, and the one where there is little time."""
HURRIED_SHARE = 0.75
"""Share of the usual effort's time that the hurried one takes up to quality 40, beyond which they are the same."""
USUAL = 3
"""Encodes that a picture takes, about."""


@dataclass(frozen=True)
class Point:
    """A picture's file at one quality.

    Attributes:
        quality: 0 to 100.
        size: its bytes.
        loss: what it loses: the sum of squared errors of its decoded picture.
        data: the file; empty where size and loss are a guess.
        effort: the level that it was encoded at.
    """

    quality: int
    size: int
    loss: float
    data: bytes = b""
    effort: int = USUAL_EFFORT


Points = Mapping[Any, Point]
"""Files of one picture, under whatever keys."""


class Pace:
    """Seconds that have passed, and those that a measurement takes at an effort: what was measured says.

    Args:
        clock: seconds that pass.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._start = clock, clock()
        self._count = 0
        self._seconds: dict[int, float] = {}
        self._pixels: dict[int, int] = {}

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._start

    def timed(self, effort: int, pixels: int, work: Callable[[], Point]) -> Point:
        """Do some work, and remember what it took; not of the very first, which also loads the networks."""
        start = self._clock()
        point = work()
        self._count += 1
        if self._count == 2:
            self._seconds, self._pixels = {}, {}
        self._seconds[effort] = self._seconds.get(effort, 0.0) + self._clock() - start
        self._pixels[effort] = self._pixels.get(effort, 0) + pixels
        return point

    def expected(self, effort: int, pixels: int) -> float:
        """Seconds for so many pixels: as measured at this effort, or at the nearest one and scaled."""
        near = min(self._seconds, key=lambda level: abs(level - effort))
        return self._seconds[near] / self._pixels[near] * pixels * _share(effort) / _share(near)


def spread(
    pixels: Sequence[int],
    measure: Callable[[int, int, int], Point],
    total: int,
    typical: tuple[Curve, Curve],
    *,
    effort: int | None = None,
    seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[Point], int]:
    """Choose a file for every picture, all together within the budget.

    Args:
        pixels: pixels of every picture.
        measure: encodes picture ``i`` at a quality and an effort.
        total: bytes that all files together may take.
        typical: (101,) bits per pixel and (101,) PSNR in dB by quality, as a first guess.
        effort: level of all files; None leaves it to the time, and is the usual one where that is unlimited.
        seconds: time to spend; finding a common quality that fits is not cut short, all beyond it is.
        clock: seconds that pass.

    Returns:
        One point per picture, and how many encodes it took.

    Raises:
        UsageError: quality 0 takes more.
    """
    search = _Search(pixels, measure, total, Pace(clock), seconds, effort or USUAL_EFFORT)
    search.common(typical, free=effort is None)
    search.refine(typical)
    return search.chosen, search.encodes


def _share(effort: int) -> float:
    """Time that encoding at an effort takes, in that of the usual one."""
    return 1.0 if effort >= USUAL_EFFORT else HURRIED_SHARE


class _Search:
    """One search: what was measured, what is chosen so far, and the effort of what is measured next."""

    def __init__(
        self, pixels: Sequence[int], measure: Callable[[int, int, int], Point], total: int, pace: Pace,
        seconds: float | None, effort: int,
    ) -> None:  # fmt: skip
        self._pixels, self._measure, self._total = pixels, measure, total
        self._pace, self._seconds, self._effort = pace, math.inf if seconds is None else seconds, effort
        self._points: list[dict[tuple[int, int], Point]] = [{} for _ in pixels]
        self.chosen: list[Point] = []
        self.encodes = 0

    def _take(self, i: int, quality: int) -> int:
        """Measure a picture at the present effort; its bytes."""
        effort = self._effort
        point = self._pace.timed(effort, self._pixels[i], lambda: self._measure(i, quality, effort))
        self._points[i][quality, effort] = point
        self.encodes += 1
        return point.size

    def _in_time(self, pixels: int, effort: int | None = None) -> bool:
        """Whether so many pixels more can be encoded, at the present effort or another one."""
        return self._pace.elapsed() + self._pace.expected(effort or self._effort, pixels) <= self._seconds

    def common(self, typical: tuple[Curve, Curve], *, free: bool) -> None:
        """Find a quality for all that makes the set fit; a free effort falls where even that takes too long."""

        def size(quality: int) -> float:
            sizes = 0
            for i in range(len(self._points)):
                sizes += self._take(i, quality)
                if free and self.encodes == 2 and not self._in_time(USUAL * sum(self._pixels)):
                    self._effort = HURRIED_EFFORT
            return float(sizes)

        total = self._total
        guess = typical[0] * sum(self._pixels) / 8
        low, sizes = crossing(size, lambda x: x <= total, total, guess, math.log, near=lambda x: x > 0.7 * total)
        if low < 0:
            raise UsageError(
                f"the smallest files of these pictures take {sizes[0]:.0f} bytes together, more than {total}",
                "allow more, or leave some out",
            )
        self.chosen, _ = allocate(self._points, total)

    def refine(self, typical: tuple[Curve, Curve]) -> None:
        """Try the qualities that promise most, until nothing worth while is left or time is up."""
        slopes = np.gradient(np.log(typical[0])), -np.gradient(typical[1]) * math.log(10) / 10
        for _ in range(ROUNDS):
            # of two efforts at one quality the later one is the higher one
            known = [{quality: point for (quality, _), point in points.items()} for points in self._points]
            hoped, slope = allocate([guessed(points, slopes) for points in known], self._total)
            pairs = list(zip(self.chosen, hoped, strict=True))
            saved = sum(now.loss - then.loss for now, then in pairs)
            if saved <= LEAST_GAIN * sum(now.loss for now, _ in pairs):
                break
            gains = [now.loss - then.loss + slope * (now.size - then.size) for now, then in pairs]
            new = [(gains[i] / self._pixels[i], i) for i, point in enumerate(hoped) if point.quality not in known[i]]
            for _, i in sorted(new, reverse=True):
                if not self._in_time(self._pixels[i]):
                    new = []
                    break
                self._take(i, hoped[i].quality)
            self.chosen, _ = allocate(self._points, self._total)
            if not new:
                break


def allocate(points: Sequence[Points], total: int) -> tuple[list[Point], float]:
    """The best choice among the files measured: walk all convex hulls down the steepest slope first.

    Args:
        points: what was measured of every picture; taking the smallest of each must fit.
        total: bytes.

    Returns:
        One point per picture, and the slope (loss per byte) where the budget ended.
    """
    hulls = [hull(known) for known in points]
    chosen = [one[0] for one in hulls]
    room = total - sum(point.size for point in chosen)
    steps = [(_slope(one[k], one[k + 1]), i, k) for i, one in enumerate(hulls) for k in range(len(one) - 1)]
    marginal = 0.0
    stuck: set[int] = set()
    for slope, i, k in sorted(steps, key=lambda step: -step[0]):
        more = hulls[i][k + 1].size - hulls[i][k].size
        if i not in stuck and more <= room:
            chosen[i], room = hulls[i][k + 1], room - more
        elif i not in stuck:
            # the budget ends about here; smaller steps of other pictures may still fit
            stuck.add(i)
            marginal = marginal or slope
    _fill(points, chosen, room)
    return chosen, marginal or min((slope for slope, _, _ in steps), default=0.0)


def _fill(points: Sequence[Points], chosen: list[Point], room: int) -> None:
    """Spend what is left on files off the hulls."""
    while True:
        better = [
            (_slope(chosen[i], point), i, key)
            for i, known in enumerate(points)
            for key, point in known.items()
            if point.loss < chosen[i].loss and point.size - chosen[i].size <= room
        ]
        if not better:
            return
        _, i, key = max(better)
        room -= points[i][key].size - chosen[i].size
        chosen[i] = points[i][key]


def hull(known: Points) -> list[Point]:
    """The points on the lower convex hull of loss over size, by rising size and falling slope."""
    kept: list[Point] = []
    for point in sorted(known.values(), key=lambda one: (one.size, one.loss)):
        if kept and point.loss >= kept[-1].loss:
            continue
        while len(kept) > 1 and _slope(kept[-2], kept[-1]) <= _slope(kept[-1], point):
            kept.pop()
        kept.append(point)
    return kept


def _slope(a: Point, b: Point) -> float:
    """Loss that a byte more saves, from the one point to the other; infinite where the better one is no larger."""
    more = b.size - a.size
    return (a.loss - b.loss) / more if more > 0 else math.inf


def guessed(known: Mapping[int, Point], slopes: tuple[Curve, Curve]) -> dict[int, Point]:
    """A picture's curve at every quality near those measured.

    Sizes and losses between measured qualities are interpolated in their logarithms, and continued beyond them along
    the typical slopes.

    Args:
        known: what was measured, which stays as it is.
        slopes: (101,) rise per quality of the logarithms of size and loss.
    """
    at = sorted(known)
    every = np.arange(max(0, at[0] - REACH), min(TOP, at[-1] + REACH) + 1)
    below, above = np.minimum(every - at[0], 0), np.maximum(every - at[-1], 0)

    def curve(values: list[float], slope: Curve) -> list[float]:
        lines = np.interp(every, at, np.log(values)) + below * slope[at[0]] + above * slope[at[-1]]
        return [float(value) for value in np.exp(lines)]

    sizes = curve([known[q].size for q in at], slopes[0])
    losses = curve([known[q].loss + 1 for q in at], slopes[1])
    rows = zip(every.tolist(), sizes, losses, strict=True)
    return {q: known.get(q) or Point(q, round(size), loss) for q, size, loss in rows}
