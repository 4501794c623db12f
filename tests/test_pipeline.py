"""Read-ahead and write-behind keep the order, are bounded, and lose nothing when something fails."""

import threading
import time
from contextlib import closing

import pytest

from mcmcodec.cli import pipeline
from mcmcodec.cli.pipeline import WriteBehind, in_this_process, read_ahead


def test_things_come_in_order_and_failures_in_their_turn() -> None:
    def load(item: int) -> int:
        if item == 2:
            raise KeyError(item)
        return item * item

    found: list[object] = []
    for item, get in read_ahead(range(5), load, lambda value: value):
        try:
            found.append((item, get()))
        except KeyError as error:
            found.append((item, error.args))
    assert found == [(0, 0), (1, 1), (2, (2,)), (3, 9), (4, 16)]


def test_no_more_is_read_ahead_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "MAX_WAITING", 3)
    loaded: list[int] = []
    finished = 0
    with closing(read_ahead(range(30), lambda item: loaded.append(item), lambda _: 1)) as items:
        for item, _ in items:
            finished += 1
            time.sleep(0.001)
            # those that wait, the one in hand, and the one that waits for room
            assert len(loaded) <= item + 5
    assert finished == 30


def test_bytes_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "MAX_WAITING_BYTES", 100)
    loaded: list[int] = []
    with closing(read_ahead(range(30), lambda item: loaded.append(item), lambda _: 60)) as items:
        for item, _ in items:
            time.sleep(0.001)
            assert len(loaded) <= item + 3


def test_the_reader_ends_with_the_loop() -> None:
    with closing(read_ahead(range(1000), lambda item: bytes(10), lambda _: 2**27)) as items:
        next(items)
    assert not any(thread.name == "read-ahead" for thread in threading.enumerate())


def test_a_single_item_is_loaded_without_a_thread() -> None:
    def load(item: int) -> threading.Thread:
        return threading.current_thread()

    results = in_this_process(load, lambda item, thread: (item, thread), lambda _: 0)
    assert [get() for _, get in results([7])] == [(7, threading.current_thread())]
    assert [get() for _, get in results([1, 2])] != [(item, threading.current_thread()) for item in (1, 2)]
    assert [get()[0] for _, get in results([1, 2, 3])] == [1, 2, 3]


def test_writing_is_settled_in_order() -> None:
    settled: list[object] = []

    def do(item: int) -> int:
        if item == 3:
            raise OSError(28, "full")
        time.sleep(0.002 * (5 - item))
        return -item

    def settle(item: int, get: object) -> None:
        assert callable(get)
        try:
            settled.append((item, get()))
        except OSError as error:
            settled.append((item, error.errno))

    with closing(WriteBehind(do, settle, lambda item: 1)) as behind:
        for item in range(5):
            behind.put(item)
    assert settled == [(0, 0), (1, -1), (2, -2), (3, 28), (4, -4)]
