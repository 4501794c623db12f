"""Hostile pictures, weights and words through the command line: one line each, an exit code, nothing half written."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from models import smooth_noise
from PIL import Image

from mcmcodec.cli.main import main
from mcmcodec.codec import Codec
from mcmcodec.errors import InputError, ModelError
from mcmcodec.image.io import open_image, to_rgb
from mcmcodec.model import weights

ROOT = Path(__file__).parents[1]
Run = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def run(tiny_codec: Codec, here: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command in this process: exit code, stdout, and the lines of stderr that are not the summary."""

    def command(*arguments: str) -> tuple[int, str, list[str]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if not line[:1].isdigit()]
        assert "Traceback" not in err and "internal error" not in err
        assert all(line.startswith("codec: ") and line.isprintable() for line in lines), lines
        return int(str(caught.value.code)), out, lines

    return command


def jpeg(**options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(smooth_noise(40, 56)).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def png(width: int, height: int) -> bytes:
    """A whole PNG of one row that announces any size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    out = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")):
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return out


def exif(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    """An Exif block with one directory: (tag, type, count, value) and the offset of the next one."""
    out = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(entries))
    return out + b"".join(struct.pack(">HHII", *entry) for entry in entries) + struct.pack(">I", following)


def huge_jpeg() -> bytes:
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    return bytes(data)


PICTURES: dict[str, bytes] = {
    "cut-head.jpg": jpeg()[:30],
    "cut-half.jpg": jpeg()[: len(jpeg()) // 2],
    "bomb-jpg.jpg": huge_jpeg(),
    "bomb-png.png": png(65535, 65535),
    "bomb-wide.png": png(2**31 - 1, 2**31 - 1),
    "zero.png": png(0, 5),
    "one-row.png": png(300, 300),
    "nothing.png": b"",
    "text.png": b"GIF is what I am not",
    "bomb-gif.gif": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02L\x01\0;",
    "bomb-bmp.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 70, 0, 0, 54, 40, 65000, 65000, 1, 24, *[0] * 6),
    "noise.tif": b"II*\0\x08\0\0\0" + bytes(range(256)) * 4,
    "loop.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "bomb-ppm.ppm": b"P6 65535 65535 255\n" + bytes(30),
    "bomb-webp.webp": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\xff\xff\xff\xff" + bytes(4),
}  # fmt: skip


def test_hostile_pictures(run: Run, here: Path) -> None:
    (here / "in").mkdir()
    for name, data in PICTURES.items():
        (here / "in" / name).write_bytes(data)
    (here / "in" / "good.png").write_bytes(png(1, 1))
    code, _, lines = run("encode", "in", "-o", "out", "--model", "tiny", "--device", "cpu")
    told = {line.split(":")[1].strip(): line for line in lines}
    assert code == 1
    assert set(told) == {f"in{os.sep}{name}" for name in PICTURES}, set(PICTURES) - {name[3:] for name in told}
    assert all("; " in line for line in lines), "every line has a remedy"
    assert [path.name for path in (here / "out").iterdir()] == ["good.mcm"]


def test_every_cut_of_a_jpeg() -> None:
    """Most cuts are told; none is anything but told."""
    data, told = jpeg(), 0
    for size in range(0, len(data) - 2, 37):
        try:
            with open_image(io.BytesIO(data[:size])) as image:
                to_rgb(image)
        except InputError as error:
            told += 1
            assert error.remedy and "\n" not in str(error)
    assert told > 0.9 * len(range(0, len(data) - 2, 37))


ABSURD = {
    "orientation 99": exif((0x112, 3, 1, 99 << 16)),
    "orientation as text": exif((0x112, 2, 4, 0x41424300)),
    "a million orientations": exif((0x112, 3, 10**6, 8)),
    "count of 2**32 - 1": exif((0x112, 4, 2**32 - 1, 2**32 - 1)),
    "directory of itself": exif((0x8769, 4, 1, 8), following=8),
    "type 999": exif((0x112, 999, 1, 1)),
    "noise": b"Exif\0\0" + bytes(range(251)) * 200,
    "nothing": b"Exif\0\0",
}


@pytest.mark.parametrize("name", list(ABSURD))
def test_absurd_exif_does_no_harm(name: str) -> None:
    with open_image(io.BytesIO(jpeg(exif=ABSURD[name]))) as image:
        assert to_rgb(image).shape in ((40, 56, 3), (56, 40, 3))


def test_what_is_no_file(run: Run, here: Path) -> None:
    (here / "x.png").mkdir()
    (here / "x.mcm").mkdir()
    (here / "dangling.png").symlink_to("nowhere.png")
    (here / "loop.png").symlink_to("loop.png")
    for arguments, expected in (
        (["encode", "x.png"], 2),
        (["decode", "x.mcm"], 2),
        (["info", "x.mcm"], 2),
        (["encode", "dangling.png", "--model", "tiny"], 1),
        (["encode", "loop.png", "--model", "tiny"], 1),
        (["encode", "missing.png", "--model", "tiny"], 1),
        (["decode", "missing.mcm"], 1),
    ):
        code, _, lines = run(*arguments)
        assert (code, len(lines)) == (expected, 1), (arguments, lines)
    # a folder among the files of a folder is not one of them
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(here / "a.png")
    for name in ("dangling.png", "loop.png"):
        (here / name).unlink()
    assert run("encode", ".", "-o", "out", "--model", "tiny", "--device", "cpu")[0] == 0
    assert [path.name for path in (here / "out").iterdir()] == ["a.mcm"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(run: Run, here: Path) -> None:
    (here / "a.png").write_bytes(png(1, 1))
    (here / "a.png").chmod(0)
    code, _, (line,) = run("encode", "a.png", "--model", "tiny")
    assert (code, line) == (1, "codec: a.png: permission denied; check its permissions")


def test_wrong_and_missing_weights_are_named(
    run: Run, tiny: Path, tiny_codec: Codec, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny, here / "w")
    monkeypatch.setattr(weights, "folders", lambda: [here / "w"])
    (here / "a.mcm").write_bytes(tiny_codec.encode(smooth_noise(20, 20)))
    stream = (here / "w" / "tiny.safetensors").read_bytes()
    card = json.loads((here / "w" / "tiny.json").read_text())
    (here / "w" / "tiny.safetensors").write_bytes(stream[:-1] + b"\x01")
    code, _, (line,) = run("info", "a.mcm")
    assert code == 1 and "tiny.safetensors are not those that tiny.json names" in line
    (here / "w" / "tiny.safetensors").unlink()
    weights.forget()
    code, _, (line,) = run("info", "a.mcm")
    assert code == 1 and "tiny.safetensors cannot be read" in line
    for data in (b"", b"\x80\x04]\x94.", b"\xff" * 8, struct.pack("<Q", 2**40), struct.pack("<Q", 2) + b"{}"):
        (here / "w" / "tiny.safetensors").write_bytes(data)
        card["stream"]["sha256"] = hashlib.sha256(data).hexdigest()
        (here / "w" / "tiny.json").write_text(json.dumps(card))
        with pytest.raises(ModelError) as caught:
            _ = weights.find("tiny").entropy
        assert caught.value.remedy and "\n" not in str(caught.value)
    (here / "w" / "tiny.json").unlink()
    weights.forget()
    code, _, (line,) = run("info", "a.mcm")
    assert code == 1 and "the file needs model 4000.0, which is not installed" in line


def test_words_never_reach_a_terminal_raw(run: Run, tiny_codec: Codec, here: Path) -> None:
    words = "\x1b[31mred\x1b]0;title\x07 \u202egnp\u2066\u2069\r\n\x00\u200f\x9b2J"
    (here / "a.mcm").write_bytes(tiny_codec.encode(smooth_noise(20, 20), quality=5, caption=words))
    commands = ("info a.mcm", "info --json a.mcm", "caption a.mcm", "caption -n --append x a.mcm", "search title .")
    for arguments in (command.split() for command in commands):
        code, out, _ = run(*arguments)
        assert code == 0 and "red" in out
        assert all(line.isprintable() for line in out.splitlines()), (arguments, out)
    name = "\x1b[2J\u202e.mcm"
    (here / name).write_bytes(b"not one")
    for command in ("info", "verify", "decode", "caption"):
        code, _, (line,) = run(command, name)
        assert code == 1 and line.startswith("codec: \\x1b[2J\\u202e.mcm: not an .mcm file")
    # names of things that are not files, which messages repeat
    for arguments in (["encode", f"--{name}"], [name], ["decode", "-o", f"a.{name}x", "a.mcm"], ["info", f"no{name}"]):
        assert run(*arguments)[0] in (1, 2)
