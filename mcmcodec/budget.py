"""Stage: around encoding; spreads one budget of bytes over many pictures at equal slope.

The least squared error of the whole set within a budget is where a further byte helps every picture alike (Everett
1963; Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", 1988). Files are measured, not
modelled: a common quality first, which makes the set fit; then, picture by picture, the qualities that promise most
for the time they take (rate, distortion and complexity), until nothing worth while is left to try or time is up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import UsageError
from .rate import TOP, Curve, crossing

WORTH = 5e-4
"""Share of the set's loss that a round of measurements must promise to save."""
ROUNDS = 8
"""Rounds of measurements at most: the curves are known well after three."""
REACH = 15
"""Qualities beyond those measured that a picture's curve is continued for."""


@dataclass(frozen=True)
class Point:
    """A picture's file at one quality.

    Attributes:
        quality: 0 to 100.
        size: its bytes.
        loss: what it loses: the sum of squared errors of its decoded picture.
        data: the file; empty where size and loss are a guess.
    """

    quality: int
    size: int
    loss: float
    data: bytes = b""


Points = dict[int, Point]


def spread(
    pixels: Sequence[int],
    measure: Callable[[int, int], Point],
    total: int,
    typical: tuple[Curve, Curve],
    *,
    seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[Point], int]:
    """Choose a file for every picture, all together within the budget.

    Args:
        pixels: pixels of every picture.
        measure: encodes picture ``i`` at a quality.
        total: bytes that all files together may take.
        typical: (101,) bits per pixel and (101,) PSNR in dB by quality, as a first guess.
        seconds: time to spend; finding a common quality that fits is not cut short, all beyond it is.
        clock: seconds that pass.

    Returns:
        One point per picture, and how many encodes it took.

    Raises:
        UsageError: quality 0 takes more.
    """
    start = clock()
    points: list[Points] = [{} for _ in pixels]

    def common(quality: int) -> float:
        for i, known in enumerate(points):
            known[quality] = measure(i, quality)
        return float(sum(known[quality].size for known in points))

    low, sizes = crossing(
        common,
        lambda size: size <= total,
        total,
        typical[0] * sum(pixels) / 8,
        math.log,
        near=lambda size: size > 0.7 * total,
    )
    if low < 0:
        raise UsageError(
            f"the smallest files of these pictures take {sizes[0]:.0f} bytes together, more than {total}",
            "allow more, or leave some out",
        )
    per_pixel = (clock() - start) / (len(sizes) * sum(pixels))
    slopes = np.gradient(np.log(typical[0])), -np.gradient(typical[1]) * math.log(10) / 10
    chosen, _ = allocate(points, total)
    for _ in range(ROUNDS):
        hoped, price = allocate([guessed(known, slopes) for known in points], total)
        gains = [now.loss - then.loss + price * (now.size - then.size) for now, then in zip(chosen, hoped, strict=True)]
        saved = sum(point.loss for point in chosen) - sum(point.loss for point in hoped)
        if saved <= WORTH * sum(point.loss for point in chosen):
            break
        new = [(gains[i] / pixels[i], i) for i, point in enumerate(hoped) if point.quality not in points[i]]
        for _, i in sorted(new, reverse=True):
            if seconds is not None and clock() - start + per_pixel * pixels[i] > seconds:
                new = []
                break
            points[i][hoped[i].quality] = measure(i, hoped[i].quality)
        chosen, _ = allocate(points, total)
        if not new:
            break
    return chosen, sum(map(len, points))


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
    price = 0.0
    stuck: set[int] = set()
    for slope, i, k in sorted(steps, key=lambda step: -step[0]):
        more = hulls[i][k + 1].size - hulls[i][k].size
        if i not in stuck and more <= room:
            chosen[i], room = hulls[i][k + 1], room - more
        elif i not in stuck:
            # the budget ends about here; smaller steps of other pictures may still fit
            stuck.add(i)
            price = price or slope
    _fill(points, chosen, room)
    return chosen, price or min((slope for slope, _, _ in steps), default=0.0)


def _fill(points: Sequence[Points], chosen: list[Point], room: int) -> None:
    """Spend what is left on files off the hulls."""
    while True:
        better = [
            (_slope(chosen[i], point), i, point.quality)
            for i, known in enumerate(points)
            for point in known.values()
            if point.loss < chosen[i].loss and point.size - chosen[i].size <= room
        ]
        if not better:
            return
        _, i, quality = max(better)
        room -= points[i][quality].size - chosen[i].size
        chosen[i] = points[i][quality]


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


def guessed(known: Points, slopes: tuple[Curve, Curve]) -> Points:
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
