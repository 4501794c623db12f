"""Index files: where they lie in the user's cache, and how they are opened so that nothing in them can run.

An index is never read from the archive that it describes. Whoever made the archive would choose what SQLite reads: a
database can contain triggers, views and expressions, and a journal beside it can name any file, which SQLite deletes
when it opens the database. The cache belongs to the user, and its files are still not trusted: a file whose schema
differs in one byte from the schema below is damaged, and an index that is damaged is deleted and made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from ...errors import FormatError, McmError
from ..cache import VARIABLE, cache_folder

_NAME: Final = re.compile(r"[0-9a-f]{32}\.sqlite3")
_APPLICATION: Final = 0x6D636D69
_VERSION: Final = 1
_LONGEST: Final = 1 << 24
"""Bytes of the longest value that SQLite reads or writes; captions and vectors have a few kilobytes."""
_TIMEOUT: Final = 30.0
"""Seconds to wait for another process's lock."""
_JOURNAL_END: Final = bytes.fromhex("d9d505f920a163d7")
"""Last bytes of a journal that names a super-journal (https://sqlite.org/fileformat2.html); no index's does."""
_SCHEMA: Final = (
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
    "CREATE TABLE archive(path BLOB NOT NULL)",
    # AUTOINCREMENT: the number of a file that is gone is never given to another, so that a vector which another process
    # computes meanwhile cannot be stored with the wrong file.
    "CREATE TABLE file(id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,"
    " time INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, model TEXT NOT NULL, mode TEXT NOT NULL,"
    " caption TEXT NOT NULL, phrases TEXT NOT NULL)",
    "CREATE VIRTUAL TABLE word USING fts5(caption, phrases, content='file', content_rowid='id',"
    " tokenize='porter unicode61 remove_diacritics 2')",
    "CREATE TABLE vector(id INTEGER, kind TEXT, data BLOB NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID",
)
"""No triggers, so that they can be switched off: :class:`.index.Index` keeps the tables in step."""

Identity = tuple[int, int]
"""Device and inode of a file."""


class DamagedIndex(FormatError):
    """An index file is damaged, of another version, or of another program.

    Attributes:
        identity: of the file that was read, None if it was not there.
    """

    def __init__(self, cause: str, identity: Identity | None = None) -> None:
        """Keep which file it was."""
        super().__init__(cause, "run codec index again")
        self.identity = identity


class UnwritableIndex(McmError):
    """An index file cannot be opened, made, written or deleted."""

    def __init__(self, cause: str) -> None:
        """Keep the cause; the remedy is always the same."""
        super().__init__(cause, f"set {VARIABLE} to a folder that can be written")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the index of an archive lies.

    Attributes:
        archive: real path of the archive's folder.
        path: of the index file, which need not be there.
    """

    archive: str
    path: str

    @classmethod
    def of(cls, folder: str) -> Place:
        """The place for a folder. UnwritableIndex where the user has no cache folder."""
        archive = os.path.realpath(folder)
        key = hashlib.sha256(os.fsencode(os.path.normcase(archive))).hexdigest()[:32]
        return cls(archive, os.path.join(_cache(), f"{key}.sqlite3"))

    def exists(self) -> bool:
        """Whether there is a file, or anything else that takes its name; an empty file is one about to be made."""
        with contextlib.suppress(OSError):
            facts = os.lstat(self.path)
            return not stat.S_ISREG(facts.st_mode) or facts.st_size > 0
        return False


@dataclass(frozen=True, slots=True)
class Entry:
    """An index file of the cache.

    Attributes:
        path: of the index file.
        archive: real path of the archive's folder; empty where the index cannot be used.
        files: that are in the index.
        size: of the index file in bytes.
    """

    path: str
    archive: str
    files: int
    size: int


def connect(place: Place, *, write: bool) -> tuple[sqlite3.Connection, Identity]:
    """Open an index file.

    Args:
        place: of the index.
        write: make it if it is not there; otherwise it is opened read-only.

    Returns:
        The database, and which file it is.

    Raises:
        DamagedIndex: it is not an index of this archive and version.
        UnwritableIndex: it cannot be opened or made.
        McmError: another process has locked it.
    """
    if write:
        _make(place.path)
    try:
        facts = os.lstat(place.path)
    except OSError as error:
        raise UnwritableIndex(f"the index {place.path} cannot be opened ({error.strerror})") from error
    found = facts.st_dev, facts.st_ino
    if not stat.S_ISREG(facts.st_mode):
        raise DamagedIndex(f"the index {place.path} is not a plain file", found)
    if not _are_own_journals(place.path):
        raise DamagedIndex(f"the index {place.path} has a journal of another program", found)
    with translated(place.path, found):
        uri = f"{Path(place.path).absolute().as_uri()}?mode={'rw' if write else 'ro'}"
        database = sqlite3.connect(uri, _TIMEOUT, isolation_level="IMMEDIATE", uri=True)
        try:
            _harden(database)
            if write and not database.execute("PRAGMA page_count").fetchone()[0]:
                _create(database, place.archive)
            if not _is_index(database, place.archive):
                raise DamagedIndex(f"the index {place.path} is not an index of this version", found)
        except BaseException:
            database.close()
            raise
    return database, found


def in_memory() -> sqlite3.Connection:
    """An empty index in memory."""
    database = sqlite3.connect(":memory:", isolation_level="IMMEDIATE")
    _harden(database)
    _create(database, "")
    return database


def discard(path: str, identity: Identity | None = None) -> bool:
    """Delete an index file and its journals; a link is deleted, not what it points to.

    Args:
        path: of the index file.
        identity: of the file that is to be deleted; if there is another by now, from another process, it stays.

    Returns:
        Whether there was one.

    Raises:
        UnwritableIndex: it cannot be deleted.
    """
    try:
        facts = os.lstat(path)
        if identity not in (None, (facts.st_dev, facts.st_ino)):
            return False
        # The journals first: one without its index would be played back into the next index.
        for ending in ("-journal", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + ending)
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UnwritableIndex(f"the index {path} cannot be deleted ({error.strerror})") from error
    return True


def entries() -> Iterator[Entry]:
    """The index files of the cache, by the names of the archives; files with other names are left out."""
    folder, found = _cache(), []
    names = sorted(filter(_NAME.fullmatch, os.listdir(folder))) if os.path.isdir(folder) else []
    for name in names:
        path = os.path.join(folder, name)
        archive, files = "", 0
        with contextlib.suppress(McmError):
            database, _ = connect(Place("", path), write=False)
            with contextlib.closing(database), translated(path):
                files = database.execute("SELECT count(*) FROM file").fetchone()[0]
                named = os.fsdecode(database.execute("SELECT path FROM archive").fetchone()[0])
                archive = named if Place.of(named).path == path else ""
        found.append(Entry(path, archive, files, os.lstat(path).st_size))
    yield from sorted(found, key=lambda one: one.archive)


@contextlib.contextmanager
def translated(path: str, identity: Identity | None = None) -> Iterator[None]:
    """Turn SQLite's errors about an index file into those of :func:`connect`."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.DatabaseError as error:
        text = str(error)
        if isinstance(error, sqlite3.OperationalError):
            if "locked" in text:
                raise McmError(f"another program is using the index {path}", "try again later") from error
            if any(word in text for word in ("readonly", "full", "disk I/O", "unable to open")):
                raise UnwritableIndex(f"the index {path} cannot be written ({text})") from error
        raise DamagedIndex(f"the index {path} is damaged ({text})", identity) from error


