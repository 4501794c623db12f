"""The index of an archive: captions of .mcm files in SQLite, with full-text search (FTS5). No torch, no latents.

Only a file's header and caption are read, after its checksum. An index is brought up to date by looking at sizes and
times; a file that cannot be read is not in it, and is tried again the next time.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ...bitstream.file import open_file
from ...caption.shortest import content
from ...errors import FormatError, UsageError

NAME: Final = ".mcm-index.sqlite3"
"""Of the index in the folder that it is about; hidden, so that no command takes it for a picture."""
_VERSION: Final = 1
_APPLICATION: Final = 0x6D636D69
_BATCH: Final = 2000
_SCHEMA: Final = """
CREATE TABLE file(
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, time INTEGER NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, model TEXT NOT NULL, mode TEXT NOT NULL, caption TEXT NOT NULL,
    phrases TEXT NOT NULL
);
CREATE VIRTUAL TABLE word USING fts5(
    caption, phrases, content='file', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
);
CREATE TABLE vector(id INTEGER, kind TEXT, data BLOB NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TRIGGER made AFTER INSERT ON file BEGIN
    INSERT INTO word(rowid, caption, phrases) VALUES (new.id, new.caption, new.phrases);
END;
CREATE TRIGGER gone AFTER DELETE ON file BEGIN
    INSERT INTO word(word, rowid, caption, phrases) VALUES ('delete', old.id, old.caption, old.phrases);
    DELETE FROM vector WHERE id = old.id;
END;
"""

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds."""
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hit:
    """A file that was found.

    Attributes:
        path: from the folder that the index is about.
        score: higher is better; comparable within one search only.
        width: of the picture in pixels.
        height: likewise.
        size: of the file in bytes.
        model: name of its stream model.
        mode: what it holds, see :data:`mcmcodec.bitstream.file.MODES`.
        caption: its words.
        phrases: the words of its regions.
    """

    path: str
    score: float
    width: int
    height: int
    size: int
    model: str
    mode: str
    caption: str
    phrases: str


@dataclass(slots=True)
class Changes:
    """What an update did, in files."""

    new: int = 0
    changed: int = 0
    gone: int = 0
    same: int = 0
    failed: int = 0


class Index:
    """An index in a file, or in memory (``:memory:``).

    Args:
        path: the SQLite file; made when it is not there.
        read_only: take it as it is.

    Raises:
        FormatError: the file is no index, a damaged one, or one of another version.
        OSError: it cannot be made or read.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self.path = path
        with self._guarded():
            try:
                self._db = sqlite3.connect(_address(path, "ro" if read_only else "rwc"), 30, uri=True)
            except sqlite3.OperationalError as error:
                raise OSError(5, "the index cannot be opened", path) from error
            number = self._db.execute("PRAGMA application_id").fetchone()[0]
            empty = not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if empty and not read_only:
                mark = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION};"
                self._db.executescript(f"BEGIN; {mark} {_SCHEMA} COMMIT;")
            elif number != _APPLICATION or self._db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise FormatError(f"{path} is no index of this version", "delete it and run codec index again")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __len__(self) -> int:
        with self._guarded():
            return int(self._db.execute("SELECT count(*) FROM file").fetchone()[0])

    def update(
        self, files: Mapping[str, Stamp], read: Callable[[str], bytes], fail: Callable[[str, Exception], None],
        step: Callable[[str], None] = lambda path: None, scope: Callable[[str], bool] = lambda path: True,
    ) -> Changes:  # fmt: skip
        """Make the index agree with the files; what was done so far stays when it is interrupted.

        Args:
            files: all that there are, by path from the archive's folder.
            read: the bytes of one.
            fail: told of a file that cannot be read; the update goes on.
            step: told of each file that is about to be read.
            scope: which of the indexed paths this is about; others stay although ``files`` lacks them.

        Raises:
            FormatError: the index is damaged.
        """
        done = Changes()
        with self._guarded():
            known = {path: stamp for path, *stamp in self._db.execute("SELECT path, size, time FROM file")}
            gone = [(path,) for path in known if path not in files and scope(path)]
            with self._db:
                self._db.executemany("DELETE FROM file WHERE path = ?", gone)
            done.gone = len(gone)
            fresh = [path for path, stamp in files.items() if known.get(path) != [*stamp]]
            done.same = len(files) - len(fresh)
            for start in range(0, len(fresh), _BATCH):
                with self._db:
                    for path in fresh[start : start + _BATCH]:
                        step(path)
                        self._renew(path, files[path], path in known, read, fail, done)
        return done

    def _renew(
        self, path: str, stamp: Stamp, known: bool, read: Callable[[str], bytes],
        fail: Callable[[str, Exception], None], done: Changes,
    ) -> None:  # fmt: skip
        if known:
            self._db.execute("DELETE FROM file WHERE path = ?", (path,))
        try:
            found = open_file(read(path))
        # One bad file must not cost the others.
        except Exception as error:
            done.failed += 1
            fail(path, error)
            return
        header, words = found.header, found.words
        phrases = "; ".join(region.text for region in words.regions)
        row = (path, *stamp, header.width, header.height, found.weights.name, found.mode, words.text, phrases)
        self._db.execute(f"INSERT INTO file VALUES (NULL{', ?' * len(row)})", row)
        done.changed, done.new = done.changed + known, done.new + (not known)

    def search(self, query: str, limit: int, *, every: bool = False, deep: bool = True) -> list[Hit]:
        """Files whose captions have words of the query, best first by BM25 (Robertson and Zaragoza 2009).

        Args:
            query: words, in any order and with any ending; "in quotes" a phrase. Articles and the like count only when
                there is nothing else.
            limit: most hits.
            every: whether all the words must be there.
            deep: whether files in folders inside the archive's are taken.

        Raises:
            FormatError: the index is damaged.
            UsageError: there is no word in the query.
        """
        terms = match_terms(query)
        if not terms:
            raise UsageError("there is no word to search for", "give some")
        text = (" AND " if every else " OR ").join(terms)
        found = "SELECT file.*, -rank FROM word JOIN file ON file.id = word.rowid WHERE word MATCH ?"
        with self._guarded():
            rows = self._db.execute(f"{found}{'' if deep else _FLAT} ORDER BY rank LIMIT ?", (text, limit))
            return [_hit(row) for row in rows]

    def lacking(self, kind: str) -> list[tuple[int, str, str]]:
        """Number, path and caption of the files that have no vector of a kind (an empty one counts)."""
        with self._guarded():
            query = "SELECT id, path, caption FROM file WHERE id NOT IN (SELECT id FROM vector WHERE kind = ?)"
            return list(self._db.execute(query, (kind,)))

    def store(self, kind: str, vectors: Iterable[tuple[int, Vectors]]) -> None:
        """Keep vectors (n,), in half precision; an empty one says that the file has none."""
        with self._guarded(), self._db:
            rows = ((number, kind, vector.astype("<f2").tobytes()) for number, vector in vectors)
            self._db.executemany("INSERT OR REPLACE INTO vector VALUES (?, ?, ?)", rows)

    def nearest(
        self, kind: str, score: Callable[[Vectors], Vectors], limit: int, *, deep: bool = True, model: str = ""
    ) -> list[Hit]:
        """Files with the best vectors of a kind.

        Args:
            kind: see :meth:`store`.
            score: of vectors (files, n), one number each, higher is better.
            limit: most hits.
            deep: as in :meth:`search`.
            model: name of a stream model: only its files are taken.
        """
        with self._guarded():
            query = "SELECT id, data FROM vector JOIN file USING (id) WHERE kind = ? AND length(data) > 0"
            query += f"{'' if deep else _FLAT}{' AND model = ?' if model else ''} ORDER BY path"
            rows = list(self._db.execute(query, (kind, model) if model else (kind,)))
            if not rows:
                return []
            if len({len(data) for _, data in rows}) > 1:
                raise FormatError(f"the index {self.path} is damaged", "delete it and run codec index again")
            data = np.frombuffer(b"".join(data for _, data in rows), "<f2").reshape(len(rows), -1)
            scores = score(data.astype(np.float32))
            best = [(rows[i][0], float(scores[i])) for i in np.argsort(-scores, kind="stable")[:limit].tolist()]
            one = "SELECT * FROM file WHERE id = ?"
            return [_hit((*self._db.execute(one, (number,)).fetchone(), value)) for number, value in best]

    def _guarded(self) -> _Guard:
        return _Guard(self.path)


class _Guard:
    """Turns SQLite's errors into ours."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise OSError(16, "another program is using the index", self.path) from error
        if isinstance(error, sqlite3.OperationalError) and ("readonly" in str(error) or "full" in str(error)):
            raise OSError(30, f"the index cannot be written: {error}", self.path) from error
        if isinstance(error, sqlite3.DatabaseError):
            cause = f"the index {self.path} is damaged ({error})"
            raise FormatError(cause, "delete it and run codec index again") from error


_FLAT = " AND instr(file.path, '/') = 0"


def match_terms(query: str) -> list[str]:
    """The words and phrases of a query as FTS5 takes them, each quoted so that nothing in it is an operator."""
    found = re.findall(r'"([^"]*)"|([^\W_]+)', query.replace("\0", " "))
    terms = [(phrase, " ".join(re.findall(r"[^\W_]+", phrase)) or word) for phrase, word in found]
    telling = [term for phrase, term in terms if term and (phrase or content(term))]
    return [f'"{term}"' for term in telling or [term for _, term in terms if term]]


def _hit(row: tuple[Any, ...]) -> Hit:
    _, path, size, _, width, height, model, mode, caption, phrases, score = row
    return Hit(path, round(score, 6), width, height, size, model, mode, caption, phrases)


def _address(path: str, mode: str) -> str:
    return path if path == ":memory:" else f"file:{quote(path)}?mode={mode}"
