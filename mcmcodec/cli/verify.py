"""``codec verify``: whether .mcm files are whole. Writes nothing; imports torch only for pixels."""

import json
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from . import options
from .batch import FAILED, OK
from .console import Meter, complain, explain, printable, size
from .files import STREAM, find, guard_stdin, read
from .limit_options import limits

if TYPE_CHECKING:
    from ..codec import Codec


@click.command(short_help="Check that .mcm files are whole.")
@options.inputs
@click.option("-r", "--recursive", is_flag=True, help="Enter folders to any depth.")
@click.option("--pixels", is_flag=True, help="Paint the pictures too, and throw them away.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Print a line per file.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON per file.")
@limits
def verify(inputs: tuple[str, ...], recursive: bool, pixels: bool, quiet: bool, verbose: bool, as_json: bool) -> int:
    """Check that .mcm files are whole: header, checksum, and every symbol.

    Exit code 0: all are whole. 1: some are not, or cannot be read.

    \b
    Examples:
      codec verify photo.mcm
      codec verify -r packed --json | jq -r 'select(.status != "ok").file'
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other", "give one of them")
    found = find(inputs, recursive=recursive, accept=frozenset((".mcm",)))
    guard_stdin(one.path for one in found)
    codec = _codec() if pixels else None
    bad = total = 0
    with Meter(len(found), quiet=quiet) as meter:
        for one in found:
            name = "stdin" if one.path == STREAM else one.path
            meter.at(name)
            row: dict[str, object] = {"file": name, "status": "ok"}
            try:
                data = read(one.path)
                total += len(data)
                row["bytes"] = len(data)
                _check(data, codec)
            except UsageError:
                raise
            # As in batch: one bad file must not cost the others.
            except Exception as error:
                bad += 1
                message = explain(error, one.path)
                complain(message, name)
                row |= {"status": "failed", "error": message}
            if as_json:
                click.echo(json.dumps(row))
            elif verbose and row["status"] == "ok":
                click.echo(printable(f"{name}: ok"), err=True)
            meter.step()
    if not quiet:
        count = len(found)
        parts = [f"{count} file{'' if count == 1 else 's'}, {size(total)}", f"{bad} failed" if bad else "all whole"]
        click.echo(", ".join(parts), err=True)
    return FAILED if bad else OK


def _codec() -> "Codec":
    from ..codec import Codec

    return Codec()


def _check(data: bytes, codec: "Codec | None") -> None:
    """Parse a file, and paint it when there is a codec to do it; errors as :func:`mcmcodec.decode`."""
    from ..codec import symbols

    if codec is None:
        symbols(data)
    else:
        codec.decode(data)
