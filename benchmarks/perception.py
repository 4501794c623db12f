"""Do pictures look right? LPIPS by two networks, DISTS, colour and a Frechet distance, ours beside other codecs.

DISTS and the Frechet distance need a pass of VGG16 over every picture, LPIPS by VGG16 another one, several seconds each
on one core. So few pictures are taken, and every other codec is measured only where it comes closest to some rates, in
the variant (full, half or quarter size) that has the least LPIPS there by the results of ``kodak_peers``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from mcmcodec.cli.bench import ours, peers, run, suite

from .work import Work

Content = dict[str, Any]
NEAR = math.log(1.25)
"""Settings whose rate is so near to a wanted one count as equal; among them LPIPS decides."""


def measure(
    work: Work, *, folder: str, count: int, qualities: Sequence[int], decoders: Sequence[str], names: Sequence[str],
    rates: Sequence[float], metrics: Sequence[str],
) -> Content:  # fmt: skip
    """Ours at ``qualities``, and the codecs of ``names`` at about ``rates`` bits per pixel."""
    facts = work.facts()
    mine = ours.candidates(work.codec, decoders, qualities)
    measured = json.loads((work.results / "kodak_peers.json").read_text(encoding="utf-8"))
    others = peers_at(measured, names, rates)
    paths, judge = work.pictures(folder, count), work.judge(metrics)
    return suite.rate_distortion(folder, paths, [*mine, *others], judge, facts, work.journal, work.watch)


def nearest(measured: Content, family: str, rate: float) -> tuple[int, float]:
    """Scale and setting of a codec's point at about `rate` bpp."""

    def away(point: dict[str, Any]) -> tuple[float, float]:
        distance = abs(math.log(point["bpp"] / rate))
        return max(distance, NEAR), point["lpips"] if point["lpips"] is not None else 1.0

    curves = measured["curves"]
    points = [
        point
        for point in measured["points"]
        if curves[point["curve"]]["family"] == family and curves[point["curve"]]["scale"] in peers.SCALES
    ]
    if not points:
        raise click.ClickException(f"kodak_peers.json holds nothing of {family}; run kodak_peers first")
    best = min(points, key=away)
    return curves[best["curve"]]["scale"], best["setting"]


def peers_at(measured: Content, names: Sequence[str], rates: Sequence[float]) -> list[run.Candidate]:
    """Candidates of the codecs, with the settings that come closest to the rates; ClickException if one is missing."""
    found, missing = peers.find()
    for one in missing:
        if one.name in names:
            raise click.ClickException(f"{one.name} is not installed; {one.remedy}")
    chosen = []
    for one in found:
        if one.name not in names:
            continue
        settings: dict[int, set[float]] = {}
        for rate in rates:
            scale, setting = nearest(measured, one.name, rate)
            settings.setdefault(scale, set()).add(setting)
        chosen += [replace(run.peer(one, scale), settings=tuple(sorted(some))) for scale, some in settings.items()]
    return chosen
