"""What each stage of training optimises, and how the network is judged on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError, UsageError
from ..metrics.ms_ssim import MINIMUM_SIDE, ms_ssim
from ..model.entropy_nets import Coded
from .data import Crops, load_folder
from .losses import (
    Adversary,
    Balance,
    block_colour_loss,
    patch_periodic_loss,
    random_paired_crop,
)
from .network import Network, lagrange_lambda

CHECK_QUALITIES = (5, 20, 40, 60)
CHECK_THRESHOLD = 0.75
"""Energy beyond the coarse latents from which on a patch is visible in checks: near the rate-distortion choice."""
FLOOR = 1e-3
"""The least that a scale of MS-SSIM counts as: at 0 its gradient would be infinite."""
COMMON = 75
"""Four of five pictures are drawn at qualities up to this one: the rates that the codec is made for."""

Numbers = dict[str, float]


def draw_quality(count: int, device: str) -> Tensor:
    """Random integer qualities (count,) over the whole range, most of them below ``COMMON``."""
    top = torch.where(torch.rand(count, device=device) < 0.8, COMMON, 100)
    return (torch.rand(count, device=device) * (top + 1)).floor()


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared error per picture (B,)."""
    return (a - b).square().flatten(1).mean(1)


def psnr(error: Tensor) -> float:
    """Mean over pictures, from squared errors (B,)."""
    return float(-10 * error.detach().clamp(min=1e-8).log10().mean())


@dataclass(frozen=True)
class Fidelity:
    """Weights of the loss of the decoder for least error; lambda is the quality's Lagrangian weight.

    The loss is ``error`` sqrt(lambda) MSE + lambda^(1/4) (``structure`` (1 - MS-SSIM) + ``colour`` C), beside bits per
    pixel over sqrt(lambda); C is :func:`.losses.block_colour_loss`.
    """

    error: float = 0.42
    structure: float = 0.07
    colour: float = 2.0

    def __call__(self, x_hat: Tensor, x: Tensor, quality: Tensor) -> tuple[Tensor, Numbers]:
        """Loss of decoded pictures (B,), and numbers for the log."""
        root = lagrange_lambda(quality).sqrt()
        error = squared_error(x, x_hat)
        loss, numbers = self.error * root * error, {"psnr": psnr(error)}
        if self.structure:
            similarity = ms_ssim(x_hat, x, FLOOR)
            loss = loss + self.structure * root.sqrt() * (1 - similarity)
            numbers["msssim"] = float(similarity.detach().mean())
        if self.colour:
            colour = block_colour_loss(x_hat, x)
            loss = loss + self.colour * root.sqrt() * colour
            numbers["colour"] = 1e4 * float(colour.detach().mean())
        return loss, numbers


