"""The specification suffices: a parser written from it alone finds every conformance vector's symbols."""

from __future__ import annotations

import ast
import functools
import json
import sys
from pathlib import Path

import pytest
import reference_parser

ROOT = Path(__file__).parents[1]
VECTORS = ROOT / "formats" / "vectors"
VALID = json.loads((VECTORS / "vectors.json").read_text(encoding="utf-8"))
INVALID = json.loads((VECTORS / "invalid.json").read_text(encoding="utf-8"))


@functools.cache
def models() -> dict[int, reference_parser.Model]:
    return reference_parser.models()


@functools.cache
def parse(data: bytes) -> reference_parser.Picture:
    """Cached, because some vectors are equal to the byte."""
    return reference_parser.parse(data, models())


@pytest.mark.parametrize("name", list(VALID))
def test_independent_parser_finds_the_symbols(name: str) -> None:
    found = parse((VECTORS / name).read_bytes())
    assert (found.sha256() if found.psi.size else None) == VALID[name]["symbols"]
    head = found.header
    assert [head.width, head.height, head.quality, int(found.mask.sum()), found.caption] == VALID[name]["facts"]


@pytest.mark.parametrize("name", list(INVALID))
def test_independent_parser_refuses_for_the_same_reason(name: str) -> None:
    with pytest.raises((reference_parser.Refused, reference_parser.Damaged)) as caught:
        parse((VECTORS / "invalid" / name).read_bytes())
    assert (str(caught.value) or "damaged") == INVALID[name]["reason"]


@pytest.mark.parametrize("name", ["reference_parser.py", "reference_rangecoder.py", "reference_captions.py"])
def test_parser_is_independent(name: str) -> None:
    """Nothing of the package, and no library but numpy."""
    tree = ast.parse((Path(__file__).parent / name).read_text(encoding="utf-8"))
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]  # type: ignore[union-attr]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert names <= sys.stdlib_module_names | {"numpy", "reference_rangecoder", "reference_captions"}
