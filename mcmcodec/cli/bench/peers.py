"""Other codecs, each through a maintained encoder: Python packages, mozjpeg's cjpeg, and ffmpeg for VVC.

Whole files are counted, as they would lie on a disk. Encoders are set for the lowest rates: slow, and tuned for
fidelity where there is such a choice. A codec that is not installed becomes a `Missing`, with how to install it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import io
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from ...errors import McmError

SCALES = (1, 2, 4)
# BT.709, full range, 4:2:0 in 10 bits, and back.
_FLAGS = "flags=lanczos+accurate_rnd+full_chroma_int"
_TO_YUV = f"scale=out_color_matrix=bt709:out_range=full:{_FLAGS},format=yuv420p10le"
_TO_RGB = f"scale=in_color_matrix=bt709:in_range=full:{_FLAGS},format=rgb24"
# A picture is one frame: no pictures to refer to, and no optional headers.
_ONE_FRAME = "gopsize=1:hrdparameterspresent=0:vuiparameterspresent=0:accessunitdelimiter=0:decodedpicturehash=0"


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
    found: list[Peer] = []
    missing: list[Missing] = []
    for make in (jpeg, mozjpeg, jpegli, webp, avif, jpeg_xl, heic, vvc):
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


def mozjpeg() -> Peer | Missing:
    """JPEG by mozjpeg, tuned for PSNR: progressive with trellis quantisation, 4:2:0."""
    program = shutil.which("cjpeg")
    version = _first_line([program, "-version"]) if program else ""
    if not program or "mozjpeg" not in version.lower():
        return Missing("JPEG (mozjpeg)", "put mozjpeg's cjpeg on PATH (https://github.com/mozilla/mozjpeg)")

    def encode(image: Image.Image, setting: float, threads: int) -> bytes:
        ppm = b"P6\n%d %d\n255\n" % image.size + image.tobytes()
        return _run([program, "-quality", f"{setting:g}", "-tune-psnr", "-sample", "2x2"], ppm)

    ladder = {1: (1, 2, 4, 6, 8, 12), 2: (2, 4, 8, 15, 25, 40), 4: (2, 8, 15, 25, 50, 75)}
    return Peer("JPEG (mozjpeg)", "tune-psnr, progressive, 4:2:0", version, ".jpg", "quality", ladder, encode,
                pillow_decode)  # fmt: skip


def vvc() -> Peer | Missing:
    """VVC by vvenc, preset slow, without perceptual tuning: a raw stream of one picture."""
    program = ffmpeg()
    if program is None:
        return Missing("VVC", "pip install imageio-ffmpeg, or put an ffmpeg with libvvenc on PATH")

    def encode(image: Image.Image, setting: float, threads: int) -> bytes:
        # 4:2:0 has no odd sides: the last row or column is repeated, and cut off again by `decode`'s caller.
        pixels = np.asarray(image)
        height, width = pixels.shape[:2]
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        command = [program, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-i", "-"]
        command += ["-vf", _TO_YUV, "-c:v", "libvvenc", "-preset", "slow", "-qp", f"{setting:g}", "-qpa", "0"]
        command += ["-g", "1", "-threads", str(threads), "-vvenc-params", _ONE_FRAME, "-f", "vvc", "-"]
        return _run(command, pixels.tobytes())

    def decode(data: bytes) -> Image.Image:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture.266"
            path.write_bytes(data)
            command = [program, "-v", "error", "-threads", "1", "-i", str(path), "-vf", _TO_RGB]
            return pillow_decode(_run([*command, "-c:v", "ppm", "-f", "image2pipe", "-"], b""))

    ladder = {1: (63, 58, 54, 50, 46, 42), 2: (63, 56, 50, 44, 39, 34), 4: (63, 57, 50, 42, 34, 26)}
    version = f"libvvenc in {_first_line([program, '-version']).partition(' Copyright')[0]}"
    return Peer("VVC", "vvenc, preset slow, 4:2:0, 10 bit", version, ".266", "qp", ladder, encode, decode)


def ffmpeg() -> str | None:
    """An ffmpeg that has vvenc: from PATH, or the one of the package imageio-ffmpeg."""
    candidates: list[str | None] = [shutil.which("ffmpeg")]
    spec = importlib.util.find_spec("imageio_ffmpeg")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        candidates += sorted(map(str, Path(folder).glob("binaries/ffmpeg-*")))
    for program in candidates:
        if program and re.search(r"\blibvvenc\b", _output([program, "-hide_banner", "-encoders"])):
            return program
    return None


def _run(command: Sequence[str | None], data: bytes) -> bytes:
    """What a program writes to stdout when it reads `data`."""
    arguments = [part for part in command if part is not None]
    done = subprocess.run(arguments, input=data, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        cause = lines[-1] if lines else "no message"
        raise McmError(f"{Path(arguments[0]).name} failed ({cause})", "check its version")
    return done.stdout


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return ""
    return done.stdout + done.stderr


def _first_line(command: list[str]) -> str:
    return (_output(command).strip().splitlines() or [""])[0]
