"""Rate control: finds the quality at which a picture's file meets a target of bytes or likeness.

The ladder of qualities has 101 rungs, and bytes and likeness rise along it almost without exception. So a target
is met by a bracketed secant search over real files: from the model's typical curve (the card's ``ladder``) to the two
neighbouring rungs with the target between them. That takes three to five encodes; nothing is estimated in the end.

A rung is three to five per cent of the bytes. Bits per pixel are met more closely than that: the upper of the two
rungs is quantised with a stronger RDOQ, which saves bytes in steps of a symbol and costs little near its optimum.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..bitstream import container
from ..bitstream.container import PATCH
from ..bitstream.structure import STRUCTURE
from ..errors import InputError, UsageError
from ..options import REDUCTIONS, EncodeOptions

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..codec import Codec
    from ..image.prepare import Source
    from ..metrics.judge import Judge

Picture = NDArray[np.uint8]
Curve = NDArray[np.float64]
TOP = 100
"""The highest quality; the lowest is 0."""
NEAR = 1.1
"""A picture is not reduced where quality 0 takes no more than so many times the bits per pixel wanted."""
DEARER = 1.7
"""Reduced by a factor, a picture takes fewer bytes by that factor to this power: its pixels hold more than before."""
CLOSE = 0.01
"""Bits per pixel are met where the bytes are within this share of those wanted, or nearer than half a byte."""
TRIES = 5
"""Encodes to spend between two rungs."""
USUAL = 6
"""Files that a search encodes, about: they share the time for refining latents."""
MOMENT = 1e-3
"""Seconds that a file may take where time is up."""
STRONGEST = 20
"""RDOQ is strengthened up to so many times."""
DEFAULTS = EncodeOptions()
Encode = Callable[[EncodeOptions], bytes]
METRICS = ("psnr", "msssim", "lpips")
TYPICAL = {"bpp": (0.006, 0.6), "psnr": (17.5, 29.5), "msssim": (0.5, 0.965), "lpips": (0.5, 0.08)}
"""Rough values at both ends of a ladder that was never measured: they cost a search an encode or two, no more."""


@dataclass(frozen=True)
class Goal:
    """A target for one picture's file.

    Attributes:
        kind: ``quality``, ``bpp`` (an aim: within 1 %, either side, where the ladder reaches so far),
            ``bytes`` (never more), or ``psnr`` (dB), ``msssim``, ``lpips``: the smallest file whose decoded picture is
            at least that good.
        value: the number to reach.
    """

    kind: str
    value: float


@dataclass(frozen=True)
class Found:
    """A file that meets a goal: its bytes, its quality, how many encodes the search took, and how it was reduced."""

    data: bytes
    quality: int
    encodes: int
    reduce: int = 1


class SharedTime:
    """Seconds that several files share for refining their latents.

    Args:
        seconds: of all files together; None for as long as it takes.
        files: how many files there will be, about.
        least: what is left is divided by so many at least: 2 leaves some to files that nobody counted on.
    """

    def __init__(self, seconds: float | None, files: int, least: int = 1) -> None:
        self._seconds, self._files, self._least = seconds, files, least
        self._start, self._end = time.monotonic(), math.inf

    def next(self) -> float | None:
        """Seconds of the next file: its share of what is left, less what the last one took beyond its own."""
        if self._seconds is None:
            return None
        now = time.monotonic()
        left, over = self._seconds - (now - self._start), max(now - self._end, 0.0)
        share = max(left / max(self._files, self._least) - over, MOMENT)
        self._files, self._end = self._files - 1, now + share
        return share


def fit(
    codec: Codec, source: Source, goal: Goal, options: EncodeOptions = DEFAULTS, *,
    reductions: Sequence[int] | None = None, decoder: str | None = None,
) -> Found:  # fmt: skip
    """Encode a picture at the quality that meets the goal.

    Args:
        codec: the model.
        source: the prepared picture.
        goal: what to meet.
        options: of the encoder, all but quality and reduction.
        reductions: sizes to try, the largest first; None tries smaller ones where the goal is bytes or bits per pixel
            and quality 0 at the whole size takes more, unless there are regions.
        decoder: the decoder whose picture a metric judges; if None, the one that the file is encoded for.

    Raises:
        InputError: quality 0 takes more bytes than allowed, or quality 100 is not as good as wanted.
        UsageError: LPIPS is wanted and its weights are not installed.
    """
    height, width = source.rgb.shape[:2]
    reductions = sizes_to_try(source, goal, options, reductions)
    files, least = (1, 1) if goal.kind == "quality" else (USUAL, 2)
    shared = SharedTime(options.max_time, files, least)

    def encode(chosen: EncodeOptions) -> bytes:
        return codec.encode_source(source, replace(chosen, max_time=shared.next()))

    most = {"bytes": goal.value, "bpp": NEAR * goal.value * height * width / 8}.get(goal.kind, math.inf)
    encodes = 0
    for reduce in reductions:
        found = _fit(codec, source, encode, goal, decoder or options.tune, replace(options, reduce=reduce))
        encodes += found.encodes
        if found.quality or len(found.data) <= most:
            break
    if goal.kind == "bytes" and len(found.data) > most:
        raise _too_large(found.data, most, replace(options, reduce=reduce))
    return replace(found, encodes=encodes, reduce=reduce)


def _too_large(data: bytes, most: float, options: EncodeOptions) -> InputError:
    """The error of a file of quality 0 that takes too many bytes: how many, and how many of them for an edge map."""
    size = f" at 1/{options.reduce} of the size" if options.reduce > 1 else ""
    edges = 0 if options.structure is None else len(dict(container.parse_header(data)[0].extensions)[STRUCTURE])
    part = f", {edges} of them for the edge map" if edges else ""
    remedy = ", or give --structure fewer bytes" if edges and len(data) - edges < most else ""
    return InputError(f"quality 0{size} takes {len(data)} bytes{part}, more than {most:.0f}", f"allow more{remedy}")


def sizes_to_try(source: Source, goal: Goal, options: EncodeOptions, reductions: Sequence[int] | None) -> Sequence[int]:
    """The reductions that may be coded at: those given, or those that suit picture, goal and options."""
    if reductions is not None:
        return reductions
    smaller = goal.kind in ("bytes", "bpp") and not options.regions and options.keeps_picture
    return [n for n in REDUCTIONS if n == 1 or (smaller and min(source.rgb.shape[:2]) >= PATCH * n)]


def _fit(
    codec: Codec, source: Source, encode: Encode, goal: Goal, decoder: str | None, options: EncodeOptions
) -> Found:
    """As :func:`fit`, at one size, and with the file of quality 0 where that takes too many bytes."""
    if goal.kind == "quality":
        quality = int(goal.value)
        return Found(encode(replace(options, quality=quality)), quality, 1)
    files: dict[int, bytes] = {}

    def size(quality: int) -> float:
        files[quality] = encode(replace(options, quality=quality))
        return len(files[quality])

    card, pixels = codec.weights.card, source.rgb[..., 0].size
    if goal.kind in METRICS:
        judge = likeness(goal.kind, source.rgb)
        sign = -1 if goal.kind == "lpips" else 1

        def reached(quality: int) -> float:
            size(quality)
            return sign * judge(codec.decode(files[quality], decoder=decoder).convert("RGB"))

        scale = _decibels if goal.kind == "msssim" else float
        target = sign * goal.value
        typical = sign * ladder(card, goal.kind)
        low, values = crossing(reached, lambda value: value < target, target, typical, scale)
        if low == TOP:
            reach = f"{goal.kind} {sign * values[TOP]:.4g}"
            raise InputError(f"quality {TOP} reaches {reach}, not {goal.value:g}", "ask for less")
        return Found(files[low + 1], low + 1, len(files))
    target = goal.value if goal.kind == "bytes" else goal.value * pixels / 8
    typical = ladder(card, "bpp") * pixels / 8 / options.reduce**DEARER
    low, values = crossing(size, lambda value: value <= target, target, typical, math.log)
    best = max(low, 0)
    if goal.kind == "bpp":
        best = min((q for q in (low, low + 1) if q in values), key=lambda q: abs(math.log(values[q] / target)))
        if not _close(values[best], target) and low + 1 in values and values[low + 1] <= NEAR * target:
            weak = float(card["tuning"]["rdoq_strength"])
            return _between(encode, replace(options, quality=low + 1), weak, target, files, best)
    return Found(files[best], best, len(files))


def _close(size: float, target: float) -> bool:
    return abs(size - target) <= max(CLOSE * target, 0.5)


def _between(
    encode: Encode, options: EncodeOptions, weak: float, target: float, files: Mapping[int, bytes], best: int
) -> Found:
    """Look for a size below that of a rung which takes more than is wanted, by stronger RDOQ.

    Args:
        encode: makes a file.
        options: of the encoder, with the rung's quality.
        weak: the usual strength of RDOQ.
        target: bytes wanted.
        files: those of the rungs that were tried.
        best: the rung nearest to the target so far.

    Returns:
        The file nearest to the target.
    """
    found = Found(files[best], best, len(files))
    if options.effort == 1 or options.rdoq_strength is not None or not weak:
        return found
    strengths, logs = [weak], [math.log(len(files[options.quality]) / target)]
    slope = typical = -0.05 / weak  # of log bytes over strength; the secant corrects it
    low, high = weak, STRONGEST * weak
    for count in range(1, TRIES + 1):
        strength = min(max(strengths[-1] - logs[-1] / slope, low), high)
        if strength in strengths:
            strength = (low + high) / 2
        data = encode(replace(options, rdoq_strength=strength))
        excess = math.log(len(data) / target)
        if abs(excess) < abs(math.log(len(found.data) / target)):
            found = Found(data, options.quality, 0)
        found = replace(found, encodes=len(files) + count)
        low, high = (strength, high) if excess > 0 else (low, strength)
        if _close(len(data), target) or high - low < 0.01 * weak:
            break
        slope = min((excess - logs[-1]) / (strength - strengths[-1]), 0.1 * typical)
        strengths.append(strength)
        logs.append(excess)
    return found


def crossing(
    measure: Callable[[int], float],
    below: Callable[[float], bool],
    target: float,
    typical: Curve,
    scale: Callable[[float], float],
    near: Callable[[float], bool] = lambda value: False,
) -> tuple[int, dict[int, float]]:
    """Find the highest quality whose value is still below a target, measuring few.

    Args:
        measure: the value at a quality, rising.
        below: whether a value is still below the target.
        target: the target.
        typical: (101,) a curve of the same shape, rising.
        scale: rising function of values in which the typical curve and the measured one are a constant apart, nearly.
        near: whether a value below the target is near enough to stop at.

    Returns:
        The quality (-1 when none is below), and every value measured; the quality's neighbour above is among them
        unless ``near`` stopped the search or there is none.
    """
    shape = np.maximum.accumulate([scale(float(value)) for value in typical]) + 1e-9 * np.arange(TOP + 1)
    goal = scale(target)
    values: dict[int, float] = {}
    low, high, widths = -1, TOP + 1, [TOP + 2]
    while high - low > 1 and not (low in values and near(values[low])):
        guess = (low + high) // 2 if _slow(widths) else _guess(values, shape, goal, scale)
        quality = min(max(guess, low + 1), high - 1)
        values[quality] = measure(quality)
        if below(values[quality]):
            low = quality
        else:
            high = quality
        widths.append(high - low)
    return low, values


def _slow(widths: Sequence[int]) -> bool:
    """Whether the last two of at least three measurements have failed to halve the bracket: then it is halved."""
    return len(widths) > 3 and 2 * widths[-1] > widths[-3]


def _guess(values: Mapping[int, float], shape: Curve, goal: float, scale: Callable[[float], float]) -> int:
    """Where the secant through the two values nearest the goal, along the typical curve's shape, meets the goal."""
    nearest = sorted(values, key=lambda quality: abs(scale(values[quality]) - goal))[:2]
    if not nearest:
        return int(np.interp(goal, shape, np.arange(TOP + 1)))
    at, slope = nearest[0], 1.0
    if len(nearest) == 2:
        rise = scale(values[nearest[1]]) - scale(values[at])
        slope = min(max(rise / float(shape[nearest[1]] - shape[at]), 0.25), 4.0)
    x = float(shape[at]) + (goal - scale(values[at])) / slope
    guess = int(np.interp(x, shape, np.arange(TOP + 1)))
    # a rung that is known already says that the target lies just above it
    return guess + 1 if guess in values else guess


