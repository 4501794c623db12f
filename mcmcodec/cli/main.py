"""The ``codec`` command itself: the group, and the one place where errors become exit codes."""

import atexit
import contextlib
import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from types import FrameType
from typing import Any, Final, NoReturn

import click

from .. import __version__
from ..errors import UsageError
from .batch import FAILED, INTERRUPTED, OK, USAGE
from .console import complain, explain
from .files import STREAM

MODULES: Final = {
    "bench": "bench.bench_command",
    "caption": "caption",
    "compare": "compare",
    "completion": "completion",
    "decode": "decode",
    "encode": "encode",
    "export": "export_onnx",
    "index": "search.search_command",
    "info": "info",
    "join": "join",
    "models": "models",
    "search": "search.search_command",
    "split": "split",
    "thumbnail": "thumbnail",
    "verify": "verify",
    "viewer": "viewer.viewer_command",
}
"""Where each command stands, under its own name."""


class _Commands(Mapping[str, click.Command]):
    """The commands by name, each imported when it is asked for: a process runs one of them."""

    def __getitem__(self, name: str) -> click.Command:
        """Import a command; KeyError if there is none of this name."""
        command: click.Command = getattr(import_module(f"..{MODULES[name]}", __name__), name)
        return command

    def get(self, name: str, default: Any = None) -> Any:
        """The command, or the default if there is none of this name: a KeyError of its module is not taken for that."""
        return self[name] if name in MODULES else default

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(MODULES)

    def __len__(self) -> int:
        """Count them."""
        return len(MODULES)


@click.group(
    commands=_Commands(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="codec (mcmcodec) %(version)s")
def cli() -> None:
    """An image codec for extremely low rates: pictures to .mcm files and back.

    \b
    Examples:
      codec encode photo.jpg            writes photo.mcm
      codec decode photo.mcm            writes photo.png
      codec info photo.mcm              shows where every byte went
      codec split --for sms photo.mcm   cuts it into messages for radio links
      codec join photo.messages         puts what arrived together again
      codec caption photo.mcm           shows or changes its caption
      codec search "a dog" archive      finds files by their captions
      codec viewer photo.mcm            shows it in a browser
      codec compare a.png b.png         measures how far b is from a
      codec bench photos                measures codecs on a folder

    \b
    Exit codes: 0 done, 1 some files failed, 2 wrong usage,
    3 all were skipped, 130 interrupted (129, 143: by a signal).
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit; no traceback gets out unless MCMCODEC_DEBUG is set."""
    ended: list[int] = []
    if arguments is None:  # the process is the command's own
        # what is registered first is called last: threads have ended by then, and whoever has to tidy up has done so
        atexit.register(_skip_teardown, ended)
    _replace_closed_streams()
    _silence_libraries()
    # The threads of OpenBLAS wait busily for work and slow those of torch down; small products do not need them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for name in ("SIGTERM", "SIGHUP"):
        # nohup has the hang-up ignored, and Windows has none
        if getattr(signal, name, None) and signal.getsignal(getattr(signal, name)) == signal.SIG_DFL:
            with contextlib.suppress(ValueError):
                signal.signal(getattr(signal, name), _terminate)
    code = _run(arguments)
    try:
        sys.stdout.flush()
    except OSError:
        # The pipe is closed or the disk is full. This has been reported; Python would report it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    ended.append(code)
    sys.exit(code)


def _skip_teardown(ended: list[int]) -> None:
    """End the process at once if the command came to its end: to free all objects one by one takes time."""
    if ended:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(ended[0])


def _replace_closed_streams() -> None:
    """Put something in place of standard streams that the caller closed: using it is an error, as of any closed file.

    Otherwise the next file that is opened would get the number, and what is meant for stdout would go into it. The null
    device is opened the wrong way round, as GNU's stdopen does; but what is said on stderr may get lost.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        opened = os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_WRONLY)
        with contextlib.suppress(OSError):
            os.fstat(number)  # something else has it by now, or it is what was just opened
            number = opened
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        mode = "w" if name != "stdin" else "r"
        setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _silence_libraries() -> None:
    """Keep warnings of Pillow and torch about input files off stderr, unless -W or PYTHONWARNINGS asks for them."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        # Pillow logs some of them instead; Python prints errors that are logged where no handler is set
        logging.getLogger("PIL").addHandler(logging.NullHandler())


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command; return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = cli.main(arguments, prog_name="codec", standalone_mode=False)
        if code != FAILED:  # else it has been said what is wrong, perhaps with stdout
            sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "codec"
        return _stop(f"{error.format_message().rstrip('.')}; see {command} --help", given, USAGE)
    except (click.Abort, KeyboardInterrupt):
        return _stop("interrupted", given, INTERRUPTED)
    except BrokenPipeError:
        return FAILED
    except UsageError as error:
        return _stop(explain(error), given, USAGE)
    except Exception as error:
        return _stop(explain(error), given, FAILED)


def _stop(message: str, given: Sequence[str], code: int) -> int:
    """Print why the command ends, as JSON too where that is asked for and stdout is not for data."""
    complain(message)
    if "--json" in given and STREAM not in given:
        with contextlib.suppress(OSError):  # stdout may be what is wrong
            click.echo(json.dumps({"status": "failed", "error": message, "code": code}))
    return code


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Exit by an exception, so that temporary files are removed."""
    sys.exit(128 + number)
