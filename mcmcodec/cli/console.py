"""Messages to people: errors, progress, sizes and times; control characters in untrusted text are escaped."""

import errno
import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final

import click

from ..errors import McmError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PACKAGES: Final = {"PIL": "pillow", "cv2": "opencv-python"}
"""What to install for a module, where that has another name."""
_REMEDIES: Final = {
    errno.EBADF: "leave stdin and stdout open",
    errno.ENOENT: "check the name",
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.EIO: "check the disk, or the connection to it",
    errno.ESTALE: "check the disk, or the connection to it",
    errno.ETIMEDOUT: "check the disk, or the connection to it",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or write somewhere else with -o",
    errno.EFBIG: "raise the limit on file sizes, or write somewhere else with -o",
    errno.EISDIR: "give a file",
    errno.ENOTDIR: "check the name",
    errno.EROFS: "write somewhere else with -o",
    errno.ENAMETOOLONG: "give a shorter name with -o",
}


def printable(text: str) -> str:
    """Return text with every character escaped that could control a terminal or reorder a line.

    Control, bidirectional, private and unassigned characters, lone surrogates and exotic spaces become
    ``\\x..``, ``\\u....`` or ``\\U........``.
    """
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def explain(error: BaseException, file: str = "") -> str:
    """Describe an error in one line, ``cause; remedy``.

    Args:
        error: What was raised.
        file: The file that the message is about; another file is named if the error is about it.
    """
    if os.environ.get("MCMCODEC_DEBUG"):
        raise error
    if isinstance(error, McmError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("mcmcodec"):
        package = error.name.partition(".")[0]
        return f"this needs {package}, which is not installed; pip install {_PACKAGES.get(package, package)}"
    if isinstance(error, MemoryError) or _is_torch_out_of_memory(error):
        return "not enough memory; close other programs or scale the picture down"
    if isinstance(error, OSError) and error.strerror:
        cause = error.strerror[0].lower() + error.strerror[1:]
        if isinstance(error.filename, str) and error.filename != file:
            cause += f" ({error.filename})"
        remedy = _REMEDIES.get(error.errno or 0)
        return f"{cause}; {remedy}" if remedy else cause
    detail = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return f"internal error ({detail}); report it, MCMCODEC_DEBUG=1 shows where it happened"


def _is_torch_out_of_memory(error: BaseException) -> bool:
    """Whether the error is torch's for lack of memory, told by its text: importing torch to ask would be slow."""
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def complain(message: str, file: str = "") -> None:
    """Print one error line on stderr: ``codec: FILE: cause; remedy``."""
    click.echo(
        f"codec: {printable(file)}: {printable(message)}" if file else f"codec: {printable(message)}",
        err=True,
    )


def size(count: float) -> str:
    """Format bytes with three digits: ``412 B``, ``118 kB``, ``61.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{count:#.3g} {unit}".replace(". ", " ")
        count /= 1000
    return f"{count:#.3g} TB".replace(". ", " ")


def rate(bpp: float) -> str:
    """Format bits per pixel: ``0.0032``, ``0.041``, ``2.50``."""
    return f"{bpp:.4f}" if bpp < 0.00995 else f"{bpp:.3f}" if bpp < 0.9995 else f"{bpp:.2f}"


def duration(seconds: float) -> str:
    """Format a time: ``0.4 s``, ``38 s``, ``2 min 5 s``, ``1 h 3 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Meter:
    """A progress bar on stderr, if that is a terminal and there are several steps that take more than a second."""

    def __init__(self, total: int, *, quiet: bool, patience: float = 1.0) -> None:
        """Prepare for ``total`` steps; the bar appears after ``patience`` seconds, and never if ``quiet``."""
        self._total, self._done = total, 0
        self._shown = not quiet and total > 1 and sys.stderr.isatty()
        self._begin = time.monotonic() + patience
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "Meter":
        """Return the bar itself."""
        return self

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=self._total, completed=self._done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar, so that what is printed next starts on an empty line."""
        if self._bar is not None:
            self._bar.stop()

    def at(self, name: str) -> None:
        """Show the name of the file that is being worked on."""
        if self._shown and self._bar is None and time.monotonic() >= self._begin:
            self._start()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=printable(name))

    def step(self) -> None:
        """Count one file as done."""
        self._done += 1
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)
