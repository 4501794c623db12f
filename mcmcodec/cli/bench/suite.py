"""A whole benchmark of a folder: ours and the peers over all pictures, then pictures at equal bytes, then the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...metrics.judge import Judge, Reference, Row
from . import equal_bytes, page, peers, provenance, run
from .run import Candidate

# The rate at which pictures are shown, in bits per pixel: where codecs differ to the eye.
SHOWN_BPP = 0.04


@dataclass(frozen=True)
class Watch:
    """Callbacks of a run: `start(part, files)` before a part, `advance(name)` after a file, `warn` of what failed."""

    start: Callable[[str, int], None]
    advance: Callable[[str], None]
    warn: Callable[[str], None]


def rate_distortion(
    title: str, paths: Sequence[Path], candidates: Sequence[Candidate], judge: Judge, about: dict[str, Any],
    journal: Path | None, watch: Watch, square: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """A results file's content: `about`, curves, points, rows. The journal at that path is left for `finish`."""
    curves = {name: dict(one.facts) for one in candidates for name in one.decoders}
    settings = [[one.facts, one.settings] for one in candidates]
    key = {"paths": [[path.name, path.stat().st_size] for path in paths], "square": square, "settings": settings}
    key |= {"metrics": judge.wanted, "versions": about["versions"], "model": about.get("model")}
    watch.start("files", len(paths) * sum(len(one.settings) for one in candidates))
    kept = run.Journal(journal, key)
    alone: list[float | None] = []

    def originals() -> Iterator[Reference]:
        for reference in run.references(paths, judge, square):
            alone.append(judge.brisque.score(reference.picture) if judge.brisque else None)
            yield reference

    rows, points = run.sweep(candidates, originals(), kept, watch.advance, watch.warn)
    if not points:
        raise UsageError("nothing could be measured", "see the messages above")
    content: dict[str, Any] = {"set": title, "square": square, "images": len(paths), "metrics": judge.wanted} | about
    known = [value for value in alone if value is not None]
    if known and len(known) == len(alone):
        # a metric without the original says little until it is known of the original
        content["originals"] = {"brisque": round(sum(known) / len(known), run.DIGITS["brisque"])}
    return content | {"curves": curves, "points": points, "rows": rows}


def finish(content: dict[str, Any], path: Path, journal: Path) -> None:
    """Write the results file; the run need not go on any more."""
    provenance.write_json(path, content)
    run.remove(journal)


def peer_candidates(found: Sequence[peers.Peer], scales: Sequence[int], threads: int = 1) -> list[Candidate]:
    """Every peer at every scale."""
    return [run.peer(one, scale, threads) for one in found for scale in scales]


def pictures(
    paths: Sequence[Path], mine: Sequence[Candidate], others: Sequence[Candidate], rows: Sequence[Row], judge: Judge,
    watch: Watch, square: int = 0,
) -> list[tuple[Reference, list[equal_bytes.Shown]]]:  # fmt: skip
    """Every picture, ours at the setting closest to SHOWN_BPP, and each peer's best variant at the same bytes."""
    families: dict[str, list[Candidate]] = {}
    for one in others:
        families.setdefault(one.facts["family"], []).append(one)
    watch.start("at equal bytes", len(paths) * (1 + len(families)))
    found = []
    for reference in run.references(paths, judge, square):
        shown = []
        target = int(SHOWN_BPP * reference.pixels / 8)
        for candidate in mine:
            (name, *_) = candidate.decoders
            known = [row for row in rows if row["curve"] == name and row["image"] == reference.name]
            setting = min(known, key=lambda row: abs(row["bpp"] - SHOWN_BPP))["setting"] if known else 0
            shown += equal_bytes.ours(candidate, reference, setting)
            target = shown[0].size
        watch.advance(reference.name)
        for family, variants in families.items():
            other = equal_bytes.closest(variants, rows, reference, target)
            shown += [other] if other else []
            watch.advance(f"{reference.name}, {family}")
        reference.release()
        found.append((reference, shown))
    return found


def write_page(
    path: Path, contents: Sequence[dict[str, Any]], shown: Sequence[tuple[Reference, list[equal_bytes.Shown]]] = ()
) -> None:
    """The page of results files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.render(contents, shown), encoding="utf-8")


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of the paths, evenly spread."""
    if len(paths) <= count:
        return list(paths)
    return [paths[index * len(paths) // count] for index in range(count)]
