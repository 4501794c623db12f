"""Runs the networks with torch: on GPUs, for models that were frozen without graphs, and where gradients are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .analysis import Analysis
from .config import ModelConfig
from .frozen import KEPT, Frozen, Latents
from .layers import frozen_module, full_precision, quality_weights
from .synthesis import Synthesis


class TorchRuntime:
    """As :class:`.onnx_runtime.OnnxRuntime`, on any device of torch; float32, parameters without gradients."""

    def __init__(self, name: str, device: str) -> None:
        self.name, self.device = name, device
        self._module = lru_cache(maxsize=KEPT)(self._load)

    def analysis(self, frozen: Frozen) -> Analysis:
        """g_a and h_a as a module. ModelError when the weights do not fit."""
        return cast(Analysis, self._module(frozen, Analysis))

    def synthesis(self, frozen: Frozen) -> Synthesis:
        """A decoder as a module. ModelError when the weights do not fit."""
        return cast(Synthesis, self._module(frozen, Synthesis))

    def analyse(
        self, analysis: Frozen, pixels: NDArray[np.uint8], visible: NDArray[np.bool_], qualities: Sequence[int]
    ) -> Latents:
        """See :meth:`.onnx_runtime.OnnxRuntime.analyse`."""
        a = self.analysis(analysis)
        with torch.inference_mode(), full_precision(self.device):
            weights = quality_weights(torch.tensor(qualities, device=self.device))
            gain, coarse_gain = (g[:, None, None, :] for g in (a.gains(weights), a.coarse_gains(weights)))
            x = self._tensor(pixels).permute(0, 3, 1, 2) / 255
            t = a.tokens(x)
            mask = None if visible.all() else self._tensor(visible)
            fine, coarse = a.latents(x, t, mask, weights) * gain, a.coarse(t, weights) * coarse_gain
            return _array(fine), _array(coarse), _array(a.hyper(t, weights))

    def synthesise(
        self, decoder: Frozen, latents: NDArray[np.float32], features: NDArray[np.float32],
        visible: NDArray[np.bool_], qualities: Sequence[int],
    ) -> NDArray[np.float32]:  # fmt: skip
        """See :meth:`.onnx_runtime.OnnxRuntime.synthesise`."""
        g_s = self.synthesis(decoder)
        with torch.inference_mode(), full_precision(self.device):
            given = [self._tensor(values) for values in (latents, features, visible)]
            pixels = g_s(*given, quality_weights(torch.tensor(qualities, device=self.device)))
            return _array(pixels.permute(0, 2, 3, 1))

    def open(self, network: Frozen) -> None:
        """See :meth:`.onnx_runtime.OnnxRuntime.open`; of decoders."""
        self.synthesis(network)

    def _load(self, frozen: Frozen, kind: Callable[[ModelConfig], nn.Module]) -> nn.Module:
        return frozen_module(kind(frozen.config), frozen.load(), self.name, self.device)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.require(values, requirements=("C", "W"))).to(self.device)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.cpu().numpy()
    return array
