"""Building blocks of the float transforms: windowed attention on any set of tokens, convolution bottlenecks.

Tokens are channels-last, (B, h, w, D) when dense and (N, D) when only the visible ones are packed.
Every residual branch ends in a zero layer, so a fresh stack is the identity.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import KNOTS, PATCH, QUALITY_MAX, WINDOW

SUB = 4
"""Side of a sub-pixel block; the convolutional head works on a grid of these."""


def patchify(x: Tensor) -> Tensor:
    """Pixels (B, 3, 16h, 16w) to patch vectors (B, h, w, 768), ordered (block row, block column, y, x, colour)."""
    b, c, height, width = x.shape
    n = PATCH // SUB
    x = x.reshape(b, c, height // PATCH, n, SUB, width // PATCH, n, SUB)
    return x.permute(0, 2, 5, 3, 6, 4, 7, 1).reshape(b, height // PATCH, width // PATCH, -1)


def to_blocks(t: Tensor) -> Tensor:
    """Tokens (B, h, w, 16 C) to the sub-pixel grid (B, C, 4h, 4w), channels-last in memory."""
    b, h, w, c = t.shape
    n = PATCH // SUB
    t = t.reshape(b, h, w, n, n, c // (n * n)).permute(0, 1, 3, 2, 4, 5)
    return t.reshape(b, h * n, w * n, -1).permute(0, 3, 1, 2)


def blocks_to_pixels(t: Tensor) -> Tensor:
    """Sub-pixel grid (B, 48, H/4, W/4) to pixels (B, 3, H, W)."""
    b, _, h, w = t.shape
    t = t.reshape(b, SUB, SUB, 3, h, w).permute(0, 3, 4, 1, 5, 2)
    return t.reshape(b, 3, h * SUB, w * SUB)


def knot_weights(quality: Tensor) -> Tensor:
    """Linear interpolation weights (B, 6) of the quality knots for qualities (B,) in 0..100."""
    position = quality.to(torch.float32)[:, None] * ((KNOTS - 1) / QUALITY_MAX)
    return (1 - (position - torch.arange(KNOTS, device=quality.device)).abs()).clamp(min=0)


class Windows:
    """Where each token sits in the aligned 8x8 attention windows, for a set of visible tokens.

    Built once per picture and shared by all attention blocks; the padded length is the largest number of
    visible tokens in any window, so attention gets cheaper with the mask.
    """

    def __init__(self, mask: Tensor) -> None:
        """Index the visible tokens of ``mask`` (B, h, w) bool, in raster order."""
        b, h, w = mask.shape
        rows = torch.arange(h, device=mask.device)
        cols = torch.arange(w, device=mask.device)
        across, down = -(-w // WINDOW), -(-h // WINDOW)
        window = (rows // WINDOW)[:, None] * across + (cols // WINDOW)[None, :]
        window = window[None] + (torch.arange(b, device=mask.device) * (across * down))[:, None, None]
        cell = (rows % WINDOW)[:, None] * WINDOW + (cols % WINDOW)[None, :]
        window, self.cell = window[mask], cell.expand(b, h, w)[mask]  # (N,)
        order = torch.argsort(window, stable=True)
        counts = torch.bincount(window, minlength=b * across * down)
        rank = torch.empty_like(window)
        starts = torch.cumsum(counts, 0) - counts
        rank[order] = torch.arange(len(window), device=mask.device) - starts[window[order]]
        self.length = int(counts.max()) if len(window) else 0
        self.count = len(counts)
        self.slot = window * self.length + rank
        full = bool((counts == self.length).all())
        keys = torch.arange(self.length, device=mask.device)[None, :] < counts.clamp(min=1)[:, None]
        self.keys = None if full else keys[:, None, None, :]  # (windows, 1, 1, L)

    def spread(self, t: Tensor) -> Tensor:
        """Packed (N, D) to padded windows (windows, L, D)."""
        out = t.new_zeros(self.count * self.length, t.shape[1]).index_copy(0, self.slot, t)
        return out.view(self.count, self.length, -1)

    def pack(self, t: Tensor) -> Tensor:
        """Padded windows (windows, L, D) back to packed (N, D)."""
        return t.reshape(self.count * self.length, -1).index_select(0, self.slot)


class Attention(nn.Module):
    """Pre-norm transformer block on packed tokens (Vaswani et al. 2017), attention inside windows only."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.heads = max(1, width // head_dim)
        self.place = nn.Parameter(torch.randn(WINDOW * WINDOW, width) * 0.02)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), zero(nn.Linear(width, width))
        self.up, self.down = nn.Linear(width, 2 * width), zero(nn.Linear(2 * width, width))

    def forward(self, t: Tensor, windows: Windows) -> Tensor:
        """Tokens (N, D) to tokens (N, D)."""
        u = windows.spread(self.qkv(self.norm1(t) + self.place[windows.cell]))
        q, k, v = u.view(windows.count, windows.length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=windows.keys)
        t = t + self.out(windows.pack(a.transpose(1, 2)))
        out: Tensor = t + self.down(F.relu(self.up(self.norm2(t))))
        return out


class Bottleneck(nn.Module):
    """Pre-norm convolution bottleneck on dense tokens: 1x1, 3x3, 1x1 (He et al. 2016)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.reduce, self.expand = nn.Linear(width, inner), zero(nn.Linear(inner, width))
        self.mix = nn.Conv2d(inner, inner, 3, padding=1)

    def forward(self, t: Tensor) -> Tensor:
        """Tokens (B, h, w, D) to tokens (B, h, w, D)."""
        u = F.relu(self.reduce(self.norm(t))).permute(0, 3, 1, 2)
        out: Tensor = t + self.expand(F.relu(self.mix(u)).permute(0, 2, 3, 1))
        return out


def zero(layer: nn.Linear) -> nn.Linear:
    """Set a layer to zero, so that the branch it ends starts as nothing."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
