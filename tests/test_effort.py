"""Effort levels: every level decodes, and higher ones cost less in bits and true squared error together."""

from typing import Any

import numpy as np
import pytest
from models import smooth_noise

from mcmcodec.codec import _transforms, symbols
from mcmcodec.encoder import planning, refinement
from mcmcodec.errors import UsageError
from mcmcodec.image import tiling
from mcmcodec.model.config import trade

QUALITY = 60
PICTURE = smooth_noise(112, 144, seed=5)


def lagrangian(data: bytes, codec: Any) -> float:
    """Bits of the file, and those that its squared error is worth."""
    transforms = _transforms(codec.weights, "cpu")
    error, _ = transforms.distortion(symbols(data), QUALITY, "fidelity", tiling.pad(PICTURE))
    return 8 * len(data) + trade(QUALITY) * error


def test_levels_that_look_further_find_better(tiny_codec: Any) -> None:
    costs = [lagrangian(tiny_codec.encode(PICTURE, quality=QUALITY, effort=level), tiny_codec) for level in (3, 5, 7)]
    assert costs[1] < costs[0]
    assert costs[2] <= costs[1]


@pytest.mark.parametrize("level", [1, 2, 4])
def test_every_level_decodes(tiny_codec: Any, level: int) -> None:
    data = tiny_codec.encode(PICTURE, quality=QUALITY, effort=level)
    assert tiny_codec.decode(data).size == (144, 112)


def test_lowest_levels_show_every_patch_unless_asked_otherwise(tiny_codec: Any) -> None:
    assert symbols(tiny_codec.encode(PICTURE, quality=QUALITY, effort=2)).mask.all()
    assert not symbols(tiny_codec.encode(PICTURE, quality=QUALITY, effort=2, keep=0.5)).mask.all()


def test_thrift_saves_bytes(tiny_codec: Any) -> None:
    sizes = [len(tiny_codec.encode(PICTURE, quality=QUALITY, effort=level)) for level in (1, 2)]
    assert sizes[1] < sizes[0]


def test_gradient_is_that_of_the_squared_error(tiny_codec: Any) -> None:
    transforms = _transforms(tiny_codec.weights, "cpu")
    decoded = symbols(tiny_codec.encode(PICTURE, quality=QUALITY))
    padded = tiling.pad(PICTURE)
    error, gradient = transforms.distortion(decoded, QUALITY, "fidelity", padded)
    place = tuple(int(i) for i in np.unravel_index(np.abs(gradient).argmax(), gradient.shape))
    step = 8  # of 1/64
    decoded.v_hat[place] += step
    moved, _ = transforms.distortion(decoded, QUALITY, "fidelity", padded)
    decoded.v_hat[place] -= 2 * step
    other, _ = transforms.distortion(decoded, QUALITY, "fidelity", padded)
    assert (moved - other) / (2 * step / 64) == pytest.approx(gradient[place], rel=0.05)
    assert error > 0


@pytest.mark.parametrize("level", [0, 10, -1])
def test_other_levels_are_refused(tiny_codec: Any, level: int) -> None:
    with pytest.raises(UsageError, match="not 1 to 9"):
        tiny_codec.encode(PICTURE, effort=level)


def test_no_rounds_leave_the_plan_alone(tiny_codec: Any) -> None:
    weights, transforms = tiny_codec.weights, _transforms(tiny_codec.weights, "cpu")
    padded = tiling.pad(PICTURE)
    every = np.ones((padded.shape[0] // tiling.PATCH, padded.shape[1] // tiling.PATCH), bool)
    first = planning.Plan(every, *transforms.analyse(padded, every, QUALITY), np.ones(1))
    assert refinement.refine(weights, transforms, first, padded, QUALITY, first.distortion_weight, 0) is first


def test_read_only_pictures_raise_no_warning(tiny_codec: Any, recwarn: pytest.WarningsRecorder) -> None:
    picture = PICTURE.copy()
    picture.flags.writeable = False
    tiny_codec.encode(picture, quality=QUALITY, effort=2)
    assert not recwarn.list
