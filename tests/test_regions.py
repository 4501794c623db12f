"""Regions of interest by detector: where OpenCV ships one, and where it does not."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mcmcodec.encoder import roi
from mcmcodec.errors import UsageError


def ship(monkeypatch: pytest.MonkeyPatch, folder: Path, boxes: list[tuple[int, int, int, int]]) -> None:
    """Make cv2 look like one that ships cascades which see the boxes."""
    for names in roi.KINDS.values():
        for name in names:
            (folder / name).touch()

    class Classifier:
        def __init__(self, path: str) -> None:
            self.path = path

        def detectMultiScale(self, grey: np.ndarray, factor: float, neighbours: int) -> np.ndarray:  # noqa: N802
            assert grey.ndim == 2 and max(grey.shape) <= roi.LONGEST
            return np.array(boxes if "frontal" in self.path else [])

    monkeypatch.setattr(cv2, "CascadeClassifier", Classifier, raising=False)
    monkeypatch.setattr(cv2, "data", SimpleNamespace(haarcascades=str(folder)), raising=False)


def test_boxes_grow_and_scale_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ship(monkeypatch, tmp_path, [(100, 200, 40, 80)])
    found = roi.finder("faces")(np.zeros((1200, 2000, 3), np.uint8))
    assert found is not None and found.shape == (1200, 2000) and found.dtype == np.uint8
    rows, cols = np.nonzero(found == 255)
    assert (rows.min(), rows.max() + 1, cols.min(), cols.max() + 1) == (360, 600, 180, 300)
    assert set(np.unique(found)) == {64, 255}


def test_nothing_seen_is_no_map(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ship(monkeypatch, tmp_path, [])
    assert roi.finder("cats")(np.zeros((50, 60, 3), np.uint8)) is None


@pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="this OpenCV ships no detector")
def test_a_face_is_found() -> None:
    data = pytest.importorskip("skimage.data")
    found = roi.finder("faces")(data.astronaut())
    assert found is not None
    rows, cols = np.nonzero(found == 255)
    # her eyes are at about (108, 205) and (108, 240); her badges are not what is looked for
    assert rows.min() < 80 < 150 < rows.max() < 250 and cols.min() < 190 < 255 < cols.max() < 350


@pytest.mark.parametrize("kind", roi.KINDS)
def test_no_detector(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    with pytest.raises(UsageError, match=rf"--roi {kind} needs a detector that OpenCV .* does not ship; pip install"):
        roi.finder(kind)


def test_command_line_knows_the_kinds() -> None:
    from mcmcodec.cli.encode_jobs import DETECTORS

    assert tuple(roi.KINDS) == DETECTORS
