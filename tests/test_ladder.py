"""The ladder of a model is measured through real files and noted in its card."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from models import NAME, smooth_noise
from PIL import Image

from mcmcodec.encoder.rate_control import ladder as curve
from mcmcodec.model.weights import FOLDER_VARIABLE, find
from mcmcodec.training import ladder
from mcmcodec.training.commands import main


def test_the_card_learns_its_ladder(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, pictures = tmp_path / "weights", tmp_path / "pictures"
    shutil.copytree(tiny, weights)
    pictures.mkdir()
    Image.fromarray(smooth_noise(96, 96)).save(pictures / "a.png")
    monkeypatch.setenv(FOLDER_VARIABLE, str(weights))
    monkeypatch.setattr(ladder, "QUALITIES", (20, 100))
    before = json.loads((weights / f"{NAME}.json").read_text())
    done = CliRunner().invoke(main, ["ladder", str(pictures), "--name", NAME, "--count", "1"])
    assert done.exit_code == 0, done.output
    after = json.loads((weights / f"{NAME}.json").read_text())
    table = after.pop("ladder")
    assert after == before
    assert table["quality"] == [20, 100] and table["pictures"] == 1
    assert "msssim" not in table  # the picture is too small for it
    assert len(done.output.splitlines()) == 3 and done.output.split()[0] == "quality"
    assert curve(find(NAME).card, "bpp")[100] == pytest.approx(table["bpp"][1])


def test_no_pictures(tiny: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["ladder", str(tmp_path), "--name", NAME])
    assert done.exception is not None and str(done.exception) == f"no picture in {tmp_path}; check the name"
