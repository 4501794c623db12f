"""Make conformance vectors: files that every decoder must decode, and files that every reader must refuse.

    python formats/vectors/make.py                # valid vectors that are missing, and all invalid ones
    python formats/vectors/make.py --pictures     # the reference pictures too, after new decoders
    python formats/vectors/make.py --anew         # everything, in place of all that is there

From release 0.1.0 on, a valid vector that exists is never changed: this program skips it, and
``tests/test_vectors.py`` refuses other bytes. ``--anew`` is for a format or a model that is not released.
The pictures are parts of ``docs/demo.png``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(FOLDER)]

import make_invalid  # noqa: E402
from exactness import symbol_hash  # noqa: E402

from mcmcodec.bitstream import container  # noqa: E402
from mcmcodec.bitstream.container import Header  # noqa: E402
from mcmcodec.bitstream.extras import Extras  # noqa: E402
from mcmcodec.bitstream.file import encode_caption_only  # noqa: E402
from mcmcodec.bitstream.structure import Structure  # noqa: E402
from mcmcodec.bitstream.structure import of as structure_of  # noqa: E402
from mcmcodec.caption import Region, Words  # noqa: E402
from mcmcodec.codec import Codec, info, symbols  # noqa: E402
from mcmcodec.encoder.rdoq import RdoqQuantizer  # noqa: E402
from mcmcodec.entropy.latent_coder import code_latents  # noqa: E402
from mcmcodec.entropy.rangecoder import RangeEncoder  # noqa: E402
from mcmcodec.entropy.symbol_tables import MAX_SYMBOL  # noqa: E402

Recipe = Callable[[Codec], bytes]
TOLERANCE = 1
DECODERS = ("fidelity", "perceptual")
"""The decoders of the reference pictures, in turn."""
SIDE = 64
"""Largest side of a reference picture in pixels; it shows the middle of the decoded one."""


def crop(width: int, height: int, left: int = 210, top: int = 60) -> np.ndarray:
    """A part of the photograph in docs/, (height, width, 3)."""
    with Image.open(ROOT / "docs" / "demo.png") as image:
        return np.asarray(image.convert("RGB"))[top : top + height, left : left + width]


def photo(width: int, height: int, quality: int, **options: Any) -> Recipe:
    """An ordinary file."""
    return lambda codec: codec.encode(crop(width, height), quality=quality, **options)


def extended(*extensions: tuple[int, bytes]) -> Recipe:
    """An ordinary file with extension sections."""

    def make(codec: Codec) -> bytes:
        header, payload = container.unpack(codec.encode(crop(40, 24), quality=30), codec.weights.fingerprint)
        fields = {name: getattr(header, name) for name in header.__slots__} | {"extensions": extensions}
        return container.pack(Header(**fields), payload, codec.weights.fingerprint)

    return make


def disc(width: int, height: int, blur: float) -> np.ndarray:
    """A disc that is opaque, (height, width), with an edge of so many pixels."""
    far = np.hypot(np.arange(width) - width / 2, (np.arange(height) - height / 2)[:, None])
    return np.clip(255 * (0.5 - (far - height / 3) / (blur + 1e-9)), 0, 255).astype(np.uint8)


def empty(width: int, height: int, caption: bool, all_visible: bool, keep: int) -> Recipe:
    """A payload of no bytes: the first symbol of every table."""

    def make(codec: Codec) -> bytes:
        header = Header(width, height, codec.weights.number, 0, 50, keep, caption, all_visible)
        return container.pack(header, b"", codec.weights.fingerprint)

    return make


class Dice(RdoqQuantizer):
    """Draws symbols instead of quantising a picture: ordinary ones, any within the table's reach, and escapes."""

    rng: np.random.Generator

    def _draw(self, index: np.ndarray) -> np.ndarray:
        reach = self.tables.reach[index]
        kind = self.rng.random(index.shape)
        magnitude = np.where(kind < 0.85, 0, self.rng.integers(0, reach + 1))
        escaped = reach + (2 ** self.rng.uniform(0, 20, index.shape)).astype(np.int64)
        magnitude = np.where(kind > 0.98, np.minimum(escaped, reach + MAX_SYMBOL), magnitude)
        drawn = np.where(index == 0, 0, magnitude * self.rng.choice((-1, 1), index.shape))
        self._keep(drawn, index)
        return drawn

    def hyper(self, loc: np.ndarray, index: np.ndarray) -> np.ndarray:
        """See :class:`mcmcodec.entropy.latent_coder.SymbolIO`."""
        return self._draw(np.broadcast_to(index, self.z.shape))

    def coarse(self, where: Any, start: int, mu: np.ndarray, index: np.ndarray) -> np.ndarray:
        """See :class:`mcmcodec.entropy.latent_coder.SymbolIO`."""
        return self._draw(index)

    def latents(self, where: Any, start: int, mu: np.ndarray, index: np.ndarray) -> np.ndarray:
        """See :class:`mcmcodec.entropy.latent_coder.SymbolIO`."""
        return self._draw(index)


