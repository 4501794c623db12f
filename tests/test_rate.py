"""Rates and likenesses on demand: the promise about the limit, the nearest rung, and few encodes."""

import math
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import smooth_noise

from mcmcodec.bitstream.extras import Extras
from mcmcodec.encoder import rate_control
from mcmcodec.encoder.rate_control import Goal, SharedTime, crossing, fit, ladder, likeness, rungs
from mcmcodec.errors import InputError, UsageError
from mcmcodec.image.prepare import Source
from mcmcodec.options import EncodeOptions

RGB = smooth_noise(168, 168, 7)
PICTURE = Source(RGB, Extras())
EVERY = np.arange(101)


class Once:
    """The tiny codec for one picture, which need not encode the same twice."""

    def __init__(self, codec: Any) -> None:
        self.weights, self.decode = codec.weights, codec.decode
        encode = codec.encode_source
        self.known = lru_cache(maxsize=None)(
            lambda quality, strength=None: encode(PICTURE, EncodeOptions(quality=quality, rdoq_strength=strength))
        )

    def encode_source(self, source: Source, options: EncodeOptions) -> bytes:
        assert source is PICTURE
        return self.known(options.quality, options.rdoq_strength)

    def size(self, quality: int) -> int:
        return len(self.known(quality))


@pytest.fixture(scope="module")
def codec(tiny_codec: Any) -> Any:
    """The tiny codec for one picture."""
    return Once(tiny_codec)


def test_never_more_bytes_and_as_near_as_the_ladder_allows(codec: Any) -> None:
    for limit in (codec.size(40) - 1, codec.size(40), codec.size(77) + 1, 10**6):
        found = fit(codec, PICTURE, Goal("bytes", limit))
        assert len(found.data) <= limit and found.data == codec.known(found.quality)
        assert found.quality == 100 or codec.size(found.quality + 1) > limit
        assert found.encodes <= 9
    with pytest.raises(InputError, match=f"quality 0 takes {codec.size(0)} bytes, more than 3; allow more"):
        fit(codec, PICTURE, Goal("bytes", 3), reductions=(1,))


