"""Pictures in the terminal, thumbnails for file managers, and the files that tell a desktop what .mcm is."""

import configparser
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from conftest import Command
from models import smooth_noise
from PIL import Image

from mcmcodec.codec import Codec

FORMATS = Path(__file__).parent.parent / "formats"


@pytest.fixture
def packed(codec: Command, here: Path, picture: Callable[..., Path]) -> Path:
    for name in ("a", "b"):
        picture(f"in/{name}.png", 4, 4)
    codec("encode", "in", "-o", "packed")
    return Path("packed")


def test_preview_into_a_pipe_is_half_blocks(codec: Command, packed: Path) -> None:
    done = codec("decode", "--preview", packed / "a.mcm")
    line = "\x1b[38;2;0;0;255;48;2;0;0;255m▀▀▀▀\x1b[0m\n"
    assert (done.code, done.out.decode(), done.err) == (0, 2 * line, "")
    assert not (packed / "a.png").exists()
    transparent = codec("decode", "--preview", "--background", "red", packed / "a.mcm")
    assert transparent.out == done.out


def test_preview_of_several_names_them_and_goes_on(codec: Command, packed: Path) -> None:
    (packed / "c.mcm").write_bytes(b"no")
    done = codec("decode", "--preview", packed)
    assert done.code == 1
    assert done.out.decode().startswith("packed/a.mcm\n\x1b[") and b"\npacked/b.mcm\n" in done.out
    assert done.err == "codec: packed/c.mcm: not an .mcm file; give a file that codec encode wrote\n"


def test_preview_writes_no_file(codec: Command, packed: Path) -> None:
    done = codec("decode", "--preview", packed, "-o", "x.png")
    assert (done.code, done.err) == (2, "codec: --preview writes no file; leave out -o and --json, or --preview\n")


def test_preview_is_of_a_sensible_size(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from mcmcodec.cli.preview import show

    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("LINES", "24")
    show(Image.new("L", (1000, 200), 7))
    assert capsys.readouterr().out.count("▀") == 50 * 5
    show(Image.new("RGBA", (10, 1000)))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 22 and lines[0] == "\x1b[38;2;128;128;128;48;2;128;128;128m▀\x1b[0m"


def test_preview_on_a_terminal() -> None:
    """A terminal that answers no question about what it can gets half blocks."""
    pytest.importorskip("textual_image")
    program = (
        "from PIL import Image; from mcmcodec.cli.preview import show; show(Image.new('RGB', (60, 40), (255, 0, 0)))"
    )
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 800, 480))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=follower, stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    said = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(leader)
    assert process.wait(60) == 0, said
    assert said.count("▀".encode()) > 20


def test_thumbnail_of_a_file(tiny_codec: Codec, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from mcmcodec.cli.main import cli

    source, target = tmp_path / "a.mcm", tmp_path / "small"
    source.write_bytes(tiny_codec.encode(smooth_noise(96, 200)))
    target.touch()
    done = CliRunner().invoke(cli, ["thumbnail", "-s", "40", str(source), str(target)], catch_exceptions=False)
    assert done.exit_code == 0
    with Image.open(BytesIO(target.read_bytes())) as image:
        assert (image.format, image.size) == ("PNG", (40, 19))


def test_thumbnailer_entry(codec: Command) -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.optionxform = str  # type: ignore[assignment,method-assign]
    entry.read(FORMATS / "mcm.thumbnailer")
    section = entry["Thumbnailer Entry"]
    assert section["MimeType"] == "image/x-mcm;"
    words = section["Exec"].split()
    assert words[0] == section["TryExec"] == "codec"
    filled = [{"%s": "64", "%i": "none.mcm", "%o": "x"}.get(word, word) for word in words[1:]]
    assert codec(*filled).err == "codec: no such file or directory (none.mcm); check the name\n"


def test_devices(codec: Command, here: Path, picture: Callable[..., Path]) -> None:
    picture("a.png")
    assert codec("encode", "a.png", "--device", "cuda:1").code == 0
    done = codec("encode", "a.png", "--device", "cuda:x", "-f")
    assert (done.code, done.err.count("cuda:x is not auto, cpu, cuda or cuda:N")) == (2, 1)
