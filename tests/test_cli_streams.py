"""Outputs that are no plain files, and standard streams that are closed or full: written to, or one line and exit 1."""

import os
import shutil
import subprocess
import sys
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from PIL import Image

from mcmcodec.cli.files import STREAM, descriptor, exists, is_written_through, plan
from mcmcodec.cli.output import write
from mcmcodec.errors import UsageError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")

DRIVER = [sys.executable, str(Path(__file__).parent / "faults.py")]
BASH = Path("/bin/bash")
CLOSED = "bad file descriptor; leave stdin and stdout open"
FULL = "no space left on device; free some space"
# every command, where it prints or writes to stdout; real/ has files by a real codec
SPEAKING = (
    "encode a.png -o -", "encode -n a.png", "encode -f --json a.png", "decode a.mcm -o -", "info a.mcm",
    "verify --json a.mcm", "split --size 50 -o - real/fog.mcm", "join real/fog.messages -o -", "caption real/fog.mcm",
    "index --json real", "search --json fog real", "models", "completion bash",
    "compare a.png a.png --metrics psnr", "bench --help", "--version",
)  # fmt: skip
READING = (
    "encode - -o b.mcm", "decode -", "info -", "verify -", "split --size 50 -", "join -", "caption -",
    "thumbnail - b.png",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_codec: Any) -> Path:
    """A picture, its file by the stand-in, a real file with its messages."""
    folder = tmp_path_factory.mktemp("streams")
    Image.new("RGB", (8, 6), "grey").save(folder / "a.png")
    (folder / "real").mkdir()
    (folder / "real" / "fog.mcm").write_bytes(tiny_codec.encode(Image.new("RGB", (40, 30)), caption="fog"))
    for command in ("encode a.png", "split --size 50 real/fog.mcm"):
        driven("", *command.split(), folder=folder, check=True)
    return folder


@pytest.fixture
def folder(here: Path, made: Path) -> Path:
    """A copy of that folder, the current one."""
    shutil.copytree(made, here, dirs_exist_ok=True)
    return here


