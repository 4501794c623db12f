"""Stage: joint training with two decoders, so that the stream learns what each of them needs.

Half of every batch is painted by the faithful decoder and judged by squared error and MS-SSIM, half by its companion
and judged by LPIPS; bits are counted for all of it. Each decoder costs half of its operations that way, and the stream
hears both.
"""

from __future__ import annotations

from torch import Tensor

from .data import Crops
from .network import Network
from .stages import DecoderOnly, Judges, RateDistortion, draw_quality


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
        seen, coded = network.code(x, quality)
        half = self.batch // 2
        faithful = network.paint(*(part[:half] for part in seen))
        liked = network.paint(*(part[half:] for part in seen), decoder=network.companion)
        rate, sections = self.rate(coded, x, quality)
        lacking, numbers = self.distortion(faithful, x[:half], quality[:half])
        dislike, its = self.companions.judge(liked, x[half:], quality[half:])
        numbers |= {f"its_{k}": v for k, v in its.items()}
        return rate + lacking + self.liking * dislike, numbers | sections