def ladder(card: Mapping[str, Any], name: str) -> Curve:
    """What a model's qualities 0 to 100 typically reach.

    Args:
        card: the model's card.
        name: ``bpp``, ``psnr``, ``msssim`` or ``lpips``.

    Returns:
        (101,), from the card's ``ladder`` where it was measured, else a rough line between two ends.
    """
    measured = card.get("ladder", {})
    every = np.arange(TOP + 1)
    if name in measured:
        knots, heights = measured["quality"], np.asarray(measured[name], np.float64)
    else:
        knots, heights = [0, TOP], np.asarray(TYPICAL[name])
    if name == "bpp":
        return np.asarray(np.exp(np.interp(every, knots, np.log(heights))))
    return np.asarray(np.interp(every, knots, heights))


def rungs(card: Mapping[str, Any]) -> str:
    """The measured ladder in a line, ``0 0.0041, 10 0.0065, ...`` (quality, bits per pixel); empty without one."""
    measured = card.get("ladder", {})
    return ", ".join(
        f"{q} {_three(b)}" for q, b in zip(measured.get("quality", ()), measured.get("bpp", ()), strict=True)
    )


def _three(bpp: float) -> str:
    return f"{bpp:.4f}" if bpp < 0.00995 else f"{bpp:.3f}"


def likeness(name: str, picture: Picture) -> Callable[[Image], float]:
    """What tells how like a picture (H, W, 3) its decoded copy is: ``psnr`` in dB, ``msssim`` or ``lpips``.

    Raises:
        InputError: the picture is too small for the metric.
        UsageError: ``lpips`` without the packages that hold its weights.
    """
    from ..metrics.judge import Reference

    reference = Reference("", picture, _judge(name))

    def measure(decoded: Image) -> float:
        value = reference.judge(decoded)[0][name]
        if value is None:
            raise InputError(f"the picture is too small for {name}", "choose psnr, or give -q")
        return float(value)

    return measure


@lru_cache(maxsize=1)
def _judge(name: str) -> Judge:
    """The networks of a metric, loaded once."""
    from ..metrics.judge import Judge

    judge = Judge((name,))
    if judge.notes:
        raise UsageError(*judge.notes[0].split("; ", 1))
    return judge


def _decibels(similarity: float) -> float:
    """MS-SSIM on a scale where it rises evenly with quality; it may be negative, never above 1."""
    return -10 * math.log10(max(1 - similarity, 1e-9))
