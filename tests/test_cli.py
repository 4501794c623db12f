"""The command line as people and scripts meet it: exact output, exit codes, existing files, pipes."""

import json
import os
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from PIL import Image

import mcmcodec
from mcmcodec.cli.console import rate

Picture = Callable[..., Path]


def summary(text: str) -> str:
    """The last line of stderr with its time replaced."""
    return re.sub(r"[\d.]+ s\b", "T s", text.splitlines()[-1])


def test_encode_beside_the_input(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png")
    done = codec("encode", "a.png")
    data = Path("a.mcm").read_bytes()
    assert (done.code, done.out) == (0, b"")
    bpp = rate(8 * len(data) / 48)
    expected = f"1 image, {os.path.getsize('a.png')} B -> {len(data)} B ({bpp} bpp), T s"
    assert summary(done.err) == expected
    assert len(done.err.splitlines()) == 1


def test_options_reach_the_codec(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png")
    picture("roi.png")
    options = "-q 7 --keep 0.25 --mask texture --roi roi.png --caption hi --model big --device cpu -o b.mcm"
    assert codec("encode", "a.png", *options.split()).code == 0
    assert json.loads(Path("b.mcm").read_bytes()) == {
        "size": [8, 6],
        "quality": 7,
        "keep": 0.25,
        "mask": "texture",
        "caption": "hi",
        "model": "big",
        "roi": 48 * 90,
    }


def test_views_reach_the_codec(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png", 40, 30)
    codec("encode", "a.png")
    assert codec("decode", "a.mcm", "-f", "--crop", "3,4,20,8", "--scale", "1/4").code == 0
    assert Image.open("a.png").size == (5, 2)
    # bits are those of the file, and so are the pixels that they are divided by
    size, (row,) = os.path.getsize("a.mcm"), codec("decode", "a.mcm", "-f", "--scale", "1/2", "--json").out.splitlines()
    bpp = 8 * size / (40 * 30)
    assert {**json.loads(row), "seconds": 0} == {
        "source": "a.mcm", "target": "a.png", "status": "ok", "width": 20, "height": 15, "bytes_in": size,
        "bytes_out": os.path.getsize("a.png"), "bpp": round(bpp, 6), "seconds": 0,
    }  # fmt: skip
    done = codec("decode", "a.mcm", "-f", "-v", "--crop", "0,0,1,1")
    assert all(f"{size} B -> {os.path.getsize('a.png')} B ({rate(bpp)} bpp)" in line for line in done.err.splitlines())
    Path("cut.mcm").write_bytes(Path("a.mcm").read_bytes() + b"~")
    assert codec("decode", "cut.mcm").code == 1
    assert codec("decode", "cut.mcm", "--allow-truncated").code == 0


NOT_A_CROP = "is not X,Y,WIDTH,HEIGHT in whole pixels, at least one wide and high"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--crop", "1,2,3", f"'--crop': 1,2,3 {NOT_A_CROP}"),
        ("--crop", "1,2,-3,4", f"'--crop': 1,2,-3,4 {NOT_A_CROP}"),
        ("--crop", "1,2,3,0", f"'--crop': 1,2,3,0 {NOT_A_CROP}"),
        ("--scale", "1/3", "'--scale': '1/3' is not one of '1', '1/2', '1/4', '1/8'"),
    ],
)
def test_wrong_views(codec: Command, here: Path, option: str, value: str, message: str) -> None:
    done = codec("decode", "a.mcm", option, value)
    assert (done.code, done.err) == (2, f"codec: Invalid value for {message}; see codec decode --help\n")


def test_roi_must_fit(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png")
    picture("roi.png", 9)
    done = codec("encode", "a.png", "--roi", "roi.png")
    assert done.code == 1
    assert "codec: a.png: 8 x 6 pixels, but --roi has 9 x 6; make the map of the picture's size\n" in done.err
    Path("roi.png").write_bytes(b"no")
    done = codec("encode", "a.png", "--roi", "roi.png")
    assert done.code == 2
    assert done.err.startswith("codec: --roi roi.png: not a picture in a format that can be read; ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode"], "Missing argument 'FILES|FOLDERS|-'; see codec encode --help"),
        (["encode", "x.png", "-q", "101"], "--quality 101 is not 0 to 100; "),
        (["encode", "x.png", "--keep", "0"], "--keep 0.0 is not above 0 and up to 1; 0.5 keeps half of the patches"),
        (["encode", "x.png", "--keep", "nan"], "--keep nan is not a number; "),
        (["encode", "x.png", "-e", "6"], "--effort 6 is not 1 to 5; "),
        (["encode", "x.png", "--reduce", "3"], "Invalid value for '--reduce': '3' is not one of '1', '2', '4', '8'"),
        (["encode", "x.png", "--background", "mud"], "there is no colour mud; "),
        (["encode", "x.png", "--max-pixels", "0"], "the limit of pixels is not a whole number above zero; "),
        (["encode", "x.png", "--mask", "fog"], "'fog' is not one of"),
        (["encode", "x.png", "--roi", "none.png"], "'none.png' does not exist"),
        (["encode", "x.png", "--mask", "none", "--keep", "0.5"], "--mask none keeps every patch; "),
        (["encode", "x.png", "--mask", "none", "--roi", "faces"], "--mask none keeps every patch; "),
        (["encode", "x.png", "--mode", "base", "--roi", "cats"], "--mode base shows no patch; leave out keep, "),
        (["encode", "x.png", "--reduce", "2", "--region", "0,0,1,1=a"], "--reduce 2 is not possible with regions; "),
        (["encode", "x.png", "-f", "--skip-existing"], "contradict each other; give one of them"),
        (["encode", "x.png", "-o", "-", "--json"], "cannot both go to stdout; give a file with -o"),
        (["encode", "a.png", "a.jpg"], "a.png and a.jpg would both become a.mcm"),
        (["decode", "x.mcm", "-o", "y.xyz"], "cannot write a picture with the extension '.xyz'; use .png"),
        (["decode", "x.mcm", "--realism", "1.5"], "--realism 1.5 is not 0 to 1; 0 is fidelity, 1 is perceptual"),
        (["decode", "x.mcm", "--realism", "1", "--decoder", "a"], "--decoder and realism both choose a decoder; "),
        (["bogus"], "No such command 'bogus'; see codec --help"),
        (["decode", "--bogus"], "No such option"),
    ],
)
def test_usage_errors_are_one_line(codec: Command, here: Path, arguments: list[str], message: str) -> None:
    done = codec(*arguments)
    assert (done.code, done.out) == (2, b"")
    assert done.err.startswith("codec: ") and done.err.count("\n") == 1
    assert message in done.err


