"""What goes wrong around the codec: it is killed, the disk is full, files vanish, readers go. Targets stay whole."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from PIL import Image

from mcmcodec.cli import files

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")

Picture = Callable[..., Path]
DRIVER = [sys.executable, str(Path(__file__).parent / "faults.py")]
OLD = "the old file"


def run(folder: Path, event: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DRIVER, str(folder), event, *arguments], capture_output=True, text=True, **options)


@pytest.fixture
def album(tmp_path: Path, picture: Picture) -> Path:
    """Two pictures in in/, and an old file in out/ where the first one's is to be."""
    picture(tmp_path / "album" / "in" / "a.png")
    picture(tmp_path / "album" / "in" / "b.png", 40, 30)
    (tmp_path / "album" / "out").mkdir()
    (tmp_path / "album" / "out" / "a.mcm").write_text(OLD)
    return tmp_path / "album"


def left_after(album: Path, event: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What the disturbed runs left, and what the undisturbed one did."""
    done = run(album, event, "encode", "-f", "in", "-o", "out")
    *disturbed, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert last["code"] == 0 and sorted(last["files"]) == ["out/a.mcm", "out/b.mcm"], done.stderr
    assert len(disturbed) >= 7, "two pictures are read, written under another name, and renamed"
    new = last["files"]
    for one in disturbed:
        assert one["files"]["out/a.mcm"] in (OLD, new["out/a.mcm"])
        assert one["files"].get("out/b.mcm") in (None, new["out/b.mcm"])
    assert {one["files"]["out/a.mcm"] for one in disturbed} == {OLD, new["out/a.mcm"]}
    return disturbed, new


def test_killed_at_any_moment(album: Path) -> None:
    disturbed, new = left_after(album, "SIGKILL")
    assert {one["code"] for one in disturbed} == {-9}
    others = {name for one in disturbed for name in one["files"]} - set(new)
    assert others and all(name.startswith("out/.codec-") and name.endswith(".tmp") for name in others)


@pytest.mark.parametrize(("event", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_stopped_at_any_moment(album: Path, event: str, code: int) -> None:
    disturbed, new = left_after(album, event)
    assert {one["code"] for one in disturbed} == {code}
    assert {name for one in disturbed for name in one["files"]} <= set(new), "no temporary file stays"


def test_two_at_once_into_one_folder(tmp_path: Path, picture: Picture) -> None:
    for number in range(12):
        picture(tmp_path / "in" / f"{number:02}.png", 30 + number, 20)
    command = [*DRIVER, str(tmp_path), "", "encode", "-f", "--quiet", "in", "-o", "out"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    assert [(process.communicate()[1], process.returncode) for process in processes] == [(b"", 0)] * 3
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == [f"{number:02}.mcm" for number in range(12)]
    assert [json.loads(path.read_bytes())["size"] for path in written] == [[30 + number, 20] for number in range(12)]


def test_two_at_once_without_force(tmp_path: Path, picture: Picture) -> None:
    """Of what three processes make of the same pictures, each output is written by one and replaced by none."""
    for number in range(12):
        picture(tmp_path / "in" / f"{number:02}.png", 30 + number, 20)
    command = [*DRIVER, str(tmp_path), "", "encode", "--json", "in", "-o", "out"]
    made = [subprocess.Popen([*command, "-q", str(q)], stdout=subprocess.PIPE, text=True) for q in (1, 2, 3)]
    rows = [[json.loads(line) for line in process.communicate()[0].splitlines()] for process in made]
    for number in range(12):
        (winner,) = (q for q, lines in enumerate(rows, 1) if lines[number]["status"] == "ok")
        losers = [lines[number] for q, lines in enumerate(rows, 1) if q != winner]
        assert json.loads((tmp_path / "out" / f"{number:02}.mcm").read_bytes())["quality"] == winner
        assert {row["error"] for row in losers} == {
            f"out/{number:02}.mcm exists; give -f to overwrite it or --skip-existing"
        }
    assert sorted(os.listdir(tmp_path / "out")) == [f"{number:02}.mcm" for number in range(12)]


def test_killed_without_force(album: Path) -> None:
    (album / "out" / "a.mcm").unlink()
    done = run(album, "SIGKILL", "encode", "in", "-o", "out")
    *disturbed, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert last["code"] == 0 and sorted(last["files"]) == ["out/a.mcm", "out/b.mcm"], done.stderr
    assert len(disturbed) >= 7
    for one in disturbed:
        for name, content in one["files"].items():
            assert name.endswith(".tmp") or content == last["files"][name]


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))


def test_no_room_for_the_output(album: Path) -> None:
    done = run(album, "", "encode", "-f", "in", "-o", "out", preexec_fn=limit_files)
    message = "file too large (out/{}.mcm); raise the limit on file sizes, or write somewhere else with -o"
    wanted = [f"codec: in/{name}.png: {message.format(name)}" for name in "ab"]
    assert (done.returncode, done.stderr.splitlines()[:2]) == (1, wanted)
    assert [(path.name, path.read_text()) for path in (album / "out").iterdir()] == [("a.mcm", OLD)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["encode", "in/a.png", "-o", "-"], ["encode", "-n", "in/a.png"], ["--help"]])
def test_stdout_is_full(album: Path, arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        command = [*DRIVER, str(album), "", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].endswith("no space left on device; free some space")
    assert "Traceback" not in done.stderr and "ignored" not in done.stderr


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that others may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_target_is_read_only(open_to_all: Path, picture: Picture) -> None:
    picture(open_to_all / "in" / "a.png")
    out = open_to_all / "out"
    out.mkdir()
    (out / "a.mcm").write_text(OLD)
    out.chmod(0o555)
    try:
        done = run(open_to_all, "nobody", "encode", "-f", "--quiet", "in", "-o", "out")
        message = "codec: in/a.png: permission denied (out/a.mcm); check its permissions\n"
        assert (done.returncode, done.stderr) == (1, message)
        assert [(path.name, path.read_text()) for path in out.iterdir()] == [("a.mcm", OLD)]
    finally:
        out.chmod(stat.S_IRWXU)


PACKAGE = Path(files.__file__).parents[1]
ROOT = os.name != "nt" and os.geteuid() == 0


@pytest.fixture
def shared_folder(open_to_all: Path, picture: Picture, tiny: Path, tiny_codec: Any) -> Iterator[Path]:
    """Pictures that all may read but one, a file by a real codec, a folder for all, and one that is read-only."""
    if ROOT and not all(one.stat().st_mode & stat.S_IXOTH for one in (PACKAGE, *PACKAGE.parents)):
        pytest.skip("needs the package where other users may read it")
    shutil.copytree(tiny, open_to_all / ".weights")
    (open_to_all / ".weights").chmod(0o755)
    picture(open_to_all / "a.png")
    picture(open_to_all / "secret.png").chmod(0)
    (open_to_all / "fog.mcm").write_bytes(tiny_codec.encode(Image.new("RGB", (40, 30)), caption="fog"))
    (open_to_all / "rw").mkdir()
    (open_to_all / "rw").chmod(0o777)
    picture(open_to_all / "ro" / "b.png")
    (open_to_all / "locked").mkdir()
    for name, mode in (("ro", 0o555), ("locked", 0)):
        (open_to_all / name).chmod(mode)
    yield open_to_all
    for name in ("ro", "locked"):
        (open_to_all / name).chmod(0o755)


def as_stranger(folder: Path, *arguments: str, home: str | None = "/nonexistent") -> tuple[int, str, str]:
    names = ("HOME", "XDG_CACHE_HOME", "MCMCODEC_CACHE")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {"MCMCODEC_WEIGHTS": str(folder / ".weights")} | ({} if home is None else {"HOME": home})
    done = run(folder, "stranger", *arguments, env=environment)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_users_without_rights(shared_folder: Path) -> None:
    denied = "permission denied{}; check its permissions"
    code, _, err = as_stranger(shared_folder, "encode", "a.png", "-o", "rw/a.mcm")
    assert (code, os.listdir(shared_folder / "rw")) == (0, ["a.mcm"]), err
    code, _, err = as_stranger(shared_folder, "decode", "rw/a.mcm", "-o", "rw/a.jpg")
    assert (code, sorted(os.listdir(shared_folder / "rw"))) == (0, ["a.jpg", "a.mcm"]), err
    code, _, err = as_stranger(shared_folder, "encode", "--quiet", "ro/b.png")
    assert (code, err) == (1, f"codec: ro/b.png: {denied.format(' (ro/b.mcm)')}\n")
    code, _, err = as_stranger(shared_folder, "encode", "--quiet", "secret.png", "-o", "rw/")
    assert (code, err) == (1, f"codec: secret.png: {denied.format('')}\n")
    code, _, err = as_stranger(shared_folder, "encode", "-r", ".", "-o", "rw")
    assert (code, err) == (1, f"codec: {denied.format(' (./locked)')}\n")
    code, _, err = as_stranger(shared_folder, "caption", "ro/b.mcm", "fog.mcm")
    assert (code, err) == (1, "codec: ro/b.mcm: no such file or directory; check the name\n")
    assert [path.name for path in (shared_folder / "ro").iterdir()] == ["b.png"]


@pytest.mark.skipif(not ROOT, reason="needs root to become a user whom nobody knows")
def test_files_of_others_are_not_changed(shared_folder: Path) -> None:
    before = (shared_folder / "fog.mcm").read_bytes()
    code, _, err = as_stranger(shared_folder, "caption", "fog.mcm", "--set", "snow")
    assert (code, err.splitlines()[0]) == (1, "codec: fog.mcm: permission denied; check its permissions")
    assert (shared_folder / "fog.mcm").read_bytes() == before


@pytest.mark.parametrize("home", ["/nonexistent", "ro", None])
def test_users_without_a_home_or_with_one_that_is_read_only(shared_folder: Path, home: str | None) -> None:
    if home is None and not ROOT:
        pytest.skip("needs root to become a user whom nobody knows")
    home = str(shared_folder / home) if home == "ro" else home
    before = sorted(shared_folder.rglob("*"))
    code, out, err = as_stranger(shared_folder, "search", "fog", ".", home=home)
    assert (code, out.split()[1:], err) == (0, ["./fog.mcm", "fog"], "")
    code, out, err = as_stranger(shared_folder, "index", ".", home=home)
    assert (code, out, err.count("\n")) == (1, "", 1) and err.endswith(
        "; set MCMCODEC_CACHE to a folder that can be written\n"
    )
    assert as_stranger(shared_folder, "encode", "a.png", "-o", "-", home=home)[0] == 0
    assert sorted(shared_folder.rglob("*")) == before


def test_a_full_disk(album: Path) -> None:
    """A real one, of a page of memory."""
    (album / "out" / "a.mcm").unlink()
    script = (
        "mount -t tmpfs -o size=4k tmpfs out && head -c 4096 /dev/zero > out/filled && "
        '{ "$@"; code=$?; ls -A out; exit $code; }'
    )
    command = ["unshare", "-rm", "sh", "-c", script, "sh", *DRIVER, ".", "", "encode", "--quiet", "in", "-o", "out"]
    if not shutil.which("unshare") or subprocess.run([*command[:4], "mount -t tmpfs tmpfs out"], cwd=album).returncode:
        pytest.skip("needs a user namespace")
    done = subprocess.run(command, cwd=album, capture_output=True, text=True)
    full = "codec: in/{0}.png: no space left on device (out/{0}.mcm); free some space"
    assert (done.returncode, done.stderr.splitlines()) == (1, [full.format(name) for name in "ab"])
    assert done.stdout == "filled\n", "no temporary file stays"


@pytest.mark.parametrize("call", ["open", "replace"])
@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.EIO, "input/output error (out/a.mcm); check the disk, or the connection to it"),
        (errno.ESTALE, "stale file handle (out/a.mcm); check the disk, or the connection to it"),
        (errno.ETIMEDOUT, "connection timed out (out/a.mcm); check the disk, or the connection to it"),
        (errno.EDQUOT, "disk quota exceeded (out/a.mcm); free some space, or write somewhere else with -o"),
        (errno.EROFS, "read-only file system (out/a.mcm); write somewhere else with -o"),
    ],
)
def test_errors_of_file_systems(
    codec: Command, here: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch, number: int, cause: str, call: str
) -> None:
    picture("in/a.png")
    picture("in/b.png")
    Path("out").mkdir()
    Path("out/a.mcm").write_text(OLD)
    real, failures = getattr(os, call), iter((True,))

    def fail_once(*arguments: Any) -> Any:
        if ".codec-" in str(arguments[0]) and next(failures, False):
            raise OSError(number, os.strerror(number), arguments[0])
        return real(*arguments)

    monkeypatch.setattr(os, call, fail_once)
    done = codec("encode", "-f", "in", "-o", "out")
    assert (done.code, done.err.splitlines()[0]) == (1, f"codec: in/a.png: {cause}")
    assert sorted(os.listdir("out")) == ["a.mcm", "b.mcm"] and Path("out/a.mcm").read_text() == OLD


def test_an_input_on_a_disk_that_fails(
    codec: Command, here: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("a.png")
    picture("b.png")
    open_input = files.seekable

    def fail(source: str) -> object:
        if source == "a.png":
            raise OSError(errno.EIO, os.strerror(errno.EIO), source)
        return open_input(source)

    monkeypatch.setattr("mcmcodec.cli.encode_jobs.seekable", fail)
    done = codec("encode", "a.png", "b.png")
    message = "codec: a.png: input/output error; check the disk, or the connection to it"
    assert (done.code, done.err.splitlines()[0], Path("b.mcm").exists()) == (1, message, True)


def test_input_that_vanishes(codec: Command, here: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        picture(f"in/{name}.png")
    open_input = files.seekable

    def meanwhile(source: str) -> object:
        Path("in/b.png").unlink(missing_ok=True)
        return open_input(source)

    monkeypatch.setattr("mcmcodec.cli.encode_jobs.seekable", meanwhile)
    done = codec("encode", "in", "-o", "out")
    assert (done.code, done.err.splitlines()[0]) == (1, "codec: in/b.png: no such file or directory; check the name")
    assert sorted(os.listdir("out")) == ["a.mcm", "c.mcm"]


@pytest.mark.parametrize(("how", "force"), [("link", []), ("replace", ["-f"])])
def test_folder_that_vanishes(
    codec: Command, here: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch, how: str, force: list[str]
) -> None:
    picture("a.png")
    hand_over = getattr(os, how)

    def meanwhile(source: str, target: str) -> None:
        os.unlink(source)
        os.rmdir("out")
        hand_over(source, target)

    monkeypatch.setattr(os, how, meanwhile)
    done = codec("encode", "a.png", "-o", "out/", *force)
    assert (done.code, done.err.splitlines()[0]) == (
        1, "codec: a.png: no such file or directory (out/a.mcm); check the name",
    )  # fmt: skip


def test_reader_of_a_picture_goes_away(album: Path) -> None:
    Image.effect_noise((600, 600), 50).save(album / "in" / "c.png")
    run(album, "", "encode", "in/c.png", "-o", "out/c.mcm")
    command = [*DRIVER, str(album), "", "decode", "out/c.mcm", "-o", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