def _cache() -> str:
    """The folder of the index files."""
    found = cache_folder()
    if found is None:
        raise UnwritableIndex("there is no folder for caches")
    return os.path.join(found, "search")


def _make(path: str) -> None:
    """Make an empty file that its owner alone can read, unless there is one; links are not followed."""
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise UnwritableIndex(f"the index {path} cannot be made ({error.strerror})") from error


def _are_own_journals(path: str) -> bool:
    """Whether what SQLite reads and writes beside an index can come from an index."""
    if os.path.lexists(f"{path}-wal") or os.path.lexists(f"{path}-shm"):
        return False
    journal = f"{path}-journal"
    try:
        if not stat.S_ISREG(os.lstat(journal).st_mode):
            return False
        with open(journal, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - len(_JOURNAL_END)))
            return file.read() != _JOURNAL_END
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _harden(database: sqlite3.Connection) -> None:
    """Switch off what an index does not need (https://sqlite.org/security.html), before anything is read."""
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        database.execute(f"PRAGMA {setting}")
    if sys.version_info >= (3, 11):
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    if sys.version_info >= (3, 12):
        database.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        database.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
        database.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)


def _create(database: sqlite3.Connection, archive: str) -> None:
    """Make the tables, unless another process has done so."""
    with database:
        database.execute("BEGIN IMMEDIATE")
        if not _schema(database):
            for statement in _SCHEMA:
                database.execute(statement)
            database.execute("INSERT INTO archive VALUES (?)", (os.fsencode(archive),))


def _schema(database: sqlite3.Connection) -> list[tuple[object, ...]]:
    """The rows of the schema table, of a large one only the first."""
    return database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchmany(100)


@cache
def _expected() -> list[tuple[object, ...]]:
    """The rows of a new index, with the tables that this version of SQLite makes for FTS5."""
    with contextlib.closing(in_memory()) as database:
        return _schema(database)


def _is_index(database: sqlite3.Connection, archive: str) -> bool:
    """Whether a database is an index as this version makes it; of this archive, unless its name is empty."""
    settings = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    if settings != [_APPLICATION, _VERSION] or _schema(database) != _expected():
        return False
    # A database in WAL mode would have two more files, and cannot be opened read-only without them.
    if database.execute("PRAGMA journal_mode").fetchone()[0] != "delete":
        return False
    named = database.execute("SELECT path FROM archive").fetchmany(2)
    return len(named) == 1 and isinstance(named[0][0], bytes) and archive in ("", os.fsdecode(named[0][0]))
