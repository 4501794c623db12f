"""Options that encode and decode share."""

import re
from collections.abc import Callable
from typing import Any

import click

from .batch import Manners

Command = Callable[..., Any]


def common(command: Command) -> Command:
    """Add the options about files and messages; they arrive as one ``manners`` argument."""
    for option in reversed(
        (
            click.option("-r", "--recursive", is_flag=True, help="Enter folders to any depth."),
            click.option("-f", "--force", is_flag=True, help="Overwrite files that exist."),
            click.option("--skip-existing", is_flag=True, help="Leave files that exist, and go on."),
            click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and stop."),
            click.option("--quiet", is_flag=True, help="Print errors only."),
            click.option("-v", "--verbose", is_flag=True, help="Print a line per file."),
            click.option("--json", "as_json", is_flag=True, help="Print a line of JSON per file."),
        )
    ):
        command = option(command)
    return command


def manners(options: dict[str, Any]) -> Manners:
    """Take the shared options, all but ``recursive``, out of a command's keyword arguments."""
    return Manners(
        force=options.pop("force"),
        skip_existing=options.pop("skip_existing"),
        dry_run=options.pop("dry_run"),
        quiet=options.pop("quiet"),
        verbose=options.pop("verbose"),
        json=options.pop("as_json"),
    )


inputs = click.argument("inputs", metavar="FILES|FOLDERS|-", nargs=-1, required=True, type=click.Path(allow_dash=True))


def output(default: str) -> Callable[[Command], Command]:
    """Add ``-o``, whose absence means ``default``."""
    text = f"File, folder or -.  [default: {default}]"
    return click.option("-o", "--output", metavar="PATH", type=click.Path(allow_dash=True), help=text)


def _device(context: click.Context, option: click.Parameter, name: str) -> str:
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``; whether it is there is found out later."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", name):
        raise click.BadParameter(f"{name} is not auto, cpu, cuda or cuda:N.")
    return name


device = click.option(
    "--device",
    metavar="auto|cpu|cuda[:N]",
    default="auto",
    callback=_device,
    help="Where to compute.",
    show_default=True,
)
