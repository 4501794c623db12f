"""``codec info``: what a file says about itself and where its bytes went. Never imports torch."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from . import shared_options
from .batch import FAILED, OK
from .console import complain, explain, printable, rate, size
from .files import find, guard_stdin, read

if TYPE_CHECKING:
    from ..bitstream.inspect import Info

HOLDS = {"base": "the base layer only", "sketch": "caption and edges only", "caption": "the caption only"}


@click.command(short_help="Show what .mcm files hold and where every byte went.")
@shared_options.inputs
@shared_options.recursive
@shared_options.as_json
@shared_options.max_pixels
def info(inputs: tuple[str, ...], recursive: bool, as_json: bool, max_pixels: int) -> int:
    """Show what .mcm files hold and where every byte went.

    The checksum is verified; the picture is not decoded.

    \b
    Examples:
      codec info photo.mcm
      codec info --json -r packed | jq .bpp
    """
    from ..bitstream.inspect import info as inspect

    code = OK
    first = True
    found_files = find(inputs, recursive=recursive, accept=frozenset((".mcm",)))
    guard_stdin(one.path for one in found_files)
    for one in found_files:
        try:
            found = inspect(read(one.path), max_pixels)
        # As in batch: one bad file must not cost the others.
        except Exception as error:
            code = FAILED
            message = explain(error, one.path)
            complain(message, one.name)
            if as_json:
                click.echo(json.dumps({"file": one.name, "status": "failed", "error": message}))
            continue
        if as_json:
            click.echo(json.dumps({"file": one.name, "status": "ok", **asdict(found)}))
        else:
            click.echo(("" if first else "\n") + table(one.name, found))
        first = False
    return code


def table(name: str, found: "Info") -> str:
    """Lay out one file's facts for people."""
    share = 100 * found.visible / found.patches
    facts = [
        ("picture", f"{found.width} x {found.height} pixels"),
        ("file", f"{size(found.total)}, {rate(found.bpp)} bpp"),
        ("format", str(found.version)),
        ("model", f"{found.model}, variant {found.variant}" if found.variant else found.model),
        *([("holds", HOLDS[found.mode])] if found.mode in HOLDS else []),
        *([("coded at", f"1/{found.reduction} of its size")] if found.reduction > 1 else []),
        *([("quality", str(found.quality))] if found.mode in ("full", "base") else []),
        *([("visible", f"{found.visible} of {found.patches} patches ({share:.0f} %)")] if found.mode == "full" else []),
        *([("edges", "a map of {} x {}".format(*found.edges))] if found.edges else []),
        *([("caption", f'"{found.caption}"')] if found.caption else []),
        *(("region", f'{r.x},{r.y},{r.w},{r.h} "{r.text}"') for r in found.regions),
        ("crc", f"{found.crc:08x}"),
        ("weights", found.fingerprint[:16]),
    ]
    lines = [printable(name), *(f"  {key:<10}{printable(value)}" for key, value in facts), ""]
    lines.append(f"  {'part':<10}{'bytes':>10}{'%':>8}{'bpp':>10}")
    pixels = found.width * found.height
    for part, count in (*found.bytes.items(), ("total", found.total)):
        lines.append(
            f"  {part:<10}{count:>10.1f}{100 * count / found.total:>8.1f}{8 * count / pixels:>10.5f}"
        )
    return "\n".join(lines)
