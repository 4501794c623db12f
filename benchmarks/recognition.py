"""Does a classifier still see the same, and are pictures natural? Ours beside other codecs at nearly equal rates.

The classifier is no stranger to the decoder ``perceptual``: earlier features of the same network were in its loss.
BRISQUE, which knows nothing of the original, is left out where it is not installed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from mcmcodec.cli.bench import ours, suite
from mcmcodec.metrics.judge import RECOGNITION

from .perception import peers_at
from .work import Work


def measure(
    work: Work, *, folder: str, count: int, qualities: Sequence[int], decoders: Sequence[str], names: Sequence[str],
    rates: Sequence[float],
) -> dict[str, Any]:  # fmt: skip
    """Ours at ``qualities``, and the codecs of ``names`` at about ``rates`` bits per pixel by ``small_peers``."""
    facts, judge = work.facts(), work.judge((*RECOGNITION, "brisque"))
    if judge.recognition is None:
        raise click.ClickException(judge.notes[0])
    mine = ours.candidates(work.codec, decoders, qualities)
    measured = json.loads((work.results / "small_peers.json").read_text(encoding="utf-8"))
    others = peers_at(measured, names, rates)
    paths = work.pictures(folder, count)
    return suite.rate_distortion(folder, paths, [*mine, *others], judge, facts, work.journal, work.watch)
