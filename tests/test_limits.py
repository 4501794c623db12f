"""Decompression bombs: refused before anything is allocated, with a limit that can be raised."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from models import NUMBER, smooth_noise
from PIL import Image

import mcmcodec
from mcmcodec.bitstream import container
from mcmcodec.bitstream.limits import DEFAULT_MAX_PIXELS, VARIABLE, max_pixels
from mcmcodec.cli.main import main
from mcmcodec.codec import Codec, info, symbols
from mcmcodec.errors import InputError, UsageError

SMALL = 64 * 1024
"""Bytes: reading the cards of the models takes a part of it; the picture itself would take 12 GiB."""


def bomb(codec: Codec, width: int = 65535, height: int = 65535) -> bytes:
    data = container.pack(container.Header(width, height, NUMBER, 0, 50, 128), b"\x07", codec.weights.fingerprint)
    assert len(data) <= 30
    return data


@pytest.mark.parametrize("read", [mcmcodec.decode, info, symbols])
def test_bombs_are_refused_at_no_cost(tiny_codec: Codec, read: Callable[[bytes], object]) -> None:
    data = bomb(tiny_codec)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"65535 x 65535 pixels are over the limit of 134217728; raise it with --max"):
        read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < SMALL


def test_limit_can_be_raised_and_lowered(tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_codec.encode(smooth_noise(30, 40), quality=20)
    with pytest.raises(InputError, match="40 x 30 pixels are over the limit of 1199"):
        Codec("tiny", "cpu", max_pixels=1199).decode(data)
    with pytest.raises(InputError, match="of 1199"):
        Codec("tiny", "cpu", max_pixels=1199).encode(smooth_noise(30, 40))
    with pytest.raises(InputError, match="of 1199"):
        mcmcodec.encode(Image.new("RGB", (40, 30)), model="tiny", device="cpu", max_pixels=1199)
    assert mcmcodec.decode(data, max_pixels=1200, device="cpu").size == (40, 30)
    monkeypatch.setenv(VARIABLE, "1199")
    with pytest.raises(InputError, match="of 1199"):
        symbols(data)
    assert symbols(data, max_pixels=1200).mask.shape == (2, 3)
    assert info(data, max_pixels=1200).width == 40


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "9" * 30])
def test_nonsense_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UsageError, match="not a whole number above zero; give"):
        max_pixels()


def test_default_takes_a_hundred_megapixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert max_pixels() == DEFAULT_MAX_PIXELS > 100_000_000


def test_command_line(tiny_codec: Codec, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.mcm").write_bytes(tiny_codec.encode(smooth_noise(30, 40), quality=20))
    (here / "bomb.mcm").write_bytes(bomb(tiny_codec))
    Image.fromarray(smooth_noise(30, 40)).save("a.png")

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as caught:
            main([*arguments])
        assert VARIABLE not in os.environ, "the limit is passed as an argument"
        return int(str(caught.value.code)), capsys.readouterr().err

    assert run("info", "a.mcm") == (0, "")
    limit = "raise it with --max-pixels (max_pixels in Python) if you trust the file\n"
    assert run("info", "--max-pixels", "1000", "a.mcm") == (
        1,
        f"codec: a.mcm: 40 x 30 pixels are over the limit of 1000; {limit}",
    )
    code, said = run("decode", "bomb.mcm")
    assert (code, said.splitlines()[0] + "\n") == (
        1,
        f"codec: bomb.mcm: 65535 x 65535 pixels are over the limit of 134217728; {limit}",
    )
    assert run("info", "--max-pixels", "0", "a.mcm")[0] == 2
    assert not (here / "bomb.png").exists()
    cpu = ("--device", "cpu")
    for command in (
        ("encode", "a.png", "-o", "b.mcm", "--model", "tiny", *cpu),
        ("decode", "a.mcm", "-o", "b.png", *cpu),
        ("decode", "a.mcm", "--preview", *cpu),
        ("verify", "a.mcm"),
        ("verify", "--pixels", "a.mcm"),
        ("thumbnail", "a.mcm", "b.png", *cpu),
    ):
        code, said = run(*command, "--max-pixels", "1199")
        assert code == 1 and "40 x 30 pixels are over the limit of 1199" in said, command
        assert run(*command, "--max-pixels", "1200")[0] == 0, command
    (here / "map.png").write_bytes((here / "a.png").read_bytes())
    code, said = run("encode", "a.png", "-o", "c.mcm", "--roi", "map.png", "--max-pixels", "1199", "--model", "tiny")
    assert (code, said.split(";")[0]) == (2, "codec: --roi map.png: 40 x 30 pixels are over the limit of 1199")


@pytest.mark.parametrize("command", [["info"], ["encode"], ["verify"]])
def test_a_wrong_variable_is_wrong_usage(
    command: list[str], here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "many")
    with pytest.raises(SystemExit) as caught:
        main([*command, "a.mcm"])
    message = "codec: the limit of pixels is not a whole number above zero; give 134217728, say\n"
    assert (caught.value.code, capsys.readouterr().err) == (2, message)


def test_pictures_over_the_limit_are_not_encoded(tiny_codec: Codec, here: Path) -> None:
    """A PNG of a few kilobytes that announces 400 megapixels; in a process with little memory to give away."""
    out = io.BytesIO()
    Image.new("1", (8, 8)).save(out, "PNG")
    data = bytearray(out.getvalue())
    data[16:24] = (20000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (here / "wide.png").write_bytes(data)
    (here / "bomb.mcm").write_bytes(bomb(tiny_codec, 12000, 12000))
    program = """
import resource, sys
from mcmcodec.cli.main import main
from mcmcodec.codec import Codec
import mcmcodec.image.io, mcmcodec.encoder.planning
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for arguments in (["encode", "wide.png", "--model", "tiny"], ["decode", "bomb.mcm"], ["info", "bomb.mcm"]):
    try:
        main(arguments)
    except SystemExit as error:
        assert error.code == 1, error.code
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    root = str(Path(mcmcodec.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("codec:")]
    assert [line.split(":")[1].strip() for line in lines] == ["wide.png", "bomb.mcm", "bomb.mcm"], done.stderr
    assert all("over the limit of 134217728" in line or "134217728 pixels" in line for line in lines), lines
    assert int(done.stdout) < 64, "megabytes more than before"
