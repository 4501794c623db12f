"""``codec viewer``: opens the page that shows .mcm files in a browser, or writes it for a web host. Never imports torch."""

import base64
import json
import os
import webbrowser
from pathlib import Path

import click

from ... import __version__
from ...errors import InputError, McmError
from .. import shared_options
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
    from .page_files import page_files

    given = _given(file)
    folder = Path(out) if out is not None else _kept_folder()
    if out is not None and not force and (folder / INDEX).exists():
        raise OutputExists(f"{folder / INDEX} exists", "give -f to overwrite it, or another folder")
    total = 0
    for name, data in page_files():
        path = folder / name
        if out is not None or not _holds(path, data):
            write(os.fspath(path), data)
        total += len(data)
    write(os.fspath(folder / GIVEN), given)
    if out is not None:
        if not quiet:
            click.echo(f"{total / 1e6:.1f} MB written; open {folder / INDEX}", err=True)
        return
    address = (folder / INDEX).resolve().as_uri()
    if not webbrowser.open(address):
        raise McmError("no browser could be started", f"open {address}")


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
    """Where the page that is opened lies, for this version and user."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("mcmcodec", appauthor=False)) / f"viewer-{__version__}"


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file has these bytes already."""
    try:
        return path.read_bytes() == data
    except OSError:
        return False