def driven(
    redirected: str, *arguments: str, folder: Path = Path(), check: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run codec with the codec that stands in, from a shell that redirects its streams."""
    command = ["sh", "-c", f'exec "$@" {redirected}', "sh", *DRIVER, ".", "", *arguments]
    cache = {**os.environ, "MCMCODEC_CACHE": "cache"}
    return subprocess.run(command, capture_output=True, text=True, check=check, env=cache, cwd=folder)


@pytest.mark.parametrize("command", SPEAKING)
def test_stdout_is_closed(folder: Path, command: str) -> None:
    one_line(driven(">&-", *command.split()), CLOSED)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", SPEAKING[2:9:2])
def test_stdout_is_full(folder: Path, command: str) -> None:
    one_line(driven(">/dev/full", *command.split()), FULL)


@pytest.mark.parametrize("command", READING)
def test_stdin_is_closed(folder: Path, command: str) -> None:
    one_line(driven("<&-", *command.split()), CLOSED)
    assert not Path("b.mcm").exists() and not Path("b.png").exists()


def one_line(done: subprocess.CompletedProcess[str], cause: str) -> None:
    errors = [line for line in done.stderr.splitlines() if line.startswith("codec: ")]
    assert done.returncode == 1 and len(errors) == 1 and errors[0].endswith(cause), done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr and done.stdout == ""


def test_closed_streams_that_are_not_needed_do_no_harm(folder: Path) -> None:
    """Nor does a file that is opened get their numbers, and what others print."""
    whole = Path("a.mcm").read_bytes()
    for redirected in (">&-", "<&- >&- 2>&-"):
        Path("a.mcm").unlink()
        assert driven(redirected, "encode", "a.png", "-o", "a.mcm").returncode == 0
        assert Path("a.mcm").read_bytes() == whole


def test_the_open_files_of_the_process_by_name(here: Path) -> None:
    assert [descriptor(name) for name in ("/dev/stdin", "/dev/stdout", "/dev/fd/63")] == [0, 1, 63]
    os.symlink("/dev/stdout", "link")
    os.symlink("loop", "loop")
    assert descriptor("link") == 1
    assert [descriptor(name) for name in ("loop", "1", "/dev/null", "-", "/dev/fd", "x/y")] == [None] * 6
    assert is_written_through(STREAM) and is_written_through("/dev/null") and is_written_through("/dev/fd/1")
    assert not is_written_through("new") and not is_written_through(".") and not is_written_through("s3://a/b")
    Path("file").touch()
    assert not is_written_through("file") and exists("file") and not exists("/dev/fd/63")


def test_an_open_file_is_gone_on_with(here: Path) -> None:
    """As with >> and with commands in parentheses: neither replaced nor begun again."""
    with open("log", "wb") as file:
        file.write(b"head ")
        file.flush()
        assert write(f"/dev/fd/{file.fileno()}", b"one ", replace=False) == 4
        assert write(f"/dev/fd/{file.fileno()}", lambda out: out.write(b"two ") and None) == 4
        file.write(b"tail")
    assert Path("log").read_bytes() == b"head one two tail"
    assert os.listdir() == ["log"]


def test_an_open_file_that_is_read_has_no_name(here: Path) -> None:
    def planned(*inputs: str, output: str | None = None) -> list[tuple[str, str]]:
        found = plan(inputs, output, recursive=False, accept=frozenset(), suffix=".mcm").jobs
        return [(job.source, job.target) for job in found]

    assert planned("/dev/fd/63") == [("/dev/fd/63", STREAM)]
    assert planned("/dev/stdin") == [(STREAM, STREAM)]
    assert planned("/dev/fd/63", output="x.mcm") == [("/dev/fd/63", "x.mcm")]
    with pytest.raises(UsageError, match="/dev/fd/63 has no name to give a file in a folder; give a file with -o"):
        planned("/dev/fd/63", output=".")


@pytest.mark.skipif(not BASH.exists(), reason="needs bash")
def test_into_and_out_of_other_commands(folder: Path) -> None:
    def bash(script: str) -> bytes:
        begin = 'set -e; codec() { "${DRIVER[@]}" . "" "$@"; }; DRIVER=("$@"); '
        done = subprocess.run([BASH, "-c", begin + script, "bash", *DRIVER], capture_output=True)
        assert (done.returncode, b"codec: " in done.stderr) == (0, False), done.stderr
        return done.stdout

    whole = Path("a.mcm").read_bytes()
    assert bash("codec encode a.png -o /dev/stdout | cat") == whole
    assert bash("(echo -n head; codec encode a.png -o /dev/stdout; echo -n tail) > out; cat out") == (
        b"head" + whole + b"tail"
    )
    assert bash("codec encode a.png -o >(cat > out); for i in {1..200}; do [ -s out ] && break; sleep .05; done; "
                "cat out; rm out") == whole  # fmt: skip
    assert bash("codec encode <(cat a.png) | cat") == whole
    assert bash("codec encode /dev/stdin < a.png") == whole
    for name in ("/dev/stdout", ">(cat >&3)"):
        picture = bash(f"exec 3>&1; codec decode a.mcm -o {name} | cat; wait $!")
        assert Image.open(BytesIO(picture)).format == "PNG"


@pytest.mark.parametrize(("name", "kind"), [("pipe", "PNG"), ("pipe.jpg", "JPEG")])
def test_named_pipes(codec: Command, folder: Path, name: str, kind: str) -> None:
    os.mkfifo(name)
    received: list[bytes] = []
    for arguments in (("encode", "a.png", "-o", name), ("decode", "a.mcm", "-o", name)):
        reader = threading.Thread(target=lambda: received.append(Path(name).read_bytes()), daemon=True)
        reader.start()
        assert codec(*arguments).code == 0
        reader.join(60)
        assert not reader.is_alive() and not Path(name).is_file()
    assert received[0] == Path("a.mcm").read_bytes()
    assert Image.open(BytesIO(received[1])).format == kind


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_as_output(codec: Command, folder: Path) -> None:
    done = codec("encode", "a.png", "-o", "/dev/full")
    message = "codec: a.png: no space left on device (/dev/full); free some space"
    assert (done.code, done.err.splitlines()) == (1, [message, "0 images, 1 failed"])
    assert Path("/dev/full").is_char_device()
