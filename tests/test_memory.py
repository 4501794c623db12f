"""Memory grows with the picture by little more than the symbols themselves: what makes huge pictures possible."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from models import smooth_noise

from mcmcodec.bitstream.file import open_file
from mcmcodec.codec import Codec
from mcmcodec.encoder import da_mask
from mcmcodec.image import tiling

SIDE = 768


def peak(work: Callable[[], object]) -> float:
    """The most bytes that arrays took at one time, per patch, beyond what there was before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / (SIDE / 16) ** 2
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return smooth_noise(SIDE, SIDE, seed=1)


def test_symbols(tiny_codec: Codec, picture: np.ndarray) -> None:
    """Per patch and number of v_hat, psi or context: 4 bytes, 2 bytes; and matrix products of 4096 rows at a time."""
    data = tiny_codec.encode(picture, quality=60, mask="none")
    config = tiny_codec.weights.config
    fixed = 4096 * 9 * (config.features + config.latents + 1) * 14 / (SIDE / 16) ** 2
    held = 4 * config.latents + 2 * 2 * (config.features + config.latents)
    assert peak(lambda: open_file(data).symbols()) < 2 * held + fixed + 150


@pytest.mark.parametrize("mode", ["texture", "structure"])
def test_scores(monkeypatch: pytest.MonkeyPatch, picture: np.ndarray, mode: str) -> None:
    """Float pictures are those of bands; and bands make no difference."""
    monkeypatch.setattr(da_mask, "BAND", SIDE)
    whole = da_mask.scores(picture, mode)
    monkeypatch.setattr(da_mask, "BAND", 5)
    np.testing.assert_allclose(da_mask.scores(picture, mode), whole, rtol=1e-6)
    assert peak(lambda: da_mask.scores(picture, mode)) < 2 * 256 * 3 * 4  # two float pictures; whole, there are four


def test_whole_patches_are_not_copied(picture: np.ndarray) -> None:
    assert tiling.pad(picture) is picture
    assert tiling.pad(picture[:-1]).shape == picture.shape
