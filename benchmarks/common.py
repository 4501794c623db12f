"""What the reference runs share: their options, the codec loaded once, and what a results file says first."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import mcmcodec
from mcmcodec.bench import facts, judge
from mcmcodec.bench.facts import write_json as write_json
from mcmcodec.bench.run import Clock
from mcmcodec.errors import McmError
from mcmcodec.image import readable_extensions


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `start` and `referee` need, and --limit."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto [cpu]")
    parser.add_argument("--threads", type=int, default=1, help="of torch and OpenCV [1]")
    parser.add_argument("--limit", type=int, help="only the first so many pictures")
    parser.add_argument("--metrics", default="quick", help=f"of {', '.join(judge.METRICS)}; quick, all [quick]")


def begin(options: argparse.Namespace) -> dict[str, Any]:
    """Sets threads and clock; returns machine, versions, commit."""
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    single = options.device == "cpu" and options.threads == 1
    if single:
        # CPU time of one thread does not change with other work on the machine.
        Clock.read = Clock.cpu
    return facts.gather(options.device, options.threads) | {"seconds": "CPU" if single else "wall clock"}


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
