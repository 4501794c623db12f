"""A file put together of parts of another one and of bytes, without a copy of the file in memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO, TypeAlias

Part: TypeAlias = "range | bytes"
"""Positions in the other file, or bytes that stand in their place."""


class _Spliced(io.RawIOBase):
    """The parts one after the other, as a file that can be read and can seek."""

    def __init__(self, file: IO[bytes], parts: Sequence[Part], close: bool) -> None:
        self._file, self._parts, self._closes = file, parts, close
        self._at, self._size = 0, sum(map(len, parts))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, (0, self._at, self._size)[whence] + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        start = 0
        for part in self._parts:
            inside = self._at - start
            if inside < len(part):
                wanted = part[inside : inside + len(buffer)]
                if isinstance(wanted, range):
                    self._file.seek(wanted.start)
                    wanted = self._file.read(len(wanted))
                buffer[: len(wanted)] = wanted
                self._at += len(wanted)
                return len(wanted)
            start += len(part)
        return 0

    def close(self) -> None:
        if not self.closed and self._closes:
            self._file.close()
        super().close()


def splice(file: IO[bytes], parts: Sequence[Part], *, close: bool) -> IO[bytes]:
    """A file of these parts.

    Args:
        file: the other file; it can seek, and nobody else may read it meanwhile.
        parts: what the result consists of, in order.
        close: whether closing the result closes the other file too.
    """
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else b""
        if isinstance(part, range) and isinstance(last, range) and last.stop == part.start:
            joined[-1] = range(last.start, part.stop)
        elif len(part):
            joined.append(part)
    return io.BufferedReader(_Spliced(file, joined, close))
