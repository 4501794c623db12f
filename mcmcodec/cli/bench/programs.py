"""Peers that are programs: mozjpeg's cjpeg, and VVC by vvenc, either its own program or inside ffmpeg."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import McmError
from .peers import Missing, Peer, pillow_decode

# BT.709, full range, 4:2:0 in 10 bits, and back.
_FLAGS = "flags=lanczos+accurate_rnd+full_chroma_int"
_TO_YUV = f"scale=out_color_matrix=bt709:out_range=full:{_FLAGS},format=yuv420p10le"
_TO_RGB = f"scale=in_color_matrix=bt709:in_range=full:{_FLAGS},format=rgb24"
# A picture is one frame: no pictures to refer to, and no optional headers.
_ONE_FRAME = "gopsize=1:hrdparameterspresent=0:vuiparameterspresent=0:accessunitdelimiter=0:decodedpicturehash=0"


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
