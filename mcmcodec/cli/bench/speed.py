"""Speed and memory: ours and the peers interleaved in one run, and how ours grows with pictures and folders.

Every round times every codec once on every picture, so that whatever else the machine does falls on all alike; what is
reported are medians and their ratios to ours: of CPU time for one thread, of wall-clock time for several. Loading is
timed apart, in fresh processes, and so is peak memory.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ...image.io import open_image, to_rgb
from .peers import Peer, find
from .run import Clock

if TYPE_CHECKING:
    from rich.table import Table

    from .suite import Watch

ROUNDS = 5
QUALITY = 40
MEGAPIXELS = (0.1, 1.0, 10.0, 50.0)
FOLDERS = (1, 4, 16)
OURS = "mcmcodec"

# What a fresh process does and prints; argv is codec, model, device, threads, picture, megapixels, count.
_PROGRAM = """
import json, resource, sys, time
start = time.perf_counter()
name, model, device, threads, path, megapixels, count = sys.argv[1:]
from mcmcodec.cli.bench import speed
from mcmcodec.image.io import open_image, to_rgb
with open_image(path) as opened:
    picture = to_rgb(opened)
encode, decode = speed.doer(name, model or None, device, int(threads))
decode(encode(picture[:64, :64]))
load, idle = time.perf_counter() - start, speed.peak()
if float(megapixels):
    picture = speed.enlarge(picture, float(megapixels))
times = []
for what in ("encode", "decode"):
    start, cpu = time.perf_counter(), speed.Clock.cpu()
    for _ in range(int(count)):
        data = encode(picture) if what == "encode" else data
        if what == "decode":
            decode(data)
    times.append((time.perf_counter() - start, speed.Clock.cpu() - cpu))
print(json.dumps({"load_s": load, "encode_s": times[0][0], "decode_s": times[1][0], "encode_cpu_s": times[0][1],
                  "decode_cpu_s": times[1][1], "idle_mb": idle, "peak_mb": speed.peak(), "bytes": len(data),
                  "pixels": picture.shape[0] * picture.shape[1], "repetitions": int(count)}))
