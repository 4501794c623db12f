"""A second judge of looks beside LPIPS: features of EfficientNet-Lite0, compared as DISTS compares those of VGG16.

Means and covariances of whole maps (Ding et al. 2022), every channel weighing the same. A decoder that LPIPS alone
judges learns what AlexNet likes; two networks have less of their taste in common. This one takes a sixtieth of VGG16's
operations, so that it can be in the loop.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..metrics.recognition import DEVIATION, MEAN, Recognition

COMPARED = (0, 2, 4, 10)
"""Blocks whose outputs are compared, at 1/2, 1/4, 1/8 and 1/16 of the picture's size; and the picture itself."""
C = 1e-3
"""Keeps channels that are nearly silent from counting, and their gradients from growing without bound."""


class FeatureDistance(nn.Module):
    """Distance of pictures (B, 3, H, W), RGB in [0, 1]: (B,), 0 for equal ones, up to about 1.

    Differentiable with respect to the first pictures. Raises ModelError as ``Recognition``.
    """

    def __init__(self) -> None:
        super().__init__()
        network = Recognition().network.requires_grad_(False)
        self.stem, self.norm = network._conv_stem, network._bn0
        self.blocks = nn.ModuleList(network._blocks[: max(COMPARED) + 1])
        self.eval()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B,) distances of pictures x from pictures y."""
        with torch.no_grad():
            wanted = self._maps(y)
        # in float32 even where the network runs in bfloat16, whose three digits are too few for small differences
        found = [_distance(a.float(), b.float()) for a, b in zip(self._maps(x), wanted, strict=True)]
        return torch.stack(found).mean(0)

    def _maps(self, x: Tensor) -> list[Tensor]:
        maps, u = [x], F.relu6(self.norm(self.stem((x - MEAN) / DEVIATION)))
        for number, block in enumerate(self.blocks):
            u = block(u)
            if number in COMPARED:
                maps.append(u)
        return maps


def _distance(x: Tensor, y: Tensor) -> Tensor:
    """Of maps (B, channels, h, w): (B,)."""
    a, b = x.mean((2, 3)), y.mean((2, 3))
    x, y = x - a[:, :, None, None], y - b[:, :, None, None]
    spread = x.square().mean((2, 3)) + y.square().mean((2, 3))
    luminance = (2 * a * b + C) / (a.square() + b.square() + C)
    structure = (2 * (x * y).mean((2, 3)) + C) / (spread + C)
    return 1 - (luminance + structure).mean(1) / 2
