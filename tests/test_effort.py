"""Effort levels: every level decodes, and higher ones take fewer bytes."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import smooth_noise

from mcmcodec import EncodeOptions, options
from mcmcodec.codec import symbols
from mcmcodec.encoder import hyper_latent
from mcmcodec.encoder.hyper_latent import CHOSEN_UP_TO, by_cell, cheapest_prices
from mcmcodec.errors import UsageError

QUALITY = 60
PICTURE = smooth_noise(112, 144, seed=5)


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "STEPS", {4: 6, 5: 8})


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_every_level_decodes(tiny_codec: Any, level: int, few_steps: None) -> None:
    data = tiny_codec.encode(PICTURE, quality=QUALITY, effort=level)
    assert tiny_codec.decode(data).size == (144, 112)


def test_levels_without_refinement_show_every_patch_unless_asked_otherwise(tiny_codec: Any) -> None:
    for effort, asked in ((2, {"keep": 0.5}), (3, {"keep": 0.5}), (3, {"roi": np.eye(112, 144)})):
        assert symbols(tiny_codec.encode(PICTURE, quality=QUALITY, effort=effort)).mask.all()
        assert not symbols(tiny_codec.encode(PICTURE, quality=QUALITY, effort=effort, **asked)).mask.all()


@pytest.mark.parametrize(
    ("given", "weighs"),
    [({}, False), ({"effort": 4}, True), ({"mask": "rd", "effort": 1}, True), ({"keep": 0.3}, True),
     ({"keep": 1, "effort": 5}, False), ({"mask": "none", "effort": 5}, False), ({"mask": "dual"}, False),
     ({"mode": "base", "effort": 4}, False)],
)  # fmt: skip
def test_when_hiding_patches_is_weighed(given: dict[str, Any], weighs: bool) -> None:
    assert EncodeOptions(**given).weighs_masks == weighs


def test_every_cell_takes_the_price_that_is_cheapest_around_it() -> None:
    costs = {0.0: np.full((3, 6), 10.0), 0.1: np.full((3, 6), 10.0), 0.2: np.full((3, 6), 11.0)}
    costs[0.1][1, 0], costs[0.2][1, 5] = 8.0, 0.0
    prices = cheapest_prices(costs.__getitem__, (0.1, 0.2))
    np.testing.assert_array_equal(prices, [[0.1, 0.1, 0, 0, 0.2, 0.2]] * 3)


@given(st.integers(1, 9), st.integers(1, 9))
def test_costs_of_cells_are_those_of_their_patches(rows: int, cols: int) -> None:
    patches = np.random.default_rng(rows * cols).random((rows, cols))
    cells = by_cell(patches)
    assert cells.shape == (-(-rows // 4), -(-cols // 4))
    assert cells[0, 0] == pytest.approx(patches[:4, :4].sum()) and cells.sum() == pytest.approx(patches.sum())


@pytest.mark.parametrize(("height", "width"), [(16, 200), (40, 24), (112, 144)])
@pytest.mark.parametrize("choice", [{}, {"mask": "rd"}, {"keep": 0.4}, {"mode": "base"}, {"reduce": 2}], ids=str)
def test_every_size_and_mask_has_its_hyper_latent_chosen(
    tiny_codec: Any, monkeypatch: pytest.MonkeyPatch, height: int, width: int, choice: dict[str, Any]
) -> None:
    """Where rounding is the cheapest everywhere, files are those of effort 2."""
    picture, shapes = smooth_noise(height, width, seed=3), set()

    def encode(effort: int) -> bytes:
        data: bytes = tiny_codec.encode(picture, quality=CHOSEN_UP_TO, effort=effort, **choice)
        return data

    def rounding(cost_at: Callable[[float], np.ndarray]) -> np.ndarray:
        costs = cost_at(0.1)
        assert np.isfinite(costs).all() and (costs > 0).all()
        shapes.add(costs.shape)
        return np.zeros_like(costs)

    rounded = encode(2)
    assert not shapes and tiny_codec.decode(encode(3)).size == (width, height)
    monkeypatch.setattr(hyper_latent, "cheapest_prices", rounding)
    assert encode(3) == rounded
    cell = 64 * choice.get("reduce", 1)
    assert shapes == {(-(-height // cell), -(-width // cell))}


def test_rdoq_saves_bytes(tiny_codec: Any) -> None:
    sizes = [len(tiny_codec.encode(PICTURE, quality=QUALITY, effort=level)) for level in (1, 2)]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("level", [0, 6, -1])
def test_other_levels_are_refused(tiny_codec: Any, level: int) -> None:
    with pytest.raises(UsageError, match="not 1 to 5"):
        tiny_codec.encode(PICTURE, effort=level)


def test_read_only_pictures_raise_no_warning(tiny_codec: Any, recwarn: pytest.WarningsRecorder) -> None:
    picture = PICTURE.copy()
    picture.flags.writeable = False
    tiny_codec.encode(picture, quality=QUALITY, effort=2)
    assert not recwarn.list


def cost(codec: Any, picture: np.ndarray, data: bytes, tune: str = "fidelity") -> float:
    """Bits and squared error together, as the model's qualities trade them."""
    from mcmcodec.encoder.refine import loss_of

    loss = loss_of(codec.weights, QUALITY, tune)
    decoded = np.asarray(codec.decode(data, decoder=tune))
    return 8 * len(data) + loss.measure(picture, decoded) * picture[..., 0].size


