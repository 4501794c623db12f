"""Choice between captions by what a painter makes of them: the picture nearest to the original, for its bytes.

Every candidate is encoded, painted as a receiver would paint it, and compared with the original. It is the rate and
distortion choice that the rest of the encoder makes, with LPIPS in the place of the squared error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..options import EncodeOptions

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..codec import Codec
    from ..image.painting import Painter
    from ..image.prepare import Source

MOST = 8
"""Captions that are tried: each costs a painting."""
PRICE = 6.0
"""LPIPS that a bit per pixel has to save: about what one saves in this package's files between 0.006 and 0.03 bits per
pixel, so a word has to be worth its bytes there."""


@dataclass(frozen=True)
class Trial:
    """A caption, the bytes of its file, and how far its painted picture is from the original."""

    caption: str
    size: int
    distance: float

    def cost(self, pixels: int) -> float:
        """Distance and rate together, of a picture of so many pixels."""
        return self.distance + PRICE * 8 * self.size / pixels


def try_captions(
    codec: Codec, source: Source, options: EncodeOptions, captions: Sequence[str], painter: Painter,
    distance: Callable[[Image], float],
) -> list[Trial]:  # fmt: skip
    """Encode and paint a picture with each of the first few captions.

    Args:
        codec: the model.
        source: the prepared picture.
        options: of the encoder, all but the caption.
        captions: candidates, the likeliest first.
        painter: as the receiver has it.
        distance: of a painted picture to the original; see :func:`mcmcodec.encoder.rate_control.likeness`.

    Returns:
        The trials, the best one first.

    Raises:
        McmError: the painter fails.
    """
    trials = []
    for caption in captions[:MOST]:
        data = codec.encode_source(source, replace(options, caption=caption))
        trials.append(Trial(caption, len(data), distance(codec.decode(data, painter=painter).convert("RGB"))))
    pixels = source.rgb.shape[0] * source.rgb.shape[1]
    return sorted(trials, key=lambda trial: trial.cost(pixels))
