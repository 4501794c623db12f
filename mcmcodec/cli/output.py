"""Outputs are written whole or not at all, and without replacing a file that another process wrote meanwhile."""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from io import BytesIO
from operator import and_
from typing import IO, Final, Self

from ..errors import InputError
from . import remote
from .files import STREAM, descriptor
from .remote import is_address

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
Output = bytes | Callable[[IO[bytes]], None]
"""Content of an output: its bytes, or a function that writes them into a binary file piece by piece."""


class OutputExists(InputError):
    """An output would replace a file that must be kept."""

    @classmethod
    def of(cls, target: str) -> Self:
        """The error about one output."""
        return cls(f"{target} exists", "give -f to overwrite it or --skip-existing")


def write(
    target: str, data: Output, *, replace: bool = True, made_of: Sequence[str] = (), preserve: bool = False
) -> int:
    """Write an output whole or not at all.

    A plain file is written under a temporary name in its folder and then renamed; a symbolic link is
    followed; a device, a pipe or a file that is open already (``/dev/stdout``, ``/dev/fd/63``) is written
    to as it is. Folders on the way are made. A new file has the permissions of any new file, one that replaces
    another has those of the old one; but nobody may do with it what he may not do with the files it was made of.

    Args:
        target: Where to.
        data: Its bytes, or a function that writes them into a binary file.
        replace: Whether an existing file is replaced, even one that appeared after the command began.
        made_of: Inputs that the output was made of.
        preserve: Whether a file gets the permissions and the times of what it was made of.

    Returns:
        How many bytes were written.

    Raises:
        OutputExists: there is a file already, and ``replace`` is false.
        OSError: It cannot be written; nothing is left behind.
    """
    if is_address(target):
        remote.write(target, whole := _whole(data))
        return len(whole)
    number = 1 if target == STREAM else descriptor(target)
    if number == 1:
        sys.stdout.buffer.write(whole := _whole(data))
        sys.stdout.buffer.flush()
        return len(whole)
    try:
        if number is not None:
            # not opened by its name, which would begin at its start again
            with open(os.dup(number), "wb") as file:
                return file.write(_whole(data))
        return _write_file(target, data, [*_facts(made_of)], replace=replace, preserve=preserve)
    except FileExistsError as error:
        if replace or error.filename2 is None:
            raise OSError(error.errno, error.strerror, target) from error
        raise OutputExists.of(target) from None
    except OSError as error:
        # The caller knows the output by the name that it gave, not by the temporary one.
        raise OSError(error.errno, error.strerror, target) from error


def _whole(data: Output) -> bytes:
    if isinstance(data, bytes):
        return data
    data(out := BytesIO())
    return out.getvalue()


def _write_into(data: Output, file: IO[bytes]) -> int:
    if isinstance(data, bytes):
        return file.write(data)
    data(file)
    return file.tell()


def _facts(sources: Sequence[str]) -> Iterator[os.stat_result]:
    """Permissions and times of those inputs that are files or folders."""
    for source in sources:
        if source != STREAM and not is_address(source) and descriptor(source) is None:
            with contextlib.suppress(OSError):
                yield os.stat(source)


def _write_file(
    target: str, data: Output, made_of: Sequence[os.stat_result], *, replace: bool, preserve: bool
) -> int:
    if os.path.exists(target) and not os.path.isfile(target):
        whole = _whole(data)  # a device has no place to tell
        with open(target, "wb") as file:
            return file.write(whole)
    target = os.path.realpath(target)
    folder = os.path.dirname(target)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".codec-{os.urandom(6).hex()}.tmp")
    widest = reduce(and_, (stat.S_IMODE(facts.st_mode) for facts in made_of), 0o777)
    old = stat.S_IMODE(os.stat(target).st_mode) if replace and os.path.exists(target) else None
    # Not the tempfile module: its files are private, and an output has the permissions of any new file.
    new = os.open(temporary, _NEW, 0o666 & widest & (0o777 if old is None else old))
    try:
        with open(new, "wb") as file:
            size = _write_into(data, file)
        if old is not None:
            os.chmod(temporary, old & widest)
        if preserve and made_of:
            os.chmod(temporary, widest)
            os.utime(temporary, ns=(made_of[0].st_atime_ns, made_of[0].st_mtime_ns))
        if not replace:
            _rename_unless_exists(temporary, target)
            return size
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return size


def _rename_unless_exists(temporary: str, target: str) -> None:
    """Rename a file unless there is one of that name; of several processes that try, one does."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    # A file system without hard links (FAT, some of those over a network) or a Python without them: what is left is
    # to look and to rename, which two processes may do within the same moment.
    except (OSError, AttributeError):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), temporary, None, target) from None
        os.replace(temporary, target)
        return
    os.unlink(temporary)
