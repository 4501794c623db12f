"""Speed and memory: ours and the peers interleaved in one run, and how ours grows with pictures and folders.

Every round times every codec once on every picture, so that whatever else the machine does falls on all alike; what is
reported are medians and their ratios to ours. Loading is timed apart, in fresh processes, and so is peak memory.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..image import open_image, to_rgb
from .peers import Peer

if TYPE_CHECKING:
    from rich.table import Table

    from .suite import Watch

ROUNDS = 5
QUALITY = 40
MEGAPIXELS = (0.1, 1.0, 10.0, 50.0)
FOLDERS = (1, 4, 16)
OURS = "mcmcodec"

# What a fresh process does, and says about itself: argv is device, threads, picture, megapixels, repetitions.
_PROGRAM = """
import json, os, resource, sys, time
start = time.perf_counter()
device, threads, path, megapixels, count = sys.argv[1:]
import cv2, torch
torch.set_num_threads(int(threads)); cv2.setNumThreads(int(threads))
from pathlib import Path
from mcmcodec.bench.speed import enlarge
from mcmcodec.codec import Codec
from mcmcodec.image import open_image, to_rgb
with open_image(path) as opened:
    picture = to_rgb(opened)
codec = Codec(device=device)
codec.decode(codec.encode(picture[:64, :64], quality=40))
load = time.perf_counter() - start
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if float(megapixels):
    picture = enlarge(picture, float(megapixels))
start, cpu = time.perf_counter(), time.process_time()
for _ in range(int(count)):
    data = codec.encode(picture, quality=40)
encode, encode_cpu = time.perf_counter() - start, time.process_time() - cpu
start, cpu = time.perf_counter(), time.process_time()
for _ in range(int(count)):
    codec.decode(data)
decode, decode_cpu = time.perf_counter() - start, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"load_s": load, "encode_s": encode, "decode_s": decode, "encode_cpu_s": encode_cpu,
                  "decode_cpu_s": decode_cpu, "idle_mb": before / 1024, "peak_mb": peak / 1024, "bytes": len(data),
                  "pixels": picture.shape[0] * picture.shape[1], "repetitions": int(count)}))
