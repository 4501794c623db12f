"""Pictures that come in bands: the pixels of those in one piece, and never more of them than a band at a time."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command
from models import smooth_noise
from PIL import Image

from mcmcodec.bitstream.extras import Extras
from mcmcodec.cli import decode as command
from mcmcodec.codec import Codec
from mcmcodec.errors import FormatError, ModelError
from mcmcodec.image import bands as room
from mcmcodec.image import tiling
from mcmcodec.image.bands import Bands, write_png
from mcmcodec.image.io import save_bytes

WIDTH, HEIGHT = 100, 27 * 16 - 3


def file(codec: Codec, grey: bool = False, alpha: bool = False) -> bytes:
    plane = smooth_noise(HEIGHT, WIDTH, seed=2)[..., 0] if alpha else None
    return codec.encode(smooth_noise(HEIGHT, WIDTH), quality=40, extras=Extras(grey, plane, b"MM\0*\0\0\0\x08\0\0"))


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize(("crop", "scale"), [(None, 1), (None, 1 / 2), (None, 1 / 8), ((5, 90, 61, 200), 1 / 4)])
def test_bands_are_the_picture(
    tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch, grey: bool, alpha: bool, crop: Any, scale: float
) -> None:
    data = file(tiny_codec, grey, alpha)
    monkeypatch.setattr(tiling, "INTERIOR", 8)
    monkeypatch.setattr(tiling, "HALO", 0)
    found = tiny_codec.decode_bands(data, crop=crop, scale=scale)
    bands = list(found.bands)
    assert len(bands) == (4 if crop is None else 3) and found.pixels == WIDTH * HEIGHT
    assert {band.size[0] for band in bands} == {found.size[0]}
    assert sum(band.height for band in bands) == found.size[1]
    joined = tiny_codec.decode(data, crop=crop, scale=scale)
    assert (joined.size, joined.mode, joined.info) == (found.size, bands[0].mode, bands[0].info)
    monkeypatch.setattr(tiling.View, "bands", lambda view, rows: iter((view,)))
    whole = tiny_codec.decode(data, crop=crop, scale=scale)
    assert whole.mode == ("L" if grey else "RGB") + "A" * alpha
    for other in (joined, np.concatenate([np.asarray(band) for band in bands])):
        assert (np.asarray(other) == np.asarray(whole)).all()


def test_errors_come_before_the_first_band(tiny_codec: Codec) -> None:
    data = file(tiny_codec)
    with pytest.raises(ModelError):
        tiny_codec.decode_bands(data, decoder="oil")
    with pytest.raises(FormatError):
        tiny_codec.decode_bands(data[:-1])


def split(picture: Image.Image, heights: tuple[int, ...], log: list[int] | None = None) -> Bands:
    def pieces() -> Iterator[Image.Image]:
        top = 0
        for height in heights:
            if log is not None:
                log.append(top)
            yield picture.crop((0, top, picture.width, top + height))
            top += height

    assert sum(heights) == picture.height
    return Bands(picture.size, pieces(), picture.width * picture.height)


def chunks(data: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for kind, body in room._chunks(data):
        found[kind] = found.get(kind, b"") + body
    return found | {b"IDAT": zlib.decompress(found[b"IDAT"])}


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_png_is_that_of_the_whole_picture(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every chunk, and the filtered rows of all pixels; what zlib makes of these is its own matter."""
    monkeypatch.setattr(room, "ROWS", 16)
    rgb = Image.fromarray(smooth_noise(70, 40, seed=4))
    rgb.putalpha(rgb.getchannel(0).rotate(90))
    picture = rgb.convert(mode)
    picture.info |= {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", "xmp": b"<x:xmpmeta/>"}
    wanted = save_bytes(picture, "PNG")
    for heights in ((70,), (1, 1, 33, 35), (16, 32, 22)):
        out = io.BytesIO()
        write_png(split(picture, heights), out)
        assert chunks(out.getvalue()) == chunks(wanted)
        with Image.open(out) as written:
            assert (np.asarray(written) == np.asarray(picture)).all()
    assert {b"eXIf", b"iTXt"} <= set(chunks(wanted))


def test_a_band_is_written_before_the_next_is_painted() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 400, 3), np.uint8)
    painted: list[int] = []
    places: list[int] = []

    class File(io.BytesIO):
        def write(self, data: Any) -> int:
            places.append(len(painted))
            return super().write(data)

    write_png(split(Image.fromarray(noise), (16,) * 4, painted), File())
    assert {2, 4} <= set(places), "pixels are written while later ones do not exist"


def test_command_writes_bands(
    tiny_codec: Codec, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mcmcodec.cli.main import main

    def run(*arguments: str) -> list[dict[str, Any]]:
        with pytest.raises(SystemExit) as caught:
            main(["decode", "--json", "--device", "cpu", *arguments])
        assert not caught.value.code
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    for name, options in (("a", {}), ("b", {"alpha": True}), ("c", {"grey": True})):
        Path(f"{name}.mcm").write_bytes(file(tiny_codec, **options))
    run(".", "-o", "whole")
    monkeypatch.setattr(command, "LARGE", 1)
    monkeypatch.setattr(tiling, "INTERIOR", 8)
    monkeypatch.setattr(tiling, "HALO", 8)
    rows = run(".", "-o", "bands", "--background", "white") + run("a.mcm", "-o", "bands/one.png")
    for row, name in zip(rows, ("a", "b", "c", "a"), strict=True):
        with Image.open(row["target"]) as one, Image.open(f"whole/{name}.png") as other:
            assert row["bytes_out"] == Path(row["target"]).stat().st_size
            if name != "b":
                assert one.mode == other.mode and one.getexif() == other.getexif()
                assert np.abs(np.asarray(one, int) - np.asarray(other, int)).max() <= 1


def test_nothing_stays_of_a_picture_that_fails_half_way(
    codec: Command, here: Path, picture: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def painting(bands: Bands, file: Any) -> None:
        file.write(b"half")
        raise MemoryError

    picture("a.png", 40, 30)
    codec("encode", "a.png", "-o", "b.mcm")
    monkeypatch.setattr(command, "LARGE", 1)
    monkeypatch.setattr(room, "write_png", painting)
    done = codec("decode", "b.mcm")
    assert (done.code, done.err.splitlines()[0]) == (
        1, "codec: b.mcm: not enough memory; close other programs or scale the picture down",
    )  # fmt: skip
    assert sorted(path.name for path in here.iterdir()) == ["a.png", "b.mcm"]


@pytest.mark.parametrize("height", [1, 15, 16, 17, 48])
def test_arrays_of_pictures(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ROWS", 16)
    rgb = smooth_noise(height, 9)
    found = room.array(Image.fromarray(rgb))
    assert (found == rgb).all() and found.flags.c_contiguous and found.flags.writeable
