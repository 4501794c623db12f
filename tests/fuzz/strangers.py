"""Hostile pictures, weights and captions, changed as ``mutate`` changes .mcm files; what may come of them."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
from mutate import Mutator
from PIL import Image, ImageCms

from mcmcodec.bitstream.file import encode_caption_only, open_file
from mcmcodec.caption import Words, sources
from mcmcodec.caption.raw_bytes import MAX_BYTES
from mcmcodec.codec import Codec
from mcmcodec.errors import InputError, McmError, ModelError, UsageError
from mcmcodec.image.io import open_image
from mcmcodec.image.prepare import prepare
from mcmcodec.model.weights import Weights, find

Level = Callable[[bytes, Codec], str]
MAX_PIXELS = 256 * 256
HEAD = 600
"""Bytes at the beginning where every other change is made: there are the fields."""


class Changer(Mutator):
    """Draws changed files of any kind; checksums inside are made right by ``repair``, five times in six."""

    def __init__(self, seeds: Sequence[bytes], seed: int, repair: Callable[[bytes], bytes] = bytes) -> None:
        super().__init__([data + bytes(4) for data in seeds], b"", 0, seed)
        self.repair, self.rng = repair, Random(seed)

    def draw(self) -> bytes:
        rng = self.rng
        body = bytearray(rng.choice(self.seeds))
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            body = rng.choice(self.ways)(body) or body
        right = rng.random() < 5 / 6
        self.right += right
        return self.repair(bytes(body)) if right else bytes(body)

    def _at(self, body: bytearray) -> int:
        return self.rng.randrange(max(1, min(len(body), HEAD) if self.rng.random() < 0.5 else len(body)))


def pictures(noise: Callable[..., np.ndarray]) -> list[bytes]:
    """Small valid pictures of many kinds, with metadata where it goes."""
    rgb = Image.fromarray(noise(24, 31))
    rgba = rgb.copy()
    rgba.putalpha(rgb.getchannel(1))
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a house", 6
    dublin_core = b"http://purl.org/dc/elements/1.1/"
    xmp = b'<x xmlns:d="%b"><d:description>a</d:description></x>' % dublin_core
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = Image.fromarray(np.asarray(rgb.convert("L"), np.uint16) * 257)
    wanted: list[tuple[Image.Image, str, dict[str, object]]] = [
        (rgb, "PNG", {"exif": exif}), (rgba, "PNG", {}), (rgb.convert("P"), "PNG", {"transparency": 3}),
        (deep, "PNG", {}), (rgb, "JPEG", {"exif": exif, "xmp": xmp}), (rgb.convert("CMYK"), "JPEG", {}),
        (rgb, "JPEG", {"icc_profile": profile}), (rgb.convert("L"), "JPEG", {}), (rgb.convert("P"), "GIF", {}),
        (rgba, "WEBP", {"lossless": True, "exif": exif}), (rgb, "WEBP", {}), (rgb, "TIFF", {}), (deep, "TIFF", {}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}), (rgb, "BMP", {}), (rgb, "PPM", {}), (rgba, "TGA", {}),
        (rgba, "ICO", {}), (rgb, "JPEG2000", {}), (rgba, "QOI", {}), (rgb.convert("L"), "PCX", {}), (rgb, "AVIF", {}),
    ]  # fmt: skip
    made = []
    for image, kind, options in wanted:
        out = io.BytesIO()
        try:
            image.save(out, kind, **options)
        except (KeyError, OSError, ValueError):  # a Pillow without this one
            continue
        made.append(out.getvalue())
    return made


def png_repaired(data: bytes) -> bytes:
    """A PNG's checksums made right, as far as its chunks hang together; other files as they are."""
    out, at = bytearray(data), 8
    while data.startswith(b"\x89PNG") and at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        if end + 4 > len(data):
            break
        out[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(out)


def picture_level(data: bytes, codec: Codec) -> str:
    """Opened, decoded, taken apart; the captions of its metadata go through a file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_image(io.BytesIO(data), MAX_PIXELS) as image:
                texts = sources.metadata("-", image)
                taken = prepare(image, keep_metadata=True, max_pixels=MAX_PIXELS)
    except InputError as error:
        assert error.remedy and "\n" not in str(error)
        return "refused"
    height, width, colours = taken.rgb.shape
    assert width * height <= MAX_PIXELS and colours == 3 and taken.rgb.dtype == np.uint8
    assert taken.extras.alpha is None or taken.extras.alpha.shape == (height, width)
    for text in texts:
        _carried(text, codec)
    return "accepted"


def _carried(text: str, codec: Codec) -> None:
    """A caption that went into a file comes out of it."""
    try:
        data = encode_caption_only(codec.weights, 16, 16, Words(text))
    except UsageError as error:
        assert len(text.encode(errors="surrogatepass")) > MAX_BYTES or not text.isprintable(), error
        return
    assert open_file(data).caption == text


def words_level(data: bytes, codec: Codec) -> str:
    """A text file and a table of captions beside a picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.txt").write_bytes(data)
        (folder / "t.csv").write_bytes(data)
        found = "refused"
        nothing = Image.new("L", (1, 1))
        for read in (sources.sidecar, lambda path, image: sources.Table(str(folder / "t.csv"))(path, image)):
            try:
                texts = read(str(folder / "a.png"), nothing)
            except (InputError, UsageError) as error:
                assert error.remedy and "\n" not in str(error)
                continue
            found = "accepted"
            for text in texts:
                assert text.isprintable()
                _carried(text, codec)
    return found


def captions() -> list[bytes]:
    """Text files and tables of captions."""
    return [
        "a red house\nein rotes Haus\n\nκείμενο \u202e\n".encode(), b"\xef\xbb\xbfa boat",
        b'name,caption\na.png,a boat\n"a.png","two\nlines, and a ""quote"""\nb.png,x\n',
        b"file\tcaption\n", b"path,text\r\n./a.png,\xc3\xa4\r\na.png,\x1b[31mred\r\n",
    ]  # fmt: skip


def weights_level(data: bytes, codec: Codec) -> str:
    """A file of weights, or a card of a model, whose hash is right: integers are checked before they are used."""
    card = codec.weights.card
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            for file in codec.weights.folder.glob("*.safetensors"):
                (folder / file.name).symlink_to(file)
            if data.lstrip()[:1] == b"{":
                (folder / "other.json").write_bytes(data)
                return _used(_found(folder))
            (folder / "changed.safetensors").write_bytes(data)
            stream = {"file": "changed.safetensors", "sha256": hashlib.sha256(data).hexdigest()}
            return _used(Weights("other", card | {"stream": stream}, folder))
        except ModelError as error:
            assert error.remedy and "\n" not in str(error)
            return "refused"


def _found(folder: Path) -> Weights:
    from mcmcodec.model import weights

    before, weights.folders = weights.folders, lambda: [folder]
    try:
        return find("other")
    finally:
        weights.folders = before


def _used(found: Weights) -> str:
    try:
        _ = found.entropy
        for name in found.decoders:
            found.decoder(name)
    except McmError:
        return "refused"
    return "accepted"


def weights(codec: Codec) -> list[bytes]:
    """The model's card and its stream model."""
    stream = codec.weights.folder / codec.weights.card["stream"]["file"]
    return [json.dumps(codec.weights.card).encode(), stream.read_bytes()]


def changer(level: str, codec: Codec, noise: Callable[..., np.ndarray], seed: int) -> Changer:
    """What draws the files of a level."""
    if level == "picture":
        return Changer(pictures(noise), seed, png_repaired)
    return Changer(captions() if level == "words" else weights(codec), seed)


LEVELS: dict[str, Level] = {"picture": picture_level, "words": words_level, "weights": weights_level}
