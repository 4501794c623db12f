"""What painters are asked, and what becomes of their pictures: scaled to the file's size, in the file's colours.

A painter is a generative model on the receiver's side. It gets all that the file says in one object; what it invents
must not contradict the decoded picture, so low frequencies are taken from that, as StableSR does after its diffusion
(Wang et al.: "Exploiting Diffusion Prior for Real-World Image Super-Resolution", 2023, section 3.4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROUNDS: Final = 6
"""Corrections: each leaves about half of the error, because what is added between blocks changes their means."""
STRENGTHS: Final = 0.2, 0.8
"""Range of the strength by rate."""
MIDDLE: Final = 0.02
"""Bits per pixel at which half of the picture's noise steps are done anew."""


@dataclass(frozen=True, eq=False)
class PaintRequest:
    """What a file says, for a painter.

    Attributes:
        caption: the caption, perhaps empty.
        regions: boxes (left, top, right, bottom) in pixels, and what is in each.
        picture: the decoded picture, RGB of that size; None where the file has none.
        edges: white lines on black, L of that size; None where the file has no edges.
        size: width and height of the picture that is wanted, in pixels. Others are scaled to it.
        strength: how much of the picture to paint anew, 0 (nothing) to 1 (all); 1 where there is no picture.
        seed: of the random numbers: the same request gives the same picture on the same machine.
    """

    caption: str
    regions: tuple[tuple[tuple[int, int, int, int], str], ...]
    picture: Image.Image | None
    edges: Image.Image | None
    size: tuple[int, int]
    strength: float
    seed: int


class Painter(Protocol):
    """Makes a picture of what a file says; for example a text-to-image model."""

    def __call__(self, request: PaintRequest) -> Image.Image:
        """Paint it, upright, in about the size that is wanted."""


def paint(painter: Painter, request: PaintRequest, *, block: int | None) -> Image.Image:
    """The RGB picture, of the size that is wanted, that a painter makes.

    Args:
        painter: the model.
        request: what it is asked.
        block: side in pixels of the blocks whose means are to be those of the decoded picture, if there is one: that of
            a patch, whose mean every file with a picture knows. None leaves the painter's colours alone.
    """
    picture = painter(request).convert("RGB")
    if picture.size != request.size:
        picture = picture.resize(request.size, Image.Resampling.LANCZOS)
    return picture if block is None or request.picture is None else corrected(picture, request.picture, block)


def strength_of(bpp: float) -> float:
    """How much a painter may change a decoded picture of so many bits per pixel: more where less is known.

    A rule of thumb, falling with the logarithm of the rate; which strength is best depends on the painter.
    """
    low, high = STRENGTHS
    return min(max(0.5 - 0.15 * math.log2(bpp / MIDDLE), low), high)


def corrected(painted: Image.Image, decoded: Image.Image, block: int) -> Image.Image:
    """A painted picture with the colours of the decoded one: the means of its blocks, and what lies between them.

    Args:
        painted: RGB.
        decoded: RGB of the same size.
        block: side of a block in pixels.

    Returns:
        RGB. Block means differ by a fraction of a level, and by more where values reach 0 or 255.
    """
    values = np.asarray(painted, np.float32)
    wanted = _means(np.asarray(decoded, np.float32), block)
    for _ in range(ROUNDS):
        values = np.clip(values + _spread(wanted - _means(values, block), painted.size, block), 0, 255)
    return Image.fromarray(np.rint(values).astype(np.uint8))


def _means(values: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Means of blocks, (rows, columns, 3), of (H, W, 3); those at the right and lower border have fewer pixels."""
    height, width = values.shape[:2]
    sums = np.add.reduceat(np.add.reduceat(values, range(0, height, block), 0), range(0, width, block), 1)
    sizes = [np.diff([*range(0, side, block), side]) for side in (height, width)]
    return np.asarray(sums / np.outer(*sizes)[..., None], np.float32)


def _spread(means: NDArray[np.float32], size: tuple[int, int], block: int) -> NDArray[np.float32]:
    """Means of blocks, smoothly over the pixels of a picture of that width and height."""
    box = (0, 0, size[0] / block, size[1] / block)
    planes = [Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC, box) for plane in np.moveaxis(means, 2, 0)]
    return np.stack([np.asarray(plane) for plane in planes], 2)
