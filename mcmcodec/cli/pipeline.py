"""Reading ahead and writing behind: neither keeps the device waiting, and memory does not grow with the folder."""

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

MOST: Final = 32
"""Things that wait at most."""
BUDGET: Final = 2**27
"""Bytes that wait at most, but for one thing that may be larger alone."""


def ahead(
    items: Sequence[A], load: Callable[[A], B], weigh: Callable[[B], int]
) -> Generator[tuple[A, Callable[[], B]], None, None]:
    """Load things in another thread before their turn comes.

    Args:
        items: what to load, in order.
        load: loads one.
        weigh: bytes that a loaded thing takes.

    Yields:
        Each item, and a function that returns what was loaded, or raises what ``load`` raised.
    """
    room = threading.Condition()
    shelf: deque[tuple[A, Callable[[], B], int]] = deque()
    held, stopped = 0, False

    def read() -> None:
        nonlocal held
        for item in items:
            outcome, weight = _attempt(load, item, weigh)
            with room:
                while shelf and not stopped and (len(shelf) >= MOST or held + weight > BUDGET):
                    room.wait()
                if stopped:
                    return
                shelf.append((item, outcome, weight))
                held += weight
                room.notify_all()

    reader = threading.Thread(target=read, name="read-ahead", daemon=True)
    reader.start()
    try:
        for _ in items:
            with room:
                room.wait_for(lambda: bool(shelf))
                item, outcome, weight = shelf.popleft()
                held -= weight
                room.notify_all()
            yield item, outcome
    finally:
        with room:
            stopped = True
            room.notify_all()
        # a reader that waits for a pipe may never end; it dies with the process
        reader.join(1)


def _attempt(load: Callable[[A], B], item: A, weigh: Callable[[B], int]) -> tuple[Callable[[], B], int]:
    try:
        loaded = load(item)
        return (lambda: loaded), weigh(loaded)
    except BaseException as error:
        failure = error

    def fail() -> B:
        raise failure

    return fail, 0


def local(
    load: Callable[[A], B], finish: Callable[[A, B], C], weigh: Callable[[B], int]
) -> Callable[[Sequence[A]], Generator[tuple[A, Callable[[], C]], None, None]]:
    """What does things in this process: they are loaded ahead, and finished when they are asked for."""

    def outcomes(items: Sequence[A]) -> Generator[tuple[A, Callable[[], C]], None, None]:
        if len(items) == 1:
            yield items[0], lambda: finish(items[0], load(items[0]))
            return
        with closing(ahead(items, load, weigh)) as loaded:
            for item, get in loaded:
                yield item, lambda item=item, get=get: finish(item, get())  # type: ignore[misc]

    return outcomes


class Behind(Generic[A, B]):
    """Does things in another thread, in order, and settles them in order.

    Args:
        do: does one thing.
        settle: called in the owner's thread with each item and a function that returns what ``do`` returned, or raises.
        weigh: bytes that an item takes while it waits.
    """

    def __init__(self, do: Callable[[A], B], settle: Callable[[A, Callable[[], B]], None], weigh: Callable[[A], int]):
        self._do, self._settle, self._weigh = do, settle, weigh
        self._waiting: deque[tuple[A, Future[B], int]] = deque()
        self._held = 0
        self._pool = ThreadPoolExecutor(1, "write-behind")
        self._busy, self._stopped = threading.Lock(), False

    def put(self, item: A) -> None:
        """Have an item done; settle what is done, and wait where too much is not."""
        weight = self._weigh(item)
        self._held += weight
        self._waiting.append((item, self._pool.submit(self._work, item), weight))
        while self._waiting and (self._waiting[0][1].done() or len(self._waiting) > MOST or self._held > BUDGET):
            self._settle_one()

    def flush(self) -> None:
        """Settle everything that was put."""
        while self._waiting:
            self._settle_one()

    def close(self) -> None:
        """Settle everything, and end."""
        try:
            self.flush()
        finally:
            self._drain()

    def _drain(self) -> None:
        """Wait until nothing is under way, whatever interrupts that: no file stays half written."""
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
        """Do one thing in the other thread, unless an interrupt has ended everything."""
        with self._busy:
            if self._stopped:
                raise CancelledError
            return self._do(item)

    def _settle_one(self) -> None:
        item, future, weight = self._waiting.popleft()
        self._held -= weight
        self._settle(item, future.result)
