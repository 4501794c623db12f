"""One budget over many pictures: never exceeded, near the best split there is, in few measurements."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmcodec.encoder.rate_allocation import HURRIED_SHARE, Point, allocate, hull, spread
from mcmcodec.encoder.rate_control import ladder
from mcmcodec.errors import UsageError

TYPICAL = ladder({}, "bpp"), ladder({}, "psnr")


def synthetic(seed: int, count: int) -> tuple[list[int], Callable[..., Point]]:
    """Pictures of many sizes and kinds: their pixels, and what measures one of them."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60_000, 400_000, count).tolist()
    kind = np.exp(rng.normal(0, 0.7, (count, 2)))
    rise = rng.uniform(0.7, 1.3, (count, 2))

    def measure(i: int, quality: int, effort: int = 3) -> Point:
        # a level more saves half a per cent
        noise = (1 + 0.01 * math.sin(37.0 * quality + i)) * (1 - 0.005 * (effort - 3))
        size = pixels[i] / 8 * 0.004 * kind[i, 0] * math.exp(4.6 * rise[i, 0] * quality / 100) * noise
        loss = pixels[i] * 730 * kind[i, 1] * math.exp(-2.3 * rise[i, 1] * quality / 100)
        return Point(quality, round(size) + 20, loss, b"", effort)

    return pixels, measure


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 12), share=st.floats(0.01, 0.6))
def test_the_budget_holds_and_the_split_is_nearly_the_best(seed: int, count: int, share: float) -> None:
    pixels, measure = synthetic(seed, count)
    every = [{q: measure(i, q) for q in range(101)} for i in range(count)]
    least = sum(one[0].size for one in every)
    most = sum(one[100].size for one in every)
    total = round(least + share * (most - least))
    chosen, encodes = spread(pixels, measure, total, TYPICAL)
    assert sum(point.size for point in chosen) <= total
    assert encodes <= 14 * count
    best = sum(point.loss for point in allocate(every, total)[0])
    assert sum(point.loss for point in chosen) <= (1.02 + 0.03 / count) * best


def test_equal_slope_beats_equal_quality() -> None:
    pixels, measure = synthetic(5, 20)
    common = max(q for q in range(101) if sum(measure(i, q).size for i in range(20)) <= 100_000)
    chosen, _ = spread(pixels, measure, 100_000, TYPICAL)
    loss = sum(point.loss for point in chosen)
    assert loss < 0.97 * sum(measure(i, common).loss for i in range(20))


class Clock:
    """A clock that only encoding moves: a second for 100,000 pixels at the usual effort."""

    def __init__(self, seed: int, count: int) -> None:
        self.now = 0.0
        self.pixels, self._measure = synthetic(seed, count)
        self.efforts: list[int] = []

    def measure(self, i: int, quality: int, effort: int) -> Point:
        self.now += self.pixels[i] / 100_000 * (1 if effort > 2 else HURRIED_SHARE)
        self.efforts.append(effort)
        return self._measure(i, quality, effort)

    def spread(self, **options: float) -> list[Point]:
        self.now, self.efforts = 0.0, []
        chosen, encodes = spread(self.pixels, self.measure, 60_000, TYPICAL, clock=lambda: self.now, **options)
        assert sum(point.size for point in chosen) <= 60_000
        assert encodes == len(self.efforts)
        return chosen


def test_time_ends_the_search_but_not_the_promise() -> None:
    clock = Clock(7, 10)
    clock.spread(effort=3)
    free, least = clock.now, sum(clock.pixels) / 100_000
    clock.spread(effort=3, seconds=1)
    assert least <= clock.now < free
    clock.spread(effort=3, seconds=(least + free) / 2)
    assert clock.now <= (least + free) / 2
    assert set(clock.efforts) == {3}


def test_plenty_of_time_changes_nothing() -> None:
    clock = Clock(7, 10)
    usual = clock.spread()
    assert set(clock.efforts) == {3}
    assert clock.spread(seconds=1e6) == usual


def test_little_time_lowers_the_effort() -> None:
    clock = Clock(7, 10)
    chosen = clock.spread(seconds=sum(clock.pixels) / 100_000)
    assert set(clock.efforts[:2]) == {3} and set(clock.efforts[2:]) == {2}
    assert chosen == clock.spread(seconds=sum(clock.pixels) / 100_000)


def test_too_small_a_budget_is_an_error() -> None:
    pixels, measure = synthetic(1, 3)
    least = sum(measure(i, 0).size for i in range(3))
    message = f"the smallest files of these pictures take {least} bytes together, more than {least - 1}; "
    with pytest.raises(UsageError, match=message):
        spread(pixels, measure, least - 1, TYPICAL)
    assert sum(p.size for p in spread(pixels, measure, least, TYPICAL)[0]) == least


def test_hull_keeps_what_pays() -> None:
    sizes = {0: (10, 100.0), 1: (20, 90.0), 2: (30, 40.0), 3: (40, 45.0), 4: (50, 30.0), 5: (50, 29.0)}
    known = {q: Point(q, size, loss) for q, (size, loss) in sizes.items()}
    assert [point.quality for point in hull(known)] == [0, 2, 5]
