"""The command as a process of its own: terminals, and readers that go away."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import mcmcodec

Picture = Callable[..., Path]
CODEC = [sys.executable, "-m", "mcmcodec"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(mcmcodec.__file__).parents[1])}


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_terminals_get_no_binary(here: Path, picture: Picture) -> None:
    picture("a.png")
    main, terminal = os.openpty()
    command, pipe = [*CODEC, "encode"], subprocess.PIPE
    done = subprocess.run(
        [*command, "a.png", "-o", "-"], stdout=terminal, stderr=pipe, text=True, env=ENVIRONMENT
    )
    expected = "codec: binary output does not go to a terminal; give -o FILE, or redirect stdout\n"
    assert (done.returncode, done.stderr) == (2, expected)
    done = subprocess.run(
        [*command, "-", "-o", "b.mcm"], stdin=terminal, stderr=pipe, text=True, env=ENVIRONMENT
    )
    assert (done.returncode, done.stderr) == (2, "codec: stdin is a terminal; give a file, or pipe one in\n")
    os.close(main)
    os.close(terminal)


def test_warnings_about_strangers_files_are_hidden(here: Path) -> None:
    """Pillow warns about the first file and logs an error about the second."""
    tiff = io.BytesIO()
    Image.new("RGB", (8, 6)).save(tiff, "TIFF")
    data = bytearray(tiff.getvalue())
    entry = data.index(b"\x15\x01\x03\x00")  # SamplesPerPixel
    data[entry + 8] = 9
    Path("samples.tif").write_bytes(data)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0\xff\0\0\0\xff\xff\0\0\0\0\0\0"
    Image.new("RGB", (8, 6)).save("exif.jpg", exif=exif)
    command = ["-m", "mcmcodec", "encode", "--mode", "caption", "--caption", "a", "-f", "--quiet"]
    pipe = subprocess.PIPE

    def said(*flags: str) -> list[str]:
        files = ["exif.jpg", "samples.tif"]
        done = subprocess.run([sys.executable, *flags, *command, *files], stderr=pipe, text=True, env=ENVIRONMENT)
        assert done.returncode == 1
        return done.stderr.splitlines()

    (line,) = said()
    assert line.startswith("codec: samples.tif: ")
    heard = "\n".join(said("-W", "default"))
    assert "UserWarning" in heard and "More samples per pixel than can be decoded" in heard


def test_reader_that_goes_away_is_no_error(here: Path, picture: Picture) -> None:
    picture("a.png")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*CODEC, "encode", "-n", "a.png"], stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