def test_keeps_going_after_errors(codec: Command, here: Path, picture: Picture) -> None:
    for width in (8, 101, 102, 103, 104, 106):
        picture(f"in/{width}.png", width)
    Path("in/text.png").write_text("hello")
    Path("in/cut.png").write_bytes(Path("in/8.png").read_bytes()[:50])
    done = codec("encode", "in", "none.png", "-o", "out")
    memory = "not enough memory; close other programs or scale the picture down"
    assert done.code == 1
    assert done.err.splitlines()[:-1] == [
        "codec: in/101.png: the picture is odd; take another",
        f"codec: in/102.png: {memory}",
        f"codec: in/103.png: {memory}",
        "codec: in/104.png: internal error (ZeroDivisionError: division by zero); report it, "
        "MCMCODEC_DEBUG=1 shows where it happened",
        "codec: in/106.png: no space left on device; free some space",
        done.err.splitlines()[5],
        "codec: in/text.png: not a picture in a format that can be read; get a whole copy of the file",
        "codec: none.png: no such file or directory; check the name",
    ]
    assert done.err.splitlines()[5].startswith("codec: in/cut.png: truncated or damaged picture (")
    assert summary(done.err).endswith("T s, 8 failed")
    assert os.listdir("out") == ["8.mcm"]


def test_all_failed(codec: Command, here: Path) -> None:
    done = codec("decode", "none.mcm")
    assert (done.code, done.err.splitlines()[-1]) == (1, "0 images, 1 failed")


