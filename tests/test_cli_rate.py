"""Rates as people ask for them on the command line, and one budget for many pictures."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command

Picture = Callable[..., Path]
# The codec that stands in writes a byte more for every step of quality.


def bytes_of(name: str) -> int:
    return os.path.getsize(name)


def test_at_most_so_many_bytes(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png")
    codec("encode", "-q", "0", "a.png", "-o", "zero.mcm")
    codec("encode", "-q", "10", "a.png", "-o", "ten.mcm")
    limit = bytes_of("ten.mcm") + 20
    done = codec("encode", "--max-bytes", str(limit), "a.png", "--json")
    row = json.loads(done.out)
    assert (done.code, row["quality"], row["bytes_out"], bytes_of("a.mcm")) == (0, 30, limit, limit)
    assert 2 <= row["encodes"] <= 11
    done = codec("encode", "--max-bytes", "9", "--reduce", "1", "a.png", "-o", "b.mcm")
    least = bytes_of("zero.mcm")
    assert done.code == 1 and not Path("b.mcm").exists()
    assert done.err.startswith(f"codec: a.png: quality 0 takes {least} bytes, more than 9; allow more\n")


def test_as_near_to_a_rate_as_can_be(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png", 80, 60)
    codec("encode", "-q", "40", "a.png", "-o", "forty.mcm")
    bpp = 8 * bytes_of("forty.mcm") / 4800
    assert codec("encode", "-b", str(bpp + 0.0001), "a.png").code == 0
    assert json.loads(Path("a.mcm").read_bytes())["quality"] == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-q 5 -b 0.1", "-q and -b both set the rate; give one of them"),
        ("-q 50 --max-bytes 1k", "-q and --max-bytes both set the rate; give one of them"),
        ("--target psnr=30 --total-bytes 1MB", "--target and --total-bytes both set the rate; give one of them"),
        ("--max-time 5s -e 3", "--max-time limits the refining of efforts 4 and 5, not of 3; leave one out"),
        ("-q 5 --mode caption --caption hi", "--mode caption keeps no picture, so -q says nothing; leave one out"),
        ("--mode sketch -e 3", "--mode sketch keeps no picture, so -e says nothing; leave one out"),
        ("--mode sketch --tune fidelity", "--mode sketch keeps no picture, so --tune says nothing; leave one out"),
        ("--mode sketch --max-time 9s", "--mode sketch keeps no picture, so --max-time says nothing; leave one out"),
        ("--mode sketch --for sms", "--mode sketch keeps no picture, so --for says nothing; leave one out"),
        ("--mode caption --caption a --reduce 2", "--mode caption keeps no picture, so --reduce says nothing; leave "),
        ("--mode sketch --keep-metadata", "--mode sketch keeps no picture, so --keep-metadata says nothing; leave "),
        ("-q 5.5", "--quality '5.5' is not a whole number; "),
        ("-q high", "--quality 'high' is not a whole number; "),
        ("-b 0", "-b 0 is not above 0 and up to 24; 0.03 is a usual rate"),
        ("-b nan", "-b nan is not above 0 and up to 24; 0.03 is a usual rate"),
        ("--max-bytes big", "Invalid value for '--max-bytes': 'big' is not a number of bytes, 800, 12kB or 2MB for "),
        (f"--max-bytes {'9' * 400}", "Invalid value for '--max-bytes': '999"),
        ("--max-bytes 0", "Invalid value for '--max-bytes': '0' is not a number of bytes"),
        ("--max-time -1", "Invalid value for '--max-time': '-1' is not a time, 90s or 5min for instance; see codec "),
        ("--target ssim=1", "Invalid value for '--target': 'ssim=1' is not psnr=26, msssim=0.9 or lpips=0.2, for "),
        ("--target psnr=x", "Invalid value for '--target': 'psnr=x' is not psnr=26, msssim=0.9 or lpips=0.2, for "),
        ("-v --quiet", "--quiet and --verbose contradict each other; give one of them"),
    ],
)
def test_contradictions_and_nonsense(codec: Command, here: Path, arguments: str, message: str) -> None:
    done = codec("encode", "a.png", *arguments.split())
    assert (done.code, done.out) == (2, b"")
    assert done.err.startswith("codec: " + message) and done.err.count("\n") == 1


def test_a_wrong_quality_shows_the_ladder(
    codec: Command, here: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcmcodec.model.weights import FOLDER_VARIABLE

    card = json.loads((tiny / "tiny.json").read_text())
    ladder = {"quality": [0, 50, 100], "bpp": [0.0049, 0.05, 0.4]}
    Path("laddered.json").write_text(json.dumps(card | {"ladder": ladder}))
    monkeypatch.setenv(FOLDER_VARIABLE, str(here))
    done = codec("encode", "--model", "laddered", "a.png", "-q", "101")
    assert done.code == 2
    assert done.err == (
        "codec: --quality 101 is not 0 to 100; typical bits per pixel: 0 0.0049, 50 0.050, 100 0.400\n"
    )
    done = codec("encode", "--model", "none", "a.png", "-q", "101")
    assert done.err.endswith("; 50 is the default, higher is better\n")


def test_one_budget_for_all(codec: Command, here: Path, picture: Picture) -> None:
    for name, side in (("a", 30), ("b", 60), ("c", 101), ("d", 8)):
        picture(f"in/{name}.png", side, 40)
    Path("in/text.png").write_text("hello")
    codec("encode", "-q", "0", "in/d.png", "-o", "zero.mcm")
    total = 3 * bytes_of("zero.mcm") + 120
    done = codec("encode", "in", "-o", "out", "--total-bytes", str(total), "--max-time", "60s", "--json")
    rows = {Path(row["source"]).stem: row for row in map(json.loads, done.out.splitlines())}
    assert done.code == 1
    assert rows["c"]["error"] == "the picture is odd; take another"
    assert rows["text"]["error"].startswith("not a picture")
    spent = sum(bytes_of(f"out/{name}.mcm") for name in "abd")
    assert 0.9 * total < spent <= total
    assert done.err.splitlines()[-1].endswith("2 failed")
    assert all(rows[name]["effort"] in (2, 3) for name in "abd")


def test_time_sets_the_effort_unless_it_is_given(codec: Command, here: Path, picture: Picture) -> None:
    for name in "abc":
        picture(f"in/{name}.png", 30, 40)
    total = ("--total-bytes", "600", "--json", "-f")

    def efforts(*more: str) -> list[int | None]:
        done = codec("encode", "in", "-o", "out", *total, *more)
        assert done.code == 0 and sum(bytes_of(f"out/{name}.mcm") for name in "abc") <= 600
        return [json.loads(line).get("effort") for line in done.out.splitlines()]

    assert efforts() == [None] * 3
    assert efforts("--max-time", "60s", "-e", "2") == [2] * 3
    assert set(map(type, efforts("--max-time", "60s"))) == {int}


def test_a_budget_too_small_or_for_stdin(codec: Command, here: Path, picture: Picture) -> None:
    data = picture("a.png").read_bytes()
    codec("encode", "-q", "0", "a.png", "-o", "zero.mcm")
    least = bytes_of("zero.mcm")
    done = codec("encode", "a.png", "--total-bytes", "10")
    assert done.code == 2 and not Path("a.mcm").exists()
    assert done.err == (
        f"codec: the smallest files of these pictures take {least} bytes together, more than 10; "
        "allow more, or leave some out\n"
    )
    done = codec("encode", "-", "--total-bytes", "1k", stdin=data)
    assert (done.code, done.out) == (2, b"")
    assert done.err == ("codec: --total-bytes reads a picture more than once; give files, or --max-bytes with stdin\n")


def test_faces_without_a_detector(
    codec: Command, here: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    picture("a.png")
    done = codec("encode", "a.png", "--roi", "faces")
    assert done.code == 2 and not Path("a.mcm").exists()
    assert done.err == (
        f"codec: --roi faces needs a detector that OpenCV {cv2.__version__} does not ship; "
        "pip install 'opencv-python<5', or draw the map and give --roi its file\n"
    )


def test_a_line_per_file_when_asked(codec: Command, here: Path, picture: Picture) -> None:
    picture("a.png")
    done = codec("encode", "-v", "a.png", "-q", "9")
    first, last = done.err.splitlines()
    assert first.startswith(f"a.png -> a.mcm: {bytes_of('a.png')} B -> {bytes_of('a.mcm')} B (")
    assert first.endswith(" s, quality 9, encodes 1") and last.startswith("1 image, ")
