"""``codec encode --engine ray``: the same work on all processors of a machine or a cluster, in the same order.

Each actor loads the model once. Results come back to this process and are written by it, so the files, the messages
and the counts are those of a local run.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Sequence
from importlib import import_module
from typing import Any

from ..errors import UsageError
from .batch import Result
from .files import Job

AHEAD = 2
"""Jobs per actor that are under way or waiting."""


MakeWorker = Callable[[], Callable[[Job], Result]]
"""Loads the model and returns what does a job. It is sent to other processes, so it can be pickled."""


def run_jobs(
    jobs: Sequence[Job], *, device: str, make_worker: MakeWorker
) -> Generator[tuple[Job, Callable[[], Result]], None, None]:
    """Do jobs with Ray, in its cluster if RAY_ADDRESS names one, else in one of this machine.

    Args:
        jobs: what to do.
        device: where to compute, as of ``--device``.
        make_worker: called once in every actor.

    Yields:
        Each job in order, and a function that returns its result or raises what went wrong.

    Raises:
        UsageError: Ray is not installed, or does not start.
    """
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise UsageError("--engine ray needs Ray", "pip install 'mcmcodec[ray]'") from None
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        # Ray raises a plain Exception when its processes do not come up in time.
        except Exception as error:
            raise UsageError(
                f"Ray does not start ({error})", "try when less runs here, or name a cluster in RAY_ADDRESS"
            ) from error
    try:
        count = min(len(jobs), max(1, int(ray.cluster_resources().get("CPU", 1))))
        remote = ray.remote(num_cpus=1, num_gpus=_gpu_share(device, count, ray))(Worker)
        actors = [remote.remote(make_worker) for _ in range(count)]
        waiting: deque[tuple[Job, Any]] = deque()
        for number, job in enumerate(jobs):
            if len(waiting) == AHEAD * count:
                yield _next(waiting, ray)
            waiting.append((job, actors[number % count].do.remote(job)))
        while waiting:
            yield _next(waiting, ray)
    finally:
        if ours:
            ray.shutdown()


class Worker:
    """A Ray actor: does jobs one after the other in a process of its own."""

    def __init__(self, make_worker: MakeWorker) -> None:
        self._make_worker = make_worker
        self._work: Callable[[Job], Result] | None = None

    def do(self, job: Job) -> Result | Exception:
        """Do a job; an error is returned rather than raised, so that Ray does not wrap it."""
        try:
            if self._work is None:
                self._work = self._make_worker()
            return self._work(job)
        except Exception as error:
            return error


def _next(waiting: deque[tuple[Job, Any]], ray: Any) -> tuple[Job, Callable[[], Result]]:
    job, reference = waiting.popleft()

    def get() -> Result:
        result = ray.get(reference)
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, Result)
        return result

    return job, get


def _gpu_share(device: str, count: int, ray: Any) -> float:
    """Share of a GPU for each of ``count`` actors."""
    gpus = 0.0 if device == "cpu" else float(ray.cluster_resources().get("GPU", 0))
    return round(min(1.0, gpus / count), 3)
