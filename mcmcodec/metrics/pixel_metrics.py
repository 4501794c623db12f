"""Metrics of pixels: bits per pixel, PSNR and MS-SSIM. `judge` has all metrics together.

Pictures are uint8 arrays (H, W, 3), RGB. No torch here.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Plane = NDArray[np.float64]

WINDOW, SIGMA = 11, 1.5
# Wang, Simoncelli, Bovik: "Multiscale structural similarity for image quality assessment", Asilomar 2003.
SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# The window must fit into the smallest of the five scales.
MINIMUM_SIDE = (WINDOW - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1


def bpp(size: int, width: int, height: int) -> float:
    """Bits per pixel of a file of `size` bytes that holds a picture of width x height."""
    return 8 * size / (width * height)


def psnr(x: Picture, y: Picture) -> float:
    """Peak signal to noise ratio in dB over all three channels together; infinite for equal pictures.

    Raises ValueError when the pictures are not uint8 (H, W, 3) of one size.
    """
    _check(x, y)
    mse = float(np.mean((x.astype(np.float64) - y.astype(np.float64)) ** 2))
    return float(10 * np.log10(255**2 / mse)) if mse else float("inf")


def msssim(x: Picture, y: Picture) -> float:
    """Multi-scale structural similarity, at most 1: mean of the three RGB channels, range 255, five scales.

    The definition of the Python package pytorch_msssim, which the papers on learned compression use: Gaussian
    window of 11 without padding, contrast and structure of every scale and luminance of the last, negative
    values set to 0, 2x2 means between the scales with a row or column of zeros before odd sides. Kodak's
    kodim01 as AVIF of 1977 bytes (Pillow 13, libavif 1.4.2, aom 3.14.1, speed 2, 4:4:4, tune=ssim, quality 0)
    has 0.753115 (and a PSNR of 22.1194 dB) in the independent measurement and here.

    Raises ValueError when the pictures are not uint8 (H, W, 3) of one size with sides of at least 161.
    """
    _check(x, y)
    if min(x.shape[:2]) < MINIMUM_SIDE:
        raise ValueError(f"MS-SSIM needs sides of at least {MINIMUM_SIDE}, not {x.shape[1]}x{x.shape[0]}")
    a, b = x.astype(np.float64), y.astype(np.float64)
    product = np.ones(3)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        last = scale == len(SCALE_WEIGHTS) - 1
        product *= np.maximum(_similarity(a, b, with_luminance=last), 0) ** weight
        if not last:
            a, b = _halve(a), _halve(b)
    return float(product.mean())


def _check(x: Picture, y: Picture) -> None:
    if x.shape != y.shape or x.ndim != 3 or x.shape[2] != 3 or x.dtype != np.uint8 or y.dtype != np.uint8:
        raise ValueError(f"needs two uint8 (H, W, 3), not {x.dtype} {x.shape} and {y.dtype} {y.shape}")


def _blur(x: Plane) -> Plane:
    """Gaussian window over (H, W, 3), only where it fits: (H-10, W-10, 3)."""
    taps = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    taps /= taps.sum()
    edge = WINDOW // 2
    blurred = np.asarray(cv2.sepFilter2D(x, -1, taps, taps), np.float64)
    return blurred[edge:-edge, edge:-edge]


def _similarity(x: Plane, y: Plane, *, with_luminance: bool) -> Plane:
    """(3,) mean contrast-structure term of every channel, times the luminance term if asked for."""
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x**2
    variance_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    terms: Plane = (2 * covariance + C2) / (variance_x + variance_y + C2)
    if with_luminance:
        terms = terms * (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return np.asarray(terms.mean(axis=(0, 1)))


def _halve(x: Plane) -> Plane:
    """2x2 means of (H, W, 3); odd sides get a leading row or column of zeros, as in pytorch_msssim."""
    x = np.pad(x, ((x.shape[0] % 2, 0), (x.shape[1] % 2, 0), (0, 0)))
    return np.asarray(x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, 3).mean(axis=(1, 3)))
