"""One picture at equal bytes: what every codec makes of it when its file is as large as ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from ...metrics.judge import Reference, Row
from .curves import interpolate
from .run import Candidate, rounded

STEPS = 6


@dataclass(frozen=True)
class Shown:
    """A decoded picture, its curve's name, setting, bytes and metrics."""

    title: str
    setting: float
    size: int
    image: Image.Image
    values: Row


def ours(candidate: Candidate, reference: Reference, setting: float) -> list[Shown]:
    """The picture of every decoder of one file."""
    data = candidate.encode(reference.image, setting)
    shown = [(name, decode(data, reference.image.size)) for name, decode in candidate.decoders.items()]
    return [_shown(name, setting, len(data), image, reference) for name, image in shown if image]


def closest(variants: Sequence[Candidate], rows: Sequence[Row], reference: Reference, target: int) -> Shown | None:
    """A codec's picture at about `target` bytes, by the variant with the best PSNR there; None when nothing is known.

    `rows` are the run's; between two of their settings the setting is searched by bisection.
    """
    best: tuple[float, Candidate, list[Row]] | None = None
    for candidate in variants:
        (name,) = candidate.decoders
        known = [row for row in rows if row["curve"] == name and row["image"] == reference.name]
        known.sort(key=lambda row: row["bytes"])
        if not known:
            continue
        at = interpolate([(row["bytes"], row["psnr"]) for row in known if row.get("psnr") is not None], target)
        # out of reach counts by how far it is
        away = min(abs(math.log(row["bytes"] / target)) for row in known)
        value = -100 * away if at is None else at
        if best is None or value > best[0]:
            best = value, candidate, known
    if best is None:
        return None
    _, candidate, known = best
    low = max((row for row in known if row["bytes"] <= target), key=lambda row: row["bytes"], default=known[0])
    high = min((row for row in known if row["bytes"] > target), key=lambda row: row["bytes"], default=known[-1])
    found = _search(candidate, reference, target, float(low["setting"]), float(high["setting"]))
    setting, data = min(found, key=lambda one: abs(math.log((len(one[1]) + candidate.extra) / target)))
    name, decode = next(iter(candidate.decoders.items()))
    image = decode(data, reference.image.size)
    return _shown(name, setting, len(data) + candidate.extra, image, reference) if image else None


def _search(
    candidate: Candidate, reference: Reference, target: int, low: float, high: float
) -> list[tuple[float, bytes]]:
    """Settings and files between two settings, the first of which gives the smaller file."""
    whole = all(float(setting).is_integer() for setting in candidate.settings)
    tried = {setting: candidate.encode(reference.image, setting) for setting in {low, high}}
    for _ in range(STEPS):
        middle = (low + high) / 2
        if whole:
            middle = float(math.floor(middle))
        if middle in tried:
            break
        tried[middle] = candidate.encode(reference.image, middle)
        if len(tried[middle]) + candidate.extra <= target:
            low = middle
        else:
            high = middle
    return list(tried.items())


def _shown(name: str, setting: float, size: int, decoded: Image.Image, reference: Reference) -> Shown:
    values, _ = reference.judge(decoded)
    return Shown(name, setting, size, decoded, rounded(values))
