"""Inputs and outputs of the command line: which input becomes which output, decided before any work; reading."""

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final, NamedTuple

from ..errors import InputError, UsageError
from . import remote
from .remote import is_address

STREAM: Final = "-"
MAX_FILE: Final = 2**30


@dataclass(frozen=True, slots=True)
class Job:
    """One input and the output that it becomes; ``-`` stands for stdin and stdout.

    Attributes:
        source: the input.
        target: the output.
        collision: why it is not done, where another input would become the same output; else empty.
    """

    source: str
    target: str
    collision: str = ""

    def names(self) -> dict[str, object]:
        """Input and output, for a line of JSON."""
        return {"source": self.source, "target": self.target}

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


class Plan(NamedTuple):
    """What there is to do.

    Attributes:
        jobs: at least one; those that do not collide have outputs of their own.
        remedy: what to do about collisions, empty without any.
        left_out: which pictures in folders cannot be read, in words for people; empty if there are none.
    """

    jobs: list[Job]
    remedy: str = ""
    left_out: str = ""

    def collisions(self) -> str:
        """All that collide, in one line; empty if none does."""
        reasons = dict.fromkeys(job.collision for job in self.jobs if job.collision)
        count = sum(bool(job.collision) for job in self.jobs)
        return f"{count} files left out: {', '.join(reasons)}; {self.remedy}" if reasons else ""


def plan(
    inputs: Sequence[str], output: str | None, *, recursive: bool, accept: AbstractSet[str], suffix: str,
    full_name: bool | None = None, unreadable: AbstractSet[str] = frozenset(),
) -> Plan:  # fmt: skip
    """Decide on every output before any work.

    Args:
        inputs: Files, folders and ``-``.
        output: ``-o``: a file, a folder or ``-``; None puts outputs beside inputs, and that of stdin or of another
            open file (``<(command)`` in a shell) to stdout.
        recursive: Whether folders are entered to any depth; otherwise only their own files are taken.
        accept: Extensions, in lower case with their dot, of the files to take from folders.
        suffix: Extension of the outputs, with its dot.
        full_name: Whether ``suffix`` follows the input's extension (``photo.jpg.mcm``) rather than replaces it; None
            where a command cannot be told.
        unreadable: Extensions of pictures that cannot be read: they are counted, not taken, in folders.

    Raises:
        UsageError: Nothing to do, nothing but outputs that collide, or an output that makes no sense.
    """
    found = find(inputs, recursive=recursive, accept=accept | unreadable)
    taken = [one for one in found if one.path in inputs or _extension(one.path) not in unreadable]
    left_out = _left_out([one for one in found if one not in taken]) if len(taken) < len(found) else ""
    found = taken
    if not found:
        raise UsageError(*f"nothing to do: {left_out}".split("; ", 1))
    several = len(found) > 1 or any(name != STREAM and name != found[0].path and is_tree(name) for name in inputs)
    if output == STREAM and len(found) > 1:
        raise UsageError(f"{len(found)} inputs cannot go to one stdout", "give one input, or a folder with -o")
    folder = output is not None and output != STREAM and _is_folder(output, several=several)
    jobs = []
    for one in found:
        stem = str if full_name else _without_extension
        nameless = one.path == STREAM or descriptor(one.path) is not None
        if output is None:
            target = STREAM if nameless else stem(one.path) + suffix
        elif not folder:
            target = output
        elif nameless:
            raise UsageError(f"{one.name} has no name to give a file in a folder", "give a file with -o")
        else:
            target = os.path.join(output, stem(one.relative) + suffix)
        jobs.append(Job(one.path, target))
    _refuse_overwriting(jobs)
    marked = _mark_collisions(jobs)
    collided = [job for job in marked if job.collision]
    helps = full_name is False and _differ_in_extension(collided)
    remedy = "give --full-name (photo.jpg.mcm)" if helps else "rename one, or run them apart with -o"
    if len(collided) == len(marked):
        raise UsageError(", ".join(dict.fromkeys(job.collision for job in collided)), remedy)
    return Plan(marked, remedy if collided else "", left_out)


def _left_out(found: Sequence[Found]) -> str:
    """What is said about pictures that cannot be read: ``3 files left out: .heic 2, .cr2 1; pip install ...``."""
    from ..image.optional_formats import package_for

    extensions = Counter(_extension(one.path) for one in found)
    counts = ", ".join(f"{extension} {number}" for extension, number in extensions.most_common())
    packages = dict.fromkeys(one.name for extension in extensions if (one := package_for(extension)))
    rest = [extension for extension in extensions if package_for(extension) is None]
    remedies = [f"pip install {' '.join(packages)}"] if packages else []
    remedies += [f"convert {' and '.join(rest)} to PNG"] if rest else []
    return f"{len(found)} file{'' if len(found) == 1 else 's'} left out: {counts}; {', '.join(remedies)}"


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _without_extension(path: str) -> str:
    return os.path.splitext(path)[0]


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


def is_tree(name: str) -> bool:
    """Whether an input may stand for several files: a folder or an address."""
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


def _refuse_overwriting(jobs: Sequence[Job]) -> None:
    """UsageError where an output would overwrite an input."""
    sources = {os.path.realpath(job.source): job.source for job in jobs if job.source != STREAM}
    for job in jobs:
        if job.target == STREAM:
            continue
        real = os.path.realpath(job.target)
        if real in sources:
            if sources[real] == job.source and not exists(job.source):  # as with programs that take IN and OUT
                raise UsageError(f"there is no {job.source} to read", f"to write it, say -o {job.source}")
            raise UsageError(f"{job.target} would overwrite the input {sources[real]}", "give another name with -o")


def _mark_collisions(jobs: Sequence[Job]) -> list[Job]:
    """The jobs; those that would become the same output say so.

    None of them is done: with one of them done, a later run with ``--skip-existing`` would take it for the other.
    """
    claims: dict[str, list[Job]] = {}
    for job in jobs:
        claims.setdefault(job.target if job.target == STREAM else os.path.realpath(job.target), []).append(job)
    reasons = {}
    for rivals in claims.values():
        if len(rivals) > 1:
            *names, last = (job.name for job in rivals)
            all_of_them = f"{', '.join(names)} and {last} would {'both' if len(rivals) == 2 else 'all'} become"
            reasons.update({job: f"{all_of_them} {rivals[0].target}" for job in rivals})
    return [replace(job, collision=reasons[job]) if job in reasons else job for job in jobs]


def _differ_in_extension(jobs: Sequence[Job]) -> bool:
    """Whether jobs have outputs of their own if these keep the extensions of the inputs."""
    names = {(os.path.realpath(job.target), os.path.basename(job.source)) for job in jobs}
    return len(names) == len(jobs)
