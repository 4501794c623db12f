"""Edge maps: exact, within their bytes, smaller than a bitmap format, drawn where nobody paints them."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command
from PIL import Image, ImageDraw

from mcmcodec.bitstream import container, structure
from mcmcodec.bitstream.file import open_file, with_caption
from mcmcodec.bitstream.structure import Structure
from mcmcodec.codec import Codec, info
from mcmcodec.encoder import edges
from mcmcodec.errors import FormatError, UsageError


def scene(width: int = 384, height: int = 256) -> np.ndarray:
    """A house, a sun and a hill."""
    image = Image.new("RGB", (width, height), "skyblue")
    draw = ImageDraw.Draw(image)
    draw.ellipse((width * 0.7, height * 0.1, width * 0.85, height * 0.3), fill="gold")
    draw.pieslice((-width * 0.2, height * 0.6, width * 1.2, height * 2), 180, 360, fill="darkgreen")
    draw.rectangle((width * 0.2, height * 0.4, width * 0.45, height * 0.8), fill="firebrick")
    draw.polygon(
        [(width * 0.17, height * 0.4), (width * 0.48, height * 0.4), (width * 0.33, height * 0.2)], fill="grey"
    )
    return np.asarray(image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (37, 21), (64, 96)])
@pytest.mark.parametrize("density", [0, 0.05, 0.5, 1])
def test_maps_come_back(shape: tuple[int, int], density: float) -> None:
    drawn = (np.random.default_rng(1).random(shape) < density).astype(np.uint8)
    for scale in (0, 1, 5):
        body = structure.encode(Structure(scale, drawn))
        found = structure.decode(body, (shape[1] << scale, shape[0] << scale))
        assert found.scale == scale
        np.testing.assert_array_equal(found.edges, drawn)


def test_contexts_are_those_of_the_decoder() -> None:
    """The encoder computes them at once, the decoder one by one; the specification says which bit is whose."""
    drawn = np.zeros((5, 9), np.uint8)
    drawn[0, 3:7] = [1, 0, 0, 1]
    drawn[1, 1:7] = [0, 1, 0, 0, 0, 1]
    drawn[2, 2:4] = [0, 1]
    assert structure.contexts(drawn)[2, 4] == 0b1001_010001_01
    assert structure.contexts(drawn)[0, 0] == 0


def test_tables_are_sound() -> None:
    p1, confidence = structure.tables()
    assert p1.shape == confidence.shape == (structure.TABLES, structure.CONTEXTS)
    assert p1.min() >= 1 and p1.max() <= 4095 and confidence.min() >= 0 and confidence.max() <= 255
    assert (p1[:, 0] < 100).all()  # an edge seldom begins where there is none around


@pytest.mark.parametrize("most", [60, 150, 600])
def test_edges_fit_into_their_bytes(most: int) -> None:
    noisy = np.clip(scene() + np.random.default_rng(2).normal(0, 25, (256, 384, 3)), 0, 255).astype(np.uint8)
    for picture in (scene(), noisy):
        found = edges.fit(picture, most)
        assert len(structure.encode(found)) <= most and found.edges.any()
    assert len(structure.encode(found)) > 0.8 * most  # noise has edges for any number of bytes


def test_plain_pictures_and_tiny_ones_have_no_edges() -> None:
    for shape in ((1, 1, 3), (1, 300, 3), (100, 90, 3)):
        found = edges.fit(np.full(shape, 90, np.uint8), 100)
        assert not found.edges.any() and len(structure.encode(found)) < 10
        size = (shape[1], shape[0])
        assert structure.decode(structure.encode(found), size).edges.shape == found.edges.shape


def test_lines_stand_where_the_edges_are() -> None:
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[:, 64:] = 255
    found = edges.fit(picture, 100)
    side = 1 << found.scale
    columns = np.flatnonzero(found.edges.any(0)) * side
    assert len(columns) and (np.abs(columns - 64) <= 2 * side).all()
    assert found.edges.any(1).mean() > 0.9


def test_thinning_keeps_lines_joined() -> None:
    stairs = np.zeros((8, 8), np.uint8)
    for i in range(7):
        stairs[i, i] = stairs[i, i + 1] = 1
    thin = edges.thinned(stairs)
    assert thin.sum() < stairs.sum()
    assert set(np.abs(np.diff(np.argwhere(thin), axis=0)).max(1)) == {1}
    block = np.ones((2, 2), np.uint8)
    assert edges.thinned(np.pad(block, 2)).sum() >= 2


def test_a_line_takes_fewer_bytes_than_in_png() -> None:
    found = edges.fit(scene(), 600)
    out = BytesIO()
    Image.fromarray(found.edges * np.uint8(255)).convert("1").save(out, "PNG", optimize=True)
    assert 3 * len(structure.encode(found)) < len(out.getvalue())


def test_hostile_bodies_end_soon() -> None:
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(200):
        try:
            structure.decode(rng.bytes(int(rng.integers(0, 30))), (97, 65))
        except FormatError:
            refused += 1
    assert refused > 150
    with pytest.raises(FormatError, match="the edge map is damaged"):
        structure.decode(b"\0", (1 << 10, (1 << 9) + 1))


def test_pictures_carry_them(tiny_codec: Codec) -> None:
    plain = tiny_codec.encode(scene(), quality=30)
    data = tiny_codec.encode(scene(), quality=30, structure=200)
    assert 20 < len(data) - len(plain) <= 210
    found = info(data)
    assert found.edges and found.mode == "full" and abs(sum(found.bytes.values()) - len(data)) < 1e-6
    assert 0 < found.bytes["structure"] <= 200
    assert tiny_codec.decode(data).tobytes() == tiny_codec.decode(plain).tobytes()
    kept = dict(container.parse_header(with_caption(data, "a house"))[0].extensions)
    assert kept == dict(container.parse_header(data)[0].extensions)
    smaller = tiny_codec.encode(scene(), quality=0, reduce=4, structure=Structure(3, np.ones((32, 48), np.uint8)))
    assert info(smaller).edges == (48, 32)


@pytest.mark.parametrize(
    ("keywords", "cause"),
    [
        ({"structure": 3}, "structure 3 is not 16 to"),
        ({"structure": "auto"}, "structure 'auto' is not a whole number"),
        ({"structure": Structure(2, np.zeros((4, 4), np.uint8))}, "is no map of 384 x 256"),
        ({"structure": Structure(-1, np.zeros((512, 768), np.uint8))}, "a structure's scale is -1; give 0 to 5"),
        ({"structure": Structure(3, np.full((32, 48), 255, np.uint8))}, "a structure has other values than 0 and 1"),
        ({"structure": 100, "mode": "caption", "caption": "a"}, "mode caption keeps no structure"),
        ({"mode": "sketch", "reduce": 2}, "mode sketch keeps no picture, so reduce says nothing"),
        ({"mode": "sketch", "keep": 0.5}, "mode sketch shows no patch"),
    ],
)
def test_what_cannot_be(tiny_codec: Codec, keywords: dict[str, Any], cause: str) -> None:
    with pytest.raises(UsageError, match=cause.replace("(", r"\(")):
        tiny_codec.encode(scene(), **keywords)


def test_sketches_are_drawn(tiny_codec: Codec) -> None:
    data = tiny_codec.encode(scene(), mode="sketch", caption="a house on a hill")
    assert len(data) < 400
    found = info(data)
    assert (found.mode, found.caption, found.visible) == ("sketch", "a house on a hill", 0)
    drawn = tiny_codec.decode(data)
    assert (drawn.mode, drawn.size) == ("RGB", (384, 256))
    grey = np.asarray(drawn.convert("L"))
    assert grey[0, 0] == 255 and (grey < 128).any()
    # along the roof there is a line, in the sky there is none
    assert grey[100:106, 100:150].min(0).max() < 200
    assert grey[5:20, 30:100].min() == 255
    part = tiny_codec.decode(data, crop=(40, 30, 200, 150))
    np.testing.assert_array_equal(np.asarray(part), np.asarray(drawn)[30:180, 40:240])
    small = tiny_codec.decode(data, crop=(40, 30, 200, 150), scale=1 / 4)
    assert small.size == (50, 38)
    assert np.asarray(small, float).mean() == pytest.approx(np.asarray(part, float).mean(), abs=4)


def test_a_sketch_may_lose_its_words_but_not_its_lines(tiny_codec: Codec) -> None:
    data = tiny_codec.encode(scene(), mode="sketch", structure=150)
    assert info(data).caption == ""
    named = with_caption(data, "a house")
    assert open_file(named).mode == "sketch" and info(named).caption == "a house"
    assert with_caption(named, "") == data


def test_commands(tiny: Path, run_codec: Command, here: Path, picture: Callable[..., Path]) -> None:
    Image.fromarray(scene()).save("house.png")
    for arguments in (["--structure", "house.png"], ["house.png", "--structure"], ["--structure", "320B", "house.png"]):
        assert run_codec("encode", "-f", "-q", "20", *arguments).code == 0
        assert info(Path("house.mcm").read_bytes()).bytes["structure"] > 20
    assert run_codec("encode", "-f", "--structure=100", "-q", "20", "house.png").code == 0
    assert 20 < info(Path("house.mcm").read_bytes()).bytes["structure"] <= 100
    shown = run_codec("info", "house.mcm").out.decode()
    assert "a map of 96 x 64" in shown and "structure" in shown
    done = run_codec("encode", "-f", "--mode", "sketch", "--caption", "a house", "house.png", "-o", "s.mcm")
    assert (done.code, "B (" in done.err) == (0, True)
    assert "caption and edges only" in run_codec("info", "s.mcm").out.decode()
    assert json.loads(run_codec("info", "--json", "s.mcm").out)["mode"] == "sketch"
    done = run_codec("decode", "s.mcm", "--scale", "1/2")
    assert done.code == 0 and "the edges are drawn" in done.err
    assert Image.open("s.png").size == (192, 128)
    assert run_codec("encode", "--mode", "caption", "--caption", "a house", "house.png", "-o", "w.mcm").code == 0
    for arguments in ([], ["--pixels"]):
        assert run_codec("verify", *arguments, "house.mcm", "s.mcm", "w.mcm").code == 0
    assert run_codec("caption", "s.mcm", "--set", "a red house").code == 0
    assert info(Path("s.mcm").read_bytes()).mode == "sketch"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--mode", "caption", "--caption", "a", "--structure"], "mode caption keeps no structure"),
        (["--mode", "sketch", "-q", "3"], "--mode sketch keeps no picture, so -q says nothing"),
        (["--structure=2"], "structure 2 is not 16 to"),
        (["--structure=much"], "'much' is not a number of bytes"),
    ],
)
def test_commands_refuse(
    tiny: Path, run_codec: Command, here: Path, picture: Callable[..., Path], arguments: list[str], error: str
) -> None:
    done = run_codec("encode", picture("p.png"), *arguments)
    assert done.code == 2 and error in done.err


def test_what_does_not_fit_names_the_edges(tiny: Path, run_codec: Command, here: Path) -> None:
    Image.fromarray(scene()).save("house.png")
    assert run_codec("encode", "-q", "0", "--reduce", "8", "--structure=150", "house.png").code == 0
    found = info(Path("house.mcm").read_bytes())
    edges = int(found.bytes["structure"])
    for limit, remedy in ((found.total - 1, ", or give --structure fewer bytes"), (10, "")):
        for options in (["--max-bytes", limit], ["--max-bytes", limit, "--reduce", "8"]):
            done = run_codec("encode", "-f", *options, "--structure=150", "house.png")
            assert done.code == 1 and done.err.splitlines()[0] == (
                f"codec: house.png: quality 0 at 1/8 of the size takes {found.total} bytes, {edges} of them for the "
                f"edge map, more than {limit}; allow more{remedy}"
            )


def test_verify_looks_at_the_edges(tiny: Path, run_codec: Command, here: Path) -> None:
    name = "structure-noise-at-end.mcm"
    Path(name).write_bytes((Path(__file__).parents[1] / "formats/vectors/invalid" / name).read_bytes())
    done = run_codec("verify", name)
    assert done.code == 1 and "the edge map is damaged" in done.err
