"""The sizes of a model, in one place.

Presets: ``tiny`` keeps the tests fast, ``medium`` trains and runs on a CPU, ``base`` wants a GPU.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..entropy.fixed_point import HYPER as HYPER

PATCH = 16
"""Side of a patch in pixels; one token, one column of fine latents per patch."""
SUB = 4
"""Side of a sub-pixel block; head and renderer work on a grid of these."""
COARSE = 2
"""Side of a coarse cell in patches; one column of coarse latents per cell."""
WINDOW = 8
"""Side of an attention window in patches; windows are aligned to the image's grid."""
KNOTS = 6
"""Qualities 0, 20, ..., 100 own parameters; those between are interpolated linearly."""
QUALITY_MAX = 100


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a stream model and of its decoders.

    Attributes:
        coarse_slices: channels per slice of the coarse latents (one column per 32x32 pixels), coded for the whole
            picture; they sum to ``coarse``.
        slices: channels per slice of the fine latents y (one column per visible patch), coded in this order; they
            sum to ``latents``.
        base_slices: how many of the fine slices are coded for every patch, before the mask.
        expected_slices: how many fine slices the coarse latents say something of, by a linear prediction.
        embed: width of the patch embedding, hence of the encoder's tokens.
        encoder_plan: the encoder's blocks on visible tokens, one letter each (see :mod:`.blocks`): ``a`` windowed
            attention, ``d`` depthwise convolution, ``w`` Bi-RWKV.
        stem: width of the encoder's detail branch on 4x4 pixels, twice that on 8x8; 0 for none.
        coarse_width: width of the coarse analysis at 1/32 of the size.
        coarse_blocks: depthwise blocks in it.
        low: channels of y that are corrected by a small convolution over all patches, visible or not.
        hyper: channels of the hyper-latent z, one vector per 4x4 patches.
        features: channels of the hyper-decoder's outputs psi, per patch and per coarse cell.
        context: hidden width of the integer context networks of fine slices and mask.
        coarse_context: hidden width of those of the coarse slices.
        width: width of the synthesis transform's tokens.
        plan: the synthesis transform's blocks: ``c`` convolution bottleneck, ``l`` light bottleneck, and the letters
            of ``encoder_plan``.
        bottleneck: inner width of a ``c`` block.
        light: inner width of an ``l`` block.
        head: inner width of the convolutional head on 4x4 sub-pixels.
        head_features: channels that the body gives the head for every 4x4 pixels.
        renderer: inner width of the pointwise renderer on 4x4 pixels; 0 for none.
        head_dim: channels of an attention head.
        noise_channels: channels of frozen noise that the head may shape into texture where nothing was sent.
    """

    name: str
    coarse_slices: tuple[int, ...] = (2, 6, 16)
    slices: tuple[int, ...] = (1, 5, 10, 24, 56)
    base_slices: int = 0
    expected_slices: int = 3
    embed: int = 192
    encoder_plan: str = "dadadadad"
    stem: int = 0
    coarse_width: int = 192
    coarse_blocks: int = 2
    low: int = 6
    hyper: int = 16
    features: int = 32
    context: int = 160
    coarse_context: int = 96
    width: int = 256
    plan: str = "ccaccacca"
    bottleneck: int = 128
    light: int = 48
    head: int = 48
    head_features: int = 16
    renderer: int = 64
    head_dim: int = 32
    noise_channels: int = 0

    @property
    def latents(self) -> int:
        """Channels of y."""
        return sum(self.slices)

    @property
    def base(self) -> int:
        """Channels of y that are coded for every patch, visible or not: the first ones."""
        return sum(self.slices[: self.base_slices])

    @property
    def coarse(self) -> int:
        """Channels of the coarse latents."""
        return sum(self.coarse_slices)

    @property
    def expected(self) -> int:
        """Channels of y that the coarse latents predict, the first ones."""
        return sum(self.slices[: self.expected_slices])

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
        "tiny", (1, 3), (1, 3, 8), base_slices=1, expected_slices=2, embed=32, encoder_plan="da", coarse_width=32,
        coarse_blocks=1, low=4, hyper=4, features=8, context=16, coarse_context=16, width=32, plan="ca", bottleneck=16,
        light=8, head=16, head_features=4, renderer=16,
    ),
    "medium": ModelConfig(
        "medium", (), base_slices=2, expected_slices=0, encoder_plan="adadadad", stem=64, plan="ccaccacca", renderer=0,
    ),
    "base": ModelConfig(
        "base", (2, 6, 16), (1, 5, 10, 32, 80, 128), embed=384, encoder_plan="ddaddadd", stem=64, coarse_width=384,
        coarse_blocks=3, low=6, hyper=32, features=64, context=192, coarse_context=128, width=384,
        plan="dddaddda", bottleneck=192, head=96, head_features=32, renderer=128,
    ),
}  # fmt: skip

LAMBDA_LOW, LAMBDA_RATIO = 0.6, 2500.0


def lagrange_lambda(quality: float) -> float:
    """The Lagrangian weight of mean squared error on [0, 1] pixels against bits per pixel, at a quality 0..100."""
    return float(LAMBDA_LOW * LAMBDA_RATIO ** (quality / QUALITY_MAX))


def error_per_bit(quality: float, gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared error of gained latents that is worth a bit, per channel: lambda, through an orthonormal transform.

    Args:
        quality: 0..100.
        gains: per channel (channels,); a latent's error counts 1 / gain^2, over three colours.
    """
    return 3 * gains**2 / lagrange_lambda(quality)