def test_wrong_option_found_late_stops_all(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png", 107)
    picture("b.png")
    done = codec("encode", ".")
    assert (done.code, done.err) == (2, "codec: device cuda is not there; choose auto or cpu\n")
    assert not Path("b.mcm").exists()


def test_interrupt(codec: Command, here: Path, picture: Picture) -> None:
    for name, width in (("a", 8), ("b", 105), ("c", 8)):
        picture(f"{name}.png", width)
    done = codec("encode", ".")
    assert done.code == 130
    assert done.err.splitlines()[-1] == "codec: interrupted"
    assert sorted(os.listdir()) == ["a.mcm", "a.png", "b.png", "c.png"]


def test_existing_files(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png")
    picture("b.png")
    Path("a.mcm").write_bytes(b"old")
    done = codec("encode", "a.png", "b.png")
    assert done.code == 1
    assert done.err.startswith("codec: a.png: a.mcm exists; give -f to overwrite it or --skip-existing\n")
    assert Path("a.mcm").read_bytes() == b"old" and Path("b.mcm").exists()
    done = codec("encode", "a.png", "b.png", "--skip-existing")
    assert (done.code, done.err) == (3, "0 images, 2 skipped\n")
    Path("b.mcm").unlink()
    assert codec("encode", "a.png", "b.png", "--skip-existing").code == 0
    assert Path("a.mcm").read_bytes() == b"old"
    assert codec("encode", "a.png", "-f").code == 0
    assert Path("a.mcm").read_bytes() != b"old"


def test_two_pictures_of_one_name(codec: Command, here: Path, picture: Picture) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        picture(f"in/{name}")
    both = "in/a.jpg and in/a.png would both become out/a.mcm"
    done = codec("encode", "in", "-o", "out", "--json")
    assert done.code == 1 and os.listdir("out") == ["b.mcm"]
    assert [line for line in done.err.splitlines() if "would" in line] == [
        f"codec: 2 files left out: {both}; give --full-name (photo.jpg.mcm)"
    ]
    assert summary(done.err).endswith("T s, 2 failed")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["status"], row.get("error")) for row in rows] == [("failed", both)] * 2 + [("ok", None)]
    lines = codec("encode", "in", "-o", "out", "-n").out.decode().splitlines()
    assert lines[0] == f"in/a.jpg -> out/a.mcm (refused: {both})" and len(lines) == 3
    done = codec("encode", "in", "-o", "out", "--full-name")
    assert done.code == 0 and set(os.listdir("out")) == {"a.jpg.mcm", "a.png.mcm", "b.png.mcm", "b.mcm"}
    assert codec("decode", "out/a.jpg.mcm").code == 0 and Path("out/a.jpg.png").exists()
    # nor is one of two files taken for the other's when messages are made of them
    Path("p").mkdir()
    Path("p/b.mcm").write_bytes(Path("out/b.mcm").read_bytes())
    done = codec("split", "--size", "50", "p/b.mcm", "out/b.mcm", "out/a.jpg.mcm", "-o", "messages")
    assert done.err.startswith("codec: 2 files left out: p/b.mcm and out/b.mcm would both become messages/b.messages; ")
    assert done.code == 1 and not Path("messages/b.messages").exists()


