"""Latents that are coded once and painted many times: decoders train without analysis and entropy networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..model.layers import quality_weights
from .data import Crops
from .network import Network, Seen
from .stages import Numbers, Perceptual, Stage, draw_quality


class LatentCache:
    """Crops with what a decoder gets of them, in memory: 260 KB each for crops of 256 pixels and 96 latents."""

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, ...]] = []
        self.count = 0

    @torch.no_grad()
    def add(self, network: Network, x: Tensor, quality: Tensor) -> None:
        """Code pictures x (B, 3, H, W) at qualities (B,), masks drawn as in training, and keep what comes of it."""
        seen, _ = network.code(x, quality)
        pixels = (x * 255).round().byte()
        self.parts.append((pixels, seen.y_hat.half(), seen.psi.half(), seen.mask, quality))
        self.count += len(x)

    def batch(self, count: int) -> tuple[Tensor, Tensor, Seen]:
        """Random pictures (count, 3, H, W), their qualities (count,), and what a decoder gets of them."""
        if len(self.parts) > 1:
            self.parts = [tuple(torch.cat(column) for column in zip(*self.parts, strict=True))]
        which = torch.randint(self.count, (count,)).to(self.parts[0][0].device)
        pixels, y_hat, psi, mask, quality = (column[which] for column in self.parts[0])
        seen = Seen(y_hat.float(), psi.float(), mask, quality_weights(quality))
        return pixels.float().div_(255), quality, seen

    def fill(self, network: Network, crops: Crops, device: str, enough: Callable[[int], bool], batch: int = 8) -> None:
        """Code random crops until ``enough``, which is told how many there are, says so; one batch at least."""
        while not self.parts or not enough(self.count):
            self.add(network, crops.batch(batch, device), draw_quality(batch, device))


class SecondDecoder(Stage):
    """The second decoder alone, for the best look: the stream is frozen, and its latents come from a cache."""

    name = "perceptual"

    def __init__(self, crops: Crops, batch: int, device: str, cache: LatentCache, perceptual: Perceptual) -> None:
        super().__init__(crops, batch, device)
        self.cache, self.perceptual = cache, perceptual

    def trained(self, network: Network) -> dict[str, torch.nn.Parameter]:
        """The second decoder."""
        return {k: p for k, p in network.named_parameters() if k.startswith("second_decoder.")}

    def __call__(self, network: Network) -> tuple[Tensor, Numbers]:
        """Loss of one batch, and numbers for the log."""
        x, quality, seen = self.cache.batch(self.batch)
        loss, numbers = self.perceptual(network.paint(seen, network.second_decoder), x, quality)
        return loss.mean(), numbers


class FirstDecoder(Stage):
    """The first decoder alone, for whatever judges it, from cached latents."""

    name = "decoder"

    def __init__(
        self, crops: Crops, batch: int, device: str, cache: LatentCache,
        judge: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Numbers]],
    ) -> None:  # fmt: skip
        super().__init__(crops, batch, device)
        self.cache, self.judge = cache, judge

    def trained(self, network: Network) -> dict[str, torch.nn.Parameter]:
        """The first decoder."""
        return {k: p for k, p in network.named_parameters() if k.startswith("synthesis.")}

    def __call__(self, network: Network) -> tuple[Tensor, Numbers]:
        """Loss of one batch, and numbers for the log."""
        x, quality, seen = self.cache.batch(self.batch)
        loss, numbers = self.judge(network.paint(seen), x, quality)
        return loss.mean(), numbers
