"""Colour of a picture's areas: CIEDE2000 of 16x16 block means, and how much of the original's chroma is left.

Means over blocks show whether areas keep their colour, independently of the texture in them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .psnr import Picture, check

BLOCK = 16
"""Side of a block in pixels."""
LEAST_CHROMA = 1.0
"""An original with less mean chroma than this is grey; there is no ratio to it."""
TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = np.array([0.95047, 1.0, 1.08883])
"""The primaries of sRGB, and D65."""
Lab = NDArray[np.float64]


def block_means(picture: Picture) -> Lab:
    """CIELAB (D65) of the mean sRGB values of a picture's blocks.

    Args:
        picture: (H, W, 3) uint8, sRGB.

    Returns:
        (ceil(H / 16), ceil(W / 16), 3): L in [0, 100], a, b. Blocks at the right and lower edges may be smaller.
    """
    height, width = picture.shape[:2]
    rows, columns = np.arange(0, height, BLOCK), np.arange(0, width, BLOCK)
    sums = np.add.reduceat(np.add.reduceat(picture, rows, 0, np.uint32), columns, 1, np.uint32)
    tall, wide = np.diff(np.append(rows, height)), np.diff(np.append(columns, width))
    return cielab(sums / (255 * tall[:, None] * wide)[..., None])


def cielab(rgb: NDArray[np.float64]) -> Lab:
    """CIELAB (D65, 2 degrees) of sRGB values in [0, 1], (..., 3); cv2's conversion is off by up to 0.3."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ TO_XYZ.T / WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def ciede2000(x: Lab, y: Lab) -> NDArray[np.float64]:
    """CIEDE2000 colour differences, with all weights 1: about 1 where a difference can just be seen.

    Sharma, Wu, Dalal: "The CIEDE2000 color-difference formula: implementation notes, supplementary test data, and
    mathematical observations", Color Research and Application 30 (1), 2005. The numbers are the paper's equations.

    Args:
        x: (..., 3) CIELAB.
        y: as x.

    Returns:
        (...) differences, at least 0.
    """
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(np.asarray(u, np.float64), -1, 0) for u in (x, y))
    # (2) to (7): chroma and hue, with a stretched where colours are nearly grey
    stretch = 1.5 - 0.5 * _saturation((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2)
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    grey = c1 * c2 == 0
    # (8) to (11): differences, that of hue the short way round
    turn = np.where(grey, 0, (h2 - h1 + 180) % 360 - 180)
    lightness, chroma, hue = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2)
    # (12) to (14): means; that of hue lies on the shorter arc
    mean_l, mean_c, total_h = (l1 + l2) / 2, (c1 + c2) / 2, h1 + h2
    far = np.abs(h1 - h2) > 180
    mean_h = np.where(grey, total_h, (total_h + np.where(far, np.where(total_h < 360, 360, -360), 0)) / 2)
    # (15) to (21): weights
    t = (
        1 - 0.17 * _cos(mean_h - 30) + 0.24 * _cos(2 * mean_h) + 0.32 * _cos(3 * mean_h + 6)
        - 0.20 * _cos(4 * mean_h - 63)
    )  # fmt: skip
    offset = (mean_l - 50) ** 2
    lightness = lightness / (1 + 0.015 * offset / np.sqrt(20 + offset))
    chroma, hue = chroma / (1 + 0.045 * mean_c), hue / (1 + 0.015 * mean_c * t)
    rotation = 30 * np.exp(-(((mean_h - 275) / 25) ** 2))
    turned = -2 * _saturation(mean_c) * np.sin(np.radians(2 * rotation))
    # (22)
    return np.asarray(np.sqrt(np.maximum(lightness**2 + chroma**2 + hue**2 + turned * chroma * hue, 0)))


def colour(x: Picture, y: Picture) -> tuple[float, float | None]:
    """How far areas of a picture are from their original colour.

    Args:
        x: the original, (H, W, 3) uint8, sRGB.
        y: another of the same size.

    Returns:
        The mean CIEDE2000 of the blocks' means, and the chroma of y's blocks over that of x's: 1 is right, less is too
        grey. The ratio is None where the original is grey.

    Raises:
        ValueError: the pictures are not uint8 (H, W, 3) of one size.
    """
    check(x, y)
    original, other = block_means(x), block_means(y)
    before, after = (float(np.hypot(lab[..., 1], lab[..., 2]).mean()) for lab in (original, other))
    return float(ciede2000(original, other).mean()), after / before if before >= LEAST_CHROMA else None


def _saturation(chroma: Any) -> Any:
    """The root of C^7 / (C^7 + 25^7)."""
    return np.sqrt(chroma**7 / (chroma**7 + 25.0**7))


def _cos(degrees: Any) -> Any:
    return np.cos(np.radians(degrees))
