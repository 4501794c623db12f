"""Analysis: pixels to real-valued latents. Runs in the encoder only, in floating point.

A linear patch embedding (a PCA basis at the start of training) serves every patch: hyper-latent and coarse latents are
read from it. Only visible tokens enter the encoder's blocks, as in a masked autoencoder (He et al. 2022); hidden ones
are zeros there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Depthwise, block
from .config import COARSE, KNOTS, PATCH, SUB, ModelConfig
from .layers import joined, patchify, repeated, to_cells, zero


class Stem(nn.Module):
    """What a patch holds beyond its linear embedding: depthwise blocks on 4x4 and on 8x8 pixels.

    The embedding keeps a quarter of a patch's dimensions. What distances of features look at, such as LPIPS, is partly
    in the others.
    """

    def __init__(self, width: int, embed: int) -> None:
        super().__init__()
        self.enter = nn.Linear(3 * SUB * SUB, width)
        self.fine = Depthwise(width)
        self.join = nn.Linear(4 * width, 2 * width)
        self.middle = Depthwise(2 * width)
        self.out = zero(nn.Linear(8 * width, embed))

    def forward(self, x: Tensor, visible: Tensor | None) -> Tensor:
        """Pixels (B, 3, 16h, 16w) in [0, 1] and visible patches (B, h, w, 1), or None, to (B, h, w, D)."""
        shown = [None if visible is None else repeated(visible, n) for n in (4, 2)]
        t = self.enter(joined(x.permute(0, 2, 3, 1) - 0.5, SUB))
        t = self.fine(t if shown[0] is None else t * shown[0], shown[0])
        t = self.join(joined(t, 2))
        t = self.middle(t if shown[1] is None else t * shown[1], shown[1])
        out: Tensor = self.out(joined(t, 2))
        return out


class Analysis(nn.Module):
    """g_a and h_a of one stream model, with the gains that set the quantisation step per channel and quality."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        n, d, near = config.latents, config.embed, min(64, config.embed)
        self.near, self.seen = near, min(96, config.embed)
        self.embed = nn.Linear(3 * PATCH * PATCH, d)
        self.scale = nn.Parameter(torch.ones(d))
        self.log_gain = nn.Parameter(torch.zeros(KNOTS, n))
        self.low_in = nn.Conv2d(near, 32, 3, padding=1)
        self.low_out = zero(nn.Linear(32, config.low))
        self.quality = nn.Parameter(torch.zeros(KNOTS, d))
        self.stem = Stem(config.stem, d) if config.stem else None
        self.blocks = nn.ModuleList(block(kind, config, d) for kind in config.encoder_plan)
        self.norm = nn.LayerNorm(d)
        self.out = zero(nn.Linear(d, n))
        if config.coarse:
            self.coarse_log_gain = nn.Parameter(torch.zeros(KNOTS, config.coarse))
            self.coarse_basis = nn.Linear(COARSE * COARSE * self.seen, config.coarse)
            self.coarse_in = nn.Linear(COARSE * COARSE * near, config.coarse_width)
            self.coarse_quality = nn.Parameter(torch.zeros(KNOTS, config.coarse_width))
            self.coarse_stack = nn.ModuleList(Depthwise(config.coarse_width) for _ in range(config.coarse_blocks))
            self.coarse_norm = nn.LayerNorm(config.coarse_width)
            self.coarse_out = zero(nn.Linear(config.coarse_width, config.coarse))
        self.hyper_quality = nn.Parameter(torch.zeros(KNOTS, 64))
        self.hyper1 = nn.Conv2d(near, 64, 3, stride=2, padding=1)
        self.hyper2 = nn.Conv2d(64, 64, 3, stride=2, padding=1)
        self.hyper3 = nn.Linear(64, config.hyper)

    def gains(self, weights: Tensor) -> Tensor:
        """Gain per channel of y (B, latents): latents are multiplied by it and then rounded (Cui et al. 2021)."""
        return torch.exp(weights @ self.log_gain)

    def coarse_gains(self, weights: Tensor) -> Tensor:
        """Gain per coarse channel (B, coarse)."""
        return torch.exp(weights @ self.coarse_log_gain) if self.config.coarse else weights[:, :0]

    def tokens(self, x: Tensor) -> Tensor:
        """Pixels (B, 3, 16h, 16w) in [0, 1] to embeddings (B, h, w, D), float32 even under autocast."""
        with torch.autocast(x.device.type, enabled=False):
            t: Tensor = self.embed(patchify(x.float()) - 0.5)
        return t

    def hyper(self, t: Tensor, weights: Tensor) -> Tensor:
        """Hyper-latent z (B, h/4, w/4, hyper); h and w are padded to multiples of 4 by repetition."""
        gain = self.gains(weights)[:, None, None, :]
        n = min(self.near, gain.shape[-1])
        u = torch.cat([t[..., :n] * gain[..., :n], t[..., n : self.near]], -1).permute(0, 3, 1, 2)
        h, w = u.shape[2:]
        u = F.pad(u * 0.25, (0, -w % 4, 0, -h % 4), mode="replicate")
        u = F.relu(self.hyper1(u) + (weights @ self.hyper_quality)[:, :, None, None])
        z: Tensor = self.hyper3(F.relu(self.hyper2(u)).permute(0, 2, 3, 1))
        return z

    def coarse(self, t: Tensor, weights: Tensor) -> Tensor:
        """Coarse latents (B, ceil(h/2), ceil(w/2), coarse): a linear basis (PCA of 32x32 pixels) plus a residual."""
        cells = to_cells(t)
        if not self.config.coarse:
            return cells[..., 0, 0, :0]
        with torch.autocast(t.device.type, enabled=False):
            low = self.coarse_basis(cells[..., : self.seen].flatten(3))
        u = (cells * self.scale)[..., : self.near].flatten(3)
        u = self.coarse_in(u) + (weights @ self.coarse_quality)[:, None, None, :]
        for layer in self.coarse_stack:
            u = layer(u)
        y: Tensor = low + self.coarse_out(self.coarse_norm(u)).float()
        return y

    def latents(self, x: Tensor, t: Tensor, mask: Tensor | None, weights: Tensor) -> Tensor:
        """Latents y (B, h, w, latents) of the patches that are visible by ``mask`` (B, h, w) bool (None: all of them).

        Args:
            x: pixels (B, 3, 16h, 16w) in [0, 1].
            t: their embeddings (B, h, w, D).
            mask: what is computed for hidden patches means nothing.
            weights: of the quality knots (B, 6).
        """
        visible = None if mask is None else mask[..., None].to(t.dtype)
        scaled = t * self.scale
        u = scaled[..., : self.near].permute(0, 3, 1, 2)
        low = self.low_out(F.relu(self.low_in(u)).permute(0, 2, 3, 1)).float()
        u = scaled + (weights @ self.quality)[:, None, None, :]
        if self.stem is not None:
            u = u + self.stem(x, visible)
        u = u if visible is None else u * visible
        for layer in self.blocks:
            u = layer(u, visible)
            u = u if visible is None else u * visible
        y: Tensor = t[..., : self.config.latents] + self.out(self.norm(u)).float()
        return y + F.pad(low, (0, self.config.latents - self.config.low))
