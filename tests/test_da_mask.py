"""DA-Mask: scores that mean what they are called, and a choice that never wavers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from models import smooth_noise

from mcmcodec.encoder.da_mask import (
    PATCH,
    choose,
    patch_roi,
    rate_distortion_score,
    scores,
    structure_score,
    texture_score,
)
from mcmcodec.errors import UsageError
from mcmcodec.options import MASKS

SCORED = ("dual", "texture", "structure", "random")


def patchwork() -> tuple[np.ndarray, dict[str, tuple[slice, slice]]]:
    """A grey picture of 12 x 12 patches with a field of fine grain and a smooth dark block, and where these lie."""
    x = np.full((192, 192, 3), 128, np.uint8)
    grain = np.random.default_rng(0).integers(0, 2, (48, 48, 1)) * 50 + 103
    x[16:64, 16:64] = grain
    x[104:184, 104:184] = 40
    where = {
        "grain": (slice(1, 4), slice(1, 4)),  # fine detail, nothing once smoothed
        "edge": (slice(8, 10), slice(6, 7)),  # the block's left side runs through the middle of these patches
        "flat": (slice(5, 6), slice(0, 2)),
        "inside": (slice(8, 10), slice(8, 10)),
    }
    return x, where


def test_flat_texture_and_edge() -> None:
    picture, where = patchwork()
    texture, structure = texture_score(picture), structure_score(picture)
    assert texture.shape == structure.shape == (12, 12)
    for score in (texture, structure):
        assert score.dtype == np.float64 and score.min() >= 0
        assert np.allclose(score[where["flat"]], 0, atol=1e-4)
        assert np.allclose(score[where["inside"]], 0, atol=0.05 * score.max())
    assert texture[where["grain"]].min() > 3 * texture[where["edge"]].max() > 0
    assert structure[where["edge"]].min() > 3 * structure[where["grain"]][1, 1] > 0
    dual = scores(picture, "dual")
    assert dual[where["edge"]].min() > dual[where["flat"]].max()
    assert dual[where["grain"]].min() > dual[where["flat"]].max()


def test_structure_sees_colours_of_equal_luma() -> None:
    picture = np.full((64, 64, 3), (200, 80, 80), np.uint8)
    picture[:, 24:] = (60, 151, 80)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    assert np.ptp(grey.astype(int)) <= 1
    assert texture_score(picture).max() < 1
    assert structure_score(picture)[:, 1].min() > 2


def test_dual_is_a_sum_of_ranks() -> None:
    dual = scores(smooth_noise(96, 128), "dual") * 48
    np.testing.assert_allclose(dual, np.rint(dual), atol=1e-9)
    assert dual.sum() == pytest.approx(48 * 49)
    assert dual.min() >= 2 and dual.max() <= 96


@pytest.mark.parametrize("mode", SCORED)
def test_scores_repeat(mode: str) -> None:
    picture = smooth_noise(96, 128)
    first = scores(picture, mode)
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        assert np.array_equal(scores(picture.copy(), mode), first)
    finally:
        cv2.setNumThreads(threads)
    assert first.shape == (6, 8)
    assert len(np.unique(first)) > 12
    assert set(SCORED) < set(MASKS)


def test_random_does_not_look_at_the_picture() -> None:
    one, other = (scores(smooth_noise(96, 128, seed), "random") for seed in (1, 2))
    assert np.array_equal(one, other)
    assert np.random.default_rng().bytes(8) != b""  # whatever the global state is
    np.random.seed(1)
    assert np.array_equal(scores(smooth_noise(96, 128), "random"), one)


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(0, 4).map(round)),
    st.floats(0, 1, exclude_min=True),
)
def test_choose(score: np.ndarray, keep: float) -> None:
    mask = choose(score, keep)
    count = max(1, round(keep * score.size))
    assert mask.shape == score.shape and mask.sum() == count
    # highest first, then raster order: Python's sort is stable
    order = sorted(range(score.size), key=lambda i: -score.ravel()[i])
    assert sorted(order[:count]) == np.flatnonzero(mask).tolist()


def test_choose_breaks_ties_in_raster_order() -> None:
    score = np.array([[1.0, 2.0, 1.0], [2.0, 1.0, 2.0]])
    assert choose(score, 4 / 6).astype(int).tolist() == [[1, 1, 0], [1, 0, 1]]
    assert choose(np.zeros((2, 3)), 1e-9).astype(int).tolist() == [[1, 0, 0], [0, 0, 0]]


def test_choose_with_region() -> None:
    score = np.array([[4.0, 3.0, 2.0, 1.0]])
    roi = np.array([[0.0, 0.1, 1.0, 1.0]])
    assert choose(score, 0.5, roi).tolist() == [[False, False, True, True]]
    assert choose(score, 0.75, roi.astype(np.float32)).tolist() == [[False, True, True, True]]


def test_rate_distortion_score_is_gain_beyond_price() -> None:
    gain, bits = np.array([8.0, 8.0, 0.0, 1.0]), np.array([1.0, 10.0, 5.0, 0.0])
    assert rate_distortion_score(gain, bits).tolist() == [7, -2, -5, 1]
    assert rate_distortion_score(gain, bits, 0.5).tolist() == [7.5, 3, -2.5, 1]


def test_region_map() -> None:
    roi = np.zeros((33, 20), np.uint8)
    roi[:16, :16] = 100
    roi[32, 19] = 50
    patches = patch_roi(roi, (33, 20))
    assert patches.shape == (3, 2)
    assert patches[0].tolist() == [1, 0] and patches[1].tolist() == [0, 0]
    # the last row and column are repeated up to the patch's border
    assert patches[2, 1] == pytest.approx(0.5 * 13 / 16)
    assert patches[2, 0] == 0
    assert patch_roi(roi / 7.0, (33, 20)).tolist() == patches.tolist()


@pytest.mark.parametrize(
    ("roi", "cause"),
    [
        (np.ones((20, 33)), r"map is \(20, 33\), the picture \(33, 20\)"),
        (np.ones((33, 20, 3)), "region map is"),
        (np.ones(20), "region map is"),
        (np.zeros((33, 20)), "not all zero"),
        (np.full((33, 20), -1), "0 and up"),
        (np.full((33, 20), np.nan), "finite"),
        (np.full((33, 20), np.inf), "finite"),
    ],
)
def test_bad_region_maps(roi: np.ndarray, cause: str) -> None:
    with pytest.raises(UsageError, match=cause) as caught:
        patch_roi(roi, (33, 20))
    assert caught.value.remedy


def test_one_bad_number_is_enough() -> None:
    for bad in (np.nan, -1e-9, np.inf):
        roi = np.ones((PATCH, PATCH))
        roi[3, 4] = bad
        with pytest.raises(UsageError):
            patch_roi(roi, roi.shape)
