"""How many bytes does which quality take? Ours and other codecs, through real files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import click

from mcmcodec.cli.bench import ours, peers, run, suite

from .work import Work

Content = dict[str, Any]


def measure_ours(
    work: Work, *, folder: str, qualities: Sequence[int], decoders: Sequence[str], metrics: Sequence[str],
    count: int | None = None, reduce: int = 1, square: int = 0,
) -> Content:  # fmt: skip
    """A folder's pictures at several qualities, encoded for the decoders that read them.

    Args:
        work: the run.
        folder: name of the set.
        qualities: of the codec.
        decoders: names of the model's decoders.
        metrics: names of metrics.
        count: so many pictures, evenly spread; all if None.
        reduce: code pictures at 1/reduce of their size.
        square: the middle square of each, scaled to this side; 0 takes pictures as they are.

    Returns:
        A results file's content: facts, curves, points, rows.
    """
    facts, options = work.facts(), {"reduce": reduce} if reduce > 1 else {}
    mine = ours.candidates(work.codec, decoders, qualities, **options)
    paths, judge = work.pictures(folder, count), work.judge(metrics)
    return suite.rate_distortion(folder, paths, mine, judge, facts, work.journal, work.watch, square)


def measure_peers(
    work: Work, *, folder: str, names: Sequence[str], scales: Sequence[int], metrics: Sequence[str],
    count: int | None = None, square: int = 0,
) -> Content:  # fmt: skip
    """The same of other codecs, whose settings are their ladders; they do not depend on our model.

    Points that the results file has already are kept, those of codecs that are not installed here among them.
    """
    found, missing = peers.find()
    for one in missing:
        if one.name in names:
            click.echo(f"without {one.name}: {one.remedy}", err=True)
    candidates = suite.peer_candidates([one for one in found if one.name in names], scales, work.threads)
    paths, path = work.pictures(folder, count), work.results / f"{work.name}.json"
    old: Content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if old and not work.anew:
        candidates = lacking(candidates, old, len(paths))
        if not candidates:
            return old
    judge, facts = work.judge(metrics), work.facts(model=False)
    new = suite.rate_distortion(folder, paths, candidates, judge, facts, work.journal, work.watch, square)
    return merged(old, new) if old else new


def lacking(candidates: Sequence[run.Candidate], old: Content, images: int) -> list[run.Candidate]:
    """The candidates with those settings that the old content does not have of all pictures."""
    known = {(point["curve"], float(point["setting"])) for point in old["points"] if point["images"] >= images}
    found = []
    for one in candidates:
        (name,) = one.decoders
        settings = tuple(setting for setting in one.settings if (name, float(setting)) not in known)
        found += [dataclasses.replace(one, settings=settings)] if settings else []
    return found


def merged(old: Content, new: Content) -> Content:
    """The old content with the new one's points in it."""
    measured = {(point["curve"], float(point["setting"])) for point in new["points"]}
    result = old | new | {"curves": old["curves"] | new["curves"]}
    for part in ("points", "rows"):
        kept = [row for row in old[part] if (row["curve"], float(row["setting"])) not in measured]
        result[part] = kept + new[part]
    return result
