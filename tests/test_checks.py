"""A model is looked at when it is loaded: what is not one is refused, and so are sums that float64 would round."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mcmcodec.entropy.checks import EXACT, check
from mcmcodec.entropy.fixed_point import ACT_MAX
from mcmcodec.entropy.latent_coder import EntropyModel
from mcmcodec.errors import ModelError
from mcmcodec.model.weights import available, find

Arrays = dict[str, NDArray[np.generic]]


def frozen(name: str) -> tuple[Arrays, tuple[int, ...], tuple[int, ...], int]:
    weights = find(name)
    arrays = {k.removeprefix("entropy."): v for k, v in weights.stream.items() if k.startswith("entropy.")}
    return arrays, weights.config.coarse_slices, weights.config.slices, weights.config.base_slices


def test_every_model_at_hand_passes(tiny: Path) -> None:
    assert {"medium-5", "tiny"} <= set(available())
    for name in available():
        check(*frozen(name))


CHANGES: dict[str, tuple[str, Callable[[NDArray[np.generic]], NDArray[np.generic] | None]]] = {
    "there is no mask.p1": ("mask.p1", lambda a: None),
    "slices.1.weight2 is float32": ("slices.1.weight2", lambda a: a.astype(np.float32)),
    "hyper.index is int64": ("hyper.index", lambda a: a.astype(np.int64)),
    "hyper.weight1 has shape": ("hyper.weight1", lambda a: a[:, :-1]),
    "slices.0.bias3 has shape": ("slices.0.bias3", lambda a: a[:5]),
    "mask.current has shape": ("mask.current", lambda a: a[0]),
    "slices.1.bias_pass has shape": ("slices.1.bias_pass", lambda a: a[:3]),
    "coarse_slices.1.context has shape": ("coarse_slices.1.context", lambda a: a[:, :-1]),
    "hyper.weight3 has shape": ("hyper.weight3", lambda a: a[:-1]),
    "expect_weight has shape": ("expect_weight", lambda a: a[:, :-1]),
    "expect_from has shape": ("expect_from", lambda a: a[:-1]),
    "expect_to is below zero": ("expect_to", lambda a: -a),
    "the expected values are not of whole slices": ("offset_weight", lambda a: a[:-1]),
    "hyper.loc has shape": ("hyper.loc", lambda a: a[:, :0]),
    "mask.p1 is not 1 to 4095": ("mask.p1", lambda a: np.where(np.arange(64) == 9, 0, a)),
    "tables.reach is not": ("tables.reach", lambda a: np.where(np.arange(64) == 0, 1, a)),
    "tables.frequencies has shape": ("tables.frequencies", lambda a: a[:-1]),
    "tables.frequencies are not": ("tables.frequencies", lambda a: np.roll(a, 1)),
}


@pytest.mark.parametrize("cause", list(CHANGES))
def test_what_is_no_model_is_refused(tiny: Path, cause: str) -> None:
    arrays, *sizes = frozen("tiny")
    name, change = CHANGES[cause]
    changed = change(arrays[name])
    rest = {k: v for k, v in arrays.items() if k != name}
    if changed is not None:
        rest[name] = changed.astype(np.int32) if changed.dtype == np.int64 and "int64" not in cause else changed
    with pytest.raises(ModelError, match=cause.replace(".", r"\.")) as caught:
        EntropyModel(rest, *sizes)
    assert caught.value.remedy and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "weights", "bias"),
    [
        ("medium-5", ["hyper.weight1"], "hyper.bias1"),
        ("tiny", ["slices.2.context", "slices.2.current"], "slices.2.bias1"),
    ],
)
def test_the_last_sum_below_the_limit(tiny: Path, model: str, weights: list[str], bias: str) -> None:
    """Weights of 32 bits that sum up to one unit below 2**53 pass; 2**53 is refused."""
    arrays, *sizes = frozen(model)
    changed = {**arrays, bias: np.zeros_like(arrays[bias]), **{w: arrays[w].astype(np.int32) for w in weights}}
    if bias.endswith("slices.2.bias1"):
        changed["slices.2.bias_pass"] = np.zeros_like(arrays["slices.2.bias_pass"])
    # the last output's inputs; of `current`, those of the last pass
    rows = [changed[w][-1] if w.endswith("weight1") or w.endswith("context") else changed[w][-1, -1] for w in weights]
    inputs = sum(row.size for row in rows)
    for row in rows:
        row[:] = -(EXACT // ACT_MAX // inputs)
    rows[0].flat[0] -= EXACT // ACT_MAX % inputs
    left = EXACT + ACT_MAX * sum(int(row.sum(dtype=np.int64)) for row in rows)
    assert 0 < left <= ACT_MAX
    for row, ends in ((2, -1), (5, 1)):
        changed[bias][row, -1] = ends * (left - 1)
    check(changed, *sizes)
    changed[bias][5, -1] = left
    with pytest.raises(ModelError, match="could reach 2"):
        check(changed, *sizes)
