"""The differentiable form of the entropy model: the integer networks of ``mcmcodec.entropy``, with gradients.

Training and the refinement of latents use it. No decoder does: it computes in floating point. Everything is in real
units, but every value lies on the grid of the integers (activations in 1/64, weights in 1/4096, floor after each
layer), and rounding passes gradients straight through. :func:`integers` and :func:`from_integers` convert between the
two forms.

The order of the stream: hyper-latent z, coarse latents, mask, fine latents of visible patches. The coarse latents say
what to expect of every patch, by a linear prediction from 3x3 cells, which is an input of the later networks. A hidden
patch has the means that the networks predict: it is a patch all of whose symbols are zero, and costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..entropy.fixed_point import (
    ACT_BITS,
    ACT_MAX,
    FACTOR_BITS,
    INPUT_MAX,
    MASK_CENTRE,
    PARITIES,
    REAL_BITS,
    SCALES,
    WEIGHT_BITS,
    WEIGHT_MAX,
    scale_of,
)
from .config import COARSE, HYPER, KNOTS, ModelConfig

Arrays = dict[str, NDArray[Any]]
UNIT = 1.0 / (1 << ACT_BITS)
NOISE_SCALE_MIN = 0.12
HIGH = ACT_MAX * UNIT
IN_HIGH = INPUT_MAX * UNIT
REAL_HIGH, REAL_IN_HIGH = ACT_MAX / (1 << REAL_BITS), INPUT_MAX / (1 << REAL_BITS)
BIAS_BITS = ACT_BITS + WEIGHT_BITS
Quantizer = Callable[[Tensor, Tensor, Tensor, "Tensor | None"], tuple[Tensor, Tensor, Tensor]]
"""What :func:`code` is: values, means, table indices and, if any, lambda of RDOQ; to dequantised values and bits."""
ON_WEIGHT_GRID = (".context", ".current", "weight1", "weight2", "weight3", "offset_weight", "expect_weight")
"""Ends of the names of parameters that are weights; the others are biases."""


def snap(x: Tensor, bits: int) -> Tensor:
    """Round to multiples of 2**-bits, straight-through gradient."""
    step = float(1 << bits)
    return torch.round(x.detach() * step) / step + (x - x.detach())


def floor(x: Tensor, bits: int) -> Tensor:
    """Round down to multiples of 2**-bits, straight-through gradient."""
    step = float(1 << bits)
    return torch.floor(x.detach() * step) / step + (x - x.detach())


def settle(x: Tensor, low: float, high: float) -> Tensor:
    """Floor to the activation grid and clamp, as the integer networks do after each layer."""
    return floor(x, ACT_BITS).clamp(low, high)


def weight(w: Tensor) -> Tensor:
    """Weights on their integer grid."""
    return snap(w, WEIGHT_BITS).clamp(-WEIGHT_MAX / (1 << WEIGHT_BITS), WEIGHT_MAX / (1 << WEIGHT_BITS))


class ContextNet(nn.Module):
    """One slice: 3x3 context of what is known, 3x3 of the slice's own earlier passes, two pointwise layers.

    Args:
        inputs: channels known before the slice.
        current: channels of the slice itself, and what is expected of them.
        outputs: what is predicted per position.
        hidden: width.
    """

    def __init__(self, inputs: int, current: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.context = nn.Parameter(torch.randn(hidden, inputs, 3, 3) * math.sqrt(1 / (9 * inputs)))
        self.current = nn.Parameter(torch.randn(3, hidden, current, 3, 3) * math.sqrt(0.3 / (9 * current)))
        self.bias1 = nn.Parameter(torch.zeros(KNOTS, hidden))
        self.bias_pass = nn.Parameter(torch.zeros(4, hidden))
        self.weight2 = nn.Parameter(torch.randn(hidden, hidden) * math.sqrt(2 / hidden))
        self.bias2 = nn.Parameter(torch.zeros(hidden))
        self.weight3 = nn.Parameter(torch.randn(outputs, hidden) * 0.02)
        self.bias3 = nn.Parameter(torch.zeros(KNOTS, outputs))

    def shared(self, u: Tensor) -> Tensor:
        """What all passes share: (B, inputs, h, w) to (B, hidden, h, w)."""
        return F.conv2d(u, weight(self.context), padding=1)

    def at(self, number: int, shared: Tensor, current: Tensor, weights: Tensor) -> Tensor:
        """Raw outputs at the positions of pass ``number``: (B, h/2, w/2, outputs)."""
        i, j = PARITIES[number]
        u = shared[:, :, i::2, j::2]
        if number:
            u = u + F.conv2d(F.pad(current, (1, 1, 1, 1))[:, :, i:, j:], weight(self.current[number - 1]), stride=2)
        u = u.permute(0, 2, 3, 1) + (weights @ self.bias1 + self.bias_pass[number])[:, None, None, :]
        u = settle(u, 0, HIGH)
        u = settle(F.linear(u, weight(self.weight2), self.bias2), 0, HIGH)
        u = F.linear(u, weight(self.weight3)) + (weights @ self.bias3)[:, None, None, :]
        return settle(u, -HIGH, HIGH)


@dataclass
class Coarse:
    """What is known once hyper-latent and coarse latents are decoded.

    Attributes:
        psi: hyper-decoder features (B, h, w, features).
        expected: what the coarse latents say of every patch's first latents, in units of gained fine latents
            (B, h, w, expected).
        smooth: the same of coarse latents before quantisation: what a smooth picture would have there.
        bits: honest bits of the rounded symbols by section, (B,) each.
        loss_bits: their sum with useful gradients (B,).
    """

    psi: Tensor
    expected: Tensor
    smooth: Tensor
    bits: dict[str, Tensor]
    loss_bits: Tensor


@dataclass
class Coded:
    """What the entropy model makes of a batch: bits per picture by section, and the decoder's view of y."""

    v_hat: Tensor  # (B, h, w, latents)
    psi: Tensor  # (B, h, w, features)
    bits: dict[str, Tensor]  # honest bits of the rounded symbols, (B,)
    loss_bits: Tensor  # the same sum, with useful gradients, (B,)


