"""Peers that are Python packages: what people would pick instead, each through a maintained encoder.

Whole files are counted, as they would lie on a disk. Encoders are set for the lowest rates: slow, and tuned for
fidelity where there is such a choice. A peer whose package is missing becomes a `Missing`, with how to install it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, features

SCALES = (1, 2, 4)


@dataclass(frozen=True)
class Peer:
    """An encoder and its decoder.

    ``encode(image, setting, threads)`` returns the bytes of a file of an RGB picture, ``decode(data)`` the RGB picture
    of such a file. ``ladder`` maps a scale (1, 2, 4: sides divided by it before encoding) to settings by rising rate.
    """

    name: str
    about: str
    version: str
    suffix: str
    setting: str
    ladder: Mapping[int, tuple[float, ...]]
    encode: Callable[[Image.Image, float, int], bytes]
    decode: Callable[[bytes], Image.Image]


@dataclass(frozen=True)
class Missing:
    """A peer that cannot run here, and the command or page that would change it."""

    name: str
    remedy: str


def find() -> tuple[list[Peer], list[Missing]]:
    """The peers that run here, and those that do not."""
    from . import programs

    found: list[Peer] = []
    missing: list[Missing] = []
    for make in (jpeg, programs.mozjpeg, jpegli, webp, avif, jpeg_xl, heic, programs.vvc):
        one = make()
        (found if isinstance(one, Peer) else missing).append(one)  # type: ignore[arg-type]
    return found, missing


def pillow_decode(data: bytes) -> Image.Image:
    """The RGB picture of a file that Pillow reads."""
    with Image.open(io.BytesIO(data)) as opened:
        return opened.convert("RGB")


def _save(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _package(name: str) -> Any:
    """The imported package, or None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _version(distribution: str) -> str:
    return f"{distribution} {importlib.metadata.version(distribution)}"


def _pillow(library: str, feature: str) -> str:
    return f"{_version('pillow')}, {library} {features.version(feature)}"


def jpeg() -> Peer:
    """JPEG by libjpeg-turbo: Huffman tables made for the picture, progressive, 4:2:0."""

    def encode(image: Image.Image, setting: float, threads: int) -> bytes:
        return _save(image, "JPEG", quality=int(setting), optimize=True, progressive=True, subsampling="4:2:0")

    ladder = {1: (1, 3, 6, 9, 13, 20), 2: (1, 3, 6, 12, 22, 40), 4: (2, 6, 12, 30, 60, 80)}
    version = _pillow("libjpeg-turbo", "libjpeg_turbo")
    return Peer("JPEG", "optimised, progressive, 4:2:0", version, ".jpg", "quality", ladder, encode, pillow_decode)


def jpegli() -> Peer | Missing:
    """JPEG by jpegli, whose quantisation adapts to the picture."""
    package = _package("pyjpegli")
    if package is None:
        return Missing("JPEG (jpegli)", "pip install pyjpegli")

    def encode(image: Image.Image, setting: float, threads: int) -> bytes:
        return bytes(package.encode(image.tobytes(), image.width, image.height, quality=int(setting)))

    ladder = {1: (1, 3, 6, 9, 13, 20), 2: (1, 3, 6, 12, 22, 40), 4: (2, 6, 12, 30, 60, 80)}
    return Peer("JPEG (jpegli)", "the package's only mode", _version("pyjpegli"), ".jpg", "quality", ladder, encode,
                pillow_decode)  # fmt: skip


def webp() -> Peer | Missing:
    """WebP at its slowest method."""
    if not features.check("webp"):
        return Missing("WebP", "pip install a Pillow that has WebP")

    def encode(image: Image.Image, setting: float, threads: int) -> bytes:
        return _save(image, "WEBP", quality=int(setting), method=6)

    ladder = {1: (0, 1, 2, 4, 8, 20), 2: (0, 1, 3, 8, 16, 28), 4: (0, 1, 5, 15, 35, 60, 80)}
    return Peer("WebP", "method 6", _pillow("libwebp", "webp"), ".webp", "quality", ladder, encode, pillow_decode)


def avif() -> Peer | Missing:
    """AVIF by libaom: speed 2, tuned for SSIM, 4:4:4; at these rates better than Pillow's defaults."""
    if not features.check("avif"):
        return Missing("AVIF", "pip install 'pillow>=11.3'")

    def encode(image: Image.Image, setting: float, threads: int) -> bytes:
        return _save(image, "AVIF", quality=int(setting), speed=2, subsampling="4:4:4", advanced={"tune": "ssim"},
                     max_threads=threads)  # fmt: skip

    ladder = {1: (0, 3, 6, 10, 15, 20), 2: (0, 5, 10, 20, 30, 40), 4: (0, 10, 25, 40, 60, 75)}
    about = "libaom, speed 2, 4:4:4, tune=ssim"
    return Peer("AVIF", about, _pillow("libavif", "avif"), ".avif", "quality", ladder, encode, pillow_decode)


def jpeg_xl() -> Peer | Missing:
    """JPEG XL by libjxl at effort 9, a bare codestream."""
    codecs = _package("imagecodecs")
    if codecs is None or not codecs.JPEGXL.available:
        return Missing("JPEG XL", "pip install imagecodecs")
    import numpy as np

    def encode(image: Image.Image, setting: float, threads: int) -> bytes:
        pixels = np.asarray(image)
        return bytes(codecs.jpegxl_encode(pixels, distance=setting, effort=9, lossless=False, numthreads=threads))

    def decode(data: bytes) -> Image.Image:
        return Image.fromarray(codecs.jpegxl_decode(data)).convert("RGB")

    ladder = {1: (25, 20, 15, 12, 10, 7), 2: (25, 20, 14, 10, 7, 5), 4: (25, 15, 8, 4, 2.5, 1.5)}
    version = f"{_version('imagecodecs')}, {codecs.jpegxl_version()}"
    return Peer("JPEG XL", "effort 9, bare codestream", version, ".jxl", "distance", ladder, encode, decode)


def heic() -> Peer | Missing:
    """HEIC by x265: placebo, tuned for PSNR, 4:2:0."""
    package = _package("pillow_heif")
    if package is None or "HEIF" not in package.libheif_info():
        return Missing("HEIC", "pip install pillow-heif")
    register_heif()

    def encode(image: Image.Image, setting: float, threads: int) -> bytes:
        return _save(image, "HEIF", quality=int(setting), chroma=420,
                     enc_params={"preset": "placebo", "tune": "psnr"})  # fmt: skip

    def decode(data: bytes) -> Image.Image:
        register_heif()
        return pillow_decode(data)

    ladder = {1: (0, 3, 6, 10, 15, 20), 2: (0, 3, 6, 12, 20, 30), 4: (0, 10, 25, 40, 55, 70)}
    info = package.libheif_info()
    version = f"{_version('pillow-heif')}, libheif {info['libheif']}, {info['HEIF']}"
    return Peer("HEIC", "x265 placebo, tune=psnr, 4:2:0", version, ".heic", "quality", ladder, encode, decode)


@functools.cache
def register_heif() -> None:
    """Let Pillow read and write HEIC."""
    import pillow_heif

    pillow_heif.register_heif_opener()
