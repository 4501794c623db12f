"""Inputs and outputs of the command line: which input becomes which output, decided before any work; reading."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from ..errors import InputError, UsageError
from . import remote
from .remote import is_address

STREAM: Final = "-"
MAX_FILE: Final = 2**30


@dataclass(frozen=True, slots=True)
class Job:
    """One input and the output that it becomes; ``-`` stands for stdin and stdout."""

    source: str
    target: str

    @property
    def name(self) -> str:
        """The input's name in messages."""
        return source_name(self.source)

    @property
    def target_name(self) -> str:
        """The output's name in messages."""
        return "stdout" if self.target == STREAM else self.target


def descriptor(name: str) -> int | None:
    """The number of the open file that a name such as ``/dev/stdout`` or ``/dev/fd/63`` stands for; None for others."""
    for _ in range(40):  # links, as many as Linux follows
        folder, last = os.path.split(os.path.abspath(name))
        folder = os.path.realpath(folder)
        if last.isdecimal() and folder in ("/dev/fd", f"/proc/{os.getpid()}/fd"):
            return int(last)
        name = os.path.join(folder, last)
        if not os.path.islink(name):
            return None
        name = os.path.join(folder, os.readlink(name))
    return None


def is_written_through(target: str) -> bool:
    """Whether an output is an open file, a pipe or a device: it is written to as it is, and never replaced."""
    if target == STREAM or is_address(target):
        return target == STREAM
    return descriptor(target) is not None or (os.path.exists(target) and not _is_file_or_folder(target))


def _is_file_or_folder(path: str) -> bool:
    mode = os.stat(path).st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def source_name(source: str) -> str:
    """An input's name in messages: ``stdin`` for ``-``."""
    return "stdin" if source == STREAM else source


@dataclass(frozen=True, slots=True)
class Found:
    """An input: its path, and its path below the folder that it was found in (its own name if given by name)."""

    path: str
    relative: str

    @property
    def name(self) -> str:
        """Its name in messages."""
        return source_name(self.path)


def plan(
    inputs: Sequence[str], output: str | None, *, recursive: bool, accept: AbstractSet[str], suffix: str
) -> list[Job]:
    """Decide on every output before any work.

    Args:
        inputs: Files, folders and ``-``.
        output: ``-o``: a file, a folder or ``-``; None puts outputs beside inputs, and that of stdin or of another
            open file (``<(command)`` in a shell) to stdout.
        recursive: Whether folders are entered to any depth; otherwise only their own files are taken.
        accept: Extensions, in lower case with their dot, of the files to take from folders.
        suffix: Extension of the outputs, with its dot.

    Returns:
        At least one job, each with an output of its own.

    Raises:
        UsageError: Nothing to do, outputs that collide, or an output that makes no sense.
    """
    found = find(inputs, recursive=recursive, accept=accept)
    several = len(found) > 1 or any(name != STREAM and name != found[0].path and _is_tree(name) for name in inputs)
    if output == STREAM and len(found) > 1:
        raise UsageError(f"{len(found)} inputs cannot go to one stdout", "give one input, or a folder with -o")
    folder = output is not None and output != STREAM and _is_folder(output, several=several)
    jobs = []
    for one in found:
        renamed = os.path.splitext(one.relative)[0] + suffix
        nameless = one.path == STREAM or descriptor(one.path) is not None
        if output is None:
            target = STREAM if nameless else os.path.splitext(one.path)[0] + suffix
        elif not folder:
            target = output
        elif nameless:
            raise UsageError(f"{one.name} has no name to give a file in a folder", "give a file with -o")
        else:
            target = os.path.join(output, renamed)
        jobs.append(Job(one.path, target))
    return _without_collisions(jobs)


