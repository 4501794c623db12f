"""Stage: none of its own; the one place where the sizes of a model are written down.

Presets: ``tiny`` keeps the tests fast, ``small`` runs and trains on a CPU, ``medium`` is what
``small`` grows into, ``base`` wants a GPU.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..entropy.fixed_point import HYPER as HYPER

PATCH = 16
"""Side of a patch in pixels; one token, one column of latents per patch."""
WINDOW = 8
"""Side of an attention window in patches; windows are aligned to the image's grid."""
KNOTS = 6
"""Qualities 0, 20, ..., 100 own parameters; those between are interpolated linearly."""
QUALITY_MAX = 100


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a stream model and of its decoders.

    Attributes:
        slices: channels per slice of the latents y, coded in this order; they sum to ``latents``.
        base_slices: how many of the slices belong to the base layer, coded for every patch.
        embed: width of the patch embedding, hence of the encoder's tokens.
        encoder_blocks: transformer blocks that see the visible tokens only.
        hyper: channels of the hyper-latent z, one vector per 4x4 patches.
        features: channels of the hyper-decoder's output psi per patch.
        context: hidden width of the integer context networks.
        width: width of the synthesis transform's tokens.
        plan: the synthesis transform's blocks, ``c`` convolution bottleneck, ``a`` windowed attention, ``l`` light
            bottleneck.
        bottleneck: inner width of a ``c`` block.
        light: inner width of an ``l`` block.
        head: inner width of the convolutional head on 4x4 sub-pixels.
        grain: channels of frozen noise that the head may shape into texture where nothing was sent.
    """

    name: str
    slices: tuple[int, ...] = (1, 5, 10, 24, 56)
    base_slices: int = 2
    embed: int = 192
    encoder_blocks: int = 2
    hyper: int = 16
    features: int = 32
    context: int = 96
    width: int = 256
    plan: str = "ccacca"
    bottleneck: int = 128
    light: int = 48
    head: int = 48
    head_features: int = 16
    head_dim: int = 32
    grain: int = 0

    @property
    def latents(self) -> int:
        """Channels of y."""
        return sum(self.slices)

    @property
    def base(self) -> int:
        """Channels of y that the base layer carries for every patch."""
        return sum(self.slices[: self.base_slices])

    def to_dict(self) -> dict[str, object]:
        """The configuration as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> ModelConfig:
        """Read back what :meth:`to_dict` wrote; unknown keys are an error (``TypeError``)."""
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise TypeError(f"unknown model settings {sorted(unknown)}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})  # type: ignore[arg-type]


PRESETS = {
    "tiny": ModelConfig(
        "tiny", (1, 3, 8), embed=32, encoder_blocks=1, hyper=4, features=8, context=16,
        width=32, plan="ca", bottleneck=16, light=8, head=16, head_features=4,
    ),
    "small": ModelConfig("small"),
    "medium": ModelConfig("medium", encoder_blocks=4, context=160, plan="ccaccacca"),
    "base": ModelConfig(
        "base", (1, 5, 10, 32, 80, 128), embed=384, encoder_blocks=6, hyper=32, features=64, context=192,
        width=512, plan="ccaccaccacca", bottleneck=256, head=96, head_features=32,
    ),
}  # fmt: skip

LAMBDA_LOW, LAMBDA_RATIO = 0.6, 2500.0


def trade(quality: float) -> float:
    """The Lagrangian weight of mean squared error on [0, 1] pixels against bits per pixel, at a quality 0..100."""
    return float(LAMBDA_LOW * LAMBDA_RATIO ** (quality / QUALITY_MAX))


def error_per_bit(quality: float, gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared error of gained latents that is worth a bit, per channel: the trade, through an orthonormal transform.

    Args:
        quality: 0..100.
        gains: per channel (channels,); a latent's error counts 1 / gain^2, over three colours.
    """
    return 3 * gains**2 / trade(quality)
