"""``codec index`` and ``codec search``: find files by their captions. Neither imports torch, but for ``--semantic``."""

import contextlib
import json
import os
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import click

from ...errors import InputError, McmError, UsageError
from ..batch import FAILED, OK
from ..console import Meter, complain, explain, printable, size
from ..files import read, scan

if TYPE_CHECKING:
    from .index import Changes, Hit, Index, Stamp
    from .index_file import DamagedIndex, Place

_SEMANTIC = click.option("--semantic", is_flag=True, help="Search by meaning (extra: semantic).")


@click.command(short_help="Index the captions in folders, for quick searches.")
@click.argument("folders", nargs=-1, type=click.Path(file_okay=False))
@click.option("-r", "--recursive", is_flag=True, help="Enter folders to any depth.")
@_SEMANTIC
@click.option("--likeness", is_flag=True, help="Add what --like needs; symbols are decoded.")
@click.option("--list", "listed", is_flag=True, help="List the indexes, and where they are.")
@click.option("--remove", is_flag=True, help="Delete the indexes of the folders.")
@click.option("--prune", is_flag=True, help="Delete the indexes of folders that are gone.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON per folder.")
def index(
    folders: tuple[str, ...], recursive: bool, semantic: bool, likeness: bool, listed: bool, remove: bool, prune: bool,
    quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """Index the captions in folders, for quick searches.

    Only files that are new or have changed are read, and of these the header
    and the caption. Indexes are in the user's cache folder, or in the one that
    MCMCODEC_CACHE names; nothing is written into the folders. The index of a
    folder that was moved is not found: index it again, and prune.

    \b
    Examples:
      codec index archive -r
      codec index archive -r --semantic
      codec index --list
    """
    if listed + remove + prune > 1:
        raise UsageError("--list, --remove and --prune contradict each other", "give one of them")
    if prune and folders:
        raise UsageError("--prune is about folders that are gone", "leave out the names, or give --remove")
    if not folders and not listed and not prune:
        raise UsageError("there is no folder to index", "give one")
    if listed:
        return _list(folders, as_json=as_json)
    if remove or prune:
        return _remove(folders, quiet=quiet, as_json=as_json)
    for folder in folders:
        if not os.path.isdir(folder):
            raise UsageError(f"there is no folder {folder}", "check the name")
    from .index_file import Place

    failed = 0
    for folder in folders:
        place = Place.of(folder)
        changes, count = _keep(place, folder, recursive=recursive, quiet=quiet, semantic=semantic, likeness=likeness)
        failed += changes.failed
        if as_json:
            click.echo(json.dumps({"folder": folder, "index": place.path, "files": count, **asdict(changes)}))
        elif not quiet:
            parts = ", ".join(f"{number} {name}" for name, number in asdict(changes).items() if number)
            click.echo(printable(f"{folder}: {count} files ({parts or 'none'})"), err=True)
    return FAILED if failed else OK


@click.command(short_help="Find .mcm files by caption or similarity.")
@click.argument("words", metavar="QUERY [FOLDERS]", nargs=-1)
@click.option("-r", "--recursive", is_flag=True, help="Enter folders to any depth.")
@click.option("-k", "--limit", metavar="N", type=click.IntRange(1, 100000), default=10, show_default=True,
              help="Most files to show.")  # fmt: skip
@click.option("--all", "match_all", is_flag=True, help="Only files that have all the words.")
@_SEMANTIC
@click.option("--like", metavar="FILE.mcm", type=click.Path(exists=True, dir_okay=False),
              help="Find similar pictures; no query then.")  # fmt: skip
@click.option("--as-is", is_flag=True, help="Trust the index; do not look for changed files.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON per file.")
def search(
    words: tuple[str, ...], recursive: bool, limit: int, match_all: bool, semantic: bool, like: str | None, as_is: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Find .mcm files by caption or similarity, the best first.

    Headers and captions are read, pictures are not decoded. Folders without
    an index (codec index makes one) are read anew each time. Only the user's
    own indexes are used: one that comes with a folder is ignored.

    \b
    Examples:
      codec search "a dog on the beach" archive -r
      codec search '"red car" street' -r --json | jq -r .file
      codec search --like photo.mcm archive -r
    """
    if like and (match_all or semantic):
        raise UsageError("--like looks at pictures, --all and --semantic at words", "leave one out")
    if match_all and semantic:
        raise UsageError("--all asks for words and --semantic for meaning", "leave one out")
    if not like and not words:
        raise UsageError("there is nothing to search for", "give words, or --like FILE.mcm")
    query, folders = ("", words) if like else (words[0], words[1:])
    similar = _Similar(like, limit, recursive=recursive) if like else None
    ask: Callable[[Index], list[Hit]]
    if similar:
        ask = similar
    elif semantic:
        ask = partial(_by_meaning, query=query, limit=limit, recursive=recursive)
    else:
        ask = partial(_by_words, query=query, limit=limit, match_all=match_all, recursive=recursive)
    hits: list[tuple[str, Hit]] = []
    for folder in folders or (".",):
        found = _search(folder, ask, recursive=recursive, as_is=as_is, semantic=semantic, likeness=bool(like))
        hits += [(os.path.join(folder, hit.path), hit) for hit in found]
    if similar:
        similar.name_others()
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


def _by_words(index: "Index", query: str, limit: int, *, match_all: bool, recursive: bool) -> "list[Hit]":
    return index.search(query, limit, match_all=match_all, recursive=recursive)


def _by_meaning(index: "Index", query: str, limit: int, *, recursive: bool) -> "list[Hit]":
    from .semantic import search

    return search(index, query, limit, recursive=recursive)


class _Similar:
    """Asks indexes for pictures similar to a file, and counts those of other models that they have.

    Coded data of two models says the same in different numbers, so only files of one model are compared.
    """

    def __init__(self, like: str, limit: int, *, recursive: bool) -> None:
        from ...bitstream.file import open_file
        from .likeness import descriptor

        file = open_file(read(like))
        if file.header.caption_only:
            raise InputError(f"{like} holds words only, nothing to compare", "give a file with a picture")
        self.wanted, self.model = descriptor(file), file.weights.name
        self.limit, self.recursive = limit, recursive
        self.others: Counter[str] = Counter()

    def __call__(self, index: "Index") -> "list[Hit]":
        """The nearest pictures of one index."""
        from .likeness import KIND, similarity

        found = index.nearest(KIND, self.wanted, similarity, self.limit, recursive=self.recursive, model=self.model)
        self.others.update(index.models(KIND, recursive=self.recursive))
        del self.others[self.model]
        return found

    def name_others(self) -> None:
        """A line about pictures that were left out because another model coded them."""
        if self.others:
            total, names = self.others.total(), ", ".join(sorted(self.others))
            complain(
                f"warning: {total} {'picture' if total == 1 else 'pictures'} of other models ({names}) cannot be "
                f"compared with one of {self.model}; search with a file of that model, or encode all with one"
            )


def _search(
    folder: str, ask: "Callable[[Index], list[Hit]]", *, recursive: bool, as_is: bool, semantic: bool, likeness: bool
) -> "list[Hit]":
    """Bring the index of a folder up to date and ask it; an index in memory where there is none of use.

    An index is only a cache: a damaged one is made anew, and one that cannot be written is copied to memory.
    """
    from .index import Index
    from .index_file import DamagedIndex, UnwritableIndex

    if not os.path.isdir(folder):
        raise UsageError(f"there is no folder {folder}", "give words to search for first, in quotes, then folders")

    def use(index: "Index") -> "list[Hit]":
        # An index with no file in it is one that was made just now.
        if not as_is or not len(index):
            _update(index, folder, recursive=recursive, quiet=True)
        _complete(index, folder, semantic=semantic, likeness=likeness)
        index.make_read_only()
        return ask(index)

    place = _stored(folder)
    if place is None and as_is:
        raise UsageError(f"{folder} has no index", "run codec index, or leave out --as-is")
    write = not as_is or semantic or likeness
    if place is None:
        with Index() as archive:
            return use(archive)
    opening = partial(Index, place, write=write)
    for _ in range(3):
        try:
            with opening() as archive:
                return use(archive)
        except DamagedIndex as error:
            complain(f"warning: {error.cause}; it is made anew", folder)
            opening = partial(_renewed, place, error)
        except UnwritableIndex as error:
            complain(f"warning: {error.cause}; the search goes on in memory", folder)
            opening = partial(_copied, place)
    with Index() as archive:
        return use(archive)


def _stored(folder: str) -> "Place | None":
    """The place of a folder's index, None if it has no index."""
    from .index_file import Place, UnwritableIndex

    with contextlib.suppress(UnwritableIndex):
        place = Place.of(folder)
        return place if place.exists() else None
    return None


def _renewed(place: "Place", damage: "DamagedIndex") -> "Index":
    """Delete a damaged index and make an empty one."""
    from .index import Index
    from .index_file import discard

    discard(place.path, damage.identity)
    return Index(place, write=True)


def _copied(place: "Place") -> "Index":
    """A copy in memory of an index that cannot be written, or an empty one if it cannot be read either."""
    from .index import Index

    with contextlib.suppress(McmError), Index(place) as stored:
        return stored.copy()
    return Index()


def _keep(
    place: "Place", folder: str, *, recursive: bool, quiet: bool, semantic: bool, likeness: bool
) -> "tuple[Changes, int]":
    """Bring a stored index up to date, or make it; return the changes and how many files are in it."""
    from .index import Index
    from .index_file import DamagedIndex

    def use(index: "Index") -> "tuple[Changes, int]":
        done = _update(index, folder, recursive=recursive, quiet=quiet)
        _complete(index, folder, semantic=semantic, likeness=likeness)
        return done, len(index)

    try:
        with Index(place, write=True) as archive:
            return use(archive)
    except DamagedIndex as error:
        complain(f"warning: {error.cause}; it is made anew", folder)
        with _renewed(place, error) as archive:
            return use(archive)


def _update(archive: "Index", folder: str, *, recursive: bool, quiet: bool) -> "Changes":
    files: dict[str, Stamp] = {}
    for one in scan(folder, recursive=recursive, accept=frozenset((".mcm",))):
        with contextlib.suppress(FileNotFoundError):
            facts = os.stat(one.path)
            # Reading a pipe would wait for a writer.
            if stat.S_ISREG(facts.st_mode):
                files[one.relative] = facts.st_size, facts.st_mtime_ns
    with Meter(len(files), quiet=quiet) as meter:

        def progress(path: str) -> None:
            meter.at(path)
            meter.step()

        return archive.update(
            files,
            lambda path: read(os.path.join(folder, path)),
            lambda path, error: complain(explain(error, os.path.join(folder, path)), os.path.join(folder, path)),
            progress,
            lambda path: recursive or "/" not in path,
        )


def _complete(archive: "Index", folder: str, *, semantic: bool, likeness: bool) -> None:
    """Add the embeddings or descriptors that the index lacks."""
    if semantic:
        from .semantic import complete

        complete(archive)
    if likeness:
        from . import likeness as pictures

        pictures.complete(archive, lambda path: read(os.path.join(folder, path)))


def _list(folders: tuple[str, ...], *, as_json: bool) -> int:
    """Print the indexes in the cache, all of them or those of some folders."""
    from .index_file import entries

    wanted = {os.path.realpath(folder) for folder in folders}
    for entry in entries():
        if wanted and entry.archive not in wanted:
            continue
        there = os.path.isdir(entry.archive)
        if as_json:
            click.echo(json.dumps({"folder": entry.archive, "index": entry.path, "files": entry.files,
                                   "bytes": entry.size, "exists": there}))  # fmt: skip
        else:
            name = entry.archive or "not an index of this version"
            note = "" if there or not entry.archive else ", the folder is gone"
            click.echo(printable(f"{name}: {entry.files} files, {size(entry.size)} in {entry.path}{note}"))
    return OK


def _remove(folders: tuple[str, ...], *, quiet: bool, as_json: bool) -> int:
    """Delete the indexes of folders; without a name, those whose folders are gone and those that cannot be used."""
    from .index_file import Place, discard, entries

    if folders:
        paths = [(folder, Place.of(folder).path) for folder in folders]
    else:
        paths = [(one.archive or one.path, one.path) for one in entries() if not os.path.isdir(one.archive)]
    for folder, path in paths:
        done = discard(path)
        if as_json:
            click.echo(json.dumps({"folder": folder, "index": path, "removed": done}))
        elif not quiet:
            click.echo(printable(f"{folder}: {'index deleted' if done else 'there is no index'}"), err=True)
    return OK
