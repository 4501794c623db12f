"""Synthesis: decoded latents to pixels. Floating point; pixels agree within 1/255 between devices.

A decoder is frozen against a stream model but is not part of it: several can read the same file.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import block
from .config import KNOTS, PATCH, SUB, WINDOW, ModelConfig
from .layers import blocks_to_pixels, to_blocks, zero


class Renderer(nn.Module):
    """A pointwise residual network on the grid of 4x4 pixels, whose scale, shift and gate the body sets (PULSE).

    The modulation is of low rank: the body gives every 4x4 block a few features, and a pointwise layer makes them
    scale, shift and gate. One wide layer, no norm: memory traffic counts most at this size.
    """

    def __init__(self, inputs: int, features: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, inner)
        self.modulate = nn.Linear(features, 3 * inner)
        self.up, self.down = nn.Linear(inner, 2 * inner), nn.Linear(2 * inner, inner)
        self.out = zero(nn.Linear(inner, outputs))
        with torch.no_grad():
            self.modulate.bias[:inner] = 1
            self.modulate.bias[2 * inner :] = 1

    def forward(self, u: Tensor, code: Tensor) -> Tensor:
        """Vectors u (B, H/4, W/4, inputs) and codes (B, H/4, W/4, features) to (B, H/4, W/4, outputs)."""
        scale, shift, strength = self.modulate(code).chunk(3, -1)
        v = torch.addcmul(shift, self.enter(u), scale)
        out: Tensor = self.out(torch.addcmul(v, self.down(F.silu(self.up(v))), strength))
        return out


class Synthesis(nn.Module):
    """g_s: mask tokens where nothing was sent, blocks over all positions, then a head across patch edges."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        n, d, pixels = config.latents, config.width, 3 * PATCH * PATCH
        self.linear = nn.Linear(n, pixels)
        self.scale = nn.Parameter(torch.ones(n))
        self.enter = nn.Linear(n + config.features, d)
        self.mask_token = nn.Parameter(torch.randn(d) * 0.02)
        self.quality = nn.Parameter(torch.zeros(KNOTS, d))
        self.blocks = nn.ModuleList(block(kind, config, d) for kind in config.plan)
        self.norm = nn.LayerNorm(d)
        self.out = zero(nn.Linear(d, pixels))
        grid = (PATCH // SUB) ** 2
        self.side = nn.Linear(d, grid * config.head_features)
        self.head1 = nn.Conv2d(pixels // grid + config.head_features + config.noise_channels, config.head, 3, padding=1)
        self.head2 = nn.Conv2d(config.head, config.head, 3, padding=1)
        self.head3 = nn.Conv2d(config.head, pixels // grid, 3, padding=1)
        nn.init.zeros_(self.head3.weight)
        nn.init.zeros_(self.head3.bias)  # type: ignore[arg-type]
        if config.renderer:
            self.code = nn.Linear(d, grid * config.head_features)
            inputs = pixels // grid + config.head_features + config.noise_channels
            self.renderer = Renderer(inputs, config.head_features, config.renderer, pixels // grid)
        if config.noise_channels:
            # as wide as an attention window: tiles begin at multiples of it, so that all agree on where it lies
            self.register_buffer("noise", torch.randn(config.noise_channels, WINDOW * SUB, WINDOW * SUB))

    def forward(self, y_hat: Tensor, psi: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
        """Paint the picture.

        Args:
            y_hat: dequantised latents (B, h, w, latents); what the coarse latents say where hidden.
            psi: hyper-decoder features (B, h, w, features) in real units.
            mask: visible patches (B, h, w) bool.
            weights: quality interpolation weights (B, 6).

        Returns:
            Pixels (B, 3, 16h, 16w), nominally in [0, 1], not clamped.
        """
        t = self.enter(torch.cat([y_hat * self.scale, psi], -1)) + (weights @ self.quality)[:, None, None, :]
        t = t + (~mask)[..., None] * self.mask_token
        for layer in self.blocks:
            t = layer(t)
        t = self.norm(t)
        with torch.autocast(y_hat.device.type, enabled=False):
            picture = self.linear(y_hat.float())  # the bulk of the picture, at full precision under autocast too
        picture = to_blocks(picture + self.out(t))
        u = torch.cat([picture, to_blocks(self.side(t)), *self._noise(picture)], 1)
        v = F.relu(self.head2(F.relu(self.head1(u))))
        picture = picture + self.head3(v)
        if self.config.renderer:
            detail = self.renderer(u.permute(0, 2, 3, 1), to_blocks(self.code(t)).permute(0, 2, 3, 1))
            picture = picture + detail.permute(0, 3, 1, 2)
        return blocks_to_pixels(picture) + 0.5

    def _noise(self, picture: Tensor) -> list[Tensor]:
        """The noise, laid out over the sub-pixel grid of pictures (B, 48, 4h, 4w); nothing if there is none."""
        if not self.config.noise_channels:
            return []
        down, across = (torch.arange(n, device=picture.device) % (WINDOW * SUB) for n in picture.shape[2:])
        laid = self.get_buffer("noise").index_select(1, down).index_select(2, across)
        return [laid.expand(picture.shape[0], -1, -1, -1)]
