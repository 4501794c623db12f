"""The benchmarks' metrics against direct implementations of their definitions."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
metrics = pytest.importorskip("metrics", reason="needs the metrics extra (scipy)")


def pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture with texture, and the same with noise: uint8 (H, W, 3)."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[:height, :width]
    x = 128 + 60 * np.sin(rows / 17) + 50 * np.cos(columns / 23 + rows / 31)
    x = np.stack([x, x * 0.8 + 10, 255 - x], axis=-1) + rng.normal(0, 12, (height, width, 3))
    y = x + rng.normal(0, 18, x.shape)
    return tuple(np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in (x, y))


def direct_msssim(x: np.ndarray, y: np.ndarray) -> float:
    """pytorch_msssim's definition, written out with a two-dimensional window and padded sums."""
    i = np.arange(11) - 5
    window = np.exp(-(i[:, None] ** 2 + i[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(plane: np.ndarray) -> np.ndarray:
        return np.einsum("hwij,ij->hw", np.lib.stride_tricks.sliding_window_view(plane, (11, 11)), window)

    def pool(plane: np.ndarray) -> np.ndarray:
        # avg_pool2d(kernel 2, stride 2, padding side % 2, padding counted)
        padded = np.pad(plane, [(side % 2, side % 2) for side in plane.shape])
        h, w = (side // 2 for side in padded.shape)
        return sum(padded[a : a + 2 * h : 2, b : b + 2 * w : 2] for a in (0, 1) for b in (0, 1)) / 4

    values = []
    for channel in range(3):
        a, b = x[..., channel].astype(float), y[..., channel].astype(float)
        value = 1.0
        for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
            ma, mb = blur(a), blur(b)
            va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
            contrast = (2 * cov + 58.5225) / (va + vb + 58.5225)
            luminance = (2 * ma * mb + 6.5025) / (ma**2 + mb**2 + 6.5025)
            value *= max((contrast * luminance if scale == 4 else contrast).mean(), 0) ** weight
            a, b = pool(a), pool(b)
        values.append(value)
    return sum(values) / 3


@pytest.mark.parametrize("size", [(176, 192), (163, 181)])
def test_msssim_is_the_published_definition(size):
    x, y = pair(*size)
    value = metrics.msssim(x, y)
    assert 0.5 < value < 0.99
    assert value == pytest.approx(direct_msssim(x, y), abs=1e-9)


def test_psnr_is_over_all_channels():
    x, y = pair(40, 50)
    mse = ((x.astype(float) - y.astype(float)) ** 2).sum() / (40 * 50 * 3)
    assert metrics.psnr(x, y) == pytest.approx(10 * math.log10(65025 / mse))
    assert metrics.psnr(np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)) == 0


def test_equal_pictures():
    x, _ = pair(170, 170)
    assert metrics.psnr(x, x) == math.inf
    assert metrics.msssim(x, x) == pytest.approx(1)


def test_opposite_pictures_are_not_negative():
    x, _ = pair(170, 170)
    assert metrics.msssim(x, 255 - x) == 0


def test_what_cannot_be_compared_is_refused():
    x, y = pair(170, 170)
    with pytest.raises(ValueError, match="at least 161"):
        metrics.msssim(x[:160], y[:160])
    with pytest.raises(ValueError, match="uint8"):
        metrics.psnr(x, y[:-1])
    with pytest.raises(ValueError, match="uint8"):
        metrics.psnr(x.astype(float), y.astype(float))


def test_bpp_counts_bits():
    assert metrics.bpp(2458, 768, 512) == pytest.approx(0.05, abs=1e-4)


CURVE = [(0.01, 22.0), (0.02, 24.1), (0.05, 26.7), (0.1, 28.9), (0.2, 31.2)]


def test_bd_rate_of_a_scaled_curve_is_its_scale():
    assert metrics.bd_rate(CURVE, CURVE) == pytest.approx(0)
    assert metrics.bd_rate(CURVE, [(rate * 0.7, quality) for rate, quality in CURVE]) == pytest.approx(-30)
    # Order and points that cost more and give less make no difference.
    worse = [*reversed(CURVE), (0.15, 25.0)]
    assert metrics.bd_rate(CURVE, worse) == pytest.approx(0)


def test_bd_rate_over_the_common_range_only():
    # Log rate is linear in quality, so that the mean of any range is known; the test curve reaches further.
    anchor = [(math.exp(q / 4), float(q)) for q in range(20, 31, 2)]
    test = [(1.25 * math.exp(q / 4), float(q)) for q in range(25, 41, 3)]
    assert metrics.bd_rate(anchor, test) == pytest.approx(25)


def test_bd_rate_needs_something_in_common():
    with pytest.raises(ValueError, match="in common"):
        metrics.bd_rate([(1, 10), (2, 20)], [(1, 30), (2, 40)])
    with pytest.raises(ValueError, match="two points"):
        metrics.bd_rate([(1, 10), (2, 10)], CURVE)


def test_interpolation_in_log_rate():
    assert metrics.interpolate([(0.01, 20), (0.04, 24)], 0.02) == pytest.approx(22)
    assert metrics.interpolate([(0.01, 20), (0.04, 24)], 0.04) == 24
    assert metrics.interpolate([(0.01, 20), (0.04, 24)], 0.05) is None
    assert metrics.interpolate([], 0.05) is None
