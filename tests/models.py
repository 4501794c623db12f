"""A tiny model with random weights, and pictures for it: enough for every promise but that pictures look good."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mcmcodec.model import transforms
from mcmcodec.model.config import PRESETS
from mcmcodec.model.weights import FOLDER_VARIABLE, forget
from mcmcodec.training.export import write
from mcmcodec.training.network import Network

Picture = NDArray[np.uint8]

NAME, NUMBER = "tiny", 4000
TUNING = {"rdoq_strength": 0.7, "mask_lambda": 1.0}
GIVEN_FOLDER = os.environ.get(FOLDER_VARIABLE)
"""Where the weights are that the tests were started with, before the tiny model takes their place."""


def smooth_noise(height: int, width: int, seed: int = 0) -> Picture:
    """A picture (height, width, 3) with the spectrum of photographs, and a sharp-edged disc on it."""
    rng = np.random.default_rng(seed)
    far = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    shape = 1 / np.maximum(far, 1 / max(height, width)) ** 1.3
    planes = [np.fft.irfft2(shape * np.fft.rfft2(rng.normal(size=(height, width))), (height, width)) for _ in range(3)]
    grey, *colours = [plane / max(plane.std(), 1e-9) for plane in planes]
    x = np.stack([grey + 0.4 * colours[0], grey, grey + 0.4 * colours[1]], -1) * 45 + 120
    rows, cols = np.indices((height, width))
    x[np.hypot(rows - height * 0.4, cols - width * 0.6) < min(height, width) / 5] += (70, -20, -60)
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def save_pictures(folder: Path, count: int, height: int = 192, width: int = 192) -> Path:
    """Fill a folder with PNG pictures of that noise, seeds 0 and up."""
    for number in range(count):
        Image.fromarray(smooth_noise(height, width, seed=number)).save(folder / f"{number}.png")
    return folder


def stir(network: Network, seed: int = 0) -> Network:
    """Give random values to what starts at zero, so that no part of the network is without effect."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in network.entropy.named_parameters():
            if name.endswith(("bias1", "bias2", "bias3", "bias_pass", "hyper_loc")):
                p.normal_(0, 0.3, generator=g)
            elif name.endswith("weight3"):
                p.normal_(0, 0.4 if name.startswith("mask") else 0.04, generator=g)
        network.entropy.hyper_index.uniform_(0.3, 2.5, generator=g)
        network.entropy.offset_weight.uniform_(0.2, 0.9, generator=g)
        network.entropy.expect_bias.normal_(0, 0.3, generator=g)
        for name, p in [*network.analysis.named_parameters(), *network.synthesis.named_parameters()]:
            if name.endswith(("quality", "mask_token")) or not p.any():
                p.normal_(0, 0.01, generator=g)
    return network


def tiny_network(seed: int = 0) -> Network:
    """The stirred network of the preset ``tiny``, with a PCA basis from synthetic pictures."""
    torch.manual_seed(seed)
    network = Network(PRESETS["tiny"])
    crops = np.stack([smooth_noise(128, 128, seed=100 + i) for i in range(16)])
    network.pca_start(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255)
    return stir(network, seed)


def forget_models() -> None:
    """Have every model read from its files anew, integers and networks."""
    forget()
    transforms._loaded.clear()


def export_tiny(folder: Path) -> None:
    """Freeze the tiny network into ``folder``."""
    network = tiny_network()
    decoders = {"fidelity": network.synthesis, "perceptual": tiny_network(1).synthesis}
    write(folder, NAME, NUMBER, network, decoders, "fidelity", TUNING, {})
