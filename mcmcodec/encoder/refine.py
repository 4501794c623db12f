"""Refinement of latents by gradients, for efforts above 3. The decoder does not need it.

The analysis guesses latents; rate and distortion of this one picture say better ones. Latents and hyper-latent descend
along the gradient of bits + distortion through the differentiable entropy networks and a decoder, rounded at random
between their two neighbouring integers: stochastic Gumbel annealing (SGA; Yang, Bamler, Mandt, "Improving Inference for
Neural Image Compression", 2020). The randomness falls until they are as good as rounded. What comes of it goes the
exact way that every picture goes, and is kept only if the file is better for it.

Measured: faster and hotter than :func:`pace` says, latents lose what they should win, because they start near a good
solution and are thrown off it first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..entropy.fixed_point import SCALES, scale_of
from ..errors import ModelError, UsageError
from ..image import tiling
from ..metrics.lpips import LPIPS
from ..model.config import COARSE, HYPER
from ..model.entropy_nets import EntropyNets, from_integers, logistic_bits
from ..model.layers import frozen_module, full_precision, quality_weights
from ..model.synthesis import Synthesis
from .rate_control import TOP, Curve, ladder

if TYPE_CHECKING:
    from ..model.weights import Weights
    from .planning import Analysis, Mask

FEW = 30
"""Up to so many steps are made faster and less warm: half the steps then win as much by DISTS and LPIPS-VGG."""
COLDEST = 0.05
"""Temperature of the rounding at the end."""
INTERIOR, HALO = 48, 8
"""Side in patches of the part of a picture that is refined at once, and its context; more would take gigabytes."""
SEED = 1
OFFSETS = ((0, 0), (2, 1), (1, 3), (3, 2))
REACH = 3
"""Rows and columns that LPIPS leaves out in turn."""
AFTER = 1.0
"""To see, after the steps, whether the file is better for them takes as long as so many of them, on a CPU."""
NEAR = 10
"""Qualities on either side that tell what quality costs and gains."""
ERROR_SHARE = 0.3
"""Share of squared error in the worth of a picture that is tuned for LPIPS."""


def pace(steps: int) -> tuple[float, float]:
    """Learning rate, and temperature of the rounding at the start; from there it falls geometrically."""
    return (0.015, 0.15) if steps <= FEW else (0.01, 0.2)


@dataclass(frozen=True)
class Loss:
    """What a decoded picture loses against its original, in bits per pixel.

    Attributes:
        decoder: whose picture it is.
        error: bits per pixel that a unit of mean squared error on [0, 1] is worth.
        lpips: bits per pixel that a unit of LPIPS is worth.
        network: LPIPS, None where it counts nothing.
    """

    decoder: str
    error: float
    lpips: float = 0.0
    network: LPIPS | None = None

    def of(self, original: Tensor) -> Callable[[Tensor, int], Tensor]:
        """The loss of pictures (1, 3, H, W) in [0, 1] in a step, as a function for one original.

        LPIPS looks at every fourth pixel first. Steps look from different offsets, so that no pattern pleases one only.
        """
        height, width = (side - REACH for side in original.shape[2:])
        network = self.network if self.network is not None and self.network.accepts(height, width) else None

        @cache
        def features(y: int, x: int) -> list[Tensor]:
            assert network is not None
            with torch.no_grad():
                return network.features(original[:, :, y:, x:])

        def loss(picture: Tensor, step: int) -> Tensor:
            value = self.error * (picture - original).square().mean()
            if network:
                y, x = OFFSETS[step % len(OFFSETS)]
                seen = network.features(picture[:, :, y:, x:].clamp(0, 1))
                value = value + self.lpips * network.distance(seen, features(y, x))[0]
            return value

        return loss

    def measure(self, original: NDArray[np.uint8], picture: NDArray[np.uint8]) -> float:
        """The same of two pictures (H, W, 3) uint8."""
        with torch.inference_mode():
            x, y = (torch.from_numpy(one.copy()).permute(2, 0, 1)[None].float() / 255 for one in (original, picture))
            return float(self.of(x)(y, 0))


def loss_of(weights: Weights, quality: int, tune: str | None) -> Loss:
    """The loss of a decoder's pictures, as the qualities of the model trade it for bits.

    What a little more quality costs, and what it gains in squared error or LPIPS, is the worth of each.

    Args:
        weights: the model, whose card says what its qualities typically reach.
        quality: 0..100.
        tune: the decoder; the model's default one if None.

    Raises:
        UsageError: the decoder is judged by LPIPS, whose weights are not installed.
    """
    decoder = tune or weights.decoders[0]
    low, high = max(quality - NEAR, 0), min(quality + NEAR, TOP)
    more = {name: curve[high] - curve[low] for name, curve in _curves(weights.card).items()}
    error = more["bpp"] / -more["error"]
    if decoder != "perceptual":
        return Loss(decoder, error)
    try:
        network = _lpips()
    except ModelError as missing:
        raise UsageError(
            f"refining for {decoder} needs LPIPS: {missing.cause}", f"{missing.remedy}, or give --tune fidelity"
        ) from None
    return Loss(decoder, ERROR_SHARE * error, (1 - ERROR_SHARE) * more["bpp"] / -more["lpips"], network)


def _curves(card: Mapping[str, Any]) -> dict[str, Curve]:
    """Bits per pixel, mean squared error and LPIPS at qualities 0 to 100."""
    return {"bpp": ladder(card, "bpp"), "error": 10 ** (-ladder(card, "psnr") / 10), "lpips": ladder(card, "lpips")}


@lru_cache(maxsize=1)
def _lpips() -> LPIPS:
    return LPIPS()


class _Rounding:
    """Rounds at random between two neighbours, with gradients; takes the place of ``entropy_nets.code``."""

    def __init__(self, generator: torch.Generator) -> None:
        self.temperature, self.generator = COLDEST, generator

    def __call__(self, v: Tensor, mu: Tensor, index: Tensor, _: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Dequantised values and bits, twice; see ``entropy_nets.code``."""
        index = index.clamp(0, SCALES - 1)
        index = index + (torch.floor(index) - index).detach()
        r = v - mu
        below = torch.floor(r.detach())
        part = (r - below).clamp(1e-4, 1 - 1e-4)
        noise = torch.rand(part.shape, generator=self.generator, device=part.device).clamp(1e-6, 1 - 1e-6)
        leaning = (torch.atanh(part) - torch.atanh(1 - part)) / self.temperature
        up = torch.sigmoid((leaning + torch.logit(noise)) / self.temperature)
        symbols = (below + up) * (index.detach() > 0)  # index 0 means zero, uncoded
        bits = logistic_bits(symbols, scale_of(index))
        return symbols + mu, bits.detach(), bits


