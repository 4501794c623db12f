"""``codec verify``: whether .mcm files are whole. Writes nothing; imports torch only for ``--pixels``."""

import json
from collections.abc import Callable

import click

from ..errors import UsageError
from . import shared_options
from .batch import FAILED, OK, OutputPolicy
from .console import Meter, complain, explain, printable, size
from .files import find, guard_stdin, read


@click.command(short_help="Check that .mcm files are whole.")
@shared_options.inputs
@shared_options.recursive
@click.option("--pixels", is_flag=True, help="Decode the pixels too, and discard them.")
@shared_options.quiet
@shared_options.verbose
@shared_options.as_json
@shared_options.max_pixels
def verify(
    inputs: tuple[str, ...], recursive: bool, pixels: bool, quiet: bool, verbose: bool, as_json: bool, max_pixels: int
) -> int:  # fmt: skip
    """Check that .mcm files are whole: header, checksum, caption, edges, and every symbol.

    Exit code 0: all are whole. 1: some are not, or cannot be read.

    \b
    Examples:
      codec verify photo.mcm
      codec verify -r packed --json | jq -r 'select(.status != "ok").file'
    """
    policy = OutputPolicy(quiet=quiet, verbose=verbose, json=as_json)
    found = find(inputs, recursive=recursive, accept=frozenset((".mcm",)))
    guard_stdin(one.path for one in found)
    check = _pixel_check(max_pixels) if pixels else _symbol_check(max_pixels)
    bad = total = 0
    with Meter(len(found), quiet=policy.quiet) as meter:
        for one in found:
            meter.at(one.name)
            row: dict[str, object] = {"file": one.name, "status": "ok"}
            try:
                data = read(one.path)
                total += len(data)
                row["bytes"] = len(data)
                check(data)
            except UsageError:
                raise
            # As in batch: one bad file must not cost the others.
            except Exception as error:
                bad += 1
                message = explain(error, one.path)
                complain(message, one.name)
                row |= {"status": "failed", "error": message}
            if policy.json:
                click.echo(json.dumps(row))
            elif policy.verbose and row["status"] == "ok":
                click.echo(printable(f"{one.name}: ok"), err=True)
            meter.step()
    if not policy.quiet:
        count = len(found)
        parts = [f"{count} file{'' if count == 1 else 's'}, {size(total)}", f"{bad} failed" if bad else "all whole"]
        click.echo(", ".join(parts), err=True)
    return FAILED if bad else OK


def _symbol_check(max_pixels: int) -> Callable[[bytes], object]:
    """What decodes caption, edges and symbols of a file; errors as :func:`mcmcodec.info`."""
    from ..codec import info

    return lambda data: info(data, max_pixels)


def _pixel_check(max_pixels: int) -> Callable[[bytes], object]:
    """What decodes a file whole; errors as :meth:`mcmcodec.Codec.decode`. A caption has no pixels to decode."""
    from ..codec import Codec, info

    codec = Codec(max_pixels=max_pixels)

    def check(data: bytes) -> None:
        if info(data, max_pixels).mode != "caption":
            codec.decode(data)

    return check