def dice(width: int, height: int, quality: int, share: float, seed: int) -> Recipe:
    """Symbols that no picture has: activations reach their clamps, and tables need their escapes."""

    def make(codec: Codec) -> bytes:
        entropy, rng = codec.weights.entropy, np.random.default_rng(seed)
        rows, cols = -(-height // 16), -(-width // 16)
        mask = rng.random((rows, cols)) < share
        everything = bool(mask.all())
        keep = 255 if everything else round(255 * float(mask.mean()))
        header = Header(width, height, codec.weights.number, 0, quality, keep, all_visible=everything)
        z = np.zeros((-(-rows // 4) * -(-cols // 4), len(entropy.hyper_index[0])))
        none = np.zeros(0)  # of real latents, which are not looked at
        drawn = Dice(np.zeros((rows, cols, 0)), none, z, mask, entropy.tables, none, none, none)
        encoder = RangeEncoder()
        drawn.rng = rng
        code_latents(entropy, drawn, header.grid, quality, keep, everything)
        drawn.encode(encoder)
        return container.pack(header, encoder.finish(), codec.weights.fingerprint)

    return make


def lines(width: int, height: int, scale: int, share: float) -> Structure:
    """Arcs that cover about that share of the map of a picture, with a seam on its borders."""
    rows, cols = -(-height >> scale), -(-width >> scale)
    far = np.hypot(np.arange(cols) - cols / 3, (np.arange(rows) - rows)[:, None])
    edges = far * share % 1 < share
    edges[0, :] = edges[:, -1] = True
    return Structure(scale, edges.astype(np.uint8))


def sketch(width: int, height: int, scale: int, share: float, words: Words) -> Recipe:
    """A file of words and edges."""
    return lambda codec: encode_caption_only(codec.weights, width, height, words, lines(width, height, scale, share))


REGIONS = (Region(0, 0, 6, 5, "a wooden table"), Region(5, 4, 1, 1, "Café № 7."), Region(1, 2, 3, 2, "A cup of coffee"))

RECIPES: dict[str, Recipe] = {
    # sizes and qualities
    "1x200-q50": photo(1, 200, 50),
    "200x1-q20": photo(200, 1, 20),
    "16x16-q100": photo(16, 16, 100),
    "17x16-q63": photo(17, 16, 63),
    "64x64-q19": photo(64, 64, 19),
    "65x129-q1": photo(65, 129, 1),
    "96x64-q80": photo(96, 64, 80),
    "160x48-q37": photo(160, 48, 37),
    "48x48-q99": photo(48, 48, 99),
    # masks
    "keep15-dual": photo(112, 80, 60, mask="dual", keep=0.15),
    "keep40-texture": photo(112, 80, 40, mask="texture", keep=0.4),
    "keep60-structure": photo(112, 80, 20, mask="structure", keep=0.6),
    "keep99-random": photo(256, 160, 10, mask="random", keep=0.994),
    "visible": photo(80, 64, 45, mask="none"),
    "hidden": dice(80, 64, 45, -1.0, 1),
    "base": photo(72, 56, 55, mode="base", caption="coffee"),
    # captions
    "caption-only": lambda codec: encode_caption_only(codec.weights, 600, 400, Words("a cup of coffee")),
    "caption-words": photo(33, 17, 10, caption="a cup of coffee on a wooden table"),
    "caption-pieces": photo(33, 17, 10, caption="Café № 7: zwölf Tassen, 3.50 €!"),
    "caption-script": photo(33, 17, 10, caption="木のテーブルの上に一杯のコーヒーとスプーンがあります。"),
    "caption-longest": photo(33, 17, 10, caption="coffee, " * 512),
    "regions": photo(90, 70, 30, caption="a cup of coffee on a table", regions=REGIONS),
    "caption-only-regions": lambda codec: encode_caption_only(codec.weights, 600, 400, Words("", REGIONS)),
    "caption-hostile": photo(33, 17, 10, caption="\x1b[31m\u202egnp.eeffoc\u202c\r\n\0"),
    # extension sections
    "ignorable": extended((65282, b"any bytes"), (65284, b"")),
    "ignorable-64": extended(*((65280 + 2 * i, bytes([i])) for i in range(64))),
    "grey": photo(40, 24, 30, extras=Extras(grey=True)),
    "alpha-constant": photo(40, 24, 30, extras=Extras(alpha=np.full((24, 40), 77, np.uint8))),
    "alpha-disc": photo(90, 70, 30, extras=Extras(alpha=disc(90, 70, 0))),
    "alpha-soft": photo(90, 70, 30, extras=Extras(alpha=disc(90, 70, 25), grey=True)),
    "metadata": photo(40, 24, 30, extras=Extras(exif=b"MM\0*\0\0\0\x08" + bytes(6), xmp=b"<x:xmpmeta/>")),
    "sections": photo(40, 24, 30, caption="a cup", extras=Extras(True, disc(40, 24, 0), b"", b"<x:xmpmeta/>")),
    "reduced-2": photo(101, 75, 40, reduce=2),
    "reduced-8": photo(300, 130, 5, reduce=8, caption="a cup", extras=Extras(alpha=disc(300, 130, 0))),
    # edges
    "structure": photo(130, 90, 30, structure=90),
    "structure-reduced": photo(101, 75, 10, reduce=2, structure=lines(101, 75, 1, 0.4)),
    "structure-empty": photo(40, 24, 30, structure=Structure(5, np.zeros((1, 2), np.uint8))),
    "sketch": sketch(300, 200, 2, 0.06, Words("a cup of coffee", REGIONS)),
    "sketch-only": sketch(301, 203, 3, 0.12, Words()),
    # payloads
    "empty": empty(48, 80, False, False, 0),
    "empty-caption": empty(1, 1, True, True, 255),
    "dice-q0": dice(64, 80, 0, 0.5, 2),
    "dice-q50": dice(48, 48, 50, 2.0, 3),
    "dice-q100": dice(50, 35, 100, 0.7, 11),
}


def edge_hash(structure: Structure) -> str:
    """SHA-256 of a map as the specification's section 10 writes arrays, after its scale."""
    digest = hashlib.sha256(f"{structure.scale} {structure.edges.shape}".encode())
    digest.update(structure.edges.astype("<i4").tobytes())
    return digest.hexdigest()


def entry(data: bytes) -> dict[str, Any]:
    """What a decoder must find in a file."""
    found, structure = info(data), structure_of(container.parse_header(data)[0])
    no_picture = container.parse_header(data)[0].caption_only
    return {
        "model": found.model,
        "sha256": hashlib.sha256(data).hexdigest(),
        "symbols": None if no_picture else symbol_hash(symbols(data)),
        "facts": [found.width, found.height, found.quality, found.visible, found.caption],
        "regions": [[r.x, r.y, r.w, r.h, r.text] for r in found.regions],
    } | ({"edges": edge_hash(structure)} if structure else {})


def picture(name: str, data: bytes, decoder: str) -> dict[str, Any]:
    """Write the reference picture of a file; return its entry."""
    model = info(data).model
    codec = Codec(model, "cpu")
    image = codec.decode(data, decoder=decoder)
    left, top = (max(0, (side - SIDE) // 2) for side in image.size)
    box = (left, top, min(left + SIDE, image.width), min(top + SIDE, image.height))
    path = FOLDER / "pictures" / f"{Path(name).stem}.png"
    path.parent.mkdir(exist_ok=True)
    image.crop(box).save(path, optimize=True)
    weights = codec.weights.card["decoders"][decoder]["sha256"]
    return {"file": f"pictures/{path.name}", "decoder": decoder, "weights": weights, "left": left, "top": top,
            "tolerance": TOLERANCE}  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", action="store_true", help="make the reference pictures anew")
    parser.add_argument("--anew", action="store_true", help="delete all vectors, and make them anew")
    options = parser.parse_args()
    listed, frozen = FOLDER / "vectors.json", FOLDER / "frozen.txt"
    if options.anew:
        for path in (*FOLDER.glob("*.mcm"), *FOLDER.glob("pictures/*.png"), listed, frozen):
            path.unlink(missing_ok=True)
    vectors = json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else {}
    codec = Codec(device="cpu")
    for name, recipe in RECIPES.items():
        path = FOLDER / f"{name}.mcm"
        if path.exists():
            continue
        data = recipe(codec)
        path.write_bytes(data)
        vectors[path.name] = entry(data)
        with frozen.open("a", encoding="utf-8", newline="\n") as file:
            file.write(f"{vectors[path.name]['sha256']} {vectors[path.name]['symbols'] or '-'} {path.name}\n")
        print(f"{path.name}: {len(data)} bytes")
    for number, (name, found) in enumerate(vectors.items()):
        if found["symbols"] and (options.pictures or "picture" not in found):
            found["picture"] = picture(name, (FOLDER / name).read_bytes(), DECODERS[number % len(DECODERS)])
    listed.write_text(json.dumps(vectors, indent=1, ensure_ascii=True) + "\n", encoding="utf-8", newline="\n")
    make_invalid.write(codec)
    lines = frozen.read_bytes()
    print(f'for RELEASED in tests/test_vectors.py:\n    {lines.count(10)}: "{hashlib.sha256(lines).hexdigest()}",')


if __name__ == "__main__":
    main()
