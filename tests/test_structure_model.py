"""The tables of edge maps are fitted to pictures: sound, the same every time, and better than knowing nothing."""

from pathlib import Path

import numpy as np
import pytest
from models import save_pictures

pytest.importorskip("scipy")

from mcmcodec.bitstream.structure import CONTEXTS, TABLES  # noqa: E402
from mcmcodec.training import structure_model  # noqa: E402


def test_tables_are_fitted(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    save_pictures(tmp_path / "pictures", 6)
    maps = structure_model.counts(tmp_path / "pictures", 6)
    assert maps.shape[1:] == (CONTEXTS, 2) and 3 <= len(maps) <= 6 and set(maps.sum((1, 2))) == {96.0 * 96}
    p1, confidence = structure_model.fit(maps)
    assert p1.shape == confidence.shape == (TABLES, CONTEXTS)
    assert p1.min() >= 1 and p1.max() <= 4095 and set(np.unique(confidence)) <= set(structure_model.CONFIDENCES)
    every = [structure_model._bits(maps, p1[table], confidence[table]).sum(1) for table in range(TABLES)]
    plain = structure_model._bits(maps, np.full(CONTEXTS, 2048), np.zeros(CONTEXTS, int)).sum(1)
    assert (np.min(every, 0) < 0.8 * plain).all()
    again = structure_model.fit(maps)
    assert np.array_equal(again[0], p1) and np.array_equal(again[1], confidence)
