"""Stage: entropy model, as it is trained: the integer networks of ``mcmcodec.entropy`` with rounding in the loop.

Everything is in real units, but every value lies on the grid that the integers will have (activations in 1/64,
weights in 1/4096, floor after each layer), with straight-through gradients. What is exported is what was trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..entropy.fixed_point import (
    ACT_BITS,
    ACT_MAX,
    INPUT_MAX,
    MASK_CENTRE,
    PARITIES,
    SCALES,
    WEIGHT_BITS,
    WEIGHT_MAX,
    scale_of,
)
from ..model.config import HYPER, KNOTS, ModelConfig

UNIT = 1.0 / (1 << ACT_BITS)
NOISE_SCALE_MIN = 0.12


def snap(x: Tensor, bits: int) -> Tensor:
    """Round to multiples of 2**-bits, straight-through gradient."""
    step = float(1 << bits)
    return x + (torch.round(x.detach() * step) / step - x.detach())


def settle(x: Tensor, low: float, high: float) -> Tensor:
    """Floor to the activation grid and clamp, as the integer networks do after each layer."""
    floored = x + (torch.floor(x.detach() / UNIT) * UNIT - x.detach())
    return floored.clamp(low, high)


def weight(w: Tensor) -> Tensor:
    """Weights on their integer grid."""
    return snap(w, WEIGHT_BITS).clamp(-WEIGHT_MAX / (1 << WEIGHT_BITS), WEIGHT_MAX / (1 << WEIGHT_BITS))


HIGH = ACT_MAX * UNIT
IN_HIGH = INPUT_MAX * UNIT


class ContextNet(nn.Module):
    """One slice: 3x3 context of earlier slices, 3x3 of the slice's own earlier passes, two pointwise layers."""

    def __init__(self, inputs: int, current: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.context = nn.Parameter(torch.randn(hidden, inputs, 3, 3) * math.sqrt(1 / (9 * inputs)))
        self.current = nn.Parameter(torch.randn(3, hidden, current, 3, 3) * math.sqrt(0.3 / (9 * current)))
        self.bias1 = nn.Parameter(torch.zeros(KNOTS, hidden))
        self.weight2 = nn.Parameter(torch.randn(hidden, hidden) * math.sqrt(2 / hidden))
        self.bias2 = nn.Parameter(torch.zeros(hidden))
        self.weight3 = nn.Parameter(torch.randn(outputs, hidden) * 0.02)
        self.bias3 = nn.Parameter(torch.zeros(KNOTS, outputs))

    def shared(self, u: Tensor) -> Tensor:
        """What all passes share: (B, inputs, h, w) to (B, hidden, h, w)."""
        return F.conv2d(u, weight(self.context), padding=1)

    def at(self, number: int, shared: Tensor, current: Tensor, knots: Tensor) -> Tensor:
        """Raw outputs at the positions of pass ``number``: (B, h/2, w/2, outputs)."""
        i, j = PARITIES[number]
        u = shared[:, :, i::2, j::2]
        if number:
            u = u + F.conv2d(F.pad(current, (1, 1, 1, 1))[:, :, i:, j:], weight(self.current[number - 1]), stride=2)
        u = u.permute(0, 2, 3, 1) + (knots @ self.bias1)[:, None, None, :]
        u = settle(u, 0, HIGH)
        u = settle(F.linear(u, weight(self.weight2), self.bias2), 0, HIGH)
        u = F.linear(u, weight(self.weight3)) + (knots @ self.bias3)[:, None, None, :]
        return settle(u, -HIGH, HIGH)


@dataclass
class Coded:
    """What the entropy model makes of a batch: bits per picture by section, and the decoder's view of y."""

    v_hat: Tensor  # (B, h, w, 96)
    psi: Tensor  # (B, h, w, features)
    bits: dict[str, Tensor]  # honest bits of the rounded symbols, (B,)
    loss_bits: Tensor  # the same sum, with useful gradients, (B,)


class EntropyNets(nn.Module):
    """Hyper-decoder, mask network and one context network per slice."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        cells = HYPER * HYPER
        self.hyper_loc = nn.Parameter(torch.zeros(KNOTS, config.hyper))
        self.hyper_index = nn.Parameter(torch.full((KNOTS, config.hyper), 0.5))
        self.hyper_weight1 = nn.Parameter(torch.randn(64, config.hyper, 3, 3) * math.sqrt(2 / (9 * config.hyper)))
        self.hyper_bias1 = nn.Parameter(torch.zeros(KNOTS, 64))
        self.hyper_weight2 = nn.Parameter(torch.randn(cells * config.features, 64) * math.sqrt(1 / 64))
        self.hyper_bias2 = nn.Parameter(torch.zeros(cells * config.features))
        f, base = config.features, config.base
        self.mask = ContextNet(f + base + 1, 1, 1, config.context)
        nets, known = [], 0
        for k, channels in enumerate(config.slices):
            flag = int(k >= config.base_slices)
            nets.append(ContextNet(f + known + flag, channels, 2 * channels, config.context))
            known += channels
        self.slices = nn.ModuleList(nets)

    def features(self, z_hat: Tensor, knots: Tensor, h: int, w: int) -> Tensor:
        """Hyper-decoder h_s: z_hat (B, zh, zw, hyper) to psi (B, h, w, features)."""
        u = F.conv2d(z_hat.permute(0, 3, 1, 2).clamp(-IN_HIGH, IN_HIGH), weight(self.hyper_weight1), padding=1)
        u = settle(u.permute(0, 2, 3, 1) + (knots @ self.hyper_bias1)[:, None, None, :], 0, HIGH)
        u = settle(F.linear(u, weight(self.hyper_weight2), self.hyper_bias2), -HIGH, HIGH)
        b, zh, zw, _ = u.shape
        u = u.view(b, zh, zw, HYPER, HYPER, -1).permute(0, 1, 3, 2, 4, 5)
        return u.reshape(b, zh * HYPER, zw * HYPER, -1)[:, :h, :w]

    def forward(self, v: Tensor, z: Tensor, mask: Tensor, knots: Tensor) -> Coded:
        """Code a batch.

        Args:
            v: gained latents (B, h, w, 96), h and w even.
            z: hyper-latent (B, h/4, w/4, hyper).
            mask: visible patches (B, h, w) bool.
            knots: quality interpolation weights (B, 6).
        """
        b, h, w, _ = v.shape
        zero = v.new_zeros(b)
        bits = {"base": zero, "mask": zero, "latents": zero}
        loss = zero
        loc = snap(knots @ self.hyper_loc, ACT_BITS)[:, None, None, :]
        index = (knots @ self.hyper_index * 16)[:, None, None, :].expand_as(z)
        z_hat, hard, soft = code(z, loc.expand_as(z), index)
        bits["base"] = bits["base"] + total(hard)
        loss = loss + total(soft)
        psi = self.features(z_hat, knots, h, w)

        keep = mask.to(v.dtype).mean((1, 2))
        visible = mask[..., None].to(v.dtype)
        known: list[Tensor] = [psi]
        start = 0
        for k, channels in enumerate(self.config.slices):
            if k == self.config.base_slices:
                cost = self.mask_bits(
                    torch.cat([*known, (torch.round(keep * 255) * UNIT)[:, None, None, None].expand(b, h, w, 1)], -1),
                    mask,
                    knots,
                ) * (keep < 1)
                bits["mask"] = bits["mask"] + cost
                loss = loss + cost
                known.append(visible)
            net, target = self.slices[k], v[..., start : start + channels]
            here = visible if k >= self.config.base_slices else torch.ones_like(visible)
            section = "latents" if k >= self.config.base_slices else "base"
            shared = net.shared(torch.cat(known, -1).permute(0, 3, 1, 2).clamp(-HIGH, HIGH))
            current = torch.zeros_like(target)
            for number, (i, j) in enumerate(PARITIES):
                out = net.at(number, shared, current.permute(0, 3, 1, 2).clamp(-IN_HIGH, IN_HIGH), knots)
                mu = out[..., :channels].clamp(-IN_HIGH, IN_HIGH)
                index = out[..., channels:] * 4 + 24
                place = here[:, i::2, j::2]
                v_hat, hard, soft = code(target[:, i::2, j::2], mu, index)
                bits[section] = bits[section] + total(hard * place)
                loss = loss + total(soft * place)
                current = current.clone()
                current[:, i::2, j::2] = v_hat * place
            known.append(current)
            start += channels
        flag = self.config.base_slices + 1
        return Coded(torch.cat(known[1:flag] + known[flag + 1 :], -1), psi, bits, loss)

    def mask_bits(self, u: Tensor, mask: Tensor, knots: Tensor) -> Tensor:
        """Bits (B,) of the visible set, four passes, conditioned on the base layer."""
        shared = self.mask.shared(u.permute(0, 3, 1, 2).clamp(-HIGH, HIGH))
        signs = mask[..., None].to(u.dtype) * 2 - 1
        current = torch.zeros_like(signs)
        cost = u.new_zeros(u.shape[0])
        for number, (i, j) in enumerate(PARITIES):
            out = self.mask.at(number, shared, current.permute(0, 3, 1, 2), knots)
            index = (out * 4).clamp(-MASK_CENTRE, MASK_CENTRE - 1)
            logit = (index + (torch.floor(index) - index).detach() + 0.5) / 4
            cost = cost + total(F.softplus(-logit * signs[:, i::2, j::2]) / math.log(2))
            current = current.clone()
            current[:, i::2, j::2] = signs[:, i::2, j::2]
        return cost


def total(x: Tensor) -> Tensor:
    """Sum per picture."""
    return x.flatten(1).sum(1)


def code(v: Tensor, mu: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quantise around mu and count bits.

    Returns v_hat (rounded, straight-through), the bits of the rounded symbol, and the same bits with two useful
    gradients: to the scale from the rounded symbol, to v and mu from the symbol with uniform noise (Balle et al. 2017).
    """
    index = index.clamp(0, SCALES - 1)
    index = index + (torch.floor(index) - index).detach()
    scale = scale_of(index)
    r = v - mu
    rounded = torch.round(r.detach()) * (index.detach() > 0)  # index 0 means zero, uncoded
    hard = logistic_bits(rounded, scale)
    noisy = logistic_bits(r + torch.rand_like(r) - 0.5, scale.detach().clamp(min=NOISE_SCALE_MIN))
    return r + (rounded - r).detach() + mu, hard.detach(), hard + noisy - noisy.detach()


def logistic_bits(r: Tensor, scale: Tensor) -> Tensor:
    """-log2 of a logistic density's mass on [r - 1/2, r + 1/2]."""
    a = r.abs()
    p = torch.sigmoid((0.5 - a) / scale) - torch.sigmoid((-0.5 - a) / scale)
    # beyond float32's reach the mass falls off exponentially: continue the line so that gradients stay alive
    tail = ((a - 0.5) / scale).clamp(min=0)
    return torch.where(p > 1e-5, -torch.log2(p.clamp(min=1e-5)), (tail / math.log(2)).clamp(min=16.6))
