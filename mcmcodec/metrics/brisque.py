"""BRISQUE: how natural a picture is by itself, without its original.

Mittal, Moorthy, Bovik: "No-Reference Image Quality Assessment in the Spatial Domain", IEEE TIP 2012: statistics of a
picture's local contrasts, and a regression from these to what people said of distorted pictures. It has never seen what
neural decoders paint, and it does not know the original: it says whether a picture looks like a photograph, not whether
it looks like that one.

Statistics, regression and weights are those of the package `brisque` 0.2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ModelError
from .psnr import Picture

REMEDY = "pip install brisque==0.2.0"
MINIMUM_SIDE = 16
"""Twice the side of the windows whose statistics it takes, which it also takes at half the size."""


class Brisque:
    """BRISQUE: about 0 for the most natural pictures, about 100 for the most distorted ones.

    Raises ModelError when the package, or one that it needs, is missing or damaged.
    """

    def __init__(self) -> None:
        try:
            from brisque import BRISQUE

            class Numbers(BRISQUE):  # type: ignore[misc]
                """Takes arrays of one number, which the package makes, for numbers: numpy 2.4 no longer does."""

                def calculate_image_quality_score(self, features: Sequence[Any]) -> float:
                    numbers = [float(np.squeeze(one)) for one in features]
                    return float(super().calculate_image_quality_score(numbers))

            self._scorer = Numbers(url=False)
        # the package imports others, and reads a model and a pickle of its own
        except Exception as error:
            raise ModelError(f"the package brisque cannot be used ({error})", REMEDY) from error

    def score(self, picture: Picture) -> float | None:
        """The score of a picture, uint8 (H, W, 3); None where it is too flat or too small for statistics."""
        if min(picture.shape[:2]) < MINIMUM_SIDE:
            return None
        with np.errstate(all="ignore"):
            value = float(self._scorer.score(picture))
        return value if np.isfinite(value) else None
