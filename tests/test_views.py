"""Parts of a picture, and reduced ones: the pixels of the whole picture, for the work of the part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from models import smooth_noise

from mcmcodec.codec import Codec
from mcmcodec.errors import InputError, UsageError
from mcmcodec.image import tiling
from mcmcodec.image.tiling import View
from mcmcodec.model.frozen import linear_part, paint_reduced

WIDTH, HEIGHT = 26 * 16 - 5, 19 * 16 - 9


@pytest.fixture(scope="module")
def data(tiny_codec: Codec) -> bytes:
    return tiny_codec.encode(smooth_noise(HEIGHT, WIDTH, seed=5), quality=70, keep=0.6)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "INTERIOR", 8)
    monkeypatch.setattr(tiling, "HALO", 8)


def difference(a: Any, b: Any) -> int:
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


def test_crop_is_a_part_of_the_whole(tiny_codec: Codec, data: bytes, small_tiles: None) -> None:
    whole = np.asarray(tiny_codec.decode(data))
    for x, y, w, h in ((0, 0, WIDTH, HEIGHT), (0, 0, 1, 1), (WIDTH - 1, HEIGHT - 1, 1, 1), (130, 61, 190, 7)):
        part = tiny_codec.decode(data, crop=(x, y, w, h))
        assert part.size == (w, h)
        assert difference(part, whole[y : y + h, x : x + w]) <= 1


def test_crop_paints_no_more_than_it_must(
    tiny_codec: Codec, data: bytes, small_tiles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted = []
    runtime = tiny_codec.transforms().runtime
    run = runtime.synthesise
    monkeypatch.setattr(runtime, "synthesise", lambda net, y, *rest: painted.append(y.shape[1:3]) or run(net, y, *rest))
    tiny_codec.decode(data, decoder="fidelity", crop=(130, 61, 20, 7))
    assert painted == [(16, 24)], "one tile of 8 x 8 patches with its halo, which ends at the upper edge"


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_reduced(tiny_codec: Codec, data: bytes, factor: int) -> None:
    """Sides are rounded up, pixels near the means of the whole picture's; a crop is a part of the reduced picture."""
    reduced = tiny_codec.decode(data, decoder="fidelity", scale=1 / factor)
    assert reduced.size == (-(-WIDTH // factor), -(-HEIGHT // factor))
    whole = np.asarray(tiny_codec.decode(data, decoder="fidelity"), float)[: HEIGHT // 8 * 8, : WIDTH // 8 * 8]
    rows, cols = whole.shape[0] // factor, whole.shape[1] // factor
    means = whole.reshape(rows, factor, cols, factor, 3).mean((1, 3))
    error = np.asarray(reduced, float)[:rows, :cols] - means
    assert np.square(error).mean() < {2: 0.01, 4: 0.1, 8: 0.3}[factor] * means.var()
    x, y, w, h = 100, 52, 131, 77
    part = tiny_codec.decode(data, decoder="fidelity", crop=(x, y, w, h), scale=1 / factor)
    rows_of, cols_of = View.of((HEIGHT, WIDTH), (x, y, w, h), factor)[:2]
    assert part.size == (cols_of.stop - cols_of.start, rows_of.stop - rows_of.start)
    assert difference(part, np.asarray(reduced)[rows_of, cols_of]) <= 1


def test_linear_part_is_the_mean_of_its_pixels(tiny_codec: Codec) -> None:
    import torch

    from mcmcodec.model.layers import blocks_to_pixels, to_blocks

    decoder = tiny_codec.transforms().frozen_decoder("fidelity")
    linear = linear_part(decoder)
    weight, bias = torch.from_numpy(linear[:, :-1]), torch.from_numpy(linear[:, -1])
    y_hat = torch.randn(2, 3, 5, decoder.config.latents, generator=torch.Generator().manual_seed(0))
    whole = blocks_to_pixels(to_blocks(y_hat @ weight.T + bias)) + 0.5
    for factor in (1, 2, 4, 8, 16):
        means = torch.nn.functional.avg_pool2d(whole, factor).permute(0, 2, 3, 1)
        reduced = torch.from_numpy(paint_reduced(linear, y_hat.numpy(), factor))
        torch.testing.assert_close(reduced, means, atol=1e-5, rtol=0)


def test_smallest_pictures(tiny_codec: Codec) -> None:
    data = tiny_codec.encode(smooth_noise(1, 3))
    for scale in (1 / 2, 1 / 4, 1 / 8):
        assert tiny_codec.decode(data, scale=scale).size == (2 if scale == 1 / 2 else 1, 1)


@pytest.mark.parametrize("crop", [(0, 0, WIDTH + 1, 1), (0, HEIGHT, 1, 1), (-1, 0, 2, 2), (5, 5, 0, 3)])
def test_crop_outside(tiny_codec: Codec, data: bytes, crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match=f"not inside {WIDTH} x {HEIGHT}; give another crop"):
        tiny_codec.decode(data, crop=crop)


def test_other_scales(tiny_codec: Codec, data: bytes) -> None:
    for scale in (0.3, 0, 2, float("nan")):
        with pytest.raises(UsageError, match="is not 1, 1/2, 1/4 or 1/8; choose one of them"):
            tiny_codec.decode(data, scale=scale)