def find(inputs: Sequence[str], *, recursive: bool, accept: AbstractSet[str]) -> list[Found]:
    """List the inputs, folders replaced by the files in them, each once, in a stable order.

    Raises:
        UsageError: stdin is named twice, or nothing is found.
        OSError: A folder cannot be read.
    """
    found: dict[str, Found] = {}
    for name in inputs:
        if name == STREAM or descriptor(name) == 0:
            if STREAM in found:
                raise UsageError("stdin is named twice", "give - once")
            found[STREAM] = Found(STREAM, STREAM)
        elif is_address(name):
            for address, relative in remote.find(name, recursive=recursive, accept=accept):
                found.setdefault(address, Found(address, relative))
        elif os.path.isdir(name):
            for one in scan(name, recursive=recursive, accept=accept):
                found.setdefault(os.path.realpath(one.path), one)
        else:
            found.setdefault(os.path.realpath(name), Found(name, os.path.basename(name)))
    if not found:
        remedy = "check the name" if recursive else "give -r to look into folders inside it"
        raise UsageError(f"nothing to do: no suitable file in {', '.join(inputs)}", remedy)
    return list(found.values())


def _is_tree(name: str) -> bool:
    return is_address(name) or os.path.isdir(name)


def exists(target: str) -> bool:
    """Whether writing would replace a file; open files, devices and pipes are there to be written to."""
    if is_address(target):
        return remote.exists(target)
    try:
        return _is_file_or_folder(target) and descriptor(target) is None
    except FileNotFoundError:
        return False


def read(source: str) -> bytes:
    """Read a whole input.

    Raises:
        InputError: It is larger than any .mcm or picture file has reason to be.
        OSError: It cannot be read.
    """
    if source == STREAM:
        data = sys.stdin.buffer.read(MAX_FILE + 1)
    elif is_address(source):
        data = remote.read(source, MAX_FILE + 1)
    else:
        with open(source, "rb") as file:
            data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise InputError(f"larger than {MAX_FILE} bytes", "give a smaller file")
    return data


def seekable(source: str) -> str | BytesIO:
    """Return what Pillow can open: the path of a plain file, or what a stream holds."""
    if source != STREAM and os.path.isfile(source):
        return source
    return BytesIO(read(source))


def guard_terminal(jobs: Sequence[Job]) -> None:
    """Refuse to write binary to a terminal, or to wait for binary typed at one.

    Raises:
        UsageError: stdout or stdin is a terminal and would be used.
    """
    if any(job.target == STREAM for job in jobs) and sys.stdout.isatty():
        raise UsageError("binary output does not go to a terminal", "give -o FILE, or redirect stdout")
    guard_stdin(job.source for job in jobs)


def guard_stdin(sources: Iterable[str]) -> None:
    """UsageError when one of the inputs would be binary typed at a terminal."""
    if sys.stdin.isatty() and any(source == STREAM for source in sources):
        raise UsageError("stdin is a terminal", "give a file, or pipe one in")


def scan(top: str, *, recursive: bool, accept: AbstractSet[str]) -> Iterator[Found]:
    """Find the suitable files of a folder, hidden ones left out; links to folders are not entered."""

    def refuse(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(top, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in accept:
                path = os.path.join(folder, name)
                yield Found(path, os.path.relpath(path, top))


def _is_folder(output: str, *, several: bool) -> bool:
    """Whether ``-o`` means a folder; it must be one when there are several inputs."""
    if is_address(output):
        return several or output.endswith("/")
    if os.path.isdir(output) or output.endswith(os.sep):
        return True
    if several:
        if os.path.exists(output):
            raise UsageError(f"{output} is a file but several outputs need a folder", "give a folder with -o")
        return True
    parent = os.path.dirname(output) or "."
    if not os.path.isdir(parent):
        raise UsageError(f"there is no folder {parent}", "make it first, or check the name")
    return False


def _without_collisions(jobs: list[Job]) -> list[Job]:
    """Refuse outputs that would overwrite each other or an input."""
    sources = {os.path.realpath(job.source): job.source for job in jobs if job.source != STREAM}
    claimed: dict[str, str] = {}
    for job in jobs:
        if job.target == STREAM:
            continue
        real = os.path.realpath(job.target)
        if real in sources:
            if sources[real] == job.source and not exists(job.source):  # as with programs that take IN and OUT
                raise UsageError(f"there is no {job.source} to read", f"to write it, say -o {job.source}")
            raise UsageError(f"{job.target} would overwrite the input {sources[real]}", "give another name with -o")
        if real in claimed:
            raise UsageError(
                f"{claimed[real]} and {job.name} would both become {job.target}",
                "rename one, or run them apart with -o",
            )
        claimed[real] = job.name
    return jobs
