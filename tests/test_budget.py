"""One budget over many pictures: never exceeded, near the best split there is, in few measurements."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmcodec.budget import Point, allocate, hull, spread
from mcmcodec.errors import UsageError
from mcmcodec.rate import ladder

TYPICAL = ladder({}, "bpp"), ladder({}, "psnr")


def synthetic(seed: int, count: int) -> tuple[list[int], Callable[[int, int], Point]]:
    """Pictures of many sizes and kinds: their pixels, and what measures one of them."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60_000, 400_000, count).tolist()
    kind = np.exp(rng.normal(0, 0.7, (count, 2)))
    rise = rng.uniform(0.7, 1.3, (count, 2))

    def measure(i: int, quality: int) -> Point:
        noise = 1 + 0.01 * math.sin(37.0 * quality + i)
        size = pixels[i] / 8 * 0.004 * kind[i, 0] * math.exp(4.6 * rise[i, 0] * quality / 100) * noise
        loss = pixels[i] * 730 * kind[i, 1] * math.exp(-2.3 * rise[i, 1] * quality / 100)
        return Point(quality, round(size) + 20, loss)

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


def test_time_ends_the_search_but_not_the_promise() -> None:
    pixels, measure = synthetic(7, 10)
    now = 0.0

    def slow(i: int, quality: int) -> Point:
        nonlocal now
        now += pixels[i] / 100_000
        return measure(i, quality)

    def encodes(seconds: float | None) -> int:
        chosen, count = spread(pixels, slow, 60_000, TYPICAL, seconds=seconds, clock=lambda: now)
        assert sum(point.size for point in chosen) <= 60_000
        return count

    begin = now
    free = encodes(None)
    assert 10 <= encodes(0) < free
    begin = now
    encodes(70)
    assert now - begin <= 75


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
