"""Input is read ahead and output written behind, each in a thread of its own.

The encoder waits for neither, and what is held in memory does not grow with the number of files.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from typing import Final, Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

MAX_WAITING: Final = 32
"""Most items that may wait in memory at a time."""
MAX_WAITING_BYTES: Final = 2**27
"""Most bytes that may wait in memory at a time; a single item may be larger."""


def read_ahead(
    items: Sequence[A], load: Callable[[A], B], size_of: Callable[[B], int]
) -> Generator[tuple[A, Callable[[], B]], None, None]:
    """Load items in another thread, before they are asked for.

    Args:
        items: what to load, in order.
        load: loads one item.
        size_of: bytes of memory that a loaded item takes.

    Yields:
        Each item in order, and a function that returns what ``load`` returned, or raises what it raised.
    """
    condition = threading.Condition()
    ready: deque[tuple[A, Callable[[], B], int]] = deque()
    waiting_bytes, stopped = 0, False

    def read() -> None:
        nonlocal waiting_bytes
        for item in items:
            outcome, size = _attempt(load, item, size_of)
            with condition:
                while ready and not stopped and (len(ready) >= MAX_WAITING or waiting_bytes + size > MAX_WAITING_BYTES):
                    condition.wait()
                if stopped:
                    return
                ready.append((item, outcome, size))
                waiting_bytes += size
                condition.notify_all()

    reader = threading.Thread(target=read, name="read-ahead", daemon=True)
    reader.start()
    try:
        for _ in items:
            with condition:
                condition.wait_for(lambda: bool(ready))
                item, outcome, size = ready.popleft()
                waiting_bytes -= size
                condition.notify_all()
            yield item, outcome
    finally:
        with condition:
            stopped = True
            condition.notify_all()
        # a reader that waits for a pipe may never end; it dies with the process
        reader.join(1)


def _attempt(load: Callable[[A], B], item: A, size_of: Callable[[B], int]) -> tuple[Callable[[], B], int]:
    try:
        loaded = load(item)
        return (lambda: loaded), size_of(loaded)
    except BaseException as error:
        failure = error

    def fail() -> B:
        raise failure

    return fail, 0


def in_this_process(
    load: Callable[[A], B], finish: Callable[[A, B], C], size_of: Callable[[B], int]
) -> Callable[[Sequence[A]], Generator[tuple[A, Callable[[], C]], None, None]]:
    """Make a function that processes items in this process.

    Args:
        load: loads one item; runs ahead in another thread where there are several.
        finish: turns a loaded item into its result, in the caller's thread, when that result is asked for.
        size_of: bytes of memory that a loaded item takes.

    Returns:
        A function of the items that yields each, in order, with a function that returns its result or raises.
    """

    def outcomes(items: Sequence[A]) -> Generator[tuple[A, Callable[[], C]], None, None]:
        if len(items) == 1:
            yield items[0], lambda: finish(items[0], load(items[0]))
            return
        with closing(read_ahead(items, load, size_of)) as loaded:
            for item, get in loaded:
                yield item, lambda item=item, get=get: finish(item, get())  # type: ignore[misc]

    return outcomes


class WriteBehind(Generic[A, B]):
    """A queue of items that are written in another thread, in order.

    Args:
        write: writes one item.
        report: called in the owner's thread, in order, with each item and a function that returns what ``write``
            returned, or raises what it raised.
        size_of: bytes of memory that an item takes while it waits.
    """

    def __init__(
        self, write: Callable[[A], B], report: Callable[[A, Callable[[], B]], None], size_of: Callable[[A], int]
    ) -> None:
        self._write, self._report, self._size_of = write, report, size_of
        self._waiting: deque[tuple[A, Future[B], int]] = deque()
        self._waiting_bytes = 0
        self._pool = ThreadPoolExecutor(1, "write-behind")
        self._busy, self._stopped = threading.Lock(), False

    def put(self, item: A) -> None:
        """Queue an item; report those that are written, and block while too many wait."""
        size = self._size_of(item)
        self._waiting_bytes += size
        self._waiting.append((item, self._pool.submit(self._work, item), size))
        while self._waiting and (self._waiting[0][1].done() or self._full()):
            self._report_one()

    def _full(self) -> bool:
        return len(self._waiting) > MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES

    def flush(self) -> None:
        """Wait until every queued item is written, and report it."""
        while self._waiting:
            self._report_one()

    def close(self) -> None:
        """As :meth:`flush`, and end the thread."""
        try:
            self.flush()
        finally:
            self._drain()

    def _drain(self) -> None:
        """Wait until the write in progress has ended, even if interrupted, so that no file stays half written."""
        interrupt: BaseException | None = None
        self._stopped, idle = True, False
        # Not by joining the thread: a join that was interrupted may call a running thread ended (Python 3.11). Nor by
        # its futures: the interrupt may have come before the last one was noted.
        while not idle:
            try:
                with self._busy:
                    idle = True
            except BaseException as error:
                interrupt = error
        self._pool.shutdown(wait=False)
        if interrupt:
            raise interrupt

    def _work(self, item: A) -> B:
        """Write one item in the other thread, unless the queue was stopped."""
        with self._busy:
            if self._stopped:
                raise CancelledError
            return self._write(item)

    def _report_one(self) -> None:
        item, future, size = self._waiting.popleft()
        self._waiting_bytes -= size
        self._report(item, future.result)