class EntropyNets(nn.Module):
    """Hyper-decoder, one context network per coarse slice, mask network, one context network per fine slice."""

    quantize: Quantizer

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.quantize = code  # refinement puts another one in its place
        f, c, e = config.features, config.coarse, config.expected
        cells = HYPER * HYPER
        self.hyper_loc = nn.Parameter(torch.zeros(KNOTS, config.hyper))
        self.hyper_index = nn.Parameter(torch.full((KNOTS, config.hyper), 0.5))
        self.hyper_weight1 = nn.Parameter(torch.randn(64, config.hyper, 3, 3) * math.sqrt(2 / (9 * config.hyper)))
        self.hyper_bias1 = nn.Parameter(torch.zeros(KNOTS, 64))
        self.hyper_weight2 = nn.Parameter(torch.randn(cells * f, 64) * math.sqrt(1 / 64))
        self.hyper_bias2 = nn.Parameter(torch.zeros(cells * f))
        if c:
            self.hyper_weight3 = nn.Parameter(torch.randn(cells // COARSE**2 * f, 64) * math.sqrt(1 / 64))
            self.hyper_bias3 = nn.Parameter(torch.zeros(cells // COARSE**2 * f))
        nets, known = [], f
        for channels in config.coarse_slices:
            nets.append(ContextNet(known, channels, 2 * channels, config.coarse_context))
            known += channels
        self.coarse_slices = nn.ModuleList(nets)
        if c:
            # from 3x3 cells to the first latents of a cell's patches, in real units
            self.expect_weight = nn.Parameter(torch.zeros(COARSE * COARSE * e, c, 3, 3))
            self.expect_bias = nn.Parameter(torch.zeros(COARSE * COARSE * e))
            # how much of the expected value a fine mean starts from, beside what its network says
            self.offset_weight = nn.Parameter(torch.ones(e))
        self.mask = ContextNet(f + e + config.base + 1, 1, 1, config.context)
        nets, known = [], f + e
        for k, channels in enumerate(config.slices):
            both = channels * (1 + (k < config.expected_slices))
            nets.append(ContextNet(known + (k >= config.base_slices), both, 2 * channels, config.context))
            known += channels
        self.slices = nn.ModuleList(nets)

    def hyper(self, z: Tensor, weights: Tensor, h: int, w: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantise z (B, zh, zw, hyper): psi (B, h, w, features), psi of the coarse cells, bits and loss bits (B,)."""
        loc = snap(weights @ self.hyper_loc, ACT_BITS)[:, None, None, :]
        index = (weights @ self.hyper_index * 16)[:, None, None, :].expand_as(z)
        z_hat, hard, soft = self.quantize(z, loc.expand_as(z), index, None)
        u = F.conv2d(z_hat.permute(0, 3, 1, 2).clamp(-IN_HIGH, IN_HIGH), weight(self.hyper_weight1), padding=1)
        u = settle(u.permute(0, 2, 3, 1) + (weights @ self.hyper_bias1)[:, None, None, :], 0, HIGH)
        fine = settle(F.linear(u, weight(self.hyper_weight2), self.hyper_bias2), -HIGH, HIGH)
        psi = spread(fine, HYPER)[:, :h, :w]
        if not self.config.coarse:
            return psi, psi[:, ::COARSE, ::COARSE, :0], total(hard), total(soft)
        coarse = settle(F.linear(u, weight(self.hyper_weight3), self.hyper_bias3), -HIGH, HIGH)
        psi_coarse = spread(coarse, HYPER // COARSE)[:, : -(-h // COARSE), : -(-w // COARSE)]
        return psi, psi_coarse, total(hard), total(soft)

    def features(self, z_hat: Tensor, weights: Tensor, h: int, w: int) -> Tensor:
        """Psi (B, h, w, features) of a hyper-latent z_hat (B, zh, zw, hyper) that is not quantised further."""
        u = F.conv2d(z_hat.permute(0, 3, 1, 2).clamp(-IN_HIGH, IN_HIGH), weight(self.hyper_weight1), padding=1)
        u = settle(u.permute(0, 2, 3, 1) + (weights @ self.hyper_bias1)[:, None, None, :], 0, HIGH)
        return spread(settle(F.linear(u, weight(self.hyper_weight2), self.hyper_bias2), -HIGH, HIGH), HYPER)[:, :h, :w]

    def code_coarse(
        self, c: Tensor, z: Tensor, coarse_gain: Tensor, gain: Tensor, weights: Tensor, h: int, w: int,
        rdoq_lambda: Tensor | None = None,
    ) -> Coarse:  # fmt: skip
        """Code hyper-latent and coarse latents of a batch.

        Args:
            c: gained coarse latents (B, h/2, w/2, coarse); h and w multiples of 4.
            z: hyper-latent (B, h/4, w/4, hyper).
            coarse_gain: gains of the coarse latents (B, coarse).
            gain: gains of the fine latents (B, latents).
            weights: quality interpolation weights (B, 6).
            h: rows of patches.
            w: columns of patches.
            rdoq_lambda: squared error of gained coarse latents that a bit is worth (B, coarse); None rounds to nearest.
        """
        psi, known, hard, loss = self.hyper(z, weights, h, w)
        bits = {"hyper": hard, "coarse": torch.zeros_like(hard)}
        if not self.config.coarse:
            nothing = psi[..., :0]
            return Coarse(psi, nothing, nothing, bits, loss)
        every = torch.ones_like(c[..., :1])
        start, decoded = 0, []
        for net, channels in zip(self.coarse_slices, self.config.coarse_slices, strict=True):
            part = slice(start, start + channels)
            worth = None if rdoq_lambda is None else rdoq_lambda[:, None, None, part]
            here, hard, soft = self._slice(net, known, c[..., part], every, None, weights, worth)
            known = torch.cat([known, here], -1)
            decoded.append(here)
            bits["coarse"] = bits["coarse"] + hard
            loss = loss + soft
            start += channels
        expected = self.expect(torch.cat(decoded, -1), coarse_gain, gain)[:, :h, :w]
        with torch.no_grad():
            smooth = self.expect(c, coarse_gain, gain)[:, :h, :w]
        return Coarse(psi, expected, smooth, bits, loss)

    def expect(self, c_hat: Tensor, coarse_gain: Tensor, gain: Tensor) -> Tensor:
        """What coarse latents (B, zh, zw, coarse) in gained units say of patches: (B, 2 zh, 2 zw, expected)."""
        unit = snap(1 / coarse_gain, REAL_BITS + FACTOR_BITS - ACT_BITS)[:, None, None, :]
        u = floor(c_hat * unit, REAL_BITS).clamp(-REAL_IN_HIGH, REAL_IN_HIGH)
        u = F.pad(u.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate")
        u = F.conv2d(u, weight(self.expect_weight), self.expect_bias).permute(0, 2, 3, 1)
        u = spread(floor(u, REAL_BITS).clamp(-REAL_HIGH, REAL_HIGH), COARSE)
        factor = snap(gain[:, : self.config.expected], FACTOR_BITS + ACT_BITS - REAL_BITS)[:, None, None, :]
        return settle(u * factor, -IN_HIGH, IN_HIGH)

    def forward(
        self, v: Tensor, mask: Tensor, coarse: Coarse, weights: Tensor, rdoq_lambda: Tensor | None = None
    ) -> Coded:
        """Code mask and fine latents of a batch.

        Args:
            v: gained latents (B, h, w, latents), h and w even.
            mask: visible patches (B, h, w) bool.
            coarse: what was coded before.
            weights: quality interpolation weights (B, 6).
            rdoq_lambda: squared error of gained latents that a bit is worth (B, latents); None rounds to nearest.
        """
        visible = mask[..., None].to(v.dtype)
        every = torch.ones_like(visible)
        bits, loss = dict(coarse.bits), coarse.loss_bits
        bits |= {"base": torch.zeros_like(loss), "fine": torch.zeros_like(loss)}
        offset = coarse.expected
        if self.config.expected:
            offset = settle(coarse.expected * snap(self.offset_weight, WEIGHT_BITS), -IN_HIGH, IN_HIGH)
        known = torch.cat([coarse.psi, coarse.expected], -1)
        start, decoded = 0, []
        for k, (net, channels) in enumerate(zip(self.slices, self.config.slices, strict=True)):
            if k == self.config.base_slices:
                bits["mask"] = self._mask_cost(known, mask, visible, weights)
                loss = loss + bits["mask"]
                known = torch.cat([known, visible], -1)
            part = slice(start, start + channels)
            given = (offset[..., part], coarse.expected[..., part]) if start < self.config.expected else None
            rdoq = None if rdoq_lambda is None else rdoq_lambda[:, None, None, part]
            part_name, shown = ("fine", visible) if k >= self.config.base_slices else ("base", every)
            here, hard, soft = self._slice(net, known, v[..., part], shown, given, weights, rdoq)
            known = torch.cat([known, here], -1)
            decoded.append(here)
            bits[part_name] = bits[part_name] + hard
            loss = loss + soft
            start += channels
        return Coded(torch.cat(decoded, -1), coarse.psi, bits, loss)

    def _slice(
        self, net: nn.Module, known: Tensor, target: Tensor, visible: Tensor, given: tuple[Tensor, Tensor] | None,
        weights: Tensor, rdoq_lambda: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Code one slice in four passes.

        Args:
            net: its context network.
            known: what is known before (B, h, w, inputs).
            target: its gained latents (B, h, w, channels).
            visible: (B, h, w, 1) of 0 and 1.
            given: what is added to the network's means, and what is expected, (B, h, w, channels) each.
            weights: quality interpolation weights (B, 6).
            rdoq_lambda: see :meth:`forward`, (B, 1, 1, channels).

        Returns:
            Dequantised latents (B, h, w, channels), bits and loss bits (B,).
        """
        assert isinstance(net, ContextNet)
        channels = target.shape[-1]
        shared = net.shared(known.permute(0, 3, 1, 2).clamp(-HIGH, HIGH))
        current = torch.zeros_like(target)
        bits = loss = target.new_zeros(len(target))
        filled = torch.zeros_like(visible)
        for number, (i, j) in enumerate(PARITIES):
            seen = current if given is None else torch.cat([current, given[1] * filled], -1)
            out = net.at(number, shared, seen.permute(0, 3, 1, 2).clamp(-IN_HIGH, IN_HIGH), weights)
            mu, index = out[..., :channels], out[..., channels:] * 4 + 24
            if given is not None:
                mu = mu + given[0][:, i::2, j::2]
            place = visible[:, i::2, j::2]
            mu = mu.clamp(-IN_HIGH, IN_HIGH)
            v_hat, hard, soft = self.quantize(target[:, i::2, j::2], mu, index, rdoq_lambda)
            bits = bits + total(hard * place)
            loss = loss + total(soft * place)
            v_hat = torch.where(place > 0, v_hat, mu)
            current, filled = current.clone(), filled.clone()
            current[:, i::2, j::2] = v_hat
            filled[:, i::2, j::2] = 1
        return current, bits, loss

    def _mask_cost(self, known: Tensor, mask: Tensor, visible: Tensor, weights: Tensor) -> Tensor:
        """Bits (B,) of the mask, none where all patches are visible, or none are."""
        keep = visible.mean((1, 2, 3))
        level = (torch.round(keep * 255) * UNIT)[:, None, None, None].expand_as(visible)
        cost = self.mask_bits(torch.cat([known, level], -1), mask, weights)
        return cost * ((keep < 1) & (keep > 0))

    def mask_bits(self, u: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
        """Bits (B,) of the visible set, four passes, conditioned on hyper-latent and coarse latents."""
        shared = self.mask.shared(u.permute(0, 3, 1, 2).clamp(-HIGH, HIGH))
        signs = mask[..., None].to(u.dtype) * 2 - 1
        current = torch.zeros_like(signs)
        cost = u.new_zeros(u.shape[0])
        for number, (i, j) in enumerate(PARITIES):
            out = self.mask.at(number, shared, current.permute(0, 3, 1, 2), weights)
            index = (out * 4).clamp(-MASK_CENTRE, MASK_CENTRE - 1)
            logit = (index + (torch.floor(index) - index).detach() + 0.5) / 4
            cost = cost + total(F.softplus(-logit * signs[:, i::2, j::2]) / math.log(2))
            current = current.clone()
            current[:, i::2, j::2] = signs[:, i::2, j::2]
        return cost


def spread(u: Tensor, side: int) -> Tensor:
    """Cells (B, zh, zw, side * side * C) to positions (B, zh * side, zw * side, C)."""
    b, zh, zw, _ = u.shape
    u = u.view(b, zh, zw, side, side, -1).permute(0, 1, 3, 2, 4, 5)
    return u.reshape(b, zh * side, zw * side, -1)


def total(x: Tensor) -> Tensor:
    """Sum per picture."""
    return x.flatten(1).sum(1)


def code(v: Tensor, mu: Tensor, index: Tensor, rdoq_lambda: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Quantise around mu and count bits; with ``rdoq_lambda`` a symbol nearer to zero is taken where it pays.

    Returns v_hat (rounded, straight-through), the bits of the rounded symbol, and the same bits with two useful
    gradients: to the scale from the rounded symbol, to v and mu from the symbol with uniform noise (Balle et al. 2017).
    """
    index = index.clamp(0, SCALES - 1)
    index = index + (torch.floor(index) - index).detach()
    scale = scale_of(index)
    r = v - mu
    rounded = torch.round(r.detach()) * (index.detach() > 0)  # index 0 means zero, uncoded
    hard = logistic_bits(rounded, scale)
    if rdoq_lambda is not None:
        with torch.no_grad():
            lower = rounded - rounded.sign()
            fewer = logistic_bits(lower, scale)
            pays = (r - lower).square() - (r - rounded).square() < rdoq_lambda * (hard - fewer)
            rounded = torch.where(pays, lower, rounded)
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


def key_of(parameter: str) -> str:
    """Name in the file of a parameter of :class:`EntropyNets`: ``hyper_loc`` is ``hyper.loc``, others keep theirs."""
    return parameter.replace("hyper_", "hyper.", 1)


def bits_of(parameter: str) -> int:
    """Fractional bits of a parameter's integers: biases lie on the grid of the sums, weights on a coarser one."""
    if parameter == "expect_bias":
        return REAL_BITS + WEIGHT_BITS
    return WEIGHT_BITS if parameter.endswith(ON_WEIGHT_GRID) else BIAS_BITS


def integers(nets: EntropyNets) -> Arrays:
    """The parameters as the integers that the codec computes with, by their names in the file.

    The factors ``expect_from`` and ``expect_to``, the tables and ``mask.p1`` are not parameters and not among them.
    """
    arrays: Arrays = {}
    for name, values in nets.named_parameters():
        bits = bits_of(name)
        scaled = np.rint(values.detach().cpu().double().numpy() * (1 << bits))
        if bits == WEIGHT_BITS:
            arrays[key_of(name)] = np.clip(scaled, -WEIGHT_MAX, WEIGHT_MAX).astype(np.int16)
        else:
            arrays[key_of(name)] = scaled.astype(np.int32)
    return arrays


def from_integers(config: ModelConfig, arrays: Mapping[str, NDArray[Any]]) -> EntropyNets:
    """The networks of frozen integers, in float32.

    Args:
        config: sizes of the model.
        arrays: tensors of the stream model, by their names in its file (``entropy.*`` with that prefix).

    Raises:
        KeyError: a tensor is missing.
        RuntimeError: a tensor has another shape.
    """
    nets = EntropyNets(config)
    state = {}
    for name, _ in nets.named_parameters():
        values = arrays[f"entropy.{key_of(name)}"].astype(np.float64) / (1 << bits_of(name))
        state[name] = torch.from_numpy(values).float()
    nets.load_state_dict(state)
    return nets
