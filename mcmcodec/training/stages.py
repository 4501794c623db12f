"""Stage: what each training stage optimises and how it is judged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from .data import Crops, load_folder
from .entropy import Coded
from .losses import SMALLEST, Adversary, Balance, lattice, ms_ssim, nudged
from .network import Network, trade

CHECK_QUALITIES = (10, 30, 50, 70, 90)


COMMON = 75
"""Four of five pictures are drawn at qualities up to this one: the rates that the codec is made for."""


def draw_quality(count: int, device: str) -> Tensor:
    """Random integer qualities (count,) over the whole ladder, most of them below ``COMMON``."""
    top = torch.where(torch.rand(count, device=device) < 0.8, COMMON, 100)
    return (torch.rand(count, device=device) * (top + 1)).floor()


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared error per picture (B,)."""
    return (a - b).square().flatten(1).mean(1)


class MaskedImageModelling:
    """Stage 1: paint the picture from noisy visible tokens; no bits are counted (He et al. 2022)."""

    name = "mim"

    def __init__(self, crops: Crops, batch: int, device: str) -> None:
        self.crops, self.batch, self.device = crops, batch, device

    def trained(self, network: Network) -> list[Tensor]:
        """All weights that this stage reaches."""
        frozen = {id(p) for p in [*network.entropy.slices.parameters(), *network.entropy.mask.parameters()]}
        frozen |= {
            id(network.entropy.hyper_loc),
            id(network.entropy.hyper_index),
            id(network.analysis.log_gain),
        }
        return [p for p in network.parameters() if id(p) not in frozen]

    def __call__(self, network: nn.Module, number: int) -> tuple[Tensor, dict[str, float]]:
        """One batch."""
        x = self.crops.batch(self.batch, self.device)
        quality = draw_quality(self.batch, self.device)
        x_hat, _ = network(x, quality, rate=False)
        error = squared_error(x, x_hat)
        return (error * trade(quality).sqrt()).mean(), {"psnr": psnr(error)}


