"""Where captions come from: text files, tables, metadata of all sorts, captioners; and text that is up to no good."""

import io
import json
import struct
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Command
from PIL import Image, PngImagePlugin

from mcmcodec import plugins
from mcmcodec.caption import sources
from mcmcodec.caption.shortest import coded_size
from mcmcodec.errors import InputError, McmError, UsageError
from mcmcodec.image.painting import PaintRequest

TEXT = "A dog on the beach, barking at Zoë."
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Description rdf:about=""><dc:description><rdf:Alt>
<rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"""
BOMB = '<!DOCTYPE b [<!ENTITY a "ha"><!ENTITY c "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


def opened(format: str = "JPEG", **options: object) -> Image.Image:
    data = io.BytesIO()
    Image.new("RGB", (8, 6), 90).save(data, format, **options)
    return Image.open(data)


def with_iptc(text: bytes) -> Image.Image:
    record = b"\x1c\x02\x78" + struct.pack(">H", len(text)) + text
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record + b"\0" * (len(record) % 2)
    data = io.BytesIO()
    Image.new("RGB", (8, 6), 90).save(data, "JPEG")
    jpeg = data.getvalue()
    segment = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block
    return Image.open(io.BytesIO(jpeg[:2] + segment + jpeg[2:]))


def with_exif(text: bytes | str, format: str = "JPEG") -> Image.Image:
    exif = Image.Exif()
    exif[0x010E] = text
    return opened(format, exif=exif)


def with_text(text: str) -> Image.Image:
    chunk = PngImagePlugin.PngInfo()
    chunk.add_itxt("Description", text)
    chunk.add_text("Software", "paint")
    return opened("PNG", pnginfo=chunk)


@pytest.mark.parametrize(
    "image",
    [
        opened("JPEG", xmp=XMP.format(TEXT).encode()),
        opened("WEBP", xmp=XMP.format(TEXT).encode()),
        with_iptc(TEXT.encode()),
        with_iptc(TEXT.encode("latin-1")),
        with_exif(TEXT.encode()),
        with_exif(TEXT.encode("latin-1")),
        with_exif(TEXT.encode(), "WEBP"),
        with_text("  A dog on the\tbeach,\nbarking at Zo\u00eb. \0"),
    ],
)
def test_metadata(image: Image.Image) -> None:
    assert sources.metadata("x", image) == [TEXT]


def test_metadata_agrees_with_itself() -> None:
    exif = Image.Exif()
    exif[0x010E] = "A dog."
    assert sources.metadata("x", opened(exif=exif, xmp=XMP.format("A dog.").encode())) == ["A dog."]
    assert sources.metadata("x", opened(exif=exif, xmp=XMP.format("Beach").encode())) == ["Beach", "A dog."]


@pytest.mark.parametrize(
    "image",
    [
        opened(),
        with_exif("OLYMPUS DIGITAL CAMERA         "),
        with_exif("SONY DSC"),
        with_exif("   "),
        with_exif("x" * 5000),
        opened("JPEG", xmp=b"<x:xmpmeta"),
        opened("JPEG", xmp=(BOMB + XMP.format("&c;")).encode()),
        opened("JPEG", xmp=b"<a>" * 15000),
        opened("PNG", exif=b"Exif\0\0garbage"),
        with_iptc(b""),
    ],
)
def test_metadata_that_says_nothing(image: Image.Image) -> None:
    assert sources.metadata("x", image) == []


@pytest.fixture
def dog(here: Path, picture: Callable[..., Path]) -> Path:
    return picture("in/dog.png")


def caption(path: str = "dog.mcm") -> str:
    return str(json.loads(Path(path).read_bytes())["caption"])


def test_sidecar(codec: Command, dog: Path) -> None:
    Path("in/dog.txt").write_text(f"\ufeff{TEXT}\n\n", encoding="utf-8")
    assert codec("encode", dog, "-o", "dog.mcm", "--caption-from", "sidecar").code == 0
    assert caption() == TEXT
    assert codec("encode", dog, "-o", "dog.mcm", "-f").code == 0
    assert caption() == ""
    assert codec("encode", dog, "-o", "dog.mcm", "-f", "--caption-from", "sidecar", "--caption", "Mine").code == 0
    assert caption() == "Mine"


def test_cheapest_that_says_the_most(codec: Command, dog: Path) -> None:
    long, short = "There was the brown dog that was there on the beach", "A brown dog on a beach"
    Path("in/dog.txt").write_text(f"{long}\n{short}\nIt\n")
    for options in (["--caption-from", "sidecar"], ["--caption", long, "--caption", short, "--caption", "It"]):
        assert codec("encode", dog, "-o", "dog.mcm", "-f", *options).code == 0
        assert caption() == short
    assert codec("encode", dog, "-o", "dog.mcm", "-f", *options, "--caption-bytes", "2").code == 0
    assert caption() and coded_size(caption()) <= 2 < coded_size(short)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe\0", "in/dog.txt is not UTF-8 text; convert it"),
        (b"x" * 5000, "a caption in in/dog.txt has 5000 bytes, the limit is 4096; shorten it"),
        (b"x" * 70000, "in/dog.txt has over 65536 bytes"),
    ],
)
def test_bad_sidecar(codec: Command, dog: Path, data: bytes, message: str) -> None:
    Path("in/dog.txt").write_bytes(data)
    done = codec("encode", dog, "--caption-from", "sidecar")
    assert done.code == 1 and f"codec: in/dog.png: {message}" in done.err
    assert not Path("in/dog.mcm").exists()


def test_table(codec: Command, dog: Path, picture: Callable[..., Path]) -> None:
    picture("in/deep/dog.png")
    picture("in/cat.png")
    Path("in/all.csv").write_text('Name,kind,Caption\ndog.png,x,"One, dog"\ndeep/dog.png,x,Two\n', encoding="utf-8")
    for order in (["in/all.csv", "sidecar"], ["sidecar", "in/all.csv"]):
        Path("in/cat.txt").write_text("A cat")
        options = [part for one in order for part in ("--caption-from", one)]
        assert codec("encode", "-r", "-f", "in", "-o", "out", *options).code == 0
        found = [caption(f"out/{name}.mcm") for name in ("dog", "deep/dog", "cat")]
        assert found == ["One, dog", "Two", "A cat"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--caption-from", "none.csv"], "--caption-from none.csv: No such file or directory; check the name"),
        (["--caption-from", "bad.csv"], "bad.csv: no column caption; call the columns name and caption"),
        (["--caption-from", "binary.csv"], "binary.csv: not a CSV file in UTF-8; convert it"),
        (["--caption-from", "x"], "--caption-from x is no source; give sidecar, metadata, none, or"),
        (["--caption-from", "none", "--caption-from", "sidecar"], "contradict each other; give one of them"),
        (["--caption-from", "none", "--mode", "caption"], "keeps nothing but a caption, and there is none"),
        (["--captioner", "nobody"], "there is no captioner nobody; choose from "),
    ],
)
def test_usage(codec: Command, dog: Path, arguments: list[str], message: str) -> None:
    Path("bad.csv").write_text("name,what\n")
    Path("binary.csv").write_bytes(b"\xff\xfe\0")
    done = codec("encode", dog, *arguments)
    assert (done.code, done.err.count("\n")) == (2, 1) and message in done.err


def install(monkeypatch: pytest.MonkeyPatch, group: str, **factories: object) -> None:
    """Pretend that a package with these entry points is installed."""
    import sys

    monkeypatch.setitem(sys.modules, "stand_in_plugin", SimpleNamespace(**factories))  # type: ignore[arg-type]
    points = [EntryPoint(name, f"stand_in_plugin:{name}", group) for name in factories]
    monkeypatch.setattr(plugins, "entry_points", lambda group: [one for one in points if one.group == group])


def test_captioner(codec: Command, dog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def tell(folder: str, device: str) -> Callable[[Image.Image], list[str]]:
        return lambda image: [f"{folder} on {device}: {image.mode} {image.size}"]

    def fail(folder: str, device: str) -> Callable[[Image.Image], list[str]]:
        return lambda image: seen[3]  # type: ignore[return-value]

    def start(folder: str, device: str) -> None:
        raise ValueError("no weights\nhere")

    install(monkeypatch, plugins.CAPTIONERS, tell=tell, fail=fail, start=start, dumb=lambda *a: lambda image: 7)
    assert plugins.names(plugins.CAPTIONERS) == ["dumb", "fail", "start", "tell", "transformers"]
    assert codec("encode", dog, "--captioner", "tell:a/b", "--device", "cpu", "-o", "dog.mcm").code == 0
    assert caption() == "a/b on cpu: RGB (8, 6)"
    Path("in/dog.txt").write_text("Known")
    assert codec("encode", dog, "--captioner", "fail", "--caption-from", "sidecar", "-o", "dog.mcm", "-f").code == 0
    assert caption() == "Known"
    for name, message in {"fail": "fail failed (IndexError: ", "dumb": "dumb did not answer with text"}.items():
        done = codec("encode", dog, "--captioner", name, "-o", "x.mcm")
        assert done.code == 1 and message in done.err and not Path("x.mcm").exists()
    done = codec("encode", dog, "--captioner", "start:f")
    assert (done.code, done.err) == (
        2,
        "codec: the captioner start:f does not start (ValueError: no weights); check its folder\n",
    )


def test_painter(monkeypatch: pytest.MonkeyPatch) -> None:
    def good(folder: str, device: str) -> Callable[..., Image.Image]:
        return lambda request: Image.new("L", request.size, len(request.caption))

    install(monkeypatch, plugins.PAINTERS, good=good, dumb=lambda *a: lambda *words: "x")
    request = PaintRequest("four", (), None, None, (5, 6), 1.0, 0)
    assert plugins.load_painter("good")(request).getpixel((0, 0)) == 4
    with pytest.raises(McmError, match="did not answer with a picture"):
        plugins.load_painter("dumb")(request)
    with pytest.raises(UsageError, match="there is no painter bad; choose from diffusers, dumb, good"):
        plugins.load_painter("bad")


def test_too_long_for_a_caption() -> None:
    with pytest.raises(InputError):
        sources._fitting("ü" * 2049, "here")
