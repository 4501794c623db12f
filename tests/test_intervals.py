"""Confidence intervals over pictures: their width, their pairing, and what is said where there is none."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
pytest.importorskip("scipy", reason="needs the bench extra")

from benchmarks import paired  # noqa: E402
from benchmarks.intervals import DRAWS, FEWER_DRAWS, Bootstrap, interval  # noqa: E402
from mcmcodec.cli.bench import curves  # noqa: E402
from mcmcodec.cli.bench.run import points  # noqa: E402

COUNT = 40
LEVELS = np.random.default_rng(5).normal(30, 3, COUNT)
"""Of the pictures: PSNR at the lowest setting."""
NAMES = [f"{index:02}" for index in range(COUNT)]


def content(name, shift=0.0, price=1.0, images=None, first=0.01):
    """A codec whose PSNR rises by 2 dB a setting, every picture at its own level; rates of all pictures are equal."""
    rows = [
        {"curve": name, "setting": setting, "image": image, "bytes": 1, "bpp": price * first * 2**setting,
         "psnr": level + shift + 2 * setting}
        for setting in range(4) for image, level in zip(images or NAMES, LEVELS, strict=True)
    ]  # fmt: skip
    return {"curves": {name: {"family": name, "scale": 1}}, "rows": rows, "points": points(rows)}


def curve(one):
    ((found,),) = curves.of(one).values()
    return found


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    one = content("a")
    low, high = interval(Bootstrap([one]).at(curve(one), "psnr", [0.02])[:, 0])
    error = LEVELS.std() / np.sqrt(COUNT)
    assert low < curve(one).at("psnr", 0.02) < high
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_what_pictures_have_in_common_cancels_in_differences():
    one, other = content("a"), content("b", shift=0.3)
    draws = Bootstrap([one, other])
    assert draws.weights.shape == (DRAWS, COUNT) and draws.weights.sum(1) == pytest.approx(1)
    mine, theirs = (draws.at(curve(some), "psnr", [0.02]) for some in (one, other))
    assert interval((theirs - mine)[:, 0]) == pytest.approx((0.3, 0.3))
    assert interval(theirs[:, 0])[1] - interval(theirs[:, 0])[0] > 1


def test_differences_of_rate():
    one, dearer = content("a"), content("b", price=1.25)
    draws = Bootstrap([one, dearer])
    found = draws.bd_rate(curve(dearer), "psnr", curve(one))
    assert len(found) == FEWER_DRAWS and found == pytest.approx(25)
    far = content("c", shift=100)
    assert interval(Bootstrap([one, far]).bd_rate(curve(far), "psnr", curve(one))) is None


def test_out_of_reach_is_no_number():
    one = content("a")
    draws = Bootstrap([one])
    values = draws.at(curve(one), "psnr", [0.001, 0.02, 1.0])
    assert np.isnan(values[:, [0, 2]]).all() and np.isfinite(values[:, 1]).all()
    assert interval(values[:, 0]) is None and interval(np.array([])) is None
    assert interval(np.array([1.0] * 91 + [np.nan] * 9)) == (1, 1)
    assert interval(np.array([1.0] * 89 + [np.nan] * 11)) is None
    assert np.isnan(draws.at(curves.Curve("b", {"psnr": []}), "psnr", [0.02])).all(), "a curve without rows"


def test_the_best_variant_is_chosen_in_every_draw():
    one, other = content("a"), content("b", shift=1, first=0.03)
    draws = Bootstrap([one, other])
    best = curves.best("x", [curve(one), curve(other)])
    assert draws.at(best, "psnr", [0.02]) == pytest.approx(draws.at(curve(one), "psnr", [0.02]))
    assert np.isnan(draws.at(best, "psnr", [0.001])).all()
    better = draws.at(curve(one), "psnr", [0.05]), draws.at(curve(other), "psnr", [0.05])
    assert draws.at(best, "psnr", [0.05]) == pytest.approx(np.maximum(*better))
    assert draws.each(best, "psnr", [0.02])[:, 0] == pytest.approx(LEVELS + 2)


def test_other_pictures_cannot_be_paired():
    with pytest.raises(ValueError, match="different pictures"):
        Bootstrap([content("a"), content("b", images=[f"x{i}" for i in range(COUNT)])])


def test_the_same_draws_on_every_machine():
    """Committed pages are compared with what these draws give."""
    assert (Bootstrap([content("a")]).weights[0, :8] * COUNT).round().tolist() == [2, 5, 0, 0, 1, 0, 2, 1]


def test_bold_is_what_cannot_be_told_from_the_best():
    one, far = content("a", shift=1), content("c")
    near = content("b", shift=1)
    for index, row in enumerate(near["rows"]):
        row["psnr"] += 0.5 * (-1) ** index - 0.02
    near["points"] = points(near["rows"])
    lines = paired.metric_table("psnr", [curve(x) for x in (one, near, far)], [0.02], Bootstrap([one, near, far]))
    assert [line.count("**") for line in lines[2:]] == [2, 2, 0]
    assert all(" ± 0." in line for line in lines[2:])
    lines = paired.metric_table("psnr", [curve(x) for x in (one, near, far)], [0.02])
    assert [line.count("**") for line in lines[2:]] == [2, 0, 0], "without draws only the best"
