"""The loop over the files of a command: skip, refuse or do each one, continue after errors, print a summary."""

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

import click

from ..errors import UsageError
from .console import Meter, complain, duration, explain, printable, rate, size
from .files import STREAM, Job, Plan, exists, guard_stdin, guard_terminal
from .output import Output, OutputExists, write
from .pipeline import WriteBehind

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
ALL_SKIPPED: Final = 3
INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class OutputPolicy:
    """What a command does about outputs that exist, and what it prints.

    Raises:
        UsageError: two of the options contradict each other.
    """

    force: bool = False
    skip_existing: bool = False
    dry_run: bool = False
    quiet: bool = False
    verbose: bool = False
    json: bool = False
    preserve: bool = False

    def __post_init__(self) -> None:
        if self.force and self.skip_existing:
            raise UsageError("--force and --skip-existing contradict each other", "give one of them")
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose contradict each other", "give one of them")


@dataclass(frozen=True, slots=True)
class Result:
    """What encoding or decoding one file gave.

    Attributes:
        data: the output.
        bytes_in: size of the input.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        details: more about it, for ``-v`` and ``--json``.
        lost: what of the input the output does not hold, in words for people.
        pixels: of the .mcm file, where the picture is a part or a reduction of it; 0 for width times height.
        made_of: the files and folders that it was made of, where that is more than the job's source.
    """

    data: Output
    bytes_in: int
    width: int
    height: int
    details: Mapping[str, object] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    pixels: int = 0
    made_of: tuple[str, ...] = ()

    @property
    def coded_pixels(self) -> int:
        """Pixels of the .mcm file."""
        return self.pixels or self.width * self.height


JobRunner = Callable[[Sequence[Job]], Generator[tuple[Job, Callable[[], Result]], None, None]]
"""Takes the jobs that need work and yields each, in order, with a function that returns its result or raises."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A job and what became of it before its output is written.

    Attributes:
        job: the job.
        action: see :func:`decide_action`.
        result: what it gave, if it was done.
        error: what went wrong with it, if anything did.
        seconds: time that it took.
    """

    job: Job
    action: str
    result: Result | None = None
    error: Exception | None = None
    seconds: float = 0.0


def run(
    plan: Plan,
    prepare: Callable[[Callable[[str], None]], JobRunner],
    policy: OutputPolicy,
    *,
    compressed: Literal["in", "out"],
    text: bool = False,
) -> int:
    """Do every job.

    Args:
        plan: the jobs.
        prepare: called once, before the first file that needs work, with a function that shows the name of what is
            being worked on; returns what does the jobs.
        policy: what to do about existing files, and what to print.
        compressed: whether the input or the output is the .mcm file, whose bytes make up the bits per pixel.
        text: whether outputs are text, which a terminal may show.

    Returns:
        The exit code.

    Raises:
        UsageError: an option is wrong, or binary data would be read from or written to a terminal.
        McmError: from ``prepare``.
    """
    jobs = plan.jobs
    to_stdout = any(job.target == STREAM for job in jobs)
    if policy.json and to_stdout:
        raise UsageError("--json and the data cannot both go to stdout", "give a file with -o")
    if policy.dry_run:
        for job in jobs:
            _print_plan(job, policy)
        _print_left_out(plan, policy)
        return OK
    if text:
        guard_stdin(job.source for job in jobs)
    else:
        guard_terminal(jobs)
    if collisions := plan.collisions():
        complain(collisions)
    start = time.monotonic()
    with Meter(len(jobs), quiet=policy.quiet) as meter:
        report = _Report(policy, compressed, meter)
        write_output = partial(_write, policy=policy)
        attempts = _attempt_all(jobs, prepare, policy, meter)
        if len(jobs) == 1:
            for attempt in attempts:
                report.add(attempt, partial(write_output, attempt))
        else:
            with closing(attempts), closing(WriteBehind(write_output, report.add, _pending_bytes)) as queue:
                for attempt in attempts:
                    if attempt.result and not isinstance(attempt.result.data, bytes):
                        # The picture is decoded while it is written: in another thread it would compete with the
                        # next file for the processor.
                        queue.flush()
                        report.add(attempt, partial(write_output, attempt))
                    else:
                        queue.put(attempt)
    if not policy.quiet and not to_stdout:
        click.echo(report.summary(time.monotonic() - start), err=True)
    _print_left_out(plan, policy)
    return report.exit_code()


def decide_action(job: Job, policy: OutputPolicy) -> str:
    """What to do with a job: ``do``, ``skip``, or the reason for refusing it."""
    if job.collision:
        return job.collision
    if job.target == STREAM or policy.force:
        return "do"
    try:
        there = exists(job.target)
    except OSError as error:
        return explain(error)
    if not there:
        return "do"
    return "skip" if policy.skip_existing else str(OutputExists.of(job.target))


def _attempt_all(
    jobs: Sequence[Job], prepare: Callable[[Callable[[str], None]], JobRunner], policy: OutputPolicy, meter: Meter
) -> Generator[_Attempt, None, None]:
    """Do the jobs that need it, in order; an error is kept, and the next job follows."""
    actions = [decide_action(job, policy) for job in jobs]
    results: Generator[tuple[Job, Callable[[], Result]], None, None] | None = None
    with ExitStack() as stack:
        for job, action in zip(jobs, actions, strict=True):
            meter.at(job.name)
            if action != "do":
                yield _Attempt(job, action)
                continue
            if results is None:
                results = prepare(meter.at)([one for one, other in zip(jobs, actions, strict=True) if other == "do"])
                # closed here, because the traceback of an error keeps the generator alive
                stack.callback(results.close)
            start = time.monotonic()
            _, get = next(results)
            try:
                result = get()
            except (BrokenPipeError, UsageError):
                # A closed pipe, or an option that is wrong, is the same for all files.
                raise
            # Whatever goes wrong with one file must not cost the others.
            except Exception as error:
                yield _Attempt(job, action, error=error, seconds=time.monotonic() - start)
                continue
            yield _Attempt(job, action, result, seconds=time.monotonic() - start)


