"""The command as a process of its own: terminals, and readers that go away."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