"""
_TIMES = ("encode_s", "decode_s", "encode_cpu_s", "decode_cpu_s")
Doer = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]
Text = tuple[str, list[str], list[list[str]]]


def measure(paths: Sequence[Path], peers: Sequence[Peer], settings: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """All tables; `settings` holds model, device and threads (of the codecs, beside one thread).

    Loading, growth and folders are of the first picture, one thread, in fresh processes. On CUDA, pictures a second at
    several batches come along.
    """
    from ...metrics.judge import device_of

    device, model, every = settings["device"], settings["model"] or "", settings["threads"]
    counts = sorted({1, every})
    names = [OURS, *(one.name for one in peers)]
    total = len(counts) * (ROUNDS + 1) * len(paths) + len(names) + len(MEGAPIXELS) + len(FOLDERS)
    watch.start("speed", total)
    side_by_side = [row for threads in counts for row in interleaved(paths, peers, settings, threads, watch)]
    alone = [{"codec": name} | fresh(paths[0], name, model, device, 0, 1, watch) for name in names]
    growth = [{"megapixels": mp} | fresh(paths[0], OURS, model, device, mp, 1, watch) for mp in MEGAPIXELS]
    folders = [{"pictures": count} | fresh(paths[0], OURS, model, device, 0, count, watch) for count in FOLDERS]
    content = {"pictures": [path.name for path in paths], "rounds": ROUNDS, "quality": QUALITY,
               "side_by_side": side_by_side, "alone": alone, "growth": growth, "folders": folders}  # fmt: skip
    if device_of(device) == "cuda":
        from .batch_speed import batches

        content["batches"] = batches(paths[0], settings["model"], device)
    return content


def doer(name: str, model: str | None, device: str, threads: int) -> Doer:
    """What encodes and what decodes a picture, uint8 (H, W, 3): ours, or a peer in the middle of its ladder."""
    import cv2

    from ...model.onnx_runtime import set_threads

    set_threads(threads)
    cv2.setNumThreads(threads)
    if name == OURS:
        from ...codec import Codec

        codec = Codec(model, device)
        return lambda picture: codec.encode(picture, quality=QUALITY), codec.decode
    (one,) = (peer for peer in find()[0] if peer.name == name)
    return peer_doer(one, threads)


def peer_doer(one: Peer, threads: int) -> Doer:
    """The same of a peer that is at hand."""
    setting = one.ladder[1][len(one.ladder[1]) // 2]
    return lambda picture: one.encode(Image.fromarray(picture), setting, threads), one.decode


def interleaved(
    paths: Sequence[Path], peers: Sequence[Peer], settings: dict[str, Any], threads: int, watch: Watch
) -> list[dict[str, Any]]:
    """Median seconds per picture of ours and of every peer, and ratios to ours."""
    from ...metrics.judge import device_of

    device = settings["device"]
    doers = {OURS: doer(OURS, settings["model"], device, threads)} | {
        one.name: peer_doer(one, threads) for one in peers
    }
    # CPU time of one thread hardly changes with other work on the machine.
    single = threads == 1 and device_of(device) == "cpu"
    clock = Clock.cpu if single else time.perf_counter
    seconds: dict[str, dict[str, list[float]]] = {name: {"encode": [], "decode": []} for name in doers}
    pixels = []
    for path in paths:
        with open_image(path) as opened:
            picture = to_rgb(opened)
        pixels.append(picture.shape[0] * picture.shape[1])
        for turn in range(ROUNDS + 1):
            for name, (encode, decode) in doers.items():
                start = clock()
                data = encode(picture)
                between = clock()
                decode(data)
                if turn:  # the first turn pays for memory and kernels being set up
                    seconds[name]["encode"].append(between - start)
                    seconds[name]["decode"].append(clock() - between)
            watch.advance(path.name)
    rows = []
    for name, times in seconds.items():
        row: dict[str, Any] = {"codec": name, "threads": threads, "clock": "CPU" if single else "wall"}
        row["megapixels"] = round(sum(pixels) / len(pixels) / 1e6, 3)
        for what, values in times.items():
            median = statistics.median(values)
            row[f"{what}_s"] = round(median, 4)
            row[f"{what}_ratio"] = round(median / statistics.median(seconds[OURS][what]), 3)
        rows.append(row)
    return rows


def fresh(
    path: Path, name: str, model: str, device: str, megapixels: float, count: int, watch: Watch
) -> dict[str, Any]:
    """Load, encode and decode in a process of its own: seconds (wall, CPU), idle and peak resident memory in MB."""
    arguments = [name, model, device, "1", str(path), str(megapixels), str(count)]
    done = subprocess.run([sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=False)
    watch.advance(f"{name}, {megapixels:g} megapixels" if megapixels else f"{name}, {count} times")
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        watch.warn(f"{path.name} at {megapixels:g} megapixels failed ({lines[-1] if lines else done.returncode})")
        return {}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {key: round(value, 3) for key, value in found.items()}


def peak() -> float:
    """The most memory that this process, or a program that it has run, has had resident, in MB."""
    import resource

    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    try:
        # ru_maxrss begins with what the parent had when it started this process; the high-water mark does not
        status = Path("/proc/self/status").read_text()
        own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(own, most) / (1024 if sys.platform != "darwin" else 1 << 20)


def enlarge(picture: np.ndarray, megapixels: float) -> np.ndarray:
    """The picture, mirrored again and again or cropped, so that its texture stays: about so many megapixels."""
    height, width = picture.shape[:2]
    scale = math.sqrt(megapixels * 1e6 / (height * width))
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    rows = np.abs((np.arange(tall) + height) % (2 * height) - height + 0.5).astype(int)
    columns = np.abs((np.arange(wide) + width) % (2 * width) - width + 0.5).astype(int)
    return np.ascontiguousarray(picture[np.minimum(rows, height - 1)][:, np.minimum(columns, width - 1)])


def texts(content: dict[str, Any]) -> list[Text]:
    """Titles, heads and rows of all tables."""
    side = [
        [row["codec"], str(row["threads"]), row["clock"], f"{row['encode_s']:.3f}", f"{row['encode_ratio']:.2f}",
         f"{row['decode_s']:.3f}", f"{row['decode_ratio']:.2f}"]
        for row in content["side_by_side"]
    ]  # fmt: skip
    alone = [
        [row["codec"], f"{row['load_s']:.2f}", f"{row['idle_mb']:.0f}", f"{row['peak_mb']:.0f}"]
        for row in content["alone"]
        if "load_s" in row
    ]
    grown = [
        [f"{row['pixels'] / 1e6:.1f}", *(f"{row[key]:.2f}" for key in _TIMES), f"{row['peak_mb']:.0f}"]
        for row in content["growth"]
        if "pixels" in row
    ]
    folders = [
        [str(row["pictures"]), f"{row['load_s']:.2f}", *(f"{row[key] / row['repetitions']:.3f}" for key in _TIMES),
         f"{row['peak_mb']:.0f}"]
        for row in content["folders"]
        if "load_s" in row
    ]  # fmt: skip
    batched = [
        [row["what"], str(row["batch"]), f"{row['pictures_per_s']:.1f}", f"{row['milliseconds']:.2f}"]
        for row in content.get("batches", [])
    ]
    times = ["encode s", "decode s", "encode CPU s", "decode CPU s"]
    found: list[Text] = [
        ("Side by side, medians", ["codec", "threads", "clock", "encode s", "ratio", "decode s", "ratio"], side),
        ("Loading and memory", ["codec", "load s", "MB when loaded", "peak MB"], alone),
        ("Larger pictures, ours", ["megapixels", *times, "peak MB"], grown),
        ("Larger folders, ours, each picture", ["pictures", "load s", *times, "peak MB"], folders),
        ("Batches, ours", ["what", "batch", "pictures a second", "ms a picture"], batched),
    ]
    return [one for one in found if one[2]]


def tables(content: dict[str, Any]) -> list[Table]:
    """For the terminal."""
    from rich.table import Table

    found = []
    for title, head, rows in texts(content):
        table = Table(*head, title=title)
        for row in rows:
            table.add_row(*row)
        found.append(table)
    return found


def markdown(content: dict[str, Any]) -> str:
    """For a file beside the JSON."""
    machine, rounds = content["machine"], content["rounds"]
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    lines = [
        "# Speed",
        "",
        f"Model {content['model']} at quality {content['quality']}, {content['device']}; peers in the middle of "
        f"their ladders, at full size. {machine['cpu']}; {len(content['pictures'])} picture(s), {rounds} rounds, ours "
        "and the peers taking turns. A ratio is to ours: below 1 is faster than ours. CPU seconds of one thread "
        "hardly depend on what else runs; wall-clock seconds do, and this machine may not have been idle.",
        "",
    ]
    for title, head, rows in texts(content):
        lines += [f"## {title}", "", *(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)), ""]
    return "\n".join([*lines, f"Commit {content['commit'] or 'unknown'}; {versions}."]) + "\n"
