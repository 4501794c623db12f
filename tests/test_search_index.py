"""Indexes of searches as files: hostile and damaged ones, two programs at once, listing and pruning."""

# ruff: noqa: F401, F811

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from test_cli_caption import run
from test_search import archive, cache, found, index_of, pictures

from mcmcodec.cli.cache import VARIABLE
from mcmcodec.cli.search import index_file
from mcmcodec.cli.search.index import Index
from mcmcodec.cli.search.index_file import DamagedIndex, Place

Spoil = Callable[[Path], None]


def sql(script: str) -> Spoil:
    def spoil(path: Path) -> None:
        database = sqlite3.connect(path)
        database.executescript(f"PRAGMA writable_schema = ON; {script}")
        database.close()

    return spoil


def overwrite(data: bytes, at: int = 0) -> Spoil:
    def spoil(path: Path) -> None:
        old = path.read_bytes()
        path.write_bytes(old[:at] + data + old[at + len(data) :])

    return spoil


def another_program(path: Path) -> None:
    path.unlink()
    sql("CREATE TABLE mine(x); INSERT INTO mine VALUES (1)")(path)


def link(path: Path) -> None:
    path.rename("elsewhere.sqlite3")
    path.symlink_to(Path("elsewhere.sqlite3").absolute())


def dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(Path("nothing.sqlite3").absolute())


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def journal_of_a_victim(path: Path) -> None:
    """A journal that has SQLite delete the file victim.txt."""
    victim = Path("victim.txt").absolute()
    victim.write_text("kept")
    name, magic = os.fsencode(victim), bytes.fromhex("d9d505f920a163d7")
    header = magic + struct.pack(">5I", 0, 7, path.stat().st_size // 4096, 512, 4096)
    end = struct.pack(f">I{len(name)}s2I", 2**30 // 4096 + 1, name, len(name), sum(name))
    path.with_name(path.name + "-journal").write_bytes(header.ljust(512, b"\0") + end + magic)


def test_the_hostile_journal_works(here: Path) -> None:
    path = here / "a.sqlite3"
    sql("CREATE TABLE mine(x)")(path)
    journal_of_a_victim(path)
    sql("INSERT INTO mine VALUES (1)")(path)
    assert not Path("victim.txt").exists()


def linked_journal(path: Path) -> None:
    Path("elsewhere.sqlite3").write_bytes(path.read_bytes())
    path.with_name(path.name + "-journal").symlink_to(Path("elsewhere.sqlite3").absolute())


HOSTILE: dict[str, Spoil] = {
    "trigger": sql(
        "CREATE TRIGGER planted AFTER INSERT ON file BEGIN INSERT INTO file SELECT NULL, randomblob(50), 1, 1, 1, 1,"
        " '', '', 'planted', '' FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000)"
        " SELECT i FROM n); END"
    ),
    "trigger on deletion": sql(
        "CREATE TRIGGER planted AFTER DELETE ON file BEGIN UPDATE file SET caption = 'planted'; END;"
        "UPDATE file SET time = 1"
    ),
    "view": sql(
        "ALTER TABLE file RENAME TO real_file; CREATE VIEW file AS SELECT id, path, size, time, width, height, model,"
        " mode, 'planted' || hex(zeroblob(100000000)) AS caption, phrases FROM real_file"
    ),
    "extra column": sql("ALTER TABLE file ADD COLUMN planted"),
    "generated column": sql(
        "ALTER TABLE file ADD COLUMN planted AS (hex(randomblob(length(hex(zeroblob(100000000))))))"
    ),
    "expression index": sql("CREATE INDEX planted ON file(hex(caption) || length(hex(caption)))"),
    "partial index": sql("CREATE INDEX planted ON file(caption) WHERE hex(caption) = 'planted'"),
    "check": sql(
        "UPDATE sqlite_master SET sql = replace(sql, 'phrases TEXT NOT NULL',"
        " 'phrases TEXT NOT NULL CHECK (load_extension(''planted''))') WHERE name = 'file'"
    ),
    "default": sql("ALTER TABLE vector ADD COLUMN planted DEFAULT (randomblob(1000000000))"),
    "other tokenizer": sql("UPDATE sqlite_master SET sql = replace(sql, 'porter', 'trigram') WHERE name = 'word'"),
    "no module": sql("UPDATE sqlite_master SET sql = replace(sql, 'fts5', 'planted') WHERE name = 'word'"),
    "many tables": sql("".join(f"CREATE TABLE planted{i}(x);" for i in range(300))),
    "no tables": sql("DELETE FROM sqlite_master"),
    "wrong application": sql("PRAGMA application_id = 1"),
    "other version": sql("PRAGMA user_version = 77"),
    "write-ahead log": sql("PRAGMA journal_mode = WAL"),
    "other archive": sql("UPDATE archive SET path = CAST('/elsewhere' AS BLOB)"),
    "two archives": sql("INSERT INTO archive SELECT * FROM archive"),
    "no archive": sql("DELETE FROM archive"),
    "huge caption": sql("UPDATE file SET caption = printf('%.*c', 20000000, 'x')"),
    "caption of bytes": sql("UPDATE file SET caption = x'ff00'"),
    "caption of bad text": sql("UPDATE file SET caption = CAST(x'ff' AS TEXT)"),
    "width of text": sql("UPDATE file SET width = 'planted'"),
    "path of text": sql("UPDATE file SET path = CAST(path AS TEXT)"),
    "damaged pages": overwrite(b"\xa5" * 16_000, 3 * 4096),
    "zeros": overwrite(bytes(100_000), 100),
    "cut short": lambda path: os.truncate(path, 9000),
    "no database": lambda path: path.write_bytes(b"something else entirely" * 100) and None,
    "database of another program": another_program,
    "journal that deletes": journal_of_a_victim,
    "journal that is a link": linked_journal,
    "log of another program": lambda path: path.with_name(path.name + "-wal").write_bytes(b"planted") and None,
    "link": link,
    "dangling link": dangling_link,
    "pipe": pipe,
}  # fmt: skip


@pytest.mark.parametrize("spoil", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("command", [["search", "dog", "-r", "--json"], ["search", "dog", "-r", "--json", "--as-is"],
                                     ["index", "-r", "--json"]], ids=["search", "as is", "index"])  # fmt: skip
def test_hostile_indexes(run: Command, archive: Path, command: list[str], spoil: Spoil) -> None:
    assert run("index", "-r", archive).code == 0
    path = index_of(archive)
    new, whole = archive / "new.mcm", path.read_bytes()
    shutil.copy(archive / "beach.mcm", new)
    spoil(path)
    # "codec index" does not read the captions of files that have not changed: the search finds what is wrong with them.
    warnings = []
    for arguments in (command, ["search", "dog", "-r"]):
        done = run(*arguments, archive)
        assert done.code == 0, done.err
        warnings += done.err.replace("a: 7 files (1 new, 6 same)\n", "").splitlines()
    assert [line.startswith(f"codec: a: warning: the index {path} ") for line in warnings] == [True]
    assert path.is_file() and not path.is_symlink() and path.stat().st_size <= len(whole) + 4096
    assert sorted(os.listdir(path.parent)) == [path.name]
    assert not Path("nothing.sqlite3").exists()
    if spoil is journal_of_a_victim:
        assert Path("victim.txt").read_text() == "kept"
    if Path("elsewhere.sqlite3").exists():
        assert Path("elsewhere.sqlite3").read_bytes() == whole
    # Whatever happened, the next search is right, and what was planted is gone.
    done = run("search", "dog beach", archive, "-r", "--json")
    assert (done.code, done.err, b"planted" in done.out) == (0, "", False)
    assert sorted(found(done.out)) == ["beach.mcm", "deep/dogs.mcm", "kitchen.mcm", "new.mcm"]
    assert b"planted" not in path.read_bytes()


@pytest.mark.parametrize("name", [".mcm-index.sqlite3", "index.sqlite3", "index.mcm", "search"])
def test_an_index_in_the_archive_is_not_opened(
    run: Command, archive: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    assert run("index", "-r", archive).code == 0
    shutil.copy(index_of(archive), archive / name)
    shutil.copy(index_of(archive), archive / index_of(archive).name)
    journal_of_a_victim(archive / name)
    assert run("index", "--remove", archive).code == 0
    opened_files = []
    connect = sqlite3.connect

    def watched(database: str, *arguments: object, **options: object) -> sqlite3.Connection:
        opened_files.append(database)
        return connect(database, *arguments, **options)

    monkeypatch.setattr(sqlite3, "connect", watched)
    before = {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}
    assert len(found(run("search", "dog", archive, "-r", "--json").out)) == 3
    assert run("search", "dog", archive, "--as-is").code == 2
    run("index", archive, "-r")
    assert opened_files and not any(str(archive.absolute()) in one for one in opened_files)
    assert {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()} == before
    assert Path("victim.txt").read_text() == "kept"


def test_an_index_runs_nothing_when_it_is_asked(run: Command, archive: Path) -> None:
    assert run("index", "-r", archive).code == 0
    database, _ = index_file.connect(Place.of(str(archive)), write=False)
    assert database.execute("PRAGMA trusted_schema").fetchone() == (0,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.execute("DELETE FROM file")
    if sys.version_info >= (3, 11):
        with pytest.raises(sqlite3.OperationalError, match="too many attached"):
            database.execute("ATTACH 'other.sqlite3' AS other")
    database.close()
    with Index(Place.of(str(archive)), write=True) as index:
        index.make_read_only()
        with pytest.raises(index_file.UnwritableIndex, match="cannot be written"):
            index.update({}, lambda path: b"", print)
        assert len(index) == 6


def test_vectors_of_another_length(run: Command, archive: Path) -> None:
    assert run("index", "-r", archive, "--likeness").code == 0
    sql("UPDATE vector SET data = zeroblob(7)")(index_of(archive))
    done = run("search", "--like", archive / "kitchen.mcm", archive, "-r", "--json", "--as-is")
    assert done.code == 0 and found(done.out)[0] == "kitchen.mcm"
    assert (
        done.err == f"codec: a: warning: the index {index_of(archive)} has vectors of another length; it is made anew\n"
    )


def test_vectors_are_stored_with_the_right_file(archive: Path) -> None:
    def data(path: str) -> bytes:
        return (archive / path).read_bytes()

    with Index() as index:
        index.update({"beach.mcm": (1, 1), "kitchen.mcm": (1, 1)}, data, print)
        numbers = {path: number for number, path, _ in index.lacking("x")}
        # another process replaces a file while the vector is computed
        index.update({"beach.mcm": (1, 1), "kitchen.mcm": (2, 2)}, data, print)
        index.store("x", [(number, np.ones(3, np.float32)) for number in numbers.values()])
        assert [path for _, path, _ in index.lacking("x")] == ["kitchen.mcm"]
        index.store("x", [(number, np.zeros(0, np.float32)) for number, _, _ in index.lacking("x")])
        assert index.lacking("x") == []
        hits = index.nearest("x", np.ones(3, np.float32), np.matmul, 5)
        assert [(hit.path, hit.score) for hit in hits] == [("beach.mcm", 3.0)]
        with pytest.raises(DamagedIndex, match="another length"):
            index.nearest("x", np.ones(2, np.float32), np.matmul, 5)


def test_an_index_in_use_is_told(run: Command, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("index", archive).code == 0
    monkeypatch.setattr(index_file, "_TIMEOUT", 0.01)
    with sqlite3.connect(index_of(archive)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for command in (["search", "dog", archive], ["index", archive]):
            done = run(*command)
            assert done.code == 1 and "another program is using the index" in done.err
    other.close()


def test_two_at_once(archive: Path, tiny: Path) -> None:
    for number in range(120):
        shutil.copy(archive / "beach.mcm", archive / f"{number}.mcm")
    program = """
import sys
from mcmcodec.cli.search import index
index._BATCH = 7
from mcmcodec.cli.main import main
main(sys.argv[1:])
"""
    command = [sys.executable, "-c", program, "index", "-r", "--likeness", "--json", str(archive)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
        assert json.loads(out)["files"] == 126
    with Index(Place.of(str(archive))) as index:
        assert index.lacking("likeness") == []
        assert len(index.search("dog", 1000)) == 123
    database = sqlite3.connect(index_of(archive))
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.execute("INSERT INTO word(word, rank) VALUES ('integrity-check', 1)")
    database.close()


def test_a_cache_that_cannot_be_written(
    run: Command, archive: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("index", "-r", archive).code == 0
    path = index_of(archive)
    before = path.read_bytes()
    connect = sqlite3.connect
    # the tests may run as root, to whom no file is read-only
    monkeypatch.setattr(
        sqlite3, "connect", lambda name, *rest, **more: connect(name.replace("=rw", "=ro"), *rest, **more)
    )
    done = run("search", "dog", archive, "-r", "--json")
    assert (len(found(done.out)), done.err) == (3, "")
    shutil.copy(archive / "beach.mcm", archive / "new.mcm")
    for _ in range(2):
        done = run("search", "dog", archive, "-r", "--json")
        assert sorted(found(done.out)) == ["beach.mcm", "deep/dogs.mcm", "kitchen.mcm", "new.mcm"]
        assert done.err.startswith(f"codec: a: warning: the index {path} cannot be written (attempt to write")
        assert done.err.endswith("; the search goes on in memory\n") and done.err.count("\n") == 1
    done = run("index", "-r", archive)
    assert done.code == 1 and f"; set {VARIABLE} to a folder that can be written" in done.err
    assert path.read_bytes() == before


def test_a_cache_that_cannot_be_made(run: Command, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    monkeypatch.setenv(VARIABLE, "file")
    assert len(found(run("search", "dog", archive, "-r", "--json").out)) == 3
    done = run("index", archive)
    assert done.code == 1 and "cannot be made (" in done.err and f"; set {VARIABLE} to" in done.err
    # no home, so that the cache would be in the current folder, which may be a downloaded one
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "x")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *names, **options: "~/.cache/mcmcodec")
    done = run("index", archive)
    assert done.code == 1 and "there is no folder for caches; set MCMCODEC_CACHE" in done.err
    assert len(found(run("search", "dog", archive, "-r", "--json").out)) == 3


def test_an_index_that_cannot_be_replaced(run: Command, archive: Path) -> None:
    path = index_of(archive)
    path.mkdir(parents=True)
    (path / "kept").touch()
    done = run("search", "dog", archive, "-r", "--json")
    assert len(found(done.out)) == 3 and (path / "kept").exists()
    assert "is not a plain file; it is made anew" in done.err and "cannot be deleted" in done.err
    done = run("index", archive)
    assert done.code == 1 and "cannot be deleted (" in done.err


def test_journals_of_others_are_deleted(run: Command, archive: Path) -> None:
    path = index_of(archive)
    for command in (["index", "-r", archive], ["search", "dog", archive, "-r"], ["index", "--remove", archive]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(path.name + "-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(4096))
        assert run(*command).code == 0
    assert os.listdir(path.parent) == []


def test_list_remove_and_prune(run: Command, archive: Path, cache: Path) -> None:
    assert run("index", "--list").out == b"" and run("index", "--prune").err == ""
    os.rename("a/deep", "b")
    for folder in ("a", "b"):
        assert run("index", folder).code == 0
    cache.joinpath("other.txt").touch()
    rows = [json.loads(line) for line in run("index", "--list", "--json").out.splitlines()]
    assert [(Path(row["folder"]).name, row["files"], row["exists"]) for row in rows] == [("a", 4, True), ("b", 2, True)]
    assert rows[0]["index"] == str(index_of(archive)) and rows[0]["bytes"] == index_of(archive).stat().st_size
    os.rename("b", "c")
    out = run("index", "--list").out.decode().splitlines()
    assert len(out) == 2 and out[1].endswith(", the folder is gone") and str(Path("b").absolute()) in out[1]
    # the index stays with the old name, the new one has none yet
    assert run("search", "dogs", "c", "--as-is").code == 2
    assert len(run("search", "dogs", "c", "--json").out.splitlines()) == 1
    assert run("index", "--prune").err == f"{Path('b').absolute()}: index deleted\n"
    assert len(run("index", "--list", "a").out.splitlines()) == 1 and not run("index", "--list", "b").out
    assert json.loads(run("index", "--remove", "a", "--json").out) == {
        "folder": "a", "index": rows[0]["index"], "removed": True,
    }  # fmt: skip
    assert run("index", "--remove", "a").err == "a: there is no index\n"
    assert os.listdir(cache) == ["other.txt"] and len(list(Path("a").iterdir())) == 4


def test_prune_deletes_what_is_no_index(run: Command, archive: Path, cache: Path) -> None:
    assert run("index", archive).code == 0
    other = cache / f"{'0' * 32}.sqlite3"
    shutil.copy(index_of(archive), other)
    assert "not an index of this version: 0 files" not in run("index", "--list", archive).out.decode()
    assert str(other) in run("index", "--list").out.decode()
    assert run("index", "--prune").err == f"{other}: index deleted\n"
    assert [path.name for path in cache.iterdir()] == [index_of(archive).name]


def test_a_replaced_index_is_not_deleted(archive: Path) -> None:
    place = Place.of(str(archive))
    _, old = index_file.connect(place, write=True)
    index_file.discard(place.path)
    # the old inode is still open, so that the new file has another
    index_file.connect(place, write=True)[0].close()
    assert not index_file.discard(place.path, old) and place.exists()
    assert index_file.discard(place.path) and not place.exists()


def test_the_cache_is_the_owners(run: Command, archive: Path, cache: Path) -> None:
    assert run("index", archive).code == 0
    assert cache.stat().st_mode & 0o777 == 0o700 and index_of(archive).stat().st_mode & 0o777 == 0o600


def test_folders_by_other_names(run: Command, archive: Path) -> None:
    os.symlink("a", "link")
    assert run("index", "-r", archive).code == 0
    for name in ("a/", "./a", "link", "a/deep/..", str(archive.absolute())):
        assert run("search", "dog", name, "-r", "--as-is").code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not text")
def test_names_that_are_not_text(run: Command, archive: Path, here: Path) -> None:
    folder = os.fsencode(here) + b"/\xff"
    os.mkdir(folder)
    shutil.copy(archive / "beach.mcm", folder + b"/\xfe.mcm")
    os.mkfifo(folder + b"/pipe.mcm")
    for _ in range(2):
        done = run("search", "dog", os.fsdecode(folder), "--json")
        assert done.err == "" and os.fsencode(json.loads(done.out)["file"]) == folder + b"/\xfe.mcm"
        assert run("index", os.fsdecode(folder)).code == 0
    assert b"\\udcff: 1 files" in run("index", "--list").out