@pytest.mark.parametrize("goal", [Goal("quality", 50), Goal("bpp", 0.2), Goal("psnr", 18)], ids=lambda goal: goal.kind)
def test_files_of_a_search_share_the_time(codec: Any, monkeypatch: pytest.MonkeyPatch, goal: Goal) -> None:
    """However many there are, and with what each takes beside the refining."""
    now, beside, given = [0.0], 1.0, []
    monkeypatch.setattr(rate_control, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Timed(Once):
        def encode_source(self, source: Source, options: EncodeOptions) -> bytes:
            assert options.max_time is not None
            given.append(options.max_time)
            now[0] += options.max_time + beside
            return super().encode_source(source, options)

    timed = Timed(codec)
    timed.known = codec.known
    found = fit(timed, PICTURE, goal, EncodeOptions(quality=50, effort=4, max_time=60), reductions=(1,))
    assert len(given) == found.encodes and now[0] <= 60 + beside
    assert given[0] == (60 if goal.kind == "quality" else 10)


def test_time_suffices_for_more_files_than_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    now, given = [0.0], []
    monkeypatch.setattr(rate_control, "time", SimpleNamespace(monotonic=lambda: now[0]))
    shared = SharedTime(60, 6, 2)
    for _ in range(8):
        given.append(shared.next())
        now[0] += given[-1]
    assert given == pytest.approx([10, 10, 10, 10, 10, 5, 2.5, 1.25])
    now[0] = 61
    assert shared.next() == rate_control.MOMENT and SharedTime(None, 6).next() is None


def test_nearest_rate(codec: Any) -> None:
    for bpp in (0.09, 0.2, 20):
        found = fit(codec, PICTURE, Goal("bpp", bpp))
        wished = bpp * RGB.size / 3 / 8
        others = [codec.size(q) for q in (found.quality - 1, found.quality + 1) if 0 <= q <= 100]
        assert all(abs(math.log(len(found.data) / wished)) <= abs(math.log(size / wished)) for size in others)


def test_rates_between_two_rungs(codec: Any) -> None:
    """Within 1 % or half a byte of what is wanted, and no further off than the nearer rung where that cannot be."""
    apart = [q for q in range(10, 90) if codec.size(q + 1) > 1.025 * codec.size(q)]
    assert len(apart) >= 3, "the rungs are too near to each other to show anything"
    for quality in apart[:: len(apart) // 3]:
        low, high = codec.size(quality), codec.size(quality + 1)
        for share in (0.3, 0.5, 0.7):
            wished = low + share * (high - low)
            found = fit(codec, PICTURE, Goal("bpp", 8 * wished / (RGB.size / 3)), reductions=(1,))
            assert abs(len(found.data) - wished) <= max(0.01 * wished, 0.5)
            assert found.encodes <= 14
            # limits stay what they are, and an effort that has no RDOQ has no stronger one
            limited = fit(codec, PICTURE, Goal("bytes", int(wished)), reductions=(1,))
            assert len(limited.data) <= int(wished) and limited.data == codec.known(limited.quality)
            plain = fit(codec, PICTURE, Goal("bpp", 8 * wished / (RGB.size / 3)), EncodeOptions(effort=1))
            assert plain.data == codec.known(plain.quality)


class Steps:
    """A codec whose files have 1000 bytes and 40 more a rung, and fewer by RDOQ, in steps that may be coarse."""

    class weights:  # noqa: N801
        card: dict[str, Any] = {"tuning": {"rdoq_strength": 0.05}}  # noqa: RUF012

    def __init__(self, slope: float, step: int) -> None:
        self.slope, self.step, self.strengths = slope, step, list[float]()

    def encode_source(self, source: Source, options: EncodeOptions) -> bytes:
        strength = options.rdoq_strength
        size = 1000 + 40 * options.quality
        if strength is not None:
            assert 0.05 < strength <= 1
            self.strengths.append(strength)
            size -= round(size * self.slope * (strength - 0.05)) // self.step * self.step
        return bytes(max(size, 20))


@settings(max_examples=200, deadline=None)
@given(slope=st.floats(0, 5), step=st.integers(1, 2000), wished=st.floats(900, 1300))
def test_search_between_two_rungs_ends(slope: float, step: int, wished: float) -> None:
    codec: Any = Steps(slope, step)
    found = fit(codec, PICTURE, Goal("bpp", 8 * wished / (RGB.size / 3)), reductions=(1,))
    rungs_off = abs(math.log(max(1000, 40 * round((wished - 1000) / 40) + 1000) / wished))
    assert abs(math.log(len(found.data) / wished)) <= rungs_off + 0.001
    assert len(codec.strengths) <= 5 and len(set(codec.strengths)) == len(codec.strengths)
    if wished >= 1000 and step <= 5 and 0.2 <= slope <= 2:
        assert abs(len(found.data) - wished) <= 0.01 * wished


@pytest.mark.parametrize("name", ["psnr", "msssim"])
def test_smallest_file_that_looks_so_good(codec: Any, name: str) -> None:
    judge = likeness(name, RGB)

    def reached(quality: int) -> float:
        return judge(codec.decode(codec.known(quality)))

    wished = (reached(30) + reached(70)) / 2
    found = fit(codec, PICTURE, Goal(name, wished))
    assert reached(found.quality) >= wished > reached(found.quality - 1)
    assert found.data == codec.known(found.quality) and found.encodes <= 9
    with pytest.raises(InputError, match=rf"quality 100 reaches {name} [\d.]+, not 99; ask for less"):
        fit(codec, PICTURE, Goal(name, 99))


def test_too_small_for_a_metric() -> None:
    with pytest.raises(InputError, match="too small for msssim"):
        fit(Stand(), Source(np.zeros((20, 20, 3), np.uint8), Extras()), Goal("msssim", 0.5))


def test_lpips_without_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from mcmcodec.encoder import rate_control

    rate_control._judge.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="LPIPS.*; pip install"):
        likeness("lpips", RGB)


class Stand:
    """A codec whose files say nothing."""

    class weights:  # noqa: N801
        card: dict[str, Any] = {}

    def encode_source(self, source: Source, options: EncodeOptions) -> bytes:
        return bytes(options.quality)

    def decode(self, data: bytes, decoder: str | None = None) -> Any:
        from PIL import Image

        return Image.new("RGB", (20, 20))


@settings(max_examples=100, deadline=None)
@given(
    scale=st.floats(0.05, 20),
    bend=st.floats(0.3, 3),
    noise=st.floats(0, 0.02),
    wished=st.floats(1, 1e6),
)
def test_crossing_is_bracketed_in_few_steps(scale: float, bend: float, noise: float, wished: float) -> None:
    typical = 1000 * np.exp(0.046 * EVERY)
    true = scale * 1000 * np.exp(4.6 * (EVERY / 100) ** bend) * (1 + noise * np.sin(37.0 * EVERY))
    low, values = crossing(lambda q: float(true[q]), lambda v: v <= wished, wished, typical, math.log)
    assert low < 0 or values[low] <= wished
    assert low == 100 or values[low + 1] > wished
    assert len(values) <= 11


def test_few_encodes_on_average() -> None:
    """From a typical curve: about four files for a picture that has twice or half the bytes, and bends a little."""
    typical = ladder({}, "bpp") * 49152
    counts = []
    for factor in (0.5, 0.8, 1.3, 2.0):
        for bend in (0.9, 1.1):
            true = factor * 200 * np.exp(4.6 * (EVERY / 100) ** bend)
            for wished in np.geomspace(true[0] * 1.2, true[100] * 0.8, 12):
                counts.append(len(crossing(lambda q: true[q], lambda v: v <= wished, wished, typical, math.log)[1]))  # noqa: B023
    assert np.mean(counts) < 4.5


def test_ladders() -> None:
    card = {"ladder": {"quality": [0, 50, 100], "bpp": [0.005, 0.05, 0.5], "psnr": [20, 24, 30]}}
    assert ladder(card, "bpp")[[0, 25, 50, 100]] == pytest.approx([0.005, 0.005 * 10**0.5, 0.05, 0.5])
    assert ladder(card, "psnr")[[0, 25, 100]] == pytest.approx([20, 22, 30])
    assert ladder(card, "lpips")[0] > ladder(card, "lpips")[100]
    assert rungs(card) == "0 0.0050, 50 0.050, 100 0.500"
    assert rungs({}) == ""
