"""Stage: joint training with two decoders, so that the stream learns what each of them needs.

Some pictures of every batch are painted by the faithful decoder and judged by squared error and MS-SSIM, the others by
its companion and judged by LPIPS; bits are counted for all of them. Every picture is painted once that way, and the
stream hears both decoders.
"""

from __future__ import annotations

from torch import Tensor

from .data import Crops
from .network import Network, trade
from .stages import DecoderOnly, Judges, RateDistortion, draw_quality


class Duet(RateDistortion):
    """Stage 2 with a companion: bits, plus what both decoders' pictures lack."""

    name = "duet"

    def __init__(
        self, crops: Crops, batch: int, device: str, judges: Judges, liking: float, structure: float = 0.0,
        share: float = 1.0, second: int = 0,
    ) -> None:  # fmt: skip
        """``liking``, times the fourth root of lambda, weighs what the companion's judges say of its pictures.

        Those are ``second`` of a batch, half of it if 0. The rest is as in joint training.
        """
        super().__init__(crops, batch, device, structure, share)
        self.companions, self.liking = DecoderOnly(crops, batch, device, judges), liking
        self.first = batch - (second or batch // 2)

    def __call__(self, network: Network, number: int) -> tuple[Tensor, dict[str, float]]:  # type: ignore[override]
        """One batch, of two pictures at least."""
        x = self.crops.batch(self.batch, self.device)
        quality = draw_quality(self.batch, self.device)
        seen, coded = network.code(x, quality)
        first = self.first
        faithful = network.paint(*(part[:first] for part in seen))
        liked = network.paint(*(part[first:] for part in seen), decoder=network.companion)
        rate, sections = self.rate(coded, x, quality)
        lacking, numbers = self.distortion(faithful, x[:first], quality[:first])
        dislike, its = self.companions.judge(liked, x[first:], quality[first:])
        numbers |= {f"its_{k}": v for k, v in its.items()}
        dislike = (dislike * trade(quality[first:]).sqrt().sqrt()).mean()
        return rate + lacking + self.liking * dislike, numbers | sections