def _write(attempt: _Attempt, policy: OutputPolicy) -> int:
    """Write a job's output, if there is one; return its bytes."""
    job, result = attempt.job, attempt.result
    if result is None:
        return 0
    made_of = result.made_of or (job.source,)
    return write(job.target, result.data, replace=policy.force, made_of=made_of, preserve=policy.preserve)


def _pending_bytes(attempt: _Attempt) -> int:
    """Bytes of memory that an output takes while it waits to be written."""
    return len(attempt.result.data) if attempt.result and isinstance(attempt.result.data, bytes) else 0


class _Report:
    """Prints what became of each job, and counts."""

    def __init__(self, policy: OutputPolicy, compressed: str, meter: Meter) -> None:
        self._policy, self._compressed, self._meter = policy, compressed, meter
        self._done = self._failed = self._skipped = 0
        self._bytes_in = self._bytes_out = self._pixels = 0

    def add(self, attempt: _Attempt, written: Callable[[], int]) -> None:
        """Report a job; ``written`` returns how many bytes were written, or raises what went wrong with that."""
        self._add(attempt, written)
        self._meter.step()

    def _add(self, attempt: _Attempt, written: Callable[[], int]) -> None:
        if attempt.action == "skip":
            self._skip(attempt.job)
            return
        start, bytes_out, error = time.monotonic(), 0, attempt.error
        try:
            bytes_out = written()
        except BrokenPipeError:
            raise
        except OutputExists as failure:
            if self._policy.skip_existing:
                # another process wrote it meanwhile
                self._skip(attempt.job)
                return
            error = failure
        except Exception as failure:
            error = failure
        if error or attempt.result is None:
            self._fail(attempt.job, explain(error, attempt.job.source) if error else attempt.action)
            return
        streamed = not isinstance(attempt.result.data, bytes)
        self._finish(
            attempt.job, attempt.result, bytes_out, attempt.seconds + streamed * (time.monotonic() - start)
        )

    def _skip(self, job: Job) -> None:
        self._skipped += 1
        _print_json(job, self._policy, "skipped")

    def _fail(self, job: Job, message: str) -> None:
        self._failed += 1
        if not job.collision:  # all that collide have been named in one line
            complain(message, job.name)
        _print_json(job, self._policy, "failed", error=message)

    def _finish(self, job: Job, result: Result, bytes_out: int, seconds: float) -> None:
        self._done += 1
        self._bytes_in += result.bytes_in
        self._bytes_out += bytes_out
        self._pixels += result.coded_pixels
        bpp = 8 * (bytes_out if self._compressed == "out" else result.bytes_in) / result.coded_pixels
        for loss in () if self._policy.quiet else result.lost:
            complain(f"warning: {loss}", job.name)
        _print_json(
            job, self._policy, "ok", width=result.width, height=result.height, bytes_in=result.bytes_in,
            bytes_out=bytes_out, bpp=round(bpp, 6), seconds=round(seconds, 3), **result.details,
            **({"lost": result.lost} if result.lost else {}),
        )  # fmt: skip
        if self._policy.verbose:
            parts = [f"{size(result.bytes_in)} -> {size(bytes_out)} ({rate(bpp)} bpp)", duration(seconds)]
            parts += [f"{name} {value}" for name, value in result.details.items()]
            click.echo(printable(f"{job.name} -> {job.target_name}: {', '.join(parts)}"), err=True)

    def summary(self, seconds: float) -> str:
        """``24 images, 61.3 MB -> 118 kB (0.041 bpp), 38 s, 1 failed``."""
        parts = [f"{self._done} image{'' if self._done == 1 else 's'}"]
        if self._done:
            coded = self._bytes_out if self._compressed == "out" else self._bytes_in
            bpp = 8 * coded / self._pixels
            parts.append(f"{size(self._bytes_in)} -> {size(self._bytes_out)} ({rate(bpp)} bpp)")
            parts.append(duration(seconds))
        if self._skipped:
            parts.append(f"{self._skipped} skipped")
        if self._failed:
            parts.append(f"{self._failed} failed")
        return ", ".join(parts)

    def exit_code(self) -> int:
        """The exit code of the command."""
        if self._failed:
            return FAILED
        return ALL_SKIPPED if self._skipped and not self._done else OK


def _print_json(job: Job, policy: OutputPolicy, status: str, **more: object) -> None:
    """One line of JSON on stdout, when asked for."""
    if policy.json:
        click.echo(json.dumps({**job.names(), "status": status, **more}))


def _print_left_out(plan: Plan, policy: OutputPolicy) -> None:
    if plan.left_out and not policy.quiet:
        complain(f"warning: {plan.left_out}")


def _print_plan(job: Job, policy: OutputPolicy) -> None:
    """Say what would be done with a job."""
    action = decide_action(job, policy)
    status = {"do": "planned", "skip": "skipped"}.get(action, "refused")
    if policy.json:
        _print_json(job, policy, status)
    else:
        note = {"planned": "", "skipped": " (skipped: it exists)"}.get(status, f" (refused: {action})")
        click.echo(printable(f"{job.name} -> {job.target_name}{note}"))
