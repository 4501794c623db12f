"""Options that several commands share."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Final

import click

from ..bitstream import limits
from ..errors import UsageError
from ..options import DecodeOptions, EncodeOptions
from .batch import OutputPolicy
from .files import STREAM, descriptor

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

_FIELDS: Final = frozenset(one.name for kind in (EncodeOptions, DecodeOptions) for one in fields(kind))


def in_order(*options: Decorator) -> Decorator:
    """Join options into one decorator; ``--help`` lists them in the order given."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@contextmanager
def naming_options() -> Iterator[None]:
    """Let an error about a field of EncodeOptions or DecodeOptions name the option: ``--keep 2 is not ...``."""
    try:
        yield
    except UsageError as error:
        name, _, rest = error.cause.partition(" ")
        if name in _FIELDS:
            raise UsageError(f"--{name.replace('_', '-')} {rest}", error.remedy) from None
        raise


def _device(context: click.Context, option: click.Parameter, name: str) -> str:
    """Check the form of the name; whether there is such a device is found out when the model is loaded."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", name):
        raise click.BadParameter(f"{name} is not auto, cpu, cuda or cuda:N.")
    return name


def _max_pixels(context: click.Context, option: click.Parameter, value: int | None) -> int | None:
    """The limit: what was given, or the variable MCMCODEC_MAX_PIXELS, or the default."""
    return value if context.resilient_parsing else limits.max_pixels(value)


def _background(context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    """Check that there is a colour of this name."""
    if name is not None and not context.resilient_parsing:
        from ..image.prepare import colour

        colour(name)
    return name


# not checked before the work begins: one that cannot be read must not cost the others
_PATH: Final = click.Path(allow_dash=True, readable=False)
inputs = click.argument("inputs", metavar="FILES|FOLDERS|-", nargs=-1, required=True, type=_PATH)
background = click.option(
    "--background", metavar="COLOUR", callback=_background, help="Lay transparency over it: white, #102030."
)
device = click.option(
    "--device", metavar="auto|cpu|cuda[:N]", default="auto", callback=_device, show_default=True,
    help="Where to compute.",
)  # fmt: skip
max_pixels = click.option(
    "--max-pixels", metavar="N", type=int, callback=_max_pixels,
    help=f"Refuse larger pictures.  [default: {limits.DEFAULT_MAX_PIXELS}]",
)  # fmt: skip
recursive = click.option("-r", "--recursive", is_flag=True, help="Enter folders to any depth.")
dry_run = click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and stop.")
quiet = click.option("--quiet", is_flag=True, help="Print errors only.")
verbose = click.option("-v", "--verbose", is_flag=True, help="Print a line per file.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print a line of JSON per file.")

files_and_messages = in_order(
    recursive,
    click.option("-f", "--force", is_flag=True, help="Overwrite files that exist."),
    click.option("--skip-existing", is_flag=True, help="Leave files that exist, and go on."),
    dry_run,
    quiet,
    verbose,
    as_json,
)
"""Options about files and messages: ``recursive``, and what :func:`output_policy` takes."""
preserve = click.option("-p", "--preserve", is_flag=True, help="Outputs get time and permissions of inputs.")


def output(default: str) -> Decorator:
    """The option ``-o``; ``default`` says in words what its absence means."""
    text = f"File, folder or -.  [default: {default}]"
    return click.option("-o", "--output", metavar="PATH", type=_PATH, callback=_stdout_by_any_name, help=text)


def _stdout_by_any_name(context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    """``-`` for ``/dev/stdout`` and other names of it."""
    return STREAM if name is not None and descriptor(name) == 1 else name


def output_policy(settings: dict[str, Any]) -> OutputPolicy:
    """Take the options about existing files and messages out of a command's keyword arguments.

    Raises:
        UsageError: two of them contradict each other.
    """
    names = ("force", "skip_existing", "dry_run", "quiet", "verbose")
    rest = {"json": settings.pop("as_json"), "preserve": settings.pop("preserve", False)}
    return OutputPolicy(**{name: settings.pop(name) for name in names}, **rest)
