"""Stage: analysis, pixels to real-valued latents. Runs in the encoder only, in floating point.

A linear patch embedding (a PCA basis at the start of training) serves every patch: the base layer and the
hyper-latent are read from it. Only visible tokens enter the transformer, as in a masked autoencoder
(He et al. 2022), so its cost falls with the mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import KNOTS, PATCH, ModelConfig
from .layers import Attention, Windows, patchify, zero


class Analysis(nn.Module):
    """g_a and h_a of one stream model, with the gains that set the quantisation step per channel and quality."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        n, d, near = config.latents, config.embed, min(64, config.embed)
        self.near = near
        self.embed = nn.Linear(3 * PATCH * PATCH, d)
        self.scale = nn.Parameter(torch.ones(d))
        self.log_gain = nn.Parameter(torch.zeros(KNOTS, n))
        self.base_in = nn.Conv2d(near, 32, 3, padding=1)
        self.base_out = zero(nn.Linear(32, config.base))
        self.quality = nn.Parameter(torch.zeros(KNOTS, d))
        self.blocks = nn.ModuleList(Attention(d, config.head_dim) for _ in range(config.encoder_blocks))
        self.norm = nn.LayerNorm(d)
        self.out = zero(nn.Linear(d, n - config.base))
        self.hyper_quality = nn.Parameter(torch.zeros(KNOTS, 64))
        self.hyper1 = nn.Conv2d(near, 64, 3, stride=2, padding=1)
        self.hyper2 = nn.Conv2d(64, 64, 3, stride=2, padding=1)
        self.hyper3 = nn.Linear(64, config.hyper)

    def gains(self, knots: Tensor) -> Tensor:
        """Gain per channel (B, 96): latents are multiplied by it and then rounded (Cui et al. 2021)."""
        return torch.exp(knots @ self.log_gain)

    def tokens(self, x: Tensor) -> Tensor:
        """Pixels (B, 3, 16h, 16w) in [0, 1] to embeddings (B, h, w, D)."""
        t: Tensor = self.embed(patchify(x) - 0.5)
        return t

    def base(self, t: Tensor) -> Tensor:
        """Base-layer latents (B, h, w, base) of every patch from the embeddings."""
        u = (t * self.scale)[..., : self.near].permute(0, 3, 1, 2)
        u = F.relu(self.base_in(u)).permute(0, 2, 3, 1)
        y: Tensor = t[..., : self.config.base] + self.base_out(u)
        return y

    def hyper(self, t: Tensor, knots: Tensor) -> Tensor:
        """Hyper-latent z (B, h/4, w/4, hyper); h and w are padded to multiples of 4 by repetition."""
        gain = self.gains(knots)[:, None, None, :]
        n = min(self.near, gain.shape[-1])
        u = torch.cat([t[..., :n] * gain[..., :n], t[..., n : self.near]], -1).permute(0, 3, 1, 2)
        h, w = u.shape[2:]
        u = F.pad(u * 0.25, (0, -w % 4, 0, -h % 4), mode="replicate")
        u = F.relu(self.hyper1(u) + (knots @ self.hyper_quality)[:, :, None, None])
        z: Tensor = self.hyper3(F.relu(self.hyper2(u)).permute(0, 2, 3, 1))
        return z

    def visible(self, t: Tensor, mask: Tensor, knots: Tensor) -> Tensor:
        """Latents (N, 96 - base) of the N visible patches of ``mask`` (B, h, w), in raster order."""
        packed = t[mask]
        level = (knots @ self.quality)[:, None, None, :].expand(*t.shape)[mask]
        windows = Windows(mask)
        u = packed * self.scale + level
        for block in self.blocks:
            u = block(u, windows)
        y: Tensor = packed[:, self.config.base : self.config.latents] + self.out(self.norm(u))
        return y

    def latents(self, t: Tensor, mask: Tensor, knots: Tensor) -> Tensor:
        """All latents y (B, h, w, 96); zero beyond the base channels where hidden."""
        rest = t.new_zeros(*t.shape[:3], self.config.latents - self.config.base)
        if mask.any():
            rest = rest.masked_scatter(mask[..., None], self.visible(t, mask, knots))
        return torch.cat([self.base(t), rest], -1)
