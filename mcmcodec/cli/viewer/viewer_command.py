"""``codec viewer``: opens the page that shows .mcm files in a browser, or writes it for a web host. No torch."""

import base64
import json
import os
import webbrowser
from pathlib import Path

import click

from ...errors import InputError, McmError
from .. import shared_options
from ..cache import VARIABLE, cache_folder
from ..console import size
from ..files import read
from ..output import OutputExists, write

INDEX = "index.html"
GIVEN = "given.js"


@click.command(short_help="Show .mcm files in a browser; write the page for a web host.")
@click.argument("file", required=False, type=click.Path(allow_dash=True, readable=False))
@click.option("--out", metavar="DIR", type=click.Path(), help="Write the page into this folder instead of opening it.")
@click.option("-f", "--force", is_flag=True, help="Overwrite a page that is there.")
@shared_options.quiet
def viewer(file: str | None, out: str | None, force: bool, quiet: bool) -> None:
    """Show .mcm files in a browser: picture, caption, and where the bytes went.

    The page decodes on its own, without a server or a network. With --out it is written, with the weights of the
    installed models, for any web host: address/?src=photo.mcm shows that file.

    \b
    Examples:
      codec viewer                     opens the page
      codec viewer photo.mcm           opens it with this file
      codec viewer --out site/viewer   writes the page
    """
    given, made_of = _given(file), () if file is None else (file,)
    if out is not None:
        folder = Path(out)
        if not force and (folder / INDEX).exists():
            raise OutputExists(f"{folder / INDEX} exists", "give -f to overwrite it, or another folder")
        total = _write(folder, given, made_of)
        if not quiet:
            click.echo(f"{size(total)} written; the page is {folder / INDEX}", err=True)
        return
    folder = _kept_folder()
    if not (folder / INDEX).exists():
        _write(folder, given, made_of)
    write(os.fspath(folder / GIVEN), given, made_of=made_of)
    address = (folder / INDEX).as_uri()
    if not webbrowser.open(address):
        raise McmError("no browser could be started", f"open {address}")


def _write(folder: Path, given: bytes, made_of: tuple[str, ...]) -> int:
    """Write all files, the page itself at last, so that it is there if all are. Returns their bytes."""
    from .page_files import page_files

    # the given file's script is no more public than that file
    total, index = write(os.fspath(folder / GIVEN), given, made_of=made_of), b""
    for name, data in page_files():
        total += len(data)
        if name == INDEX:
            index = data
        else:
            write(os.fspath(folder / name), data)
    write(os.fspath(folder / INDEX), index)
    return total


def _given(file: str | None) -> bytes:
    """The script that hands the page its first file, if there is one."""
    if file is None:
        return b"mcm.given = null;\n"
    data = read(file)
    if len(data) > 2**26:
        raise InputError(f"{file} has {len(data)} bytes, and no .mcm file has so many", "give another file")
    name = os.path.basename(file)
    return f"mcm.given = {json.dumps({'name': name, 'data': base64.b64encode(data).decode()})};\n".encode()


def _kept_folder() -> Path:
    """Where the page that is opened lies, for these models and this version.

    Raises:
        InputError: the system knows no folder for it.
    """
    from .page_files import fingerprint

    found = cache_folder()
    if found is None:
        raise InputError("there is no folder for caches to put the page in", f"give --out, or set {VARIABLE}")
    return Path(found) / f"viewer-{fingerprint()[:16]}"