def test_refinement_lowers_rate_and_distortion(tiny_codec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "STEPS", {4: 40})
    plain, refined = (tiny_codec.encode(PICTURE, quality=QUALITY, effort=level, tune="fidelity") for level in (3, 4))
    assert refined != plain
    assert cost(tiny_codec, PICTURE, refined) < 0.99 * cost(tiny_codec, PICTURE, plain)


def test_refinement_is_kept_only_if_it_is_better(
    tiny_codec: Any, few_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcmcodec.encoder import refine

    plain = tiny_codec.encode(PICTURE, quality=QUALITY)
    monkeypatch.setattr(refine, "pace", lambda steps: (3.0, 0.2))  # throws the latents about
    assert tiny_codec.encode(PICTURE, quality=QUALITY, effort=4, tune="fidelity") == plain


def test_refinement_is_the_same_every_time(tiny_codec: Any, few_steps: None) -> None:
    first, second = (tiny_codec.encode(PICTURE, quality=QUALITY, effort=4) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("height", "width"), [(16, 200), (40, 24)])
@pytest.mark.parametrize("choice", [{"keep": 0.4}, {"mode": "base"}, {"reduce": 2}], ids=str)
def test_every_size_and_mask_can_be_refined(
    tiny_codec: Any, few_steps: None, height: int, width: int, choice: dict[str, Any]
) -> None:
    data = tiny_codec.encode(smooth_noise(height, width), quality=QUALITY, effort=4, **choice)
    assert tiny_codec.decode(data).size == (width, height)


def test_a_picture_of_several_tiles(tiny_codec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcmcodec.encoder import refine

    monkeypatch.setattr(options, "STEPS", {5: 28})
    monkeypatch.setattr(refine, "FEW", 0)
    monkeypatch.setattr(refine, "INTERIOR", 8)
    monkeypatch.setattr(refine.tiling, "HALO", 0)
    picture = smooth_noise(136, 136)
    data = tiny_codec.encode(picture, quality=QUALITY, effort=5, tune="fidelity")
    plain = tiny_codec.encode(picture, quality=QUALITY)
    assert data != plain and cost(tiny_codec, picture, data) < cost(tiny_codec, picture, plain)


@pytest.mark.parametrize("seconds", [0.3, 1e-9])
def test_time_ends_the_refinement(
    tiny_codec: Any, count_steps: Callable[[], int], monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(options, "STEPS", {4: 10**9})
    data = tiny_codec.encode(PICTURE, quality=QUALITY, effort=4, max_time=seconds)
    assert tiny_codec.decode(data).size == (144, 112) and 1 <= count_steps() < 10**6


def ticking(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[float]:
    """Let the refinement's clock stand still but for its steps; the seconds that have passed."""
    import torch

    from mcmcodec.encoder import refine

    now = [0.0]

    class Ticking(torch.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            now[0] += seconds
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "Adam", Ticking)
    monkeypatch.setattr(refine, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(options, "STEPS", {4: 10**9})
    return now


@pytest.mark.parametrize(("seconds", "steps"), [(10.5, 9), (2.5, 1), (0.1, 1)])
def test_no_step_is_begun_that_ends_too_late(
    tiny_codec: Any, monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int
) -> None:
    """A second is left to see whether the steps have helped, because that takes about as long as one."""
    now = ticking(monkeypatch, 1.0)
    tiny_codec.encode(PICTURE, quality=QUALITY, effort=4, max_time=seconds)
    assert now == [steps]


def test_tiles_that_time_does_not_suffice_for_stay_as_they_are(
    tiny_codec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcmcodec.encoder import refine

    monkeypatch.setattr(refine, "INTERIOR", 8)
    monkeypatch.setattr(refine.tiling, "HALO", 0)
    for seconds, least, most in ((2.0, 1, 1), (60.0, 40, 60)):
        now = ticking(monkeypatch, 1.0)
        tiny_codec.encode(smooth_noise(136, 136), quality=QUALITY, effort=4, max_time=seconds)
        assert least <= now[0] <= most


@pytest.fixture
def count_steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    import torch

    steps = []

    class Counting(torch.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            steps.append(1)
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "Adam", Counting)
    return lambda: len(steps)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, "1"])
def test_wrong_times_are_refused(seconds: Any) -> None:
    with pytest.raises(UsageError, match="max_time"):
        options.EncodeOptions(max_time=seconds)


def test_other_decoders_cannot_be_tuned_for() -> None:
    with pytest.raises(UsageError, match="there is no tune light"):
        options.EncodeOptions(tune="light")
