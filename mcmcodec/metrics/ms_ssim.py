"""MS-SSIM in torch: one implementation for measuring and, being differentiable, for training.

Wang, Simoncelli, Bovik: "Multiscale structural similarity for image quality assessment", Asilomar 2003.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, SIGMA = 11, 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
C1, C2 = 0.01**2, 0.03**2
MINIMUM_SIDE = (WINDOW - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1
"""Smallest side in pixels, 161: the window must fit into the smallest of the five scales."""


def ms_ssim(x: Tensor, y: Tensor, floor: float = 0.0) -> Tensor:
    """Multi-scale structural similarity of pictures, at most 1.

    The definition of the Python package pytorch_msssim, which the papers on learned compression use: Gaussian window of
    11 without padding, contrast and structure of every scale and luminance of the last, 2x2 means between the scales
    with a row or column of zeros before odd sides, the mean over the channels. Kodak's kodim01 as AVIF of 1977 bytes
    (Pillow 13, libavif 1.4.2, aom 3.14.1, speed 2, 4:4:4, tune=ssim, quality 0) has 0.753115 in an independent
    measurement and here. float32 is exact to about 1e-6.

    Args:
        x: (B, 3, H, W) in [0, 1], sides of at least ``MINIMUM_SIDE``.
        y: as x.
        floor: the least value that a scale's mean counts as. 0, the definition, has an infinite gradient where a scale
            is dissimilar; training gives a small positive one.

    Returns:
        (B,).

    Raises:
        ValueError: the pictures have different shapes, or are too small.
    """
    if x.shape != y.shape or x.dim() != 4:
        raise ValueError(f"MS-SSIM needs two (B, 3, H, W), not {tuple(x.shape)} and {tuple(y.shape)}")
    if min(x.shape[2:]) < MINIMUM_SIDE:
        raise ValueError(f"MS-SSIM needs sides of at least {MINIMUM_SIDE}, not {x.shape[3]}x{x.shape[2]}")
    # the window is a third to a half faster in this layout
    x, y = (u.contiguous(memory_format=torch.channels_last) for u in (x, y))
    product = x.new_ones(x.shape[:2])
    for scale, weight in enumerate(SCALE_WEIGHTS):
        last = scale == len(SCALE_WEIGHTS) - 1
        product = product * _similarity(x, y, with_luminance=last).clamp(min=floor) ** weight
        if not last:
            x, y = _halve(x), _halve(y)
    return product.mean(1)


def _similarity(x: Tensor, y: Tensor, *, with_luminance: bool) -> Tensor:
    """(B, 3) mean contrast and structure of every channel, times the luminance term if asked for."""
    mean_x, mean_y, squares, product = _blur(torch.cat([x, y, x * x + y * y, x * y], 1)).chunk(4, 1)
    means, crossed = mean_x.square() + mean_y.square(), mean_x * mean_y
    terms = (2 * (product - crossed) + C2) / (squares - means + C2)
    if with_luminance:
        terms = terms * (2 * crossed + C1) / (means + C1)
    return terms.mean((2, 3))


def _blur(x: Tensor) -> Tensor:
    """Gaussian window over (B, C, H, W), only where it fits: (B, C, H - 10, W - 10)."""
    place = torch.arange(WINDOW, device=x.device, dtype=x.dtype) - WINDOW // 2
    taps = torch.exp(-place.square() / (2 * SIGMA**2))
    taps = (taps / taps.sum()).expand(x.shape[1], 1, 1, WINDOW)
    x = F.conv2d(x, taps, groups=x.shape[1])
    return F.conv2d(x, taps.transpose(2, 3), groups=x.shape[1])


def _halve(x: Tensor) -> Tensor:
    """2x2 means of (B, C, H, W); odd sides get a leading row or column of zeros, as in pytorch_msssim."""
    odd_height, odd_width = (side % 2 for side in x.shape[2:])
    if odd_height or odd_width:
        x = F.pad(x, (odd_width, 0, odd_height, 0))
    return F.avg_pool2d(x, 2)