class Refiner:
    """The differentiable form of one model and of one of its decoders.

    Args:
        weights: the model.
        loss: what is to become less, beside bits.
        device: of torch.

    Raises:
        ModelError: the model has no such decoder.
    """

    def __init__(self, weights: Weights, loss: Loss, device: str) -> None:
        self.device, self.loss = torch.device(device), loss
        # the four passes over fine and over coarse latents need two rows and two columns
        self.least = COARSE + 1 if weights.config.coarse else 2
        self.nets: EntropyNets = from_integers(weights.config, weights.stream).requires_grad_(False).to(self.device)
        synthesis = Synthesis(weights.decoder_config(loss.decoder))
        self.decoder = frozen_module(synthesis, weights.decoder(loss.decoder), weights.name, self.device)

    def refine(
        self, padded: NDArray[np.uint8], visible: Mask, analysis: Analysis, gains: NDArray[np.float64],
        coarse_gains: NDArray[np.float64], quality: int, steps: int, seconds: float,
    ) -> Analysis:  # fmt: skip
        """Better latents than those of the analysis.

        Args:
            padded: (16h, 16w, 3) uint8.
            visible: visible patches (h, w).
            analysis: where to start.
            gains: per fine channel (channels,).
            coarse_gains: per coarse channel (coarse,).
            quality: 0..100.
            steps: how many to take.
            seconds: time for all of them and for what follows, see :data:`AFTER`; where it is short there are fewer,
                and the temperature falls sooner. One step is taken in any case: it tells what others would take.
        """
        rows, cols = visible.shape
        v, c, z = (values.copy() for values in analysis)
        z = z.reshape(-(-rows // HYPER), -(-cols // HYPER), -1)
        gain, coarse_gain = (self._tensor(values)[None] for values in (gains, coarse_gains))
        start, done = time.monotonic(), 0
        each, later = 0.0, 0.0  # seconds that a step takes for a patch, and those to leave for what follows
        for tile in tiling.tiles(rows, cols, halo=HALO, interior=INTERIOR):
            shown = visible[tile.outer]
            if min(shown.shape) < self.least:
                continue
            left = seconds - (time.monotonic() - start) - later
            area = (tile.inner[0].stop - tile.inner[0].start) * (tile.inner[1].stop - tile.inner[1].start)
            share, done = left * area / (rows * cols - done), done + area
            if each and share < (1 + AFTER) * each * shown.size:
                later += AFTER * each * area
                continue
            given = [
                self._tensor(whole[tiling.cells(tile.outer, side)])[None]
                for whole, side in ((v, 1), (c, COARSE), (z, HYPER))
            ]
            picture = self._tensor(padded[tiling.pixels(tile.outer)]).permute(2, 0, 1)[None] / 255
            mask = self._tensor(shown).bool()[None]
            with full_precision(self.device):
                each = self._descend(given, picture, mask, gain, coarse_gain, quality, steps, share) / shown.size
            later += AFTER * each * area
            for whole, part, side in zip((v, c, z), given, (1, COARSE, HYPER), strict=True):
                whole[tiling.cells(tile.inner, side)] = part[0].detach().cpu().numpy()[tiling.cells(tile.local, side)]
        return v, c, z.reshape(-1, z.shape[-1])

    def _descend(
        self, given: list[Tensor], picture: Tensor, mask: Tensor, gain: Tensor, coarse_gain: Tensor, quality: int,
        steps: int, seconds: float,
    ) -> float:  # fmt: skip
        """Change the latents ``given`` (fine, coarse, hyper) in place; seconds that a step took."""
        start = time.monotonic()
        v, c, z = given
        rows, cols = mask.shape[1:]
        weights = quality_weights(torch.tensor([quality], device=self.device))
        generator = torch.Generator(self.device).manual_seed(SEED)
        rounding = _Rounding(generator)
        self.nets.quantize = rounding
        loss, area = self.loss.of(picture), picture.shape[2] * picture.shape[3]
        rate, warmest = pace(steps)
        optimizer = torch.optim.Adam([one.requires_grad_() for one in given if one.numel()], lr=rate)
        begun, progress, step = time.monotonic(), 0.0, 0
        while progress < 1:
            rounding.temperature = warmest * (COLDEST / warmest) ** progress
            coarse = self.nets.code_coarse(c, z, coarse_gain, gain, weights, rows, cols)
            coded = self.nets(v, mask, coarse, weights)
            painted = self.decoder(coded.v_hat / gain[:, None, None], coded.psi, mask, weights)
            cost = coded.loss_bits[0] + area * loss(painted, step)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(cost)
            optimizer.step()
            step += 1
            now = time.monotonic()
            each = (now - begun) / step
            # a step that would end too late is not begun
            progress = max(step / steps, (now - start + (1 + AFTER) * each) / max(seconds, 1e-9))
        return each

    def _tensor(self, values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=np.float32)).to(self.device)
