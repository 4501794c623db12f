"""Noise that a decoder may shape into texture, and what keeps it from painting the grid of patches instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import TUNING, smooth_noise, tiny_network

from mcmcodec.codec import Codec
from mcmcodec.image import tiling
from mcmcodec.model.config import PATCH
from mcmcodec.model.weights import FOLDER_VARIABLE
from mcmcodec.training.export import load_frozen, write
from mcmcodec.training.grow import with_noise
from mcmcodec.training.losses import patch_periodic_loss

SIDE = 26 * 16


@pytest.fixture
def coarse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Codec:
    """A model whose decoder ``perceptual`` shows its noise, and whose ``fidelity`` has none."""
    torch.manual_seed(0)
    plain, loud = tiny_network(), tiny_network()
    loud.synthesis = with_noise(loud.synthesis, 3)
    loud.synthesis.head1.weight.data[:, -3:] = 0.3
    loud.synthesis.head3.weight.data *= 3
    decoders = {"fidelity": plain.synthesis, "perceptual": loud.synthesis}
    write(tmp_path, "coarse", 4003, plain, decoders, "fidelity", TUNING, {"stream": {"seen": 0}})
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(tiling, "INTERIOR", 8)
    monkeypatch.setattr(tiling, "HALO", 8)
    return Codec("coarse", "cpu")


def pixels(codec: Codec, data: bytes, **options: Any) -> np.ndarray:
    return np.asarray(codec.decode(data, **options), int)


def test_nothing_changes_until_it_learns() -> None:
    synthesis = tiny_network().synthesis
    config = synthesis.config
    inputs = (torch.randn(2, 9, 10, config.latents), torch.randn(2, 9, 10, config.features),
              torch.rand(2, 9, 10) < 0.5, torch.rand(2, 6))  # fmt: skip
    grown = with_noise(synthesis, 5)
    assert grown.config.noise_channels == 5 and grown.get_buffer("noise").any()
    assert torch.allclose(grown(*inputs), synthesis(*inputs), atol=1e-6)


def test_tiles_and_crops_agree_on_where_it_lies(coarse: Codec) -> None:
    data = coarse.encode(smooth_noise(SIDE, SIDE, seed=5), quality=50)
    quiet, whole = pixels(coarse, data, decoder="fidelity"), pixels(coarse, data, decoder="perceptual")
    assert np.abs(whole - quiet).mean() > 1, "it is there to be seen"
    part = pixels(coarse, data, decoder="perceptual", crop=(201, 150, 190, 170))
    assert np.abs(part - whole[150:320, 201:391]).max() <= 1


def test_between_a_decoder_without_and_one_with_it(coarse: Codec) -> None:
    data = coarse.encode(smooth_noise(100, 90, seed=5), quality=50)
    first, between, last = (pixels(coarse, data, realism=realism) for realism in (0, 0.5, 1))
    assert np.array_equal(first, pixels(coarse, data, decoder="fidelity"))
    assert np.array_equal(last, pixels(coarse, data, decoder="perceptual"))
    assert np.abs(last - first).mean() > np.abs(between - first).mean() > 0


def test_it_is_frozen_with_the_decoder(coarse: Codec) -> None:
    weights = coarse.weights
    network, _ = load_frozen(weights.folder / "coarse.json", "perceptual")
    noise = network.synthesis.get_buffer("noise")
    assert noise.shape == (3, 32, 32) and not any(p is noise for p in network.parameters())
    assert [weights.decoder_config(name).noise_channels for name in ("perceptual", "fidelity")] == [3, 0]


def test_the_periodic_part_is_what_patches_have_in_common() -> None:
    torch.manual_seed(0)
    pattern = torch.randn(1, 3, PATCH, PATCH)
    everywhere = pattern.repeat(2, 1, 12, 8)
    assert torch.allclose(patch_periodic_loss(everywhere), pattern.square().mean().expand(2))
    assert torch.allclose(patch_periodic_loss(torch.randn(2, 3, 192, 128)), torch.full((2,), 1 / 16), rtol=0.1)
    assert torch.equal(patch_periodic_loss(torch.zeros(1, 3, 70, 80)), torch.zeros(1))
