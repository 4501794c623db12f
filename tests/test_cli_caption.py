"""``codec caption``, and files with a caption only: exact output, exit codes, files changed whole or not at all."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, Outcome
from models import smooth_noise
from PIL import Image

from mcmcodec.bitstream.file import encode_caption_only, with_caption
from mcmcodec.caption import Words
from mcmcodec.codec import Codec, info
from mcmcodec.image.painting import Painter

TEXT = "A brown dog runs along the beach near the sea."


@pytest.fixture
def run(run_codec: Command, monkeypatch: pytest.MonkeyPatch, tiny: Path) -> Command:
    """Run ``codec ARGUMENTS`` in this process, with the tiny model as the default."""
    from mcmcodec.model import weights

    monkeypatch.setattr(weights, "DEFAULT", "tiny")
    return run_codec


@pytest.fixture
def photo(here: Path, tiny_codec: Codec) -> bytes:
    data = tiny_codec.encode(smooth_noise(40, 50), caption="a disc")
    Path("a.mcm").write_bytes(data)
    return data


def test_print(run: Command, photo: bytes, tiny_codec: Codec) -> None:
    assert run("caption", "a.mcm") == Outcome(0, b"a disc\n", "")
    assert run("caption", "-", stdin=photo) == Outcome(0, b"a disc\n", "")
    Path("b.mcm").write_bytes(tiny_codec.encode(smooth_noise(20, 20), caption="\x1b[31mred\u202e"))
    assert run("caption", ".") == Outcome(0, b"./a.mcm: a disc\n./b.mcm: \\x1b[31mred\\u202e\n", "")
    done = run("caption", "--json", "a.mcm")
    assert json.loads(done.out) == {"file": "a.mcm", "status": "ok", "caption": "a disc", "bytes": len(photo)}


def test_edit_in_place(run: Command, photo: bytes, tiny_codec: Codec) -> None:
    os.chmod("a.mcm", 0o640)
    assert run("caption", "a.mcm", "--set", TEXT) == Outcome(0, b"", "1 caption changed, 0 already so\n")
    assert run("caption", "a.mcm", "--append", "Twice.", "--quiet") == Outcome(0, b"", "")
    assert run("caption", "a.mcm").out.decode() == f"{TEXT} Twice.\n"
    assert os.stat("a.mcm").st_mode & 0o777 == 0o640 and os.listdir(".") == ["a.mcm"]
    picture = np.asarray(tiny_codec.decode(Path("a.mcm").read_bytes()))
    assert np.array_equal(picture, tiny_codec.decode(photo))
    assert run("caption", "a.mcm", "--remove").code == 0
    assert run("caption", "a.mcm").out == b"\n"
    assert run("caption", "a.mcm", "--append", "a disc").code == 0
    assert Path("a.mcm").read_bytes() == photo


def test_nothing_to_change_writes_nothing(run: Command, photo: bytes) -> None:
    os.utime("a.mcm", (7, 7))
    assert run("caption", "a.mcm", "--set", "a disc").err == "0 captions changed, 1 already so\n"
    assert run("caption", "a.mcm", "--set", TEXT, "-n").out.decode() == (
        f'a.mcm: "a disc" -> "{TEXT}", {len(photo)} -> {len(with_caption(photo, TEXT))} bytes\n'
    )
    assert os.stat("a.mcm").st_mtime == 7


def test_edit_a_pipe(run: Command, photo: bytes) -> None:
    done = run("caption", "-", "--set", TEXT, stdin=photo)
    assert (done.code, info(done.out).caption) == (0, TEXT)
    assert run("caption", "-", "--set", "a disc", stdin=photo).out == photo


def test_a_folder_goes_on_after_errors(run: Command, photo: bytes) -> None:
    Path("deep").mkdir()
    Path("deep/b.mcm").write_bytes(photo)
    Path("cut.mcm").write_bytes(photo[:-1])
    done = run("caption", "-r", ".", "--set", TEXT, "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 1
    assert [(line["file"], line["status"]) for line in lines] == [
        ("./a.mcm", "ok"), ("./cut.mcm", "failed"), ("./deep/b.mcm", "ok"),
    ]  # fmt: skip
    assert lines[0]["before"] == "a disc" and lines[0]["bytes"] > lines[0]["bytes_before"] == len(photo)
    assert "codec: ./cut.mcm: checksum is wrong" in done.err
    assert Path("cut.mcm").read_bytes() == photo[:-1]
    assert info(Path("deep/b.mcm").read_bytes()).caption == TEXT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "x", "--remove"], "contradict each other; give one of them"),
        (["--set", ""], "the text is empty; give --remove"),
        (["--set", "x" * 5000], "the caption has 5000 bytes, the limit is 4096; shorten it"),
    ],
)
def test_usage(run: Command, photo: bytes, arguments: list[str], message: str) -> None:
    done = run("caption", "a.mcm", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, b"", 1) and message in done.err
    assert Path("a.mcm").read_bytes() == photo


def test_caption_only(run: Command, here: Path, picture: Callable[..., Path]) -> None:
    picture("p.png", 768, 512)
    assert run("encode", "p.png", "--mode", "caption", "--caption", TEXT).code == 0
    size = os.path.getsize("p.mcm")
    assert size < 40
    done = run("info", "p.mcm")
    assert done.code == 0 and "  holds     the caption only\n" in done.out.decode() and TEXT in done.out.decode()
    done = run("decode", "p.mcm", "-o", "q.png")
    assert done.code == 1 and not Path("q.png").exists()
    assert done.err.splitlines()[0] == (
        "codec: p.mcm: the file holds a caption and no picture; "
        "give --painter and a text-to-image model, or read the words with codec caption"
    )
    done = run("caption", "p.mcm", "--remove")
    assert done.code == 1 and "all that the file holds; delete the file instead" in done.err


def test_modes(run: Command, here: Path, picture: Callable[..., Path]) -> None:
    picture("p.png", 64, 64)
    assert run("encode", "p.png", "--mode", "base").code == 0
    assert "  holds     the base layer only\n" in run("info", "p.mcm").out.decode()
    assert run("decode", "p.mcm", "-f").code == 0
    for options, message in {
        "--mode caption": "keeps nothing but a caption, and there is none; give --caption",
        "--mode base --keep 0.5": "--mode base shows no patch",
        "--mode bogus": "'bogus' is not one of",
    }.items():
        done = run("encode", "p.png", "-f", *options.split())
        assert done.code == 2 and message in done.err, options


def test_painter(run: Command, here: Path, tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcmcodec import plugins

    def load(spec: str, device: str, controlnet: str | None) -> Painter:
        assert (spec, device, controlnet) == ("mine:folder", "cpu", None)
        return lambda request: Image.new("RGB", (8, 8), (len(request.caption), *request.size))

    monkeypatch.setattr(plugins, "load_painter", load)
    Path("p.mcm").write_bytes(encode_caption_only(tiny_codec.weights, 40, 30, Words(TEXT)))
    assert run("decode", "p.mcm", "--painter", "mine:folder", "--device", "cpu").code == 0
    with Image.open("p.png") as painted:
        assert (painted.size, painted.getpixel((7, 7))) == ((40, 30), (len(TEXT), 40, 30))


def test_regions(run: Command, here: Path, picture: Callable[..., Path]) -> None:
    picture("a.png", 50, 40)
    boxes = "--region", "0,1,2,2=a red disc", "--region", "3,0,1,1=x=y, z"
    assert run("encode", "a.png", "--caption", TEXT, *boxes).code == 0
    table = run("info", "a.mcm").out.decode()
    assert f'  caption   "{TEXT}"\n  region    0,1,2,2 "a red disc"\n  region    3,0,1,1 "x=y, z"\n' in table
    facts = json.loads(run("info", "--json", "a.mcm").out)
    assert facts["regions"][0] == {"x": 0, "y": 1, "w": 2, "h": 2, "text": "a red disc"}
    assert run("caption", "a.mcm", "--set", "two discs").code == 0
    assert len(info(Path("a.mcm").read_bytes()).regions) == 2
    assert run("caption", "a.mcm", "--remove").code == 0
    assert info(Path("a.mcm").read_bytes()).regions == ()
    for wrong in ("1,2,3=a", "1,2,3,4", "1,2,3,4=", "a,2,3,4=b", "-1,0,1,1=a"):
        done = run("encode", "a.png", "-f", f"--region={wrong}")
        assert done.code == 2 and "is not x,y,w,h=TEXT in patches of 16 pixels" in done.err
    done = run("encode", "a.png", "-f", "--region", "3,0,2,1=a")
    assert done.code != 0 and "not on the picture's 4 x 3 patches" in done.err
