"""What is a file worth with a caption only, with edges, with the base layer only, and whole?

After the benchmarks of multi-modal compression (Li et al., "CMC-Bench", 2024), which judge every mode by its
consistency with the original and by perception, of the pictures by themselves. A caption makes a picture only with a
model for painting, which is not measured
here; a sketch is measured as it is drawn, so its numbers say what it costs, not what a model would make of it.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mcmcodec.cli.bench import ours, suite

from .work import Work


def measure(
    work: Work, *, folder: str, captions: str, count: int, qualities: Sequence[int], decoders: Sequence[str],
    metrics: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """Evenly spread pictures that people described; ``captions`` is a table with columns ``name`` and ``caption``."""
    facts, codec = work.facts(), work.codec
    name = codec.weights.name
    candidates = [ours.candidate(codec, name, decoders[:1], (0,), mode) for mode in ("caption", "sketch")]
    candidates += [one for mode in ("base", "full") for one in ours.candidates(codec, decoders, qualities, mode)]
    judge = work.judge(metrics)
    with tempfile.TemporaryDirectory() as beside:
        paths = captioned(work.pictures(folder), work.data / captions, count, Path(beside))
        return suite.rate_distortion(folder, paths, candidates, judge, facts, work.journal, work.watch)


def captioned(pictures: Sequence[Path], table: Path, count: int, into: Path) -> list[Path]:
    """Copies of evenly spread pictures that have captions, with the first caption of each in a text file beside it."""
    words: dict[str, str] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["kind"] == "human":
                words.setdefault(row["name"], row["caption"])
    paths = suite.spread([path for path in pictures if path.name in words], count)
    if not paths:
        raise click.ClickException(f"{table} has no caption of these pictures")
    for path in paths:
        shutil.copyfile(path, into / path.name)
        (into / path.name).with_suffix(".txt").write_text(words[path.name], encoding="utf-8")
    return [into / path.name for path in paths]
