"""The texts of a file: a caption of the picture, and phrases about boxes on its grid of patches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A box on the grid of 16x16 patches, and what it shows.

    Attributes:
        x: column of the leftmost patch, from 0.
        y: row of the topmost patch, from 0.
        w: width in patches, from 1.
        h: height in patches, from 1.
        text: a phrase, not empty.
    """

    x: int
    y: int
    w: int
    h: int
    text: str

    def box(self, patch: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels: patches have that side, the picture that width and height."""
        right, bottom = (min((a + b) * patch, side) for a, b, side in zip((self.x, self.y), (self.w, self.h), size,
                                                                          strict=True))  # fmt: skip
        return self.x * patch, self.y * patch, right, bottom


@dataclass(frozen=True)
class Words:
    """A caption and its regions.

    Attributes:
        text: the caption; may be empty.
        regions: at most 64, in the order in which they were given.
    """

    text: str = ""
    regions: tuple[Region, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any text."""
        return bool(self.text or self.regions)
