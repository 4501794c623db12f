"""Working through a plan: skip, refuse or do each file, keep going after errors, and sum up at the end."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

import click

from ..errors import UsageError
from .console import Meter, complain, duration, explain, printable, rate, size
from .files import STREAM, Job, exists, guard_terminal, write

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
ALL_SKIPPED: Final = 3
INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Manners:
    """How a command treats files that exist, and what it says."""

    force: bool
    skip_existing: bool
    dry_run: bool
    quiet: bool
    json: bool
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a job made: the output's bytes, the input's size, the picture's size, more facts for ``-v``, and losses."""

    data: bytes
    bytes_in: int
    width: int
    height: int
    facts: Mapping[str, object] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


@dataclass(slots=True)
class _Tally:
    done: int = 0
    failed: int = 0
    skipped: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    pixels: int = 0

    def exit_code(self) -> int:
        if self.failed:
            return FAILED
        return ALL_SKIPPED if self.skipped and not self.done else OK


def run(
    jobs: Sequence[Job],
    prepare: Callable[[Callable[[str], None]], Callable[[Job], Result]],
    manners: Manners,
    *,
    compressed: str,
) -> int:
    """Do every job.

    Args:
        jobs: The plan.
        prepare: Called once, before the first file that needs work, with a function that shows what is being
            worked on; returns the function that does a job.
        manners: What to do about existing files, and what to say.
        compressed: ``"in"`` or ``"out"``: the side whose bytes make up the bits per pixel.

    Returns:
        The exit code.

    Raises:
        UsageError: The options are wrong or contradict each other, or a terminal would be used for binary.
        McmError: From ``prepare``.
    """
    to_stdout = any(job.target == STREAM for job in jobs)
    if manners.force and manners.skip_existing:
        raise UsageError("--force and --skip-existing contradict each other", "give one of them")
    if manners.quiet and manners.verbose:
        raise UsageError("--quiet and --verbose contradict each other", "give one of them")
    if manners.json and to_stdout:
        raise UsageError("--json and the data cannot both go to stdout", "give a file with -o")
    if manners.dry_run:
        for job in jobs:
            _announce(job, manners)
        return OK
    guard_terminal(jobs)
    tally = _Tally()
    start = time.monotonic()
    work: Callable[[Job], Result] | None = None
    with Meter(len(jobs), quiet=manners.quiet) as meter:
        for job in jobs:
            meter.at(job.name)
            what = fate(job, manners)
            if what == "do":
                work = work or prepare(meter.at)
                _do(job, work, manners, tally, compressed)
            elif what == "skip":
                tally.skipped += 1
                _report(job, manners, "skipped")
            else:
                _fail(job, manners, tally, what)
            meter.step()
    if not manners.quiet and not to_stdout:
        click.echo(_summary(tally, time.monotonic() - start, compressed), err=True)
    return tally.exit_code()


def fate(job: Job, manners: Manners) -> str:
    """What is to happen to a job: ``do``, ``skip``, or the reason for refusing."""
    if job.target == STREAM or manners.force:
        return "do"
    try:
        there = exists(job.target)
    except OSError as error:
        return explain(error)
    if not there:
        return "do"
    return "skip" if manners.skip_existing else f"{job.target} exists; give -f to overwrite it or --skip-existing"


def _do(job: Job, work: Callable[[Job], Result], manners: Manners, tally: _Tally, compressed: str) -> None:
    """Do one job and write its output; an error is reported and counted, and the next job goes ahead."""
    start = time.monotonic()
    try:
        result = work(job)
        write(job.target, result.data)
    except (BrokenPipeError, UsageError):
        # A reader that has gone, or an option that is wrong, is the same for all files.
        raise
    # Whatever goes wrong with one file must not cost the others.
    except Exception as error:
        _fail(job, manners, tally, explain(error, job.source))
        return
    tally.done += 1
    tally.bytes_in += result.bytes_in
    tally.bytes_out += len(result.data)
    tally.pixels += result.width * result.height
    coded = len(result.data) if compressed == "out" else result.bytes_in
    for loss in () if manners.quiet else result.lost:
        complain(f"warning: {loss}", job.name)
    _report(
        job,
        manners,
        "ok",
        width=result.width,
        height=result.height,
        bytes_in=result.bytes_in,
        bytes_out=len(result.data),
        bpp=round(8 * coded / (result.width * result.height), 6),
        seconds=round(time.monotonic() - start, 3),
        **result.facts,
        **({"lost": result.lost} if result.lost else {}),
    )
    if manners.verbose:
        _tell(job, result, coded, time.monotonic() - start)


def _tell(job: Job, result: Result, coded: int, seconds: float) -> None:
    """``a.png -> a.mcm: 41.2 kB -> 512 B (0.041 bpp), 0.4 s, quality 43, encodes 4`` on stderr."""
    target = "stdout" if job.target == STREAM else job.target
    sizes = f"{size(result.bytes_in)} -> {size(len(result.data))}"
    parts = [f"{sizes} ({rate(8 * coded / (result.width * result.height))} bpp)", duration(seconds)]
    parts += [f"{name} {fact}" for name, fact in result.facts.items()]
    click.echo(printable(f"{job.name} -> {target}: {', '.join(parts)}"), err=True)


def _fail(job: Job, manners: Manners, tally: _Tally, message: str) -> None:
    tally.failed += 1
    complain(message, job.name)
    _report(job, manners, "failed", error=message)


def _report(job: Job, manners: Manners, status: str, **more: object) -> None:
    """One line of JSON on stdout, when asked for."""
    if manners.json:
        click.echo(json.dumps({**asdict(job), "status": status, **more}))


def _announce(job: Job, manners: Manners) -> None:
    """Say what would be done."""
    what = fate(job, manners)
    status = {"do": "planned", "skip": "skipped"}.get(what, "refused")
    if manners.json:
        _report(job, manners, status)
    else:
        target = "stdout" if job.target == STREAM else job.target
        note = {"planned": "", "skipped": " (skipped: it exists)"}.get(status, f" (refused: {what})")
        click.echo(printable(f"{job.name} -> {target}{note}"))


def _summary(tally: _Tally, seconds: float, compressed: str) -> str:
    """``24 images, 61.3 MB -> 118 kB (0.041 bpp), 38 s, 1 failed``."""
    parts = [f"{tally.done} image{'' if tally.done == 1 else 's'}"]
    if tally.done:
        coded = tally.bytes_out if compressed == "out" else tally.bytes_in
        parts.append(f"{size(tally.bytes_in)} -> {size(tally.bytes_out)} ({rate(8 * coded / tally.pixels)} bpp)")
        parts.append(duration(seconds))
    if tally.skipped:
        parts.append(f"{tally.skipped} skipped")
    if tally.failed:
        parts.append(f"{tally.failed} failed")
    return ", ".join(parts)
