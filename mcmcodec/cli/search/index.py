"""The index of an archive: captions of .mcm files in SQLite, with full-text search (FTS5), and vectors.

Only a file's header and caption are read, after its checksum; latents are not decoded, torch is not loaded. An index is
brought up to date by comparing sizes and times of files. A file that cannot be read is not in the index, and is tried
again at the next update. Where indexes are stored, and how they are opened, is in :mod:`.index_file`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...bitstream.file import open_file
from ...caption.shortest import content
from ...errors import UsageError
from . import index_file
from .index_file import DamagedIndex, Identity, Place

_BATCH: Final = 2000
"""Files that are read before they are written together."""
_COLUMNS: Final = "file.path, file.size, file.width, file.height, file.model, file.mode, file.caption, file.phrases"
_TYPES: Final = (bytes, int, int, int, str, str, str, str)
_TOP_ONLY: Final = " AND instr(file.path, '/') = 0"

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds."""
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hit:
    """A file that was found.

    Attributes:
        path: from the archive's folder.
        score: higher is better; comparable within one search only.
        width: of the picture in pixels.
        height: of the picture in pixels.
        size: of the file in bytes.
        model: name of its stream model.
        mode: what it holds, see :data:`mcmcodec.options.MODES`.
        caption: of the picture.
        phrases: captions of its regions.
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
    """Numbers of files in an update."""

    new: int = 0
    changed: int = 0
    gone: int = 0
    same: int = 0
    failed: int = 0


class Index:
    """An index in the user's cache or in memory; a context manager that closes it.

    Args:
        place: of the index file; None for an empty index in memory.
        write: make the file if it is not there, and allow changes; without it, the file is opened read-only.

    Raises:
        DamagedIndex: the file is not an index of this archive and version.
        UnwritableIndex: the file cannot be opened or made.
        McmError: another process has locked the file.

    All methods raise the same.
    """

    def __init__(self, place: Place | None = None, *, write: bool = False) -> None:
        self._path = place.path if place else "in memory"
        self._identity: Identity | None = None
        if place:
            self._db, self._identity = index_file.connect(place, write=write)
        else:
            self._db = index_file.in_memory()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *error: object) -> None:
        self._db.close()

    def __len__(self) -> int:
        with self._translated():
            return int(self._db.execute("SELECT count(*) FROM file").fetchone()[0])

    def copy(self) -> Index:
        """A copy in memory, which can be changed."""
        found = Index()
        with self._translated():
            self._db.backup(found._db)
        return found

    def make_read_only(self) -> None:
        """Refuse changes from here on."""
        self._db.execute("PRAGMA query_only = ON")

    def update(
        self, files: Mapping[str, Stamp], read: Callable[[str], bytes], fail: Callable[[str, Exception], None],
        progress: Callable[[str], None] = lambda path: None, scope: Callable[[str], bool] = lambda path: True,
    ) -> Changes:  # fmt: skip
        """Bring the index up to date; what was written before an interruption stays.

        Several processes may do so at once: files are read without a lock, and each batch replaces what is there.

        Args:
            files: all that there are, by path from the archive's folder.
            read: returns the bytes of a file.
            fail: called for a file that cannot be read; the update goes on.
            progress: called before a file is read.
            scope: whether an indexed path is to be removed when ``files`` lacks it.
        """
        done = Changes()
        with self._translated():
            known = {
                os.fsdecode(path): (size, time)
                for path, size, time in self._db.execute("SELECT path, size, time FROM file")
            }
            gone = [path for path in known if path not in files and scope(path)]
            if gone:
                with self._db:
                    self._remove(gone)
            done.gone = len(gone)
            fresh = [path for path, stamp in files.items() if known.get(path) != stamp]
            done.same = len(files) - len(fresh)
            for start in range(0, len(fresh), _BATCH):
                paths, rows = fresh[start : start + _BATCH], []
                for path in paths:
                    progress(path)
                    try:
                        rows.append((os.fsencode(path), *files[path], *_facts(read(path))))
                    # One bad file must not cost the others.
                    except Exception as error:
                        done.failed += 1
                        fail(path, error)
                    else:
                        done.changed, done.new = done.changed + (path in known), done.new + (path not in known)
                self._replace(paths, rows)
        return done

    def _replace(self, paths: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        with self._db:
            self._remove(paths)
            self._db.executemany(f"INSERT INTO file VALUES (NULL{', ?' * 9})", rows)
            add = "INSERT INTO word(rowid, caption, phrases) SELECT id, caption, phrases FROM file WHERE path = ?"
            self._db.executemany(add, [row[:1] for row in rows])

    def _remove(self, paths: Sequence[str]) -> None:
        keys = [(os.fsencode(path),) for path in paths]
        # FTS5 holds no copy of the texts: it has to be told what it forgets.
        columns = "SELECT 'delete', id, caption, phrases FROM file WHERE path = ?"
        self._db.executemany(f"INSERT INTO word(word, rowid, caption, phrases) {columns}", keys)
        self._db.executemany("DELETE FROM vector WHERE id = (SELECT id FROM file WHERE path = ?)", keys)
        self._db.executemany("DELETE FROM file WHERE path = ?", keys)

    def search(self, query: str, limit: int, *, match_all: bool = False, recursive: bool = True) -> list[Hit]:
        """Files whose captions have words of the query, best first by BM25 (Robertson and Zaragoza 2009).

        Args:
            query: words, in any order and with any ending; "in quotes" a phrase. Articles and the like count only when
                there is nothing else.
            limit: most hits.
            match_all: whether all the words must be there.
            recursive: whether files in folders inside the archive's folder are included.

        Raises:
            UsageError: there is no word in the query.
        """
        terms = match_terms(query)
        if not terms:
            raise UsageError("there is no word to search for", "give some")
        text = (" AND " if match_all else " OR ").join(terms)
        statement = f"SELECT {_COLUMNS}, -rank FROM word JOIN file ON file.id = word.rowid WHERE word MATCH ?"
        statement += f"{'' if recursive else _TOP_ONLY} ORDER BY rank LIMIT ?"
        with self._translated():
            return [self._hit(row[:-1], row[-1]) for row in self._db.execute(statement, (text, limit))]

    def lacking(self, kind: str) -> list[tuple[int, str, str]]:
        """Number, path and caption of the files that have no vector of a kind (an empty one counts)."""
        query = "SELECT id, path, caption FROM file WHERE id NOT IN (SELECT id FROM vector WHERE kind = ?)"
        with self._translated():
            return [(number, os.fsdecode(path), text) for number, path, text in self._db.execute(query, (kind,))]

    def store(self, kind: str, vectors: Iterable[tuple[int, Vectors]]) -> None:
        """Store vectors (n,), in half precision, with the numbers of their files.

        An empty vector says that the file has none; a vector of a file that is gone is dropped.
        """
        rows = [(kind, vector.astype("<f2").tobytes(), number) for number, vector in vectors]
        with self._translated(), self._db:
            self._db.executemany("INSERT OR REPLACE INTO vector SELECT id, ?, ? FROM file WHERE id = ?", rows)

    def nearest(
        self, kind: str, wanted: Vectors, score: Callable[[Vectors, Vectors], Vectors], limit: int, *,
        recursive: bool = True, model: str = "",
    ) -> list[Hit]:  # fmt: skip
        """Files with the best vectors of a kind.

        Args:
            kind: see :meth:`store`.
            wanted: the vector (n,) to compare with.
            score: from vectors (files, n) and ``wanted`` to numbers (files,), higher is better.
            limit: most hits.
            recursive: as in :meth:`search`.
            model: name of a stream model: only its files are included.
        """
        query = "SELECT id, data FROM vector JOIN file USING (id) WHERE kind = ? AND length(data) > 0"
        query += f"{'' if recursive else _TOP_ONLY}{' AND model = ?' if model else ''} ORDER BY path"
        with self._translated():
            rows = list(self._db.execute(query, (kind, model) if model else (kind,)))
            if not rows:
                return []
            if any(not isinstance(data, bytes) or len(data) != 2 * wanted.size for _, data in rows):
                raise DamagedIndex(f"the index {self._path} has vectors of another length", self._identity)
            vectors = np.frombuffer(b"".join(data for _, data in rows), "<f2").reshape(len(rows), -1)
            scores = score(vectors.astype(np.float32), wanted)
            best = np.argsort(-scores, kind="stable")[:limit].tolist()
            one = f"SELECT {_COLUMNS} FROM file WHERE id = ?"
            return [self._hit(self._db.execute(one, (rows[i][0],)).fetchone(), float(scores[i])) for i in best]

    def models(self, kind: str, *, recursive: bool = True) -> dict[str, int]:
        """How many files of each model have vectors of a kind; `recursive` as in :meth:`search`."""
        query = "SELECT model, count(*) FROM vector JOIN file USING (id) WHERE kind = ? AND length(data) > 0"
        query += f"{'' if recursive else _TOP_ONLY} GROUP BY model ORDER BY model"
        with self._translated():
            rows = self._db.execute(query, (kind,)).fetchall()
            if any(tuple(map(type, row)) != (str, int) for row in rows):
                raise DamagedIndex(f"the index {self._path} is damaged (values of a wrong type)", self._identity)
            return dict(rows)

    def _hit(self, row: tuple[Any, ...], score: float) -> Hit:
        # SQLite stores values of any type in a column of any type.
        if tuple(map(type, row)) != _TYPES:
            raise DamagedIndex(f"the index {self._path} is damaged (values of a wrong type)", self._identity)
        path, size, width, height, model, mode, caption, phrases = row
        return Hit(os.fsdecode(path), round(score, 6), width, height, size, model, mode, caption, phrases)

    def _translated(self) -> AbstractContextManager[None]:
        return index_file.translated(self._path, self._identity)


def match_terms(query: str) -> list[str]:
    """The words and phrases of a query as FTS5 takes them, each quoted so that nothing in it is an operator."""
    found = re.findall(r'"([^"]*)"|([^\W_]+)', query.replace("\0", " "))
    terms = [(phrase, " ".join(re.findall(r"[^\W_]+", phrase)) or word) for phrase, word in found]
    content_terms = [term for phrase, term in terms if term and (phrase or content(term))]
    return [f'"{term}"' for term in content_terms or [term for _, term in terms if term]]


def _facts(data: bytes) -> tuple[int, int, str, str, str, str]:
    """Width, height, model, mode, caption and phrases of a file."""
    file = open_file(data)
    phrases = "; ".join(region.text for region in file.words.regions)
    return file.header.width, file.header.height, file.weights.name, file.mode, file.words.text, phrases
