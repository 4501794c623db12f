"""Conformance vectors: valid files decode to the same symbols, invalid ones are refused for their defect."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmcodec import errors
from mcmcodec.bitstream import container, structure
from mcmcodec.codec import Codec, info, symbols
from mcmcodec.model.weights import FOLDER_VARIABLE, find

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "formats" / "vectors")]

from exactness import symbol_hash  # noqa: E402
from make import edge_hash  # noqa: E402

FOLDER = ROOT / "formats" / "vectors"
VALID = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))
INVALID = json.loads((FOLDER / "invalid.json").read_text(encoding="utf-8"))
FROZEN = (FOLDER / "frozen.txt").read_bytes().splitlines(keepends=True)
RELEASED = {
    44: "0f80380fdedb724fe824a397f006a4a0ae69ac07a8028d4d7b0c75fae082a45c",
}
"""SHA-256 of the first lines of ``frozen.txt``, by their number. New vectors add an entry; from release 0.1.0 on, the
entries stay as they are."""


@pytest.fixture(autouse=True)
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


@pytest.mark.parametrize("count", list(RELEASED))
def test_no_released_vector_changes(count: int) -> None:
    assert hashlib.sha256(b"".join(FROZEN[:count])).hexdigest() == RELEASED[count], "a vector stays as it is"


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
    assert [[r.x, r.y, r.w, r.h, r.text] for r in facts.regions] == wanted["regions"]
    edges = structure.of(container.parse_header(data)[0])
    assert (edge_hash(edges) if edges else None) == wanted.get("edges")


@pytest.mark.parametrize("name", [name for name in VALID if VALID[name]["symbols"]])
def test_reference_picture(name: str) -> None:
    wanted = VALID[name]["picture"]
    model = find(VALID[name]["model"])
    decoder = model.card["decoders"].get(wanted["decoder"], {})
    if decoder.get("sha256") != wanted["weights"]:
        pytest.fail("the picture is of an earlier decoder: python formats/vectors/make.py --pictures")
    with Image.open(FOLDER / wanted["file"]) as image:
        mode, reference = image.mode, np.asarray(image, np.int16)
    image = Codec(model.name, "cpu").decode((FOLDER / name).read_bytes(), decoder=wanted["decoder"])
    assert (image.mode, list(image.size)) == (mode, VALID[name]["facts"][:2])
    top, left = wanted["top"], wanted["left"]
    pixels = np.asarray(image, np.int16)[top : top + reference.shape[0], left : left + reference.shape[1]]
    assert np.abs(pixels - reference).max() <= wanted["tolerance"]


@pytest.mark.parametrize("name", list(INVALID))
def test_invalid(name: str) -> None:
    data, wanted = (FOLDER / "invalid" / name).read_bytes(), INVALID[name]
    for read in (info, Codec(device="cpu").decode):
        with pytest.raises(getattr(errors, wanted["error"])) as caught:
            read(data)
        assert caught.value.cause == wanted["cause"]
        assert caught.value.remedy and "\n" not in str(caught.value)
