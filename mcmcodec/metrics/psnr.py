"""PSNR of two pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def psnr(x: Picture, y: Picture) -> float:
    """Peak signal to noise ratio in dB over all three channels together; infinite for equal pictures.

    Args:
        x: (H, W, 3) uint8.
        y: another of the same size.

    Raises:
        ValueError: the pictures are not uint8 (H, W, 3) of one size.
    """
    check(x, y)
    mse = float(np.mean((x.astype(np.float64) - y.astype(np.float64)) ** 2))
    return float(10 * np.log10(255**2 / mse)) if mse else float("inf")


def check(x: Picture, y: Picture) -> None:
    """Raise ValueError unless both are uint8 (H, W, 3) of one size."""
    if x.shape != y.shape or x.ndim != 3 or x.shape[2] != 3 or x.dtype != np.uint8 or y.dtype != np.uint8:
        raise ValueError(f"needs two uint8 (H, W, 3), not {x.dtype} {x.shape} and {y.dtype} {y.shape}")