"""


def measure(paths: Sequence[Path], peers: Sequence[Peer], settings: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """All tables; `settings` holds model, device and threads (of the codecs, beside one thread).

    Growth and folders are of the first picture and of the default model, in fresh processes.
    """
    device, every = settings["device"], settings["threads"]
    counts = sorted({1, every})
    watch.start("speed", len(counts) * (ROUNDS + 1) * len(paths) + len(MEGAPIXELS) + len(FOLDERS))
    side_by_side = [row for threads in counts for row in interleaved(paths, peers, settings, threads, watch)]
    growth, folders = [], []
    for megapixels in MEGAPIXELS:
        growth.append({"megapixels": megapixels} | fresh(paths[0], device, 1, megapixels, 1, watch))
        watch.advance(f"{megapixels:g} megapixels")
    for count in FOLDERS:
        folders.append({"pictures": count} | fresh(paths[0], device, 1, 0, count, watch))
        watch.advance(f"{count} pictures")
    return {"pictures": [path.name for path in paths], "rounds": ROUNDS, "side_by_side": side_by_side,
            "growth": growth, "folders": folders}  # fmt: skip


def interleaved(
    paths: Sequence[Path], peers: Sequence[Peer], settings: dict[str, Any], threads: int, watch: Watch
) -> list[dict[str, Any]]:
    """Median wall seconds per picture of ours and of every peer (the middle of its ladder), and ratios to ours."""
    import cv2
    import torch

    from ..codec import Codec

    codec = Codec(settings["model"], settings["device"])
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    doers: dict[str, tuple[Any, Any]] = {
        OURS: (lambda image: codec.encode(image, quality=QUALITY), codec.decode),
    }
    for one in peers:
        setting = one.ladder[1][len(one.ladder[1]) // 2]
        doers[one.name] = (lambda image, one=one, setting=setting: one.encode(image, setting, threads), one.decode)
    seconds: dict[str, dict[str, list[float]]] = {name: {"encode": [], "decode": []} for name in doers}
    pixels = []
    for path in paths:
        with open_image(path) as opened:
            image = Image.fromarray(to_rgb(opened))
        pixels.append(image.width * image.height)
        for turn in range(ROUNDS + 1):
            for name, (encode, decode) in doers.items():
                start = time.perf_counter()
                data = encode(image)
                between = time.perf_counter()
                decode(data)
                if turn:  # the first turn pays for memory and kernels being set up
                    seconds[name]["encode"].append(between - start)
                    seconds[name]["decode"].append(time.perf_counter() - between)
            watch.advance(path.name)
    rows = []
    for name, times in seconds.items():
        row: dict[str, Any] = {
            "codec": name,
            "threads": threads,
            "megapixels": round(sum(pixels) / len(pixels) / 1e6, 3),
        }
        for what, values in times.items():
            median = statistics.median(values)
            row[f"{what}_s"] = round(median, 4)
            row[f"{what}_ratio"] = round(median / statistics.median(seconds[OURS][what]), 3)
        rows.append(row)
    return rows


def fresh(path: Path, device: str, threads: int, megapixels: float, count: int, watch: Watch) -> dict[str, Any]:
    """Load, encode and decode in a process of its own: seconds (wall, CPU), idle and peak resident memory in MB."""
    command = [sys.executable, "-c", _PROGRAM, device, str(threads), str(path), str(megapixels), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        watch.say(f"{path.name} at {megapixels:g} megapixels failed ({lines[-1] if lines else done.returncode})")
        return {}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {key: round(value, 3) for key, value in found.items()}


def enlarge(picture: np.ndarray, megapixels: float) -> np.ndarray:
    """The picture, mirrored again and again or cropped, so that its texture stays: about so many megapixels."""
    height, width = picture.shape[:2]
    scale = math.sqrt(megapixels * 1e6 / (height * width))
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    rows = np.abs((np.arange(tall) + height) % (2 * height) - height + 0.5).astype(int)
    columns = np.abs((np.arange(wide) + width) % (2 * width) - width + 0.5).astype(int)
    return np.ascontiguousarray(picture[np.minimum(rows, height - 1)][:, np.minimum(columns, width - 1)])


def tables(content: dict[str, Any]) -> list[Table]:
    """For the terminal."""
    from rich.table import Table

    side = Table("codec", "threads", "encode s", "ratio", "decode s", "ratio", title="Side by side, medians")
    for row in content["side_by_side"]:
        side.add_row(row["codec"], str(row["threads"]), f"{row['encode_s']:.3f}", f"{row['encode_ratio']:.2f}",
                     f"{row['decode_s']:.3f}", f"{row['decode_ratio']:.2f}")  # fmt: skip
    grown = Table(
        "megapixels", "encode s", "decode s", "encode CPU s", "decode CPU s", "peak MB", title="Larger pictures"
    )
    for row in content["growth"]:
        if "pixels" in row:
            grown.add_row(f"{row['pixels'] / 1e6:.1f}", *(f"{row[key]:.2f}" for key in _TIMES), f"{row['peak_mb']:.0f}")
    folders = Table("pictures", "load s", "encode s each", "decode s each", "peak MB", title="Larger folders")
    for row in content["folders"]:
        if "load_s" in row:
            each = [f"{row[key] / row['repetitions']:.3f}" for key in ("encode_s", "decode_s")]
            folders.add_row(str(row["pictures"]), f"{row['load_s']:.2f}", *each, f"{row['peak_mb']:.0f}")
    return [side, grown, folders]


_TIMES = ("encode_s", "decode_s", "encode_cpu_s", "decode_cpu_s")
