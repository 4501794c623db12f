"""What a measurement works with: data, codec, metrics, progress, and where it can go on after being stopped."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mcmcodec import Codec
from mcmcodec.cli.bench import provenance, suite
from mcmcodec.image.io import readable_extensions
from mcmcodec.metrics.judge import Judge, device_of
from mcmcodec.model.weights import Weights, find

RESULTS = Path(__file__).parent / "results"


@dataclass
class Work:
    """One run of the benchmarks.

    Attributes:
        data: folder that holds the sets of pictures and captions by name.
        model: name of the model; the default one if None.
        device: ``cpu``, ``cuda`` or ``auto``.
        threads: of ONNX Runtime, torch and OpenCV.
        results: folder of the results files.
        name: the benchmark that runs now.
        anew: measure what is there already too.
    """

    data: Path
    model: str | None = None
    device: str = "cpu"
    threads: int = 1
    results: Path = RESULTS
    name: str = ""
    anew: bool = False
    _bars: Progress | None = field(default=None, repr=False)

    @cached_property
    def codec(self) -> Codec:
        """The codec, loaded once."""
        return Codec(self.model, self.device)

    @property
    def journal(self) -> Path:
        """Where a measurement of many files keeps what it has, to go on from."""
        return self.results / f"{self.name}.partial"

    def facts(self, *, model: bool = True) -> dict[str, Any]:
        """Set the threads and the clock; the head of a results file: model, machine, versions, commit."""
        known = {"model": identity(self.codec.weights)} if model else {}
        return known | provenance.begin(self.device, self.threads)

    def judge(self, metrics: Sequence[str]) -> Judge:
        """The networks of some metrics; a line on stderr for each that is not installed."""
        judge = Judge(metrics, device_of(self.device))
        for note in judge.notes:
            click.echo(note, err=True)
        return judge

    def pictures(self, folder: str, count: int | None = None) -> list[Path]:
        """Sorted paths of a set's pictures, or so many of them, evenly spread; ClickException where there are none."""
        place = self.data / folder
        paths = sorted(path for path in place.glob("*") if path.suffix.lower() in readable_extensions())
        if not paths:
            raise click.ClickException(f"no pictures in {place}; --data must hold a folder {folder}")
        return paths if count is None else suite.spread(paths, count)

    @property
    def watch(self) -> suite.Watch:
        """Progress on stderr, inside :meth:`progress`."""
        bars = self._bars
        assert bars is not None
        return suite.Watch(
            lambda what, total: bars.add_task(what, total=total),
            lambda what: bars.advance(bars.task_ids[-1]),
            bars.console.print,
        )

    @contextlib.contextmanager
    def progress(self) -> Iterator[None]:
        """Show progress while it lasts."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as self._bars:
            yield


def mean(values: Sequence[float | None], digits: int = 6) -> float | None:
    """The mean, rounded to so many digits; None where a value is missing."""
    known = [float(value) for value in values if value is not None]
    return round(statistics.fmean(known), digits) if len(known) == len(values) else None


def identity(weights: Weights) -> dict[str, Any]:
    """A model by its content: name, fingerprint of the stream, hashes of decoders and analyses."""
    decoders = {name: weights.card["decoders"][name]["sha256"] for name in weights.decoders}
    analyses = {name: weights.card["analyses"][name]["sha256"] for name in weights.analyses}
    return {
        "name": weights.name, "fingerprint": weights.fingerprint.hex(), "decoders": decoders, "analyses": analyses,
    }  # fmt: skip


def installed(model: str | None) -> dict[str, Any]:
    """The same of an installed model, by name."""
    return identity(find(model))
