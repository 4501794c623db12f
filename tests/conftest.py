"""What the tests of the command line share: commands run in-process, and a tiny model."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_in
from PIL import Image

# Workers of pytest-xdist share the processors: threads of several that wait for each other take many times as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@dataclass
class Outcome:
    """What a command left behind."""

    code: int
    out: bytes
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def run_codec(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Iterator[Command]:
    """Run ``codec ARGUMENTS`` in this process, with the models that are there."""
    from mcmcodec.cli.main import main

    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str | Path, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        out, err = capsysbinary.readouterr()
        assert isinstance(caught.value.code, int)
        assert b"Traceback" not in err
        return Outcome(caught.value.code, out, err.decode())

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def codec(run_codec: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run ``codec ARGUMENTS`` in this process, with a codec that needs neither torch nor weights."""
    for name, module in stand_in.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return run_codec


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def picture() -> Callable[..., Path]:
    """A function that writes a small picture, folders included, and returns its path."""

    def make(path: str | Path, width: int = 8, height: int = 6) -> Path:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(path)
        return path

    return make


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a frozen tiny model, where the codec finds it for the rest of the session."""
    from models import export_tiny

    from mcmcodec.model.weights import FOLDER_VARIABLE

    folder = tmp_path_factory.mktemp("weights")
    export_tiny(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny_codec(tiny: Path) -> Any:
    """The tiny model's codec, on the CPU."""
    from mcmcodec.codec import Codec

    return Codec("tiny", "cpu")
