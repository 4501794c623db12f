"""Sentences of the first page and of the model's card that hold measured numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mcmcodec.cli.bench import curves
from mcmcodec.cli.bench.curves import Curve
from mcmcodec.metrics.judge import METRICS, QUICK

from . import answers, paired
from .cells import DASH, MCM, number

if TYPE_CHECKING:
    from .pages import Results

RATES = (0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15)
SHOWN_RATE = 0.1
"""About the rate at which DISTS is quoted, in bits per pixel."""


def limits(results: Results) -> list[str]:
    """Where PSNR counts, and where time does, for the first page."""
    vvc, avif = (ahead(results, "psnr", name) for name in ("VVC", "AVIF"))
    return [f"- Above 0.25 bpp, or for PSNR: VVC is ahead {vvc}, AVIF {avif}.", answers.at_once(results)]


def card(results: Results) -> list[str]:
    """The results of the model's card."""
    return [*_bytes(results), *_dists(results), *_small(results), *_exact(results)]


def card_limits(results: Results) -> list[str]:
    """What is wrong with the model by its numbers."""
    fidelity, perceptual = (_ours(results, name) for name in ("fidelity", "perceptual"))
    pairs = [(fidelity.at("psnr", rate), perceptual.at("psnr", rate)) for rate in RATES]
    paid = [a - b for a, b in pairs if a is not None and b is not None]
    said = {metric: [ahead(results, metric, name) for name in ("VVC", "AVIF")] for metric in ("psnr", "msssim")}
    won = [f"in {_short(metric)} VVC is ahead {vvc}, AVIF {avif}" for metric, (vvc, avif) in said.items()]
    return [
        f"- Where all may scale pictures down, {'; '.join(won)}.",
        f"- `perceptual` pays for its looks with {min(paid):.1f} to {max(paid):.1f} dB against `fidelity`.",
    ]


def ahead(results: Results, metric: str, name: str) -> str:
    """At which of `RATES` a codec's best variant is ahead of that of `fidelity`, in words: ``from 0.075 bpp on``."""
    mine = next((one for one in results.variants if "fidelity" in one.name), _ours(results, "fidelity"))
    other = next(one for one in results.peers if one.name == f"{name}, best variant")
    score = METRICS[metric].score
    known = {
        rate: score(b) > score(a)
        for rate in RATES
        if (a := mine.at(metric, rate)) is not None and (b := other.at(metric, rate)) is not None
    }
    won = [rate for rate, better in known.items() if better]
    if not won:
        return "at no rate"
    if len(won) == len(known):
        return "at every rate"
    if won == list(known)[-len(won) :]:
        return f"from {won[0]:g} bpp on"
    if won == list(known)[: len(won)]:
        return f"up to {won[-1]:g} bpp"
    return f"at {_listed([f'{rate:g}' for rate in won])} bpp"


def _bytes(results: Results) -> list[str]:
    decoders = {metric: decoder for metric, decoder in paired.CLAIMS}
    parts = []
    for anchor in (one for one in results.peers if one.name in paired.ANCHORS):
        rates = [(_ours(results, decoders[metric]).bd_rate(metric, anchor), metric) for metric in QUICK]
        said = [
            f"{DASH if rate is None else f'{rate:+.0f} %'} at equal {_short(metric)} (`{decoders[metric]}`)"
            for rate, metric in rates
        ]
        parts.append(f"against {anchor.name} {', '.join(said)}")
    return [f"- Bytes, all at full size: {'; '.join(parts)}."]


def _dists(results: Results) -> list[str]:
    content = results["perception"]
    if content is None:
        return []
    said, rate = [], SHOWN_RATE
    for name in ("VVC", "AVIF", _ours(results, "perceptual").name):
        family = [point for point in content["points"] if point["curve"].partition(" 1/")[0] == name]
        if family:
            point = min(family, key=lambda one: abs(one["bpp"] - rate))  # noqa: B023
            who = "`perceptual`" if name.startswith("mcm ") else name
            said.append(f"{number('dists', point['dists'])} for {who} at {point['bpp']:.3f} bpp")
            # the last one, ours, is quoted where the others are
            rate = point["bpp"]
    return [
        "- DISTS, whose network nothing was trained for (another's features were compared in its way), is "
        f"{_listed(said)}, on {content['images']} Kodak pictures."
    ]


def _small(results: Results) -> list[str]:
    content = results["small"]
    if content is None:
        return []
    mine = next(one for some in curves.of(content).values() for one in some if one.name.split()[2] == "perceptual")
    ours = _listed([number("lpips", mine.at("lpips", rate)) for rate in MCM])
    rates, theirs = _listed([f"{rate:g}" for rate in MCM]), _listed([f"{value:g}" for value in MCM.values()])
    return [
        f"- On pictures of 256x256 `perceptual` has an LPIPS of {ours} at {rates} bpp. MCM-base published {theirs}, on "
        "other pictures and without a container."
    ]


def _exact(results: Results) -> list[str]:
    content = results["exactness"]
    if content is None:
        return []
    rows = content["rows"]
    symbols = "the same" if all(row["other_symbols"] == 0 for row in rows) else "OTHER"
    return [
        f"- {rows[0]['files']} files gave {symbols} symbols in {len(rows)} environments (threads, instructions, "
        "precisions, tiles, an independent parser), and pixels within "
        f"{max(row['pixel_difference'] for row in rows)}."
    ]


def _ours(results: Results, decoder: str) -> Curve:
    return next(curve for curve in results.ours if curve.name.split()[2] == decoder)


def _short(metric: str) -> str:
    return METRICS[metric].title.partition(" (")[0]


def _listed(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
