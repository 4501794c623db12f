"""Stage: joint training with two decoders, so that the stream learns what each of them needs.

Half of every batch is painted by the faithful decoder and judged by squared error and MS-SSIM, half by its companion
and judged by LPIPS; bits are counted for all of it. Each decoder costs half of its operations that way, and the stream
hears both.
"""

from __future__ import annotations

from torch import Tensor

from .data import Crops
from .losses import ms_ssim
from .network import Network, trade
from .stages import DecoderOnly, Judges, RateDistortion, draw_quality, psnr, squared_error


class Duet(RateDistortion):
    """Stage 2 with a companion: bits, plus what both decoders' pictures lack."""

    name = "duet"

    def __init__(
        self, crops: Crops, batch: int, device: str, judges: Judges, liking: float, structure: float = 0.0,
        share: float = 1.0,
    ) -> None:  # fmt: skip
        """``liking`` weighs what the companion's judges say of its pictures; the rest is as in joint training."""
        super().__init__(crops, batch, device, structure, share)
        self.companions, self.liking = DecoderOnly(crops, batch, device, judges), liking

    def __call__(self, network: Network, number: int) -> tuple[Tensor, dict[str, float]]:  # type: ignore[override]
        """One batch, of two pictures at least."""
        x = self.crops.batch(self.batch, self.device)
        quality = draw_quality(self.batch, self.device)
        v, z, mask, knots, gain = network.analyse(x, quality, None)
        coded = network.entropy(v, z, mask, knots)
        seen = coded.v_hat / gain, coded.psi, mask, knots
        half, area = self.batch // 2, x.shape[2] * x.shape[3]
        faithful = network.paint(*(part[:half] for part in seen))
        liked = network.paint(*(part[half:] for part in seen), decoder=network.companion)
        weight = trade(quality)
        error = squared_error(x[:half], faithful)
        dislike, own = self.companions.judge(liked, x[half:], quality[half:])
        loss = (coded.loss_bits / area / weight.sqrt()).mean() + (self.share * weight[:half].sqrt() * error).mean()
        loss = loss + self.liking * dislike
        numbers = {"psnr": psnr(error), **{f"its_{k}": v for k, v in own.items()}}
        numbers |= {k: float(v.detach().mean()) / area for k, v in coded.bits.items()}
        if self.structure:
            similarity = ms_ssim(faithful, x[:half])
            loss = loss + self.structure * (weight[:half].sqrt().sqrt() * (1 - similarity)).mean()
            numbers["msssim"] = float(similarity.detach().mean())
        return loss, numbers
