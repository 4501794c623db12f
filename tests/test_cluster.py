"""Many processes make the same files as one, and addresses are as good as paths."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stand_in_ray
from conftest import Command
from models import NAME, smooth_noise
from PIL import Image


@pytest.fixture
def store() -> Any:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def test_addresses(codec: Command, here: Path, store: Any) -> None:
    for name in ("in/a.png", "in/deep/b.png", "in/.hidden.png", "in/notes.txt"):
        with store.open(f"/{name}", "wb") as file:
            Image.new("RGB", (8, 6)).save(file, "PNG")
    done = codec("encode", "-r", "memory://in", "-o", "memory://out")
    assert (done.code, sorted(store.find("/out"))) == (0, ["/out/a.mcm", "/out/deep/b.mcm"])
    done = codec("encode", "-r", "memory://in", "-o", "memory://out", "--skip-existing")
    assert (done.code, done.err) == (3, "0 images, 2 skipped\n")
    done = codec("encode", "memory://in/a.png", "-o", "a.mcm")
    assert done.code == 0 and Path("a.mcm").read_bytes() == store.cat("/out/a.mcm")
    done = codec("decode", "memory://out", "-o", "pictures")
    assert done.code == 0 and os.listdir("pictures") == ["a.png"]
    done = codec("encode", "memory://out/a.mcm")
    assert done.code == 2 and "memory://out/a.mcm would overwrite the input" in done.err
    done = codec("encode", "memory://in/none.png")
    assert done.code == 1 and done.err.startswith("codec: memory://in/none.png: ")
    done = codec("encode", "fog://in/none.png")
    assert (done.code, done.err.count("\n")) == (2, 1) and "fog://in/none.png cannot be opened (" in done.err


def test_ray_has_its_limits(codec: Command, here: Path) -> None:
    done = codec("encode", "-", "--engine", "ray", stdin=b"x")
    message = "codec: --engine ray takes files, each with a rate of its own; leave out --total-bytes and -\n"
    assert (done.code, done.err) == (2, message)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = stand_in_ray.module()
    monkeypatch.setitem(sys.modules, "ray", module)
    return module


def rows(text: bytes) -> list[dict[str, Any]]:
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in text.splitlines()]


def test_engine_makes_no_difference(codec: Command, here: Path, picture: Callable[..., Path], ray: Any) -> None:
    for number, width in enumerate((8, 9, 101, 102, 10, 11, 12)):
        picture(f"in/{number}.png", width)
    Path("in/7.png").write_bytes(b"no picture")
    options = ("in", "-o", "out", "--json", "--max-bytes", "160", "--device", "auto")
    done = codec("encode", *options)
    files = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    shutil.rmtree("out")
    there = codec("encode", *options, "--engine", "ray")
    assert (done.code, there.code) == (1, 1) and rows(done.out) == rows(there.out)
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == files and len(files) == 5
    assert [line for line in there.err.splitlines() if line.startswith("codec: ")] == [
        "codec: in/2.png: the picture is odd; take another",
        "codec: in/3.png: not enough memory; close other programs or scale the picture down",
        "codec: in/7.png: not a picture in a format that can be read; get a whole copy of the file",
    ]
    assert there.err.splitlines()[-1].startswith("5 images, ") and there.err.endswith(", 3 failed\n")
    assert ray.log == ["init", {"num_cpus": 1, "num_gpus": 0.5}, "shutdown"]


def test_engine_resumes(codec: Command, here: Path, picture: Callable[..., Path], ray: Any) -> None:
    for name in "abc":
        picture(f"in/{name}.png")
    assert codec("encode", "in", "-o", "out", "--engine", "ray", "--device", "cpu").code == 0
    Path("out/b.mcm").unlink()
    done = codec("encode", "in", "-o", "out", "--engine", "ray", "--skip-existing", "--json", "--device", "cpu")
    assert (done.code, [row["status"] for row in rows(done.out)]) == (0, ["skipped", "ok", "skipped"])
    done = codec("encode", "in", "-o", "out", "--engine", "ray", "--skip-existing")
    assert (done.code, done.err) == (3, "0 images, 3 skipped\n")
    assert ray.log.count("init") == 2 and {"num_cpus": 1, "num_gpus": 0.0} in ray.log


def test_engine_that_is_missing_or_does_not_start(
    codec: Command, here: Path, picture: Callable[..., Path], ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("a.png")

    def fail(**options: Any) -> None:
        raise RuntimeError("no room")

    ray.init = fail
    done = codec("encode", "a.png", "--engine", "ray")
    assert (done.code, done.err) == (
        2, "codec: Ray does not start (no room); try when less runs here, or name a cluster in RAY_ADDRESS\n"
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", None)
    done = codec("encode", "a.png", "--engine", "ray")
    assert (done.code, done.err) == (2, "codec: --engine ray needs Ray; pip install 'mcmcodec[ray]'\n")
    assert not Path("a.mcm").exists()


@pytest.mark.slow
@pytest.mark.skipif("MCMCODEC_TEST_RAY" not in os.environ, reason="starts a cluster: set MCMCODEC_TEST_RAY")
def test_ray_makes_the_same_files(tiny: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    from mcmcodec.cli.main import main

    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as caught:
            main(["encode", *arguments, "--model", NAME, "--device", "cpu"])
        return int(caught.value.code or 0)

    Path("in").mkdir()
    for number in range(5):
        Image.fromarray(smooth_noise(40, 56, seed=number)).save(f"in/{number}.png")
    Path("in/2.png").write_bytes(b"no picture")
    assert run("in", "-o", "local") == 1
    capsys.readouterr()
    assert run("in", "-o", "cluster", "--engine", "ray") == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "codec: in/2.png: not a picture in a format that can be read; get a whole copy of the file"
    assert said[-1].startswith("4 images, ") and said[-1].endswith(", 1 failed")
    names = sorted(os.listdir("local"))
    assert names == sorted(os.listdir("cluster")) == ["0.mcm", "1.mcm", "3.mcm", "4.mcm"]
    for name in names:
        assert Path("local", name).read_bytes() == Path("cluster", name).read_bytes()
    Path("cluster/3.mcm").unlink()
    before = Path("cluster/0.mcm").stat().st_mtime_ns
    assert run(f"file://{here}/in", "-o", f"file://{here}/cluster", "--engine", "ray", "--skip-existing") == 1
    assert "1 image, " in capsys.readouterr().err
    assert Path("local/3.mcm").read_bytes() == Path("cluster/3.mcm").read_bytes()
    assert Path("cluster/0.mcm").stat().st_mtime_ns == before
