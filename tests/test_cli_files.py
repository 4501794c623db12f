"""Which inputs become which outputs, and that an output is written whole or not at all."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from mcmcodec.cli import files
from mcmcodec.cli.files import Job, Plan, find, plan
from mcmcodec.cli.output import OutputExists, write
from mcmcodec.errors import FormatError, InputError, UsageError

PICTURES = frozenset((".png", ".jpg"))


def planned(*inputs: str, output: str | None = None, recursive: bool = False) -> list[tuple[str, str]]:
    jobs = plan(inputs, output, recursive=recursive, accept=PICTURES, suffix=".mcm").jobs
    return [(job.source, job.target) for job in jobs]


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


@pytest.fixture
def album(here: Path) -> Path:
    touch("album/b.png", "album/a.JPG", "album/sub/c.png")
    touch("album/notes.txt", "album/.hidden.png", "album/.git/d.png")
    Path("album/folder.png").mkdir()
    touch("album/folder.png/e.png")
    return here / "album"


def test_beside_the_input(here: Path) -> None:
    assert planned("x.png", "deep/y.tar.jpg") == [("x.png", "x.mcm"), ("deep/y.tar.jpg", "deep/y.tar.mcm")]


def test_any_file_named_explicitly_is_tried(here: Path) -> None:
    assert planned("scan.dat", "noext") == [("scan.dat", "scan.mcm"), ("noext", "noext.mcm")]


def test_one_file_to_a_file_or_a_folder(here: Path) -> None:
    Path("out").mkdir()
    assert planned("x.png", output="y.bin") == [("x.png", "y.bin")]
    assert planned("a/x.png", output="out") == [("a/x.png", "out/x.mcm")]
    assert planned("x.png", output="new/") == [("x.png", "new/x.mcm")]
    with pytest.raises(UsageError, match="there is no folder nowhere; make it first"):
        planned("x.png", output="nowhere/y.mcm")


def test_several_files_to_a_folder(here: Path) -> None:
    assert planned("x.png", "a/y.png", output="new") == [("x.png", "new/x.mcm"), ("a/y.png", "new/y.mcm")]
    touch("file")
    with pytest.raises(UsageError, match="file is a file but several outputs need a folder"):
        planned("x.png", "y.png", output="file")
    with pytest.raises(UsageError, match="2 inputs cannot go to one stdout"):
        planned("x.png", "y.png", output="-")


def test_folder(album: Path) -> None:
    assert planned("album") == [("album/a.JPG", "album/a.mcm"), ("album/b.png", "album/b.mcm")]
    assert planned("album", output="out") == [("album/a.JPG", "out/a.mcm"), ("album/b.png", "out/b.mcm")]


def test_tree_is_mirrored(album: Path) -> None:
    assert planned("album", output="out", recursive=True) == [
        ("album/a.JPG", "out/a.mcm"),
        ("album/b.png", "out/b.mcm"),
        ("album/folder.png/e.png", "out/folder.png/e.mcm"),
        ("album/sub/c.png", "out/sub/c.mcm"),
    ]


def test_folder_that_is_called_like_a_picture(album: Path) -> None:
    assert planned("album/folder.png") == [("album/folder.png/e.png", "album/folder.png/e.mcm")]


def test_input_named_twice_is_done_once(album: Path) -> None:
    assert planned("album/b.png", "album", "./album/b.png") == [
        ("album/b.png", "album/b.mcm"),
        ("album/a.JPG", "album/a.mcm"),
    ]


def test_links_to_folders_do_not_loop(album: Path) -> None:
    (album / "sub" / "up").symlink_to(album)
    assert len(planned("album", recursive=True)) == 4


def test_nothing_found(album: Path) -> None:
    Path("empty/sub").mkdir(parents=True)
    with pytest.raises(UsageError, match="no suitable file in empty; give -r"):
        planned("empty")
    with pytest.raises(UsageError, match="no suitable file in empty; check the name"):
        planned("empty", recursive=True)


def test_collisions_name_both(here: Path) -> None:
    with pytest.raises(UsageError, match=r"^a\.png and a\.jpg would both become a\.mcm; "):
        planned("a.png", "a.jpg")
    with pytest.raises(UsageError, match=r"^p/a\.png and q/a\.png would both become out/a\.mcm; "):
        planned("p/a.png", "q/a.png", output="out")
    with pytest.raises(UsageError, match=r"^a\.png, a\.jpg and a\.tif would all become a\.mcm; "):
        planned("a.png", "a.jpg", "a.tif")


def test_collisions_leave_the_rest(here: Path) -> None:
    def plan_of(*inputs: str, full_name: bool | None = False, output: str | None = None) -> Plan:
        return plan(inputs, output, recursive=False, accept=PICTURES, suffix=".mcm", full_name=full_name)

    names = ("a.png", "b.png", "a.jpg", "c.png", "c.jpg", "c.tif")
    plans = plan_of(*names)
    a, c = "a.png and a.jpg would both become a.mcm", "c.png, c.jpg and c.tif would all become c.mcm"
    assert [job.collision for job in plans.jobs] == [a, "", a, c, c, c]
    assert plans.collisions() == f"5 files left out: {a}, {c}; give --full-name (photo.jpg.mcm)"
    # which is a way out
    plans = plan_of(*names, full_name=True)
    assert [job.target for job in plans.jobs] == [f"{name}.mcm" for name in names] and plans.collisions() == ""
    # and is not named where it is none
    for remedy in (plan_of("a.png", "p/b.png", "q/b.png", output="out").remedy, plan_of(*names, full_name=None).remedy):
        assert remedy == "rename one, or run them apart with -o"


def test_pictures_that_cannot_be_read_are_counted(here: Path) -> None:
    touch("album/a.png", "album/b.heic", "album/c.HEIC", "album/d.cr2", "album/e.svg", "album/.f.heic", "album/g.txt")

    def plan_of(*inputs: str) -> Plan:
        unreadable = frozenset((".heic", ".cr2", ".svg"))
        return plan(inputs, None, recursive=False, accept=PICTURES, suffix=".mcm", unreadable=unreadable)

    plans = plan_of("album")
    assert [job.source for job in plans.jobs] == ["album/a.png"]
    note = "4 files left out: .heic 2, .cr2 1, .svg 1; pip install pillow-heif rawpy, convert .svg to PNG"
    assert plans.left_out == note
    # what is given by name is tried
    plans = plan_of("album/a.png", "album/b.heic")
    assert [job.source for job in plans.jobs] == ["album/a.png", "album/b.heic"] and plans.left_out == ""
    Path("album/a.png").unlink()
    with pytest.raises(UsageError, match=r"^nothing to do: 4 files left out: \.heic 2, .*; pip install pillow-heif"):
        plan_of("album")


def test_input_is_never_overwritten(here: Path) -> None:
    touch("a.mcm")
    Path("link").symlink_to("a.mcm")
    for output in (None, "a.mcm", "./a.mcm", "link"):
        with pytest.raises(UsageError, match=r"would overwrite the input a\.mcm"):
            planned("a.mcm", output=output)


def test_an_output_named_like_an_input(here: Path) -> None:
    """What cjxl or avifenc take as IN and OUT."""
    touch("a.png")
    with pytest.raises(UsageError, match=r"^there is no b\.mcm to read; to write it, say -o b\.mcm$"):
        planned("a.png", "b.mcm")


def test_streams(here: Path) -> None:
    assert planned("-") == [("-", "-")]
    assert planned("-", output="x.mcm") == [("-", "x.mcm")]
    assert planned("x.png", output="-") == [("x.png", "-")]
    assert planned("./-") == [("./-", "./-.mcm")]
    with pytest.raises(UsageError, match="stdin is named twice"):
        planned("-", "-")
    with pytest.raises(UsageError, match="stdin has no name"):
        planned("-", output=".")
    assert Job("-", "-").name == "stdin"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_unreadable_folder(album: Path) -> None:
    (album / "sub").chmod(0)
    with pytest.raises(PermissionError):
        find(["album"], recursive=True, accept=PICTURES)


def test_write_makes_folders_and_honours_umask(here: Path) -> None:
    before = os.umask(0o027)
    try:
        write("new/deep/x.mcm", b"data")
    finally:
        os.umask(before)
    assert Path("new/deep/x.mcm").read_bytes() == b"data"
    assert stat.S_IMODE(os.stat("new/deep/x.mcm").st_mode) == 0o640
    assert os.listdir("new/deep") == ["x.mcm"]


def test_overwriting_keeps_permissions_and_links(here: Path) -> None:
    touch("x.mcm")
    os.chmod("x.mcm", 0o600)
    Path("link").symlink_to("x.mcm")
    write("link", b"data")
    assert Path("link").is_symlink()
    assert Path("x.mcm").read_bytes() == b"data"
    assert stat.S_IMODE(os.stat("x.mcm").st_mode) == 0o600


def test_devices_are_written_to_not_replaced(here: Path) -> None:
    assert not files.exists("/dev/null")
    write("/dev/null", b"data")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
@pytest.mark.parametrize("private", [0o600, 0o640, 0o400, 0o700])
def test_outputs_are_no_more_public_than_inputs(here: Path, private: int) -> None:
    touch("in.png", "open.png")
    os.chmod("in.png", private)
    os.chmod("open.png", 0o666)
    before = os.umask(0o022)
    try:
        for made_of in (("in.png",), ("open.png", "in.png"), ("gone.png", "-", "in.png")):
            seen = []

            def look(file: IO[bytes], seen: list[int] = seen) -> None:
                (temporary,) = Path().glob(".codec-*.tmp")
                seen.append(stat.S_IMODE(temporary.stat().st_mode))

            for replace in (True, False):
                write("out", look, replace=replace, made_of=made_of)
                seen.append(stat.S_IMODE(os.stat("out").st_mode))
                Path("out").unlink()
            assert set(seen) == {private & 0o644}, "not even while it is written"
        touch("out")
        os.chmod("out", 0o664)
        write("out", b"new", made_of=("in.png",))
        assert stat.S_IMODE(os.stat("out").st_mode) == private & 0o664
    finally:
        os.umask(before)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
def test_time_and_permissions_are_kept_when_asked_for(here: Path) -> None:
    touch("in.png")
    os.chmod("in.png", 0o4775)
    os.utime("in.png", ns=(10**18 + 1, 10**18 + 2))
    for replace in (False, True):
        write("out", b"data", replace=replace, made_of=("in.png",), preserve=True)
        facts = os.stat("out")
        assert (stat.S_IMODE(facts.st_mode), facts.st_mtime_ns) == (0o775, 10**18 + 2)
    write("out", b"data", made_of=("in.png",))
    assert os.stat("out").st_mtime_ns > 10**18 + 2
    write("other", b"data", made_of=("-",), preserve=True)
    assert write("/dev/null", b"data", made_of=("in.png",), preserve=True) == 4


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failed_write_leaves_the_old_file(
    here: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    Path("x.mcm").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(error)) as caught:
        write("x.mcm", b"new")
    assert os.listdir() == ["x.mcm"]
    assert Path("x.mcm").read_bytes() == b"old"
    if isinstance(caught.value, OSError):
        assert caught.value.filename == "x.mcm"


@pytest.mark.parametrize("links", [True, False])
def test_what_came_meanwhile_stays(here: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:

        def refuse(*_: object) -> None:
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(os, "link", refuse)
    assert write("new/x.mcm", b"first", replace=False) == 5
    with pytest.raises(OutputExists, match=r"^new/x\.mcm exists; give -f to overwrite it or --skip-existing$"):
        write("new/x.mcm", b"second", replace=False)
    assert Path("new/x.mcm").read_bytes() == b"first"
    assert os.listdir("new") == ["x.mcm"]
    # a file where a folder should be is another matter
    with pytest.raises(OSError, match="new/x.mcm/y"):
        write("new/x.mcm/y", b"", replace=False)
    with pytest.raises(OSError, match="exists: 'new/x.mcm/y/z'|Not a directory"):
        write("new/x.mcm/y/z", b"", replace=False)


def test_pieces_are_written_as_they_come(here: Path) -> None:
    def pieces(file: IO[bytes]) -> None:
        file.write(b"ab")
        file.flush()
        (temporary,) = Path().glob(".codec-*.tmp")
        assert temporary.read_bytes() == b"ab" and not Path("x").exists()
        file.write(b"c")

    assert write("x", pieces) == 3
    assert Path("x").read_bytes() == b"abc"
    assert write("/dev/null", lambda file: None) == 0

    def broken(file: IO[bytes]) -> None:
        file.write(b"new")
        raise FormatError("no more")

    with pytest.raises(FormatError):
        write("x", broken)
    assert (os.listdir(), Path("x").read_bytes()) == (["x"], b"abc")


def test_write_to_a_folder_fails(here: Path) -> None:
    Path("x.mcm").mkdir()
    with pytest.raises(IsADirectoryError):
        write("x.mcm", b"data")


def test_oversized_input(here: Path, monkeypatch: pytest.MonkeyPatch, picture: Callable[..., Path]) -> None:
    monkeypatch.setattr(files, "MAX_FILE", 10)
    with pytest.raises(InputError, match="larger than 10 bytes"):
        files.read(str(picture("x.png")))
