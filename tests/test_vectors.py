"""Golden files: made once with the shipped weights, they decode to the same symbols for ever."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mcmcodec.codec import info, symbols

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from exactness import symbol_hash  # noqa: E402

FOLDER = ROOT / "formats" / "vectors"
VECTORS = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", list(VECTORS))
def test_vector(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MCMCODEC_WEIGHTS", raising=False)
    data = (FOLDER / name).read_bytes()
    wanted = VECTORS[name]
    assert symbol_hash(symbols(data)) == wanted["symbols"]
    facts = info(data)
    assert [facts.width, facts.height, facts.quality, facts.visible, facts.caption] == wanted["facts"]
