"""``codec index`` and ``codec search``: archives by their words. Neither imports torch, but for ``--semantic``."""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ...errors import InputError, UsageError
from ..batch import FAILED, OK
from ..console import Meter, complain, explain, printable
from ..files import read, scan

if TYPE_CHECKING:
    from .index import Changes, Hit, Index, Stamp

_SEMANTIC = click.option("--semantic", is_flag=True, help="By meaning (extra: semantic).")


@click.command(short_help="Index the words of folders, for quick searches.")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False))
@click.option("-r", "--recursive", is_flag=True, help="Enter folders to any depth.")
@_SEMANTIC
@click.option("--likeness", is_flag=True, help="Also what --like needs: symbols are decoded.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON per folder.")
def index(
    folders: tuple[str, ...], recursive: bool, semantic: bool, likeness: bool, quiet: bool, as_json: bool
) -> int:  # fmt: skip
    """Index the words of folders, for quick searches.

    Only files that are new or have changed are read, and of these the header
    and the caption. The index is .mcm-index.sqlite3 in the folder.

    \b
    Examples:
      codec index archive -r
      codec index archive -r --semantic
    """
    from .index import NAME, Index

    failed = 0
    for folder in folders:
        found = Index(os.path.join(folder, NAME))
        with contextlib.closing(found):
            done = _update(found, folder, recursive=recursive, quiet=quiet)
            failed += done.failed
            _complete(found, folder, semantic=semantic, likeness=likeness)
            if as_json:
                click.echo(json.dumps({"folder": folder, "files": len(found), **asdict(done)}))
            elif not quiet:
                counts = ", ".join(f"{count} {name}" for name, count in asdict(done).items() if count)
                click.echo(printable(f"{folder}: {len(found)} files ({counts or 'none'})"), err=True)
    return FAILED if failed else OK


@click.command(short_help="Find .mcm files by their words, or by likeness.")
@click.argument("words", metavar="QUERY [FOLDERS]", nargs=-1)
@click.option("-r", "--recursive", is_flag=True, help="Enter folders to any depth.")
@click.option("-k", "--limit", metavar="N", type=click.IntRange(1, 100000), default=10, show_default=True,
              help="Most files to show.")  # fmt: skip
@click.option("--all", "every", is_flag=True, help="Only files that have all the words.")
@_SEMANTIC
@click.option("--like", metavar="FILE.mcm", type=click.Path(exists=True, dir_okay=False),
              help="Pictures like this one; no query then.")  # fmt: skip
@click.option("--as-is", is_flag=True, help="Trust the index; do not look for changed files.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON per file.")
def search(
    words: tuple[str, ...], recursive: bool, limit: int, every: bool, semantic: bool, like: str | None, as_is: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Find .mcm files by their words, or by likeness; the best first.

    Headers and captions are read, pictures are not decoded. Folders without
    an index (codec index makes one) are read anew each time.

    \b
    Examples:
      codec search "a dog on the beach" archive -r
      codec search '"red car" street' -r --json | jq -r .file
      codec search --like photo.mcm archive -r
    """
    if like and (every or semantic):
        raise UsageError("--like looks at pictures, --all and --semantic at words", "leave one out")
    if every and semantic:
        raise UsageError("--all asks for words and --semantic for meaning", "leave one out")
    if not like and not words:
        raise UsageError("there is nothing to search for", "give words, or --like FILE.mcm")
    query, folders = ("", words) if like else (words[0], words[1:])
    hits: list[tuple[str, Hit]] = []
    for folder in folders or (".",):
        with _opened(folder, recursive=recursive, as_is=as_is) as archive:
            _complete(archive, folder, semantic=semantic, likeness=bool(like))
            found = _like(archive, like, limit, recursive) if like else _words(
                archive, query, limit, every=every, semantic=semantic, deep=recursive
            )  # fmt: skip
            hits += [(os.path.join(folder, hit.path), hit) for hit in found]
    hits = sorted(hits, key=lambda one: -one[1].score)[:limit]
    for path, hit in hits:
        if as_json:
            facts = {key: value for key, value in asdict(hit).items() if key != "path"}
            click.echo(json.dumps({"file": path, **facts}))
        else:
            click.echo(printable(f"{hit.score:8.3f}  {path}{'  ' if hit.caption else ''}{hit.caption}"))
    if not hits and not as_json:
        click.echo("nothing found", err=True)
    return OK


def _words(archive: "Index", query: str, limit: int, *, every: bool, semantic: bool, deep: bool) -> "list[Hit]":
    if not semantic:
        return archive.search(query, limit, every=every, deep=deep)
    from .semantic import search as by_meaning

    return by_meaning(archive, query, limit, deep=deep)


def _like(archive: "Index", like: str, limit: int, deep: bool) -> "list[Hit]":
    from ...bitstream.file import open_file
    from .likeness import KIND, descriptor, similarity

    file = open_file(read(like))
    if file.header.caption_only:
        raise InputError(f"{like} holds words only, nothing to compare", "give a file with a picture")
    wanted = descriptor(file)
    return archive.nearest(KIND, lambda them: similarity(them, wanted), limit, deep=deep, model=file.weights.name)


@contextlib.contextmanager
def _opened(folder: str, *, recursive: bool, as_is: bool) -> "Iterator[Index]":
    """The index of a folder, brought up to date, or one in memory where there is none."""
    from .index import NAME, Index

    if not os.path.isdir(folder):
        raise UsageError(f"there is no folder {folder}", "give words to search for first, in quotes, then folders")
    path = os.path.join(folder, NAME)
    there = os.path.isfile(path)
    writable = not there or os.access(path, os.W_OK) and os.access(folder, os.W_OK)
    if as_is and not there:
        raise UsageError(f"{folder} has no index", "run codec index, or leave out --as-is")
    with contextlib.closing(Index(path if there else ":memory:", read_only=not writable)) as archive:
        if writable and not as_is:
            _update(archive, folder, recursive=recursive, quiet=True)
        yield archive


def _update(archive: "Index", folder: str, *, recursive: bool, quiet: bool) -> "Changes":
    files: dict[str, Stamp] = {}
    for one in scan(folder, recursive=recursive, accept=frozenset((".mcm",))):
        with contextlib.suppress(FileNotFoundError):
            facts = os.stat(one.path)
            files[one.relative] = facts.st_size, facts.st_mtime_ns
    with Meter(len(files), quiet=quiet) as meter:

        def step(path: str) -> None:
            meter.at(path)
            meter.step()

        return archive.update(
            files,
            lambda path: read(os.path.join(folder, path)),
            lambda path, error: complain(explain(error, os.path.join(folder, path)), os.path.join(folder, path)),
            step,
            lambda path: recursive or "/" not in path,
        )


def _complete(archive: "Index", folder: str, *, semantic: bool, likeness: bool) -> None:
    """Add what is missing of embeddings or descriptors."""
    if semantic:
        from .semantic import complete

        complete(archive)
    if likeness:
        from . import likeness as pictures

        pictures.complete(archive, lambda path: read(os.path.join(folder, path)))
