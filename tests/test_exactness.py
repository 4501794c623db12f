"""The same file decodes to the same symbols whatever the threads and the processor's instructions; pixels nearly."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from models import smooth_noise
from PIL import Image

import mcmcodec
from mcmcodec.codec import Codec, symbols

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import exactness  # noqa: E402


@pytest.fixture
def files(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a picture at two qualities."""
    monkeypatch.setenv("PYTHONPATH", str(Path(mcmcodec.__file__).parents[1]))
    pictures = [("noise", Image.fromarray(smooth_noise(170, 250, seed=8)))]
    exactness.encode(Codec("tiny", "cpu"), pictures, (30, 85), tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*")) == ["noise-30.mcm", "noise-85.mcm"]
    return tmp_path


def test_every_environment_decodes_the_same(files: Path) -> None:
    wanted = exactness.environments()
    rows = exactness.compare(files, wanted)
    report = exactness.table(rows)
    assert exactness.exact(rows), report
    assert [row["environment"] for row in rows] == [*wanted, exactness.PARSER]
    for row in rows:
        assert (row["files"], row["other_symbols"]) == (2, 0), report
        assert row["pixel_difference"] <= 1 and 0 <= row["pixels_apart"] < 0.05, report
    if len(wanted) > 2:  # the variables do what they are there for
        assert len({row["kernels"] for row in rows}) > 1, report


def test_every_environment_of_this_machine_is_listed() -> None:
    few, every = exactness.environments(), exactness.environments(every=True)
    assert list(every)[: len(few)] == list(few)
    if len(few) > 2:
        assert {f"{exactness.PRECISION} {value}" for value in ("highest", "high", "medium")} <= set(every)
        assert len(every) == len({json.dumps(variables, sort_keys=True) for variables in every.values()})


def test_differences_are_reported(files: Path) -> None:
    """Against a reference that is off by two levels, and symbols that are off by one unit."""
    row = exactness.decode(files, "cpu")["files"]["noise-30.mcm"]
    assert row[1:] == [0, 0.0]
    first = files / "noise-30.npy"
    np.save(first, np.load(first) + 2)
    assert exactness.decode(files, "cpu")["files"]["noise-30.mcm"] == [row[0], 2, 1.0]
    decoded = symbols((files / "noise-30.mcm").read_bytes())
    assert exactness.symbol_hash(decoded) == row[0]
    for array in (decoded.v_hat, decoded.psi, decoded.mask):
        before = array.ravel()[-1]
        array.ravel()[-1] = not before if array.dtype == bool else before + 1
        assert exactness.symbol_hash(decoded) != row[0]
        array.ravel()[-1] = before
    good = {"other_symbols": 0, "pixel_difference": 1}
    assert exactness.exact([good])
    assert not exactness.exact([good, good | {"other_symbols": 1}])
    assert not exactness.exact([good, good | {"pixel_difference": 2}])


def test_benchmark(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the benchmark writes, and that it fails where environments disagree."""
    pytest.importorskip("matplotlib", reason="needs the bench extra")
    from benchmarks.work import Work

    (tmp_path / "in").mkdir()
    Image.fromarray(smooth_noise(40, 50)).save(tmp_path / "in" / "a.png")
    monkeypatch.setattr(exactness, "environments", lambda every: {"1 thread": exactness.ONE})
    results = exactness.measure(Work(tmp_path, "tiny"), folder="in", count=1, qualities=(5, 60))
    assert (results["settings"]["qualities"], results["settings"]["images"]) == ([5, 60], 1)
    assert 10 < results["settings"]["headroom_bits"] < 53
    assert results["rows"][0]["files"] == 2 and results["model"]["name"] == "tiny"
    monkeypatch.setattr(exactness, "exact", lambda rows: False)
    with pytest.raises(click.ClickException, match="1 thread  .* same "):
        exactness.measure(Work(tmp_path, "tiny"), folder="in", count=1, qualities=(5,))