class RateDistortion(MaskedImageModelling):
    """Stage 2: bits plus lambda times squared error, at random qualities and masks, integer networks in the loop."""

    name = "joint"

    def __init__(self, crops: Crops, batch: int, device: str, structure: float = 0.0, share: float = 1.0) -> None:
        """``structure`` weighs 1 - MS-SSIM, times the fourth root of lambda; ``share`` is what squared error keeps."""
        super().__init__(crops, batch, device)
        self.structure, self.share = structure, share

    def trained(self, network: Network) -> list[Tensor]:
        """Everything."""
        return list(network.parameters())

    def __call__(self, network: nn.Module, number: int) -> tuple[Tensor, dict[str, float]]:
        """One batch."""
        x = self.crops.batch(self.batch, self.device)
        quality = draw_quality(self.batch, self.device)
        x_hat, coded = network(x, quality)
        rate, sections = self.rate(coded, x, quality)
        lacking, numbers = self.distortion(x_hat, x, quality)
        return rate + lacking, numbers | sections

    @staticmethod
    def rate(coded: Coded, x: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Mean bits per pixel of pictures x over the root of lambda, and by section for the log."""
        area = x.shape[2] * x.shape[3]
        sections = {k: float(v.detach().mean()) / area for k, v in coded.bits.items()}
        return (coded.loss_bits / area / trade(quality).sqrt()).mean(), sections

    def distortion(self, x_hat: Tensor, x: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, float]]:
        """What decoded pictures lack, weighed against :meth:`rate`, and numbers for the log."""
        error, weight = squared_error(x, x_hat), trade(quality).sqrt()
        loss, numbers = self.share * weight * error, {"psnr": psnr(error)}
        if self.structure:
            similarity = ms_ssim(x_hat, x)
            loss = loss + self.structure * weight.sqrt() * (1 - similarity)
            numbers["msssim"] = float(similarity.detach().mean())
        return loss.mean(), numbers


@dataclass(frozen=True)
class Judges:
    """What a decoder is trained for beside squared error.

    Attributes:
        perceptual: LPIPS (Zhang et al. 2018), or None for squared error at each quality's own weight.
        reach: LPIPS sees crops at offsets below this.
        error: weight of squared error beside LPIPS.
        structure: weight of 1 - MS-SSIM.
        repetition: weight of the error that repeats from patch to patch.
        adversary: discriminator, or None.
        fooling: how strongly it pulls, as a share of how LPIPS and squared error pull.
    """

    perceptual: nn.Module | None = None
    reach: int = 1
    error: float = 0.0
    structure: float = 0.0
    repetition: float = 0.0
    adversary: Adversary | None = None
    fooling: float = 0.0


class DecoderOnly(MaskedImageModelling):
    """Stage 3: with the stream frozen, a decoder for squared error, or for what else judges it."""

    name = "decoder"

    def __init__(self, crops: Crops, batch: int, device: str, judges: Judges) -> None:
        super().__init__(crops, batch, device)
        self.judges, self.balance = judges, Balance(judges.fooling)

    def trained(self, network: Network) -> list[Tensor]:
        """The synthesis transform."""
        return list(network.synthesis.parameters())

    def __call__(self, network: nn.Module, number: int) -> tuple[Tensor, dict[str, float]]:
        """One batch."""
        x = self.crops.batch(self.batch, self.device)
        quality = draw_quality(self.batch, self.device)
        with torch.no_grad():
            seen, _ = network.code(x, quality)
        loss, numbers = self.judge(network.paint(*seen), x, quality)
        return loss.mean(), numbers

    def judge(self, x_hat: Tensor, x: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Loss of decoded pictures (B,), and numbers for the log."""
        judges = self.judges
        mine = self.balance.leading(x_hat) if judges.adversary is not None else x_hat
        error = squared_error(x, mine)
        numbers = {"psnr": psnr(error)}
        if judges.perceptual is None:
            loss = error * trade(quality).sqrt()
        else:
            distance = judges.perceptual(*nudged(judges.reach, mine, x))
            loss = judges.error * error + distance
            numbers["lpips"] = float(distance.detach().mean())
        if judges.repetition:
            repeated = lattice(x_hat - x)
            loss = loss + judges.repetition * repeated
            numbers["lattice"] = float(repeated.detach().mean())
        if judges.structure:
            similarity = ms_ssim(x_hat, x)
            loss = loss + judges.structure * (1 - similarity)
            numbers["msssim"] = float(similarity.detach().mean())
        if judges.adversary is not None:
            numbers["adversary"] = judges.adversary.learn(x, x_hat)
            loss = loss + judges.adversary.fooled(self.balance.following(x_hat), x)
        return loss, numbers


class Check:
    """Bits (estimated, all patches visible) and PSNR on validation pictures at fixed qualities.

    LPIPS is that of the companion where there is one.
    """

    def __init__(self, folder: Path, count: int, device: str, perceptual: nn.Module | None = None) -> None:
        found = load_folder(folder, count)
        if len({picture.shape for picture in found}) != 1:
            raise InputError(f"{folder} needs validation pictures of one size", "crop them all to 256x256, say")
        pictures = np.stack(found)
        self.x = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float() / 255
        self.perceptual = perceptual

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Numbers such as ``bpp50`` and ``psnr50``; ``cost``, lower is better, sums the training loss over them."""
        out: dict[str, float] = {}
        cost = 0.0
        for q in CHECK_QUALITIES:
            rows = []
            for x in self.x.split(8):
                quality = torch.full((len(x),), q, device=x.device)
                mask = torch.ones(len(x), x.shape[2] // 16, x.shape[3] // 16, dtype=torch.bool, device=x.device)
                seen, coded = network.code(x, quality, mask)
                bits = coded.bits
                x_hat = network.paint(*seen).clamp(0, 1)
                liked = x_hat
                if network.companion is not None:
                    liked = network.paint(*seen, network.companion).clamp(0, 1)
                error = squared_error(x, x_hat)
                bpp = sum(bits.values()) / (x.shape[2] * x.shape[3])
                alike = ms_ssim(x_hat, x) if min(x.shape[2:]) >= SMALLEST else torch.zeros_like(error)
                far = self.perceptual(liked, x) if self.perceptual is not None else torch.zeros_like(error)
                rows.append(torch.stack([bpp, -10 * error.log10(), error, far, bits["base"] / x[0, 0].numel(), alike]))
            bpp, psnr, error, far, base, alike = torch.cat(rows, 1).mean(1).tolist()
            weight = float(trade(torch.tensor(q)))
            cost += (bpp + weight * error) / math.sqrt(weight)
            out |= {f"bpp{q}": round(bpp, 5), f"psnr{q}": round(psnr, 3), f"base{q}": round(base, 5)}
            if alike:
                out[f"msssim{q}"] = round(alike, 4)
            if self.perceptual is not None:
                out[f"lpips{q}"] = round(far, 4)
        return {"cost": round(cost, 5), **out}


def psnr(error: Tensor) -> float:
    """Mean over pictures, from squared errors (B,)."""
    return float(-10 * error.detach().clamp(min=1e-8).log10().mean())