@dataclass
class Perceptual:
    """Weights of the loss of the decoder for the best look.

    Attributes:
        lpips: LPIPS (Zhang et al. 2018), weight 1.
        reach: LPIPS sees crops at random offsets below this.
        error: weight of squared error beside LPIPS.
        periodic: weight of the error that repeats from patch to patch.
        colour: weight of :func:`.losses.block_colour_loss`.
        structure: weight of 1 - MS-SSIM.
        features: another judge, :class:`.features.FeatureDistance`, or None: the latter half of a batch is judged by
            it and not by LPIPS, so that nothing is learned that one network alone likes.
        features_weight: its weight, at which its gradient is about as long as that of LPIPS.
        adversary: discriminator, or None.
        adversary_weight: how strongly it pulls, as a share of how LPIPS and squared error pull.
    """

    lpips: nn.Module
    reach: int = 16
    error: float = 3.0
    periodic: float = 60.0
    colour: float = 40.0
    structure: float = 0.0
    features: nn.Module | None = None
    features_weight: float = 0.4
    adversary: Adversary | None = None
    adversary_weight: float = 0.1
    low_precision: bool = False
    balance: Balance = field(init=False)

    def __post_init__(self) -> None:
        """Start the balance of gradients."""
        self.balance = Balance(self.adversary_weight)

    def __call__(self, x_hat: Tensor, x: Tensor, quality: Tensor) -> tuple[Tensor, Numbers]:
        """Loss of decoded pictures (B,), and numbers for the log."""
        mine = self.balance.leading(x_hat) if self.adversary is not None else x_hat
        error = squared_error(x, mine)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.low_precision):
            distance, numbers = self._distance(*random_paired_crop(self.reach, mine, x))
        loss, numbers = self.error * error + distance, {"psnr2": psnr(error), **numbers}
        if self.periodic:
            loss = loss + self.periodic * patch_periodic_loss(x_hat - x)
        if self.colour:
            loss = loss + self.colour * block_colour_loss(x_hat, x)
        if self.structure:
            loss = loss + self.structure * (1 - ms_ssim(x_hat, x, FLOOR))
        if self.adversary is not None:
            numbers["adversary"] = self.adversary.discriminator_step(x, x_hat)
            loss = loss + self.adversary.generator_loss(self.balance.following(x_hat), x)
        return loss, numbers

    def _distance(self, x_hat: Tensor, x: Tensor) -> tuple[Tensor, Numbers]:
        """What networks see of a difference (B,), and numbers for the log."""
        if self.features is None or len(x) < 2:  # nothing to divide
            distance = self.lpips(x_hat, x)
            return distance, {"lpips2": float(distance.detach().mean())}
        n = -(-len(x) // 2)
        first, second = self.lpips(x_hat[:n], x[:n]), self.features(x_hat[n:], x[n:])
        numbers = {"lpips2": float(first.detach().mean()), "features2": float(second.detach().mean())}
        return torch.cat([first, self.features_weight * second]), numbers


class Stage:
    """A part of the training: which parameters learn, and the loss of a batch."""

    name = "stage"

    def __init__(self, crops: Crops, batch: int, device: str) -> None:
        self.crops, self.batch, self.device = crops, batch, device

    def trained(self, network: Network) -> dict[str, nn.Parameter]:
        """The parameters that learn, by name."""
        return dict(network.named_parameters())

    def __call__(self, network: Network) -> tuple[Tensor, Numbers]:
        """Loss of one batch, and numbers for the log."""
        raise NotImplementedError

    def draw(self) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, H, W) and qualities (B,)."""
        return self.crops.batch(self.batch, self.device), draw_quality(self.batch, self.device)


def rate_loss(coded: Coded, x: Tensor, quality: Tensor) -> tuple[Tensor, Numbers]:
    """Bits per pixel of pictures x over the root of lambda (B,), and by section for the log."""
    area = x.shape[2] * x.shape[3]
    sections = {k: float(v.detach().mean()) / area for k, v in coded.bits.items()}
    return coded.loss_bits / area / lagrange_lambda(quality).sqrt(), sections


class EntropyOnly(Stage):
    """The entropy networks alone, transforms frozen: a short start after growing."""

    name = "entropy"

    def trained(self, network: Network) -> dict[str, nn.Parameter]:
        """Everything in the entropy networks."""
        return {k: p for k, p in network.named_parameters() if k.startswith("entropy.")}

    def __call__(self, network: Network) -> tuple[Tensor, Numbers]:
        """Loss of one batch, and numbers for the log."""
        x, quality = self.draw()
        _, coded = network.code(x, quality)
        loss, numbers = rate_loss(coded, x, quality)
        return loss.mean(), numbers


class Joint(Stage):
    """Bits plus what the pictures lack, everything learns; two decoders share the stream.

    Some pictures of every batch are painted by the first decoder and judged by ``fidelity``, the others by the second
    and judged by ``perceptual``; bits are counted for all of them. Every picture is painted once that way, and the
    stream serves both decoders.
    """

    name = "joint"

    def __init__(
        self, crops: Crops, batch: int, device: str, fidelity: Fidelity, perceptual: Perceptual | None = None,
        perceptual_weight: float = 0.04, second: int = 0,
    ) -> None:  # fmt: skip
        """``perceptual_weight``, times lambda^(1/4), weighs the second decoder's loss; ``second`` of a batch are its.

        0 means half of the batch.
        """
        super().__init__(crops, batch, device)
        self.fidelity, self.perceptual, self.perceptual_weight = fidelity, perceptual, perceptual_weight
        self.first = batch if perceptual is None else batch - (second or batch // 2)
        if not self.first > 0 or (perceptual is not None and self.first >= batch):
            raise UsageError("training with two decoders needs a picture for each", "give --batch 8, say")

    def __call__(self, network: Network) -> tuple[Tensor, Numbers]:
        """Loss of one batch, and numbers for the log."""
        x, quality = self.draw()
        seen, coded = network.code(x, quality)
        n = self.first
        rate, sections = rate_loss(coded, x, quality)
        lacking, numbers = self.fidelity(network.paint(seen[:n]), x[:n], quality[:n])
        loss = rate.mean() + lacking.mean()
        if self.perceptual is not None:
            painted = network.paint(seen[n:], network.second_decoder)
            dislike, more = self.perceptual(painted, x[n:], quality[n:])
            loss = loss + self.perceptual_weight * (dislike * lagrange_lambda(quality[n:]).sqrt().sqrt()).mean()
            numbers |= more
        return loss, {"visible": float(seen.mask.float().mean()), **numbers, **sections}


class ForOneDecoder(Stage):
    """The analysis and one decoder for the best pictures at a rate; entropy networks and gains are frozen.

    Files keep their meaning: whatever was written before stays readable.
    """

    name = "analysis"

    def __init__(
        self, crops: Crops, batch: int, device: str, judge: Fidelity | Perceptual, perceptual_weight: float
    ) -> None:
        """``Perceptual`` judges the second decoder; ``perceptual_weight``, times lambda^(1/4), weighs its loss."""
        super().__init__(crops, batch, device)
        self.judge, self.perceptual_weight, self.second = judge, perceptual_weight, isinstance(judge, Perceptual)

    def trained(self, network: Network) -> dict[str, nn.Parameter]:
        """The analysis but for its gains, and the decoder."""
        rooms = ("analysis.", "second_decoder." if self.second else "synthesis.")
        return {k: p for k, p in network.named_parameters() if k.startswith(rooms) and not k.endswith("log_gain")}

    def __call__(self, network: Network) -> tuple[Tensor, Numbers]:
        """Loss of one batch, and numbers for the log."""
        x, quality = self.draw()
        seen, coded = network.code(x, quality)
        rate, sections = rate_loss(coded, x, quality)
        painted = network.paint(seen, network.second_decoder if self.second else None)
        lacking, numbers = self.judge(painted, x, quality)
        if self.second:
            lacking = self.perceptual_weight * lagrange_lambda(quality).sqrt().sqrt() * lacking
        return (rate + lacking).mean(), {"visible": float(seen.mask.float().mean()), **numbers, **sections}


class Check:
    """Bits (estimated), PSNR, MS-SSIM, LPIPS and colour on validation pictures at fixed qualities.

    Once with all patches visible, once (names that end in ``m``) with those above an energy threshold. LPIPS is that
    of the second decoder where there is one.
    """

    def __init__(self, folder: Path, count: int, device: str, lpips: nn.Module | None = None) -> None:
        found = load_folder(folder)
        found = found[:: max(1, len(found) // count)][:count]
        if len({picture.shape for picture in found}) != 1:
            raise InputError(f"{folder} needs validation pictures of one size", "crop them all to 256x256, say")
        self.x = torch.from_numpy(np.stack(found)).to(device).permute(0, 3, 1, 2).float() / 255
        self.lpips = lpips

    @torch.no_grad()
    def __call__(self, network: Network) -> Numbers:
        """Numbers such as ``bpp20`` and ``psnr20``; ``cost``, lower is better, sums rate and error over them."""
        low, network.low_precision = network.low_precision, False
        out: Numbers = {}
        cost = 0.0
        for q in CHECK_QUALITIES:
            for suffix, mask in (("", -1.0), ("m", CHECK_THRESHOLD)):
                rows = [self._row(network, x, q, mask) for x in torch.split(self.x, 6)]
                names = rows[0].keys()
                means = {k: float(torch.cat([row[k] for row in rows]).mean()) for k in names}
                lam = float(lagrange_lambda(torch.tensor(q)))
                error = means.pop("error")
                cost += (means["bpp"] + lam * error) / math.sqrt(lam) / 2
                out |= {f"{k}{q}{suffix}": round(v, 5) for k, v in means.items()}
        network.low_precision = low
        return {"cost": round(cost, 5), **out}

    def _row(self, network: Network, x: Tensor, q: int, mask: float) -> dict[str, Tensor]:
        """Numbers (B,) of some pictures."""
        seen, coded = network.code(x, torch.full((len(x),), q, device=x.device), mask)
        x_hat = network.paint(seen).clamp(0, 1)
        second = x_hat
        if network.second_decoder is not None:
            second = network.paint(seen, network.second_decoder).clamp(0, 1)
        error = squared_error(x, x_hat)
        area = x.shape[2] * x.shape[3]
        row = {"bpp": sum(coded.bits.values(), torch.zeros_like(error)) / area, "psnr": -10 * error.log10(),
               "error": error, "colour": 1e4 * block_colour_loss(second, x)}  # fmt: skip
        if min(x.shape[2:]) >= MINIMUM_SIDE:
            row["msssim"] = ms_ssim(x_hat, x, FLOOR)
        if self.lpips is not None:
            row["lpips"] = self.lpips(second, x)
        if mask > 0:
            row["visible"] = seen.mask.float().mean((1, 2))
            row["maskbpp"] = coded.bits["mask"] / area
        else:
            row["coarse"] = coded.bits["coarse"] / area
        return row
