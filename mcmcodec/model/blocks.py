"""Kinds of residual blocks on the 16x grid, exchangeable by one letter of a plan.

Every block takes dense tokens (B, h, w, D), and where tokens are hidden a float tensor ``visible`` (B, h, w, 1) of
ones and zeros; the caller zeroes hidden tokens before and after (masked convolution as in SparK, Tian et al. 2023,
and ConvNeXt V2, Woo et al. 2023). Every residual branch ends in a zero layer, so a fresh block is the identity.
Nothing looks further than three patches or its own aligned 8x8 window, but for ``w``, which sees everything.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import WINDOW, ModelConfig
from .layers import repeated, zero

HIDDEN = -3e4
"""Added to the attention logits of hidden keys; finite, so that a window without visible tokens stays finite."""


class Bottleneck(nn.Module):
    """Pre-norm convolution bottleneck: 1x1, 3x3, 1x1 (He et al. 2016)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.reduce, self.expand = nn.Linear(width, inner), zero(nn.Linear(inner, width))
        self.mix = nn.Conv2d(inner, inner, 3, padding=1)

    def forward(self, t: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens (B, h, w, D) to tokens (B, h, w, D)."""
        u = F.relu(self.reduce(self.norm(t)))
        u = (u if visible is None else u * visible).permute(0, 3, 1, 2)
        out: Tensor = t + self.expand(F.relu(self.mix(u)).permute(0, 2, 3, 1))
        return out


class WindowAttention(nn.Module):
    """Pre-norm transformer block (Vaswani et al. 2017), attention inside aligned 8x8 windows only."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.heads = max(1, width // head_dim)
        self.place = nn.Parameter(torch.randn(WINDOW * WINDOW, width) * 0.02)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), zero(nn.Linear(width, width))
        self.up, self.down = nn.Linear(width, 2 * width), zero(nn.Linear(2 * width, width))

    def forward(self, t: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens (B, h, w, D) to tokens (B, h, w, D); tokens that are hidden or beyond the grid are no keys."""
        b, h, w, d = t.shape
        down, right = -h % WINDOW, -w % WINDOW
        u = self.norm1(t)
        keys = visible
        if down or right:
            keys = torch.ones_like(t[..., :1]) if keys is None else keys
            u, keys = (F.pad(x, (0, 0, 0, right, 0, down)) for x in (u, keys))
        rows, cols = (h + down) // WINDOW, (w + right) // WINDOW

        def windows(x: Tensor) -> Tensor:
            x = x.reshape(b, rows, WINDOW, cols, WINDOW, -1).permute(0, 1, 3, 2, 4, 5)
            return x.reshape(b * rows * cols, WINDOW * WINDOW, -1)

        qkv = self.qkv(windows(u) + self.place)
        q, k, v = qkv.view(b * rows * cols, WINDOW * WINDOW, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        # written out: for windows this small the fused kernel's backward pass is many times slower on a CPU
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if keys is not None:
            logits = logits + ((1 - windows(keys)) * HIDDEN).view(-1, 1, 1, WINDOW * WINDOW).to(q.dtype)
        a = torch.softmax(logits, -1).to(v.dtype) @ v
        a = a.transpose(1, 2).reshape(b, rows, cols, WINDOW, WINDOW, d).permute(0, 1, 3, 2, 4, 5)
        a = a.reshape(b, h + down, w + right, d)[:, :h, :w]
        t = t + self.out(a)
        out: Tensor = t + self.down(F.relu(self.up(self.norm2(t))))
        return out


class Depthwise(nn.Module):
    """Depthwise convolution block of DCVC-RT's shape (Jia et al. 2025) with channel attention.

    1x1, gate, depthwise 3x3, attention, 1x1; then 1x1 to 4 D, gate, summed to D, 1x1: 7 D^2 + 9 D multiplications per
    token. The gate is x * sigmoid(x); DCVC-RT's x * sigmoid(4 x) is the same with other weights around it. Channel
    attention is x * 2 sigmoid(linear(mean)), the mean over the visible tokens of an aligned 8x8 window and not of the
    picture, so that tiles compute the same as the whole.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.enter = nn.Linear(width, width)
        self.mix = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.attend = zero(nn.Linear(width, width))
        self.out = zero(nn.Linear(width, width))
        self.up, self.down = nn.Linear(width, 4 * width), zero(nn.Linear(width, width))

    def forward(self, t: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens (B, h, w, D) to tokens (B, h, w, D)."""
        u = F.silu(self.enter(self.norm1(t)))
        u = (u if visible is None else u * visible).permute(0, 3, 1, 2)
        u = self.mix(u).permute(0, 2, 3, 1)
        u = u * window_gate(u, self.attend, visible)
        t = t + self.out(u)
        wide = F.silu(self.up(self.norm2(t)))
        out: Tensor = t + self.down(wide.view(*wide.shape[:-1], 4, t.shape[-1]).sum(-2))
        return out


class BiRwkv(nn.Module):
    """Bidirectional RWKV block with Omni-shift (LALIC, Feng et al. 2025): linear attention over all tokens.

    Decay does not depend on data and is relative to the number of tokens, so that the weighted sums over all tokens
    before and after one are two cumulative sums (:func:`bi_wkv`).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.shift = nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False)
        nn.init.zeros_(self.shift.weight)
        self.rkv = nn.Linear(width, 3 * width)
        self.decay = nn.Parameter(torch.linspace(0.5, 8, width))
        self.bonus = nn.Parameter(torch.zeros(width))
        self.out = zero(nn.Linear(width, width))
        self.up, self.down = nn.Linear(width, 3 * width), zero(nn.Linear(3 * width, width))
        self.receive = nn.Linear(width, width)

    def forward(self, t: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens (B, h, w, D) to tokens (B, h, w, D)."""
        b, h, w, d = t.shape
        u = self.norm1(t)
        u = u if visible is None else u * visible
        # x + depthwise 1x1, 3x3 and 5x5, folded into one 5x5
        u = u + self.shift(u.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        r, k, v = self.rkv(u).float().view(b, h * w, 3, d).unbind(2)
        if visible is not None:
            k = k + (1 - visible.view(b, h * w, 1)) * HIDDEN
        y = bi_wkv(k, v, F.softplus(self.decay) / (h * w), self.bonus)
        t = t + self.out((torch.sigmoid(r) * y).view(b, h, w, d))
        u = self.norm2(t)
        out: Tensor = t + torch.sigmoid(self.receive(u)) * self.down(F.relu(self.up(u)).square())
        return out


def bi_wkv(k: Tensor, v: Tensor, decay: Tensor, bonus: Tensor) -> Tensor:
    """y_t = (sum_{i != t} e^{k_i - w (|t - i| - 1)} v_i + e^{u + k_t} v_t) / (the same sum without v), in linear time.

    Args:
        k: logits (B, T, D), float32.
        v: values (B, T, D).
        decay: w >= 0 (D,), per step; w T has to stay below about 40.
        bonus: u (D,).
    """
    a = torch.exp(k - k.amax(1, keepdim=True))
    step = torch.arange(k.shape[1], device=k.device, dtype=k.dtype)[:, None] * decay  # w t, (T, D)
    grow, fall = torch.exp(step), torch.exp(-step)
    both = torch.stack([a * v, a])
    before = torch.cumsum(both * grow, 2)
    before = F.pad(before[:, :, :-1], (0, 0, 1, 0)) * (fall * torch.exp(decay))
    after = (both * fall).flip(2).cumsum(2).flip(2)
    after = F.pad(after[:, :, 1:], (0, 0, 0, 1)) * (grow * torch.exp(decay))
    total = before + after + torch.exp(bonus) * both
    return total[0] / (total[1] + 1e-9)


def window_gate(u: Tensor, layer: nn.Linear, visible: Tensor | None) -> Tensor:
    """Channel attention 2 * sigmoid(layer(mean)) over aligned 8x8 windows: (B, h, w, D) to (B, h, w, D).

    A zero layer gives ones. The mean is over the visible tokens.
    """
    h, w = u.shape[1:3]
    held = (u if visible is None else u * visible).permute(0, 3, 1, 2)
    mean = F.avg_pool2d(held, WINDOW, ceil_mode=True)
    if visible is not None:
        share = F.avg_pool2d(visible.permute(0, 3, 1, 2).to(mean.dtype), WINDOW, ceil_mode=True)
        mean = mean / share.clamp(min=1e-3)
    scale = 2 * torch.sigmoid(layer(mean.permute(0, 2, 3, 1)))
    return repeated(scale, WINDOW)[:, :h, :w]


def block(kind: str, config: ModelConfig, width: int) -> nn.Module:
    """A fresh block: ``a`` windowed attention, ``d`` depthwise, ``w`` Bi-RWKV, ``c`` bottleneck, ``l`` a light one."""
    if kind == "a":
        return WindowAttention(width, config.head_dim)
    if kind == "d":
        return Depthwise(width)
    if kind == "w":
        return BiRwkv(width)
    return Bottleneck(width, config.light if kind == "l" else config.bottleneck)
