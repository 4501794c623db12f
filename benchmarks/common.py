"""What the reference runs share: their options, the codec loaded once, and what a results file says first."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch as torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import mcmcodec
from mcmcodec.cli.bench import provenance, suite
from mcmcodec.cli.bench.provenance import write_json as write_json
from mcmcodec.errors import McmError
from mcmcodec.image.io import readable_extensions
from mcmcodec.metrics import judge


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `begin` and `referee` need, and --limit; `start` needs ``--model`` besides."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto [cpu]")
    parser.add_argument("--threads", type=int, default=1, help="of torch and OpenCV [1]")
    parser.add_argument("--limit", type=int, help="only the first so many pictures")
    parser.add_argument("--metrics", default="quick", help=f"of {', '.join(judge.METRICS)}; quick, all [quick]")


def add_sample(parser: argparse.ArgumentParser, count: int, qualities: str) -> None:
    """The options of a script that measures some of a folder's pictures with ours: `sample` and `points` read them."""
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=count, help=f"pictures, evenly spread [{count}]")
    parser.add_argument("--qualities", default=qualities, help=f"of ours [{qualities}]")
    parser.add_argument("--decoder", default="perceptual,fidelity", help="of ours [perceptual,fidelity]")
    parser.add_argument("--out", type=Path, required=True, help="results file, JSON")
    parser.add_argument("--model", help="which weights [the default model]")
    add_options(parser)


def sample(options: argparse.Namespace) -> list[Path]:
    """The pictures to measure."""
    return suite.spread(pictures(options.folder), options.count)


def points(options: argparse.Namespace) -> tuple[list[str], list[int]]:
    """Decoders and qualities of ours."""
    return options.decoder.split(","), [int(quality) for quality in options.qualities.split(",")]


def begin(options: argparse.Namespace) -> dict[str, Any]:
    """Sets threads and clock; returns machine, versions, commit."""
    return provenance.begin(options.device, options.threads)


def start(options: argparse.Namespace) -> tuple[mcmcodec.Codec, dict[str, Any]]:
    """The codec, loaded once, and what a results file says first: model, machine, versions, commit."""
    coder = mcmcodec.Codec(model=options.model, device=options.device)
    weights = coder.weights
    decoders = {name: weights.card["decoders"][name]["sha256"] for name in weights.decoders}
    model = {"name": weights.name, "fingerprint": weights.fingerprint.hex(), "decoders": decoders}
    return coder, {"model": model} | begin(options)


def referee(options: argparse.Namespace) -> judge.Judge:
    """The wanted metrics' networks; a note for each that is not installed."""
    found = judge.Judge(judge.parse(options.metrics), judge.device_of(options.device))
    for note in found.notes:
        print(note, file=sys.stderr)
    return found


def pictures(folder: Path) -> list[Path]:
    """Sorted paths of the folder's pictures; ends the program with a message when there are none."""
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in readable_extensions())
    if not paths:
        raise SystemExit(f"no pictures in {folder}; give a folder that holds some")
    return paths


def run(main: Callable[[], None]) -> None:
    """Runs a command; what the codec or the file system refuses becomes one line instead of a traceback."""
    try:
        main()
    except (McmError, OSError) as error:
        raise SystemExit(f"{Path(sys.argv[0]).name}: {error}") from error


def progress() -> Progress:
    """Progress display on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


@contextlib.contextmanager
def watch() -> Iterator[suite.Watch]:
    """Progress of a run on stderr."""
    with progress() as bars:
        yield suite.Watch(
            lambda what, total: bars.add_task(what, total=total),
            lambda what: bars.advance(bars.task_ids[-1]),
            bars.console.print,
        )
