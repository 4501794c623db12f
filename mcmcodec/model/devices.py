"""Which device computes. Tells whether there is an NVIDIA or AMD GPU without importing torch, which is slow to load."""

from __future__ import annotations

import os
import sys

from ..errors import UsageError

INSTALL_TORCH = "pip install torch"


def device_of(name: str) -> str:
    """The device that ``auto`` (a GPU when torch can use one), ``cpu``, ``cuda`` or ``cuda:N`` stands for.

    Returns:
        ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: it is not there, or torch is not, which computes on GPUs.
    """
    if name == "cpu" or (name == "auto" and not _may_have_gpu()):
        return "cpu"
    try:
        import torch
    except ImportError:
        if name == "auto":
            return "cpu"
        raise UsageError(f"device {name} needs torch", INSTALL_TORCH) from None
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=torch.device(name))
    except (RuntimeError, AssertionError):
        raise UsageError(f"device {name} is not there", "choose auto or cpu") from None
    return name


def _may_have_gpu() -> bool:
    """Whether it is worth asking torch: a driver's device is there, and CUDA_VISIBLE_DEVICES does not hide it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if sys.platform == "win32":
        from shutil import which  # with archive formats, which nobody needs here

        return which("nvidia-smi") is not None
    return any(map(os.path.exists, ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")))