def test_pictures_that_nothing_reads_are_told_of(
    codec: Command, here: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcmcodec.image import optional_formats

    monkeypatch.setattr(optional_formats, "find_spec", lambda name: None)
    monkeypatch.setattr(Image, "EXTENSION", {**Image.EXTENSION, ".heic": "HEIF"})
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    picture("in/a.png")
    for name in ("b.heic", "deep/c.HEIC", "d.cr2", "notes.txt"):
        picture(f"in/{name}.png").rename(f"in/{name}")
    note = "codec: warning: {}; pip install pillow-heif rawpy"
    done = codec("encode", "-r", "in")
    assert done.code == 0 and done.err.splitlines()[1:] == [note.format("3 files left out: .heic 2, .cr2 1")]
    done = codec("encode", "in", "-n")
    assert done.err.splitlines() == [note.format("2 files left out: .heic 1, .cr2 1")]
    assert codec("encode", "-r", "in", "-f", "--quiet").err == ""
    assert codec("encode", "in/a.png", "-f").err.count("\n") == 1
    Path("in/a.png").unlink()
    done = codec("encode", "in")
    assert (done.code, done.err) == (
        2, "codec: nothing to do: 2 files left out: .heic 1, .cr2 1; pip install pillow-heif rawpy\n",
    )  # fmt: skip


def test_damaged_pictures_when_asked_for(codec: Command, here: Path, picture: Picture) -> None:
    data = picture("a.jpg").read_bytes()
    Path("a.jpg").write_bytes(data[:-2])
    done = codec("encode", "a.jpg")
    assert done.code == 1 and "end early); get a whole copy of the file, or take what is there with --allow" in done.err
    done = codec("encode", "a.jpg", "--allow-damaged")
    assert done.code == 0 and Path("a.mcm").exists()
    assert done.err.startswith("codec: a.jpg: warning: the file is damaged (the JPEG data end early): ")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
def test_private_pictures_stay_private(codec: Command, here: Path, picture: Picture, tiny_codec: Any) -> None:
    Path("a.mcm").write_bytes(tiny_codec.encode(Image.new("RGB", (200, 100))))
    names = {"a.png": picture("a.png", 200, 100), "a.mcm": Path("a.mcm")}
    for path in names.values():
        path.chmod(0o600)
        os.utime(path, (10**9, 10**9))
    codec("split", "--size", "100", "a.mcm", "-o", "m/")
    messages = sorted(Path("m/a.messages").iterdir())
    assert codec("join", *messages, "-o", "joined.mcm").code == 0
    assert codec("encode", "a.png", "-o", "b.mcm").code == 0 and codec("decode", "b.mcm", "-o", "b.png").code == 0
    made = [*messages, Path("joined.mcm"), Path("b.mcm"), Path("b.png")]
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
    assert all(path.stat().st_mtime > 10**9 for path in made)
    assert codec("encode", "-p", "a.png", "-o", "c.mcm").code == 0
    assert codec("decode", "--preserve", "c.mcm", "-o", "c.png").code == 0
    assert {path.stat().st_mtime for path in (Path("c.mcm"), Path("c.png"))} == {10**9}


def test_dry_run(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png")
    picture("b\x1b.png")
    Path("a.mcm").touch()
    done = codec("encode", ".", "-n")
    assert (done.code, done.err) == (0, "")
    assert done.out.decode().splitlines() == [
        "./a.png -> ./a.mcm (refused: ./a.mcm exists; give -f to overwrite it or --skip-existing)",
        "./b\\x1b.png -> ./b\\x1b.mcm",
    ]
    assert codec("encode", "a.png", "-n", "--skip-existing").out == b"a.png -> a.mcm (skipped: it exists)\n"
    assert json.loads(codec("encode", "a.png", "-nf", "--json").out)["status"] == "planned"
    assert not Path("b\x1b.mcm").exists()


def test_quiet(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png")
    done = codec("encode", "a.png", "none.png", "--quiet")
    assert done.err == "codec: none.png: no such file or directory; check the name\n"


def test_json_lines(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png")
    picture("b.png", 101)
    picture("c.png")
    Path("c.mcm").touch()
    lines = [json.loads(line) for line in codec("encode", ".", "--json", "--skip-existing").out.splitlines()]
    size_out = os.path.getsize("a.mcm")
    assert lines[0].pop("seconds") >= 0
    odd = "the picture is odd; take another"
    assert lines == [
        {
            "source": "./a.png",
            "target": "./a.mcm",
            "status": "ok",
            "width": 8,
            "height": 6,
            "bytes_in": os.path.getsize("a.png"),
            "bytes_out": size_out,
            "bpp": round(8 * size_out / 48, 6),
            "quality": 50,
            "encodes": 1,
        },
        {"source": "./b.png", "target": "./b.mcm", "status": "failed", "error": odd},
        {"source": "./c.png", "target": "./c.mcm", "status": "skipped"},
    ]


def test_json_says_why_a_command_stopped(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png", 105)
    for arguments, error, code in (
        (["a.png", "-q", "101"], "--quality 101 is not 0 to 100; 50 is the default, higher is ", 2),
        (["--bogus"], "No such option", 2),
        (["a.png", "a.png"], "interrupted", 130),
    ):
        done = codec("encode", "--json", "--model", "none", *arguments)
        row = json.loads(done.out)
        assert (done.code, row["code"], row["status"]) == (code, code, "failed")
        assert row["error"].startswith(error) and done.err.strip() == f"codec: {row['error']}"
    assert codec("encode", "--json", "a.png", "-o", "-").out == b""


def test_pipes(codec: Command, here: Path, picture: Picture) -> None:
    encoded = codec("encode", "-", stdin=picture("a.png").read_bytes())
    assert (encoded.code, encoded.err) == (0, "")
    assert codec("encode", "a.png", "-o", "-").out == encoded.out
    decoded = codec("decode", "-", stdin=encoded.out)
    assert (decoded.code, decoded.err) == (0, "")
    assert Image.open(BytesIO(decoded.out)).format == "PNG"
    assert codec("decode", "-", "-o", "b.webp", stdin=encoded.out).code == 0
    assert Image.open("b.webp").format == "WEBP"
    done = codec("decode", "-", stdin=b"hello")
    assert (done.code, done.out) == (1, b"")
    assert done.err == "codec: stdin: not an .mcm file; give a file that codec encode wrote\n"


def test_decode_folder_and_decoder(codec: Command, here: Path, picture: Picture) -> None:
    picture("in/deep/a.png")
    codec("encode", "-r", "in", "-o", "packed")
    Path("packed/other.txt").touch()
    done = codec("decode", "-r", "packed", "-o", "out", "--decoder", "perceptual")
    assert done.code == 0
    assert re.fullmatch(r"1 image, \d+ B -> \d+ B \([\d.]+ bpp\), T s", summary(done.err))
    with Image.open("out/deep/a.png") as image:
        assert image.getpixel((0, 0)) == (255, 0, 0)


def test_info_table(codec: Command, here: Path) -> None:
    Path("a.mcm").touch()
    done = codec("info", "a.mcm")
    assert (done.code, done.err) == (0, "")
    assert done.out.decode() == r"""a.mcm
  picture   100 x 50 pixels
  file      100 B, 0.160 bpp
  format    1
  model     small
  quality   50
  visible   14 of 28 patches (50 %)
  caption   "a \x1b[31mred\u202e house"
  crc       00000abc
  weights   0123456789abcdef

  part           bytes       %       bpp
  header          11.0    11.0   0.01760
  caption          5.5     5.5   0.00880
  base            20.2    20.2   0.03240
  mask             3.2     3.2   0.00520
  latents         55.0    55.0   0.08800
  tail             1.0     1.0   0.00160
  crc              4.0     4.0   0.00640
  total          100.0   100.0   0.16000
"""


def test_info_of_many(codec: Command, here: Path) -> None:
    Path("a.mcm").touch()
    Path("b.mcm").write_bytes(b"bad")
    done = codec("info", ".", "--json")
    good, bad = (json.loads(line) for line in done.out.splitlines())
    assert done.code == 1
    assert done.err == "codec: ./b.mcm: not an .mcm file; give a file that codec encode wrote\n"
    assert (good["file"], good["status"], good["bytes"]["latents"]) == ("./a.mcm", "ok", 55)
    assert bad == {"file": "./b.mcm", "status": "failed", "error": done.err[16:-1]}
    assert codec("info", "-", stdin=b"x").out.startswith(b"stdin\n")


def test_help_and_version(codec: Command) -> None:
    for command in ((), ("encode",), ("decode",), ("info",), ("verify",), ("models",), ("completion",)):
        done = codec(*command, "--help")
        text = done.out.decode()
        assert done.code == 0 and "Examples:" in text and len(text.splitlines()) <= 50
        assert max(map(len, text.splitlines())) <= 80
    assert len(codec("encode", "-h").out.splitlines()) >= 24
    assert codec("--version").out.decode() == f"codec (mcmcodec) {mcmcodec.__version__}\n"
    nothing = codec()
    assert (nothing.code, nothing.out) == (2, b"") and nothing.err.startswith("Usage: codec")


def test_a_command_that_cannot_be_imported_is_not_missing(run_codec: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, package: str) -> None:
        raise KeyError("HOME")

    monkeypatch.setattr("mcmcodec.cli.main.import_module", broken)
    done = run_codec("models")
    assert (done.code, done.out) == (1, b"")
    assert done.err == (
        "codec: internal error (KeyError: 'HOME'); report it, MCMCODEC_DEBUG=1 shows where it happened\n"
    )
    assert run_codec("bogus").err == "codec: No such command 'bogus'; see codec --help\n"
