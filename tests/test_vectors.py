"""Conformance vectors: valid files decode to the same symbols for ever, invalid ones are refused for their defect."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmcodec import errors
from mcmcodec.codec import Codec, info, symbols
from mcmcodec.model.weights import FOLDER_VARIABLE, find, loaded

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from exactness import symbol_hash  # noqa: E402

FOLDER = ROOT / "formats" / "vectors"
VALID = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))
INVALID = json.loads((FOLDER / "invalid.json").read_text(encoding="utf-8"))
FROZEN = (FOLDER / "frozen.txt").read_bytes().splitlines(keepends=True)
RELEASED = {
    7: "7b59c6940f65998f7345eeec400b445f2e7ca0ce74aa1426167aea275d9163b9",
    8: "c8c2567cb8ebb3ba8c307a95e5372756d1788e333ae885f4435b70610af232ff",
    37: "eaa563002c10c76eeeaf18d438ee5be699375963ed60bf428427b51b97aff4a2",
    43: "8f7f8cd9d882f12bd824c22d3ca8703d4836e1921f88ead70aca2e1ec2292496",
    78: "63bbf2292d6f28f4df7b3529abbf4eae633ed43c1d088d4f3c4d8d57a9022c1d",
    113: "d3b6bc63f4e73e7126c53cfa27eab86eede18ab35c35d9ae8b7f2c1e2317bc0f",
    148: "b2adac29a469f1c8223edbe4af471112edca7c937a66ee8277a0ee10d3e2c973",
    183: "bfb026272b428f4e4a8ec4e7649d7b05c7e19dec3bd7ba88f0a1a4b09464ec51",
    193: "89838f28d0645f8f814ca74caf81b44a3aad47d4457c28192386dc6a0668d8ec",
    230: "ee8e50be2a7771721408158113094f024e0c84dec6bf89fe06c1c35bd00be62e",
}
"""SHA-256 of the first lines of ``frozen.txt``, by their number. An entry is never changed; new vectors add one."""


@pytest.fixture(autouse=True)
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    loaded.cache_clear()


@pytest.mark.parametrize("count", list(RELEASED))
def test_no_released_vector_changes(count: int) -> None:
    assert hashlib.sha256(b"".join(FROZEN[:count])).hexdigest() == RELEASED[count], "vectors stay for ever"


def test_lists_agree() -> None:
    assert FROZEN, "every valid vector is frozen, in the order of the list"
    rows = [line.decode().split() for line in FROZEN]
    assert [row[2] for row in rows] == list(VALID)
    for file, found, name in rows:
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == file == VALID[name]["sha256"]
        assert found == (VALID[name]["symbols"] or "-")
    assert {path.name for path in FOLDER.glob("*.mcm")} == set(VALID)
    assert {path.name for path in (FOLDER / "invalid").glob("*.mcm")} == set(INVALID)
    assert {path.name for path in (FOLDER / "pictures").glob("*")} == {
        Path(entry["picture"]["file"]).name for entry in VALID.values() if entry["symbols"]
    }


@pytest.mark.parametrize("name", list(VALID))
def test_valid(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    wanted = VALID[name]
    facts = info(data)
    assert facts.model == wanted["model"]
    if wanted["symbols"]:
        assert symbol_hash(symbols(data)) == wanted["symbols"]
    else:
        with pytest.raises(errors.FormatError, match="the file holds a caption and no picture"):
            symbols(data)
    assert [facts.width, facts.height, facts.quality, facts.visible, facts.caption] == wanted["facts"]


@pytest.mark.parametrize("name", [name for name in VALID if VALID[name]["symbols"]])
def test_reference_picture(name: str) -> None:
    wanted = VALID[name]["picture"]
    model = find(VALID[name]["model"])
    decoder = model.card["decoders"].get(wanted["decoder"], {})
    if decoder.get("sha256") != wanted["weights"]:
        pytest.skip("the picture was painted by an earlier decoder: python formats/vectors/make.py --pictures")
    with Image.open(FOLDER / wanted["file"]) as image:
        mode, reference = image.mode, np.asarray(image, np.int16)
    image = Codec(model.name, "cpu").decode((FOLDER / name).read_bytes(), wanted["decoder"])
    assert (image.mode, list(image.size)) == (mode, VALID[name]["facts"][:2])
    top, left = wanted["top"], wanted["left"]
    pixels = np.asarray(image, np.int16)[top : top + reference.shape[0], left : left + reference.shape[1]]
    assert np.abs(pixels - reference).max() <= wanted["tolerance"]


@pytest.mark.parametrize("name", list(INVALID))
def test_invalid(name: str) -> None:
    data, wanted = (FOLDER / "invalid" / name).read_bytes(), INVALID[name]
    for read in (info, Codec("small", "cpu").decode):
        with pytest.raises(getattr(errors, wanted["error"])) as caught:
            read(data)
        assert caught.value.cause == wanted["cause"]
        assert caught.value.remedy and "\n" not in str(caught.value)
