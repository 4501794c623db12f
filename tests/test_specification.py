"""The specification suffices: a parser written from it alone finds every conformance vector's symbols."""

from __future__ import annotations

import ast
import functools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import reference_extensions
import reference_parser
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_rangecoder import Damaged

from mcmcodec.bitstream import alpha, container, extras, structure
from mcmcodec.codec import Codec, info, symbols
from mcmcodec.errors import FormatError

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "formats" / "vectors")]

from exactness import symbol_hash  # noqa: E402
from make import RECIPES  # noqa: E402

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
    assert [list(region) for region in found.regions] == VALID[name]["regions"]


@pytest.mark.parametrize("name", list(RECIPES))
def test_independent_parser_finds_the_symbols_of_another_model(tiny: Path, tiny_codec: Codec, name: str) -> None:
    data = RECIPES[name](tiny_codec)
    found = reference_parser.parse(data, reference_parser.models(tiny))
    assert info(data).caption == found.caption
    assert not found.psi.size if 9 in found.header.extensions else found.sha256() == symbol_hash(symbols(data))


@pytest.mark.parametrize("name", list(INVALID))
def test_independent_parser_refuses_for_the_same_reason(name: str) -> None:
    with pytest.raises((reference_parser.Refused, reference_parser.Damaged)) as caught:
        parse((VECTORS / "invalid" / name).read_bytes())
    assert (str(caught.value) or "damaged") == INVALID[name]["reason"]


def same_alpha(body: bytes, size: tuple[int, int]) -> bool:
    """Whether both readers find alpha that is as near as the specification wants it."""
    found, wanted = reference_extensions.alpha(body, *size), alpha.decode(body, size)
    if body[0] < 64:
        return bool((np.abs(found - wanted) <= 1).all())
    return bool(((wanted == np.where(found < 128, 0, 255)) | (np.abs(found - 128) <= 1)).all())


def test_independent_reader_finds_the_extensions() -> None:
    read = set()
    for name in VALID:
        header, _ = container.parse_header((VECTORS / name).read_bytes())
        sections, size = dict(header.extensions), (header.width, header.height)
        if 2 in sections:
            assert reference_extensions.metadata(sections[2]) == extras.metadata(sections)
            read.add("metadata")
        if 4 in sections and sections[4][0] % 4 < 2:
            assert same_alpha(sections[4], size), name
            read.add(sections[4][0] % 4)
        if 10 in sections:
            wanted = structure.decode(sections[10], size)
            assert np.array_equal(reference_extensions.structure(sections[10], *size), wanted.edges), name
            read.add(f"structure {sections[10][0]}")
    assert read == {"metadata", 0, 1, *(f"structure {head}" for head in (1, 1 + 8, 2, 3, 5))}


@settings(max_examples=40, deadline=None)
@given(
    head=st.sampled_from([1, 5, 1 + 32, 9 + 32, 1 + 64, 13 + 96]), seed=st.integers(0, 2**32), cut=st.integers(0, 40),
    size=st.tuples(st.integers(1, 70), st.integers(1, 60)),
)  # fmt: skip
def test_independent_reader_agrees_about_alpha(head: int, seed: int, cut: int, size: tuple[int, int]) -> None:
    """Shapes of any kind, and what is left of their bytes."""
    rng = np.random.default_rng(seed)
    rows, cols = -(-size[1] >> (head // 4 % 8)), -(-size[0] >> (head // 4 % 8))
    coarse = rng.integers(0, 4 if head & 32 else 2, (-(-rows // 5), -(-cols // 5))) * (1 if head & 32 else 3)
    plane = np.kron(coarse, np.ones((5, 5), int))[:rows, :cols].astype(np.uint8)
    encoder = alpha.RangeEncoder()
    alpha._code_plane(encoder, plane, bool(head & 32))
    body = bytes((head,)) + encoder.finish()
    body = body[: max(1, len(body) - cut)] if cut > 20 else body
    try:
        alpha.decode(body, size)
    except FormatError:
        with pytest.raises(Damaged):
            reference_extensions.alpha(body, *size)
        return
    assert same_alpha(body, size)


@settings(max_examples=40, deadline=None)
@given(
    head=st.integers(0, 31), seed=st.integers(0, 2**32), density=st.sampled_from([0.0, 0.03, 0.3, 1.0]),
    damage=st.sampled_from(["", "", "cut", "more"]), size=st.tuples(st.integers(1, 90), st.integers(1, 60)),
)  # fmt: skip
def test_independent_reader_agrees_about_edges(
    head: int, seed: int, density: float, damage: str, size: tuple[int, int]
) -> None:
    rows, cols = (-(-side >> (head % 8)) for side in (size[1], size[0]))
    edges = (np.random.default_rng(seed).random((rows, cols)) < density).astype(np.uint8)
    body = bytes((head,)) + structure.encode(structure.Structure(head % 8, edges))[1:]
    body = {"": body, "cut": body[:-1], "more": body + b"\1"}[damage]
    try:
        found = structure.decode(body, size)
    except FormatError:
        with pytest.raises(Damaged):
            reference_extensions.structure(body, *size)
        return
    assert np.array_equal(reference_extensions.structure(body, *size), found.edges)


@pytest.mark.parametrize(
    "name", ["reference_parser.py", "reference_rangecoder.py", "reference_captions.py", "reference_extensions.py"]
)
def test_parser_is_independent(name: str) -> None:
    """Nothing of the package, and no library but numpy."""
    tree = ast.parse((Path(__file__).parent / name).read_text(encoding="utf-8"))
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]  # type: ignore[union-attr]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert names <= sys.stdlib_module_names | {
        "numpy",
        "reference_rangecoder",
        "reference_captions",
        "reference_extensions",
    }
