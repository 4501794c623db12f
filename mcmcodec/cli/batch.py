"""Working through a plan: skip, refuse or do each file, keep going after errors, and sum up at the end."""

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Final

import click

from ..errors import UsageError
from .console import Meter, complain, duration, explain, printable, rate, size
from .files import STREAM, Job, exists, guard_terminal
from .output import Output, Taken, write
from .pipeline import Behind

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
    """What a job made: the output, the input's size, the picture's size, more facts for ``-v``, and losses.

    ``pixels`` are those that the compressed side holds, where the picture is a part or a reduction of them.
    """

    data: Output
    bytes_in: int
    width: int
    height: int
    facts: Mapping[str, object] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    pixels: int = 0

    def rate(self, size: int) -> float:
        """Bits per pixel where the compressed side has so many bytes."""
        return 8 * size / (self.pixels or self.width * self.height)


Outcomes = Callable[[Sequence[Job]], Generator[tuple[Job, Callable[[], Result]], None, None]]
"""Does jobs in order: yields each with a function that returns its result or raises what went wrong."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A job whose turn has come: what is to happen, and what came of it."""

    job: Job
    what: str
    result: Result | None = None
    error: Exception | None = None
    seconds: float = 0.0


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
    prepare: Callable[[Callable[[str], None]], Outcomes],
    manners: Manners,
    *,
    compressed: str,
) -> int:
    """Do every job.

    Args:
        jobs: The plan.
        prepare: Called once, before the first file that needs work, with a function that shows what is being
            worked on; returns what does the jobs.
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
    with Meter(len(jobs), quiet=manners.quiet) as meter:

        def settle(turn: _Turn, written: Callable[[], int]) -> None:
            _settle(turn, written, manners, tally, compressed)
            meter.step()

        hand_over = partial(_write, replace=manners.force)
        turns = _turns(jobs, prepare, manners, meter)
        if len(jobs) == 1:
            for turn in turns:
                settle(turn, partial(hand_over, turn))
        else:
            with closing(turns), closing(Behind(hand_over, settle, _weight)) as behind:
                for turn in turns:
                    if turn.result and not isinstance(turn.result.data, bytes):
                        # made while it is written: another thread would take the processor from the next file
                        behind.flush()
                        settle(turn, partial(hand_over, turn))
                    else:
                        behind.put(turn)
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
    return "skip" if manners.skip_existing else str(Taken.of(job.target))


def _turns(
    jobs: Sequence[Job], prepare: Callable[[Callable[[str], None]], Outcomes], manners: Manners, meter: Meter
) -> Generator[_Turn, None, None]:
    """Do the jobs that need it, in order; an error is kept, and the next job goes ahead."""
    fates = [fate(job, manners) for job in jobs]
    outcomes: Generator[tuple[Job, Callable[[], Result]], None, None] | None = None
    with ExitStack() as stack:
        for job, what in zip(jobs, fates, strict=True):
            meter.at(job.name)
            if what != "do":
                yield _Turn(job, what)
                continue
            if outcomes is None:
                outcomes = prepare(meter.at)([one for one, that in zip(jobs, fates, strict=True) if that == "do"])
                # what went wrong with a picture may hold on to it for long
                stack.callback(outcomes.close)
            start = time.monotonic()
            _, get = next(outcomes)
            try:
                result = get()
            except (BrokenPipeError, UsageError):
                # A reader that has gone, or an option that is wrong, is the same for all files.
                raise
            # Whatever goes wrong with one file must not cost the others.
            except Exception as error:
                yield _Turn(job, what, error=error, seconds=time.monotonic() - start)
                continue
            yield _Turn(job, what, result, seconds=time.monotonic() - start)


def _write(turn: _Turn, replace: bool) -> int:
    """Write a job's output, if there is one; return its bytes."""
    return write(turn.job.target, turn.result.data, replace=replace) if turn.result else 0


def _weight(turn: _Turn) -> int:
    """Bytes that a turn holds while it waits to be written."""
    return len(turn.result.data) if turn.result and isinstance(turn.result.data, bytes) else 0


def _settle(turn: _Turn, written: Callable[[], int], manners: Manners, tally: _Tally, compressed: str) -> None:
    """Report what came of a job once its output is written."""
    job, result, error = turn.job, turn.result, turn.error
    if turn.what == "skip":
        tally.skipped += 1
        _report(job, manners, "skipped")
        return
    start, bytes_out = time.monotonic(), 0
    try:
        bytes_out = written()
    except BrokenPipeError:
        raise
    except Taken as failure:
        if manners.skip_existing:
            # another process was faster
            tally.skipped += 1
            _report(job, manners, "skipped")
            return
        error = failure
    except Exception as failure:
        error = failure
    if error or result is None:
        _fail(job, manners, tally, explain(error, job.source) if error else turn.what)
        return
    tally.done += 1
    tally.bytes_in += result.bytes_in
    tally.bytes_out += bytes_out
    tally.pixels += result.pixels or result.width * result.height
    bpp = result.rate(bytes_out if compressed == "out" else result.bytes_in)
    seconds = turn.seconds + (0 if isinstance(result.data, bytes) else time.monotonic() - start)
    for loss in () if manners.quiet else result.lost:
        complain(f"warning: {loss}", job.name)
    _report(
        job,
        manners,
        "ok",
        width=result.width,
        height=result.height,
        bytes_in=result.bytes_in,
        bytes_out=bytes_out,
        bpp=round(bpp, 6),
        seconds=round(seconds, 3),
        **result.facts,
        **({"lost": result.lost} if result.lost else {}),
    )
    if manners.verbose:
        _tell(job, result, bytes_out, bpp, seconds)


def _tell(job: Job, result: Result, bytes_out: int, bpp: float, seconds: float) -> None:
    """``a.png -> a.mcm: 41.2 kB -> 512 B (0.041 bpp), 0.4 s, quality 43, encodes 4`` on stderr."""
    target = "stdout" if job.target == STREAM else job.target
    parts = [f"{size(result.bytes_in)} -> {size(bytes_out)} ({rate(bpp)} bpp)", duration(seconds)]
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
