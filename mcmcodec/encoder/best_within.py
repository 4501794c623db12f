"""The best picture within so many bytes: searches size, quality, strength of RDOQ and refined latents, by real files.

Files of one size differ in quality, and more of it is better. Files of two sizes are compared by the squared error of
what the default decoder makes of them, which needs no network that is not at hand. A smaller size has to win clearly:
measured on 256x256 and 512x512 pixels at 160 and 400 bytes, an advantage below 0.3 dB was one in squared error and
MS-SSIM alone, and LPIPS and DISTS preferred the whole size, whose decoder paints detail that squared error does not
reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..metrics.psnr import psnr
from ..options import EncodeOptions
from .rate_control import TOP, Found, Goal, SharedTime, fit, sizes_to_try

if TYPE_CHECKING:
    from ..codec import Codec
    from ..image.prepare import Source

MARGIN = 0.3
"""Decibels by which a smaller size has to be better."""
SMALLER_BELOW = 0.03
"""Bits per pixel from which on no smaller size is tried where the whole one fits."""
STRENGTHS, TRIES = (4.0, 12.0), 4
"""How much stronger RDOQ is, to bring the next qualities below the limit; and how many of them are tried with each."""
REFINED_FILES = 3
"""Files that are refined at most; they share the time."""


@dataclass(frozen=True)
class Best:
    """The file that was found, and how.

    Attributes:
        found: file, quality, encodes, reduction.
        options: with which it was encoded.
        score: PSNR in dB of what the default decoder makes of it.
    """

    found: Found
    options: EncodeOptions
    score: float

    @property
    def choices(self) -> dict[str, object]:
        """What was chosen beside quality and reduction, for people and programs."""
        chosen: dict[str, object] = {"psnr": round(self.score, 2)}
        if self.options.rdoq_strength is not None:
            chosen["rdoq_strength"] = round(self.options.rdoq_strength, 3)
        return chosen | ({"effort": self.options.effort} if self.options.steps else {})


def best_within(
    codec: Codec, source: Source, limit: int, options: EncodeOptions, *, reductions: Sequence[int] | None = None
) -> Best:
    """Encode a picture as well as a limit of bytes allows.

    Args:
        codec: the model.
        source: the prepared picture.
        limit: most bytes of the file.
        options: of the encoder, all but quality and reduction; with an effort above 3, latents are refined last, within
            ``max_time`` together.
        reductions: sizes to try, the largest first; those that suit the picture if None.

    Raises:
        InputError: the smallest file takes more bytes.
        UsageError, ModelError: latents cannot be refined.
    """
    return _Search(codec, source, limit, options).best(reductions)


@dataclass
class _Search:
    codec: Codec
    source: Source
    limit: int
    options: EncodeOptions
    encodes: int = field(default=0)

    def best(self, reductions: Sequence[int] | None) -> Best:
        """See :func:`best_within`."""
        goal = Goal("bytes", self.limit)
        best = self._size(goal, sizes_to_try(self.source, goal, self.options, reductions))
        best = self._stronger(best)
        if self.options.steps:
            best = self._refined(best)
        return replace(best, found=replace(best.found, encodes=self.encodes))

    def _size(self, goal: Goal, reductions: Sequence[int]) -> Best:
        """The highest quality at the best size, as at the usual effort."""
        usual = replace(self.options, effort=min(self.options.effort, EncodeOptions.effort), max_time=None)
        best, error = None, None
        for reduce in reductions:
            if best and 8 * self.limit >= SMALLER_BELOW * self.source.rgb[..., 0].size:
                break
            try:
                found = fit(self.codec, self.source, goal, usual, reductions=(reduce,))
            except InputError as too_large:
                error = too_large
                continue
            self.encodes += found.encodes
            one = Best(found, replace(usual, quality=found.quality, reduce=reduce), self._score(found.data))
            if best and one.score < best.score + MARGIN:
                break
            best = one
        if best is None:
            assert error is not None
            raise error
        return best

    def _stronger(self, best: Best) -> Best:
        """Higher qualities with stronger RDOQ, where that fits and is better."""
        if self.options.effort == 1 or self.options.rdoq_strength is not None:
            return best
        weak, quality = float(self.codec.weights.card["tuning"]["rdoq_strength"]), best.options.quality + 1
        for strength in (times * weak for times in STRENGTHS if weak):
            for _ in range(TRIES):
                if quality > TOP:
                    break
                one = self._encode(best, replace(best.options, quality=quality, rdoq_strength=strength))
                if one is None:
                    break
                best, quality = max(best, one, key=lambda each: each.score), quality + 1
        return best

    def _refined(self, best: Best) -> Best:
        """Refined latents, which may take fewer bytes or more: at the highest quality that fits, if that is better."""
        quality, step, kept = best.options.quality, 0, best
        shared = SharedTime(self.options.max_time, REFINED_FILES)
        least: float | None = None  # what the kept file loses
        for _ in range(REFINED_FILES):
            refined = replace(best.options, effort=self.options.effort, max_time=shared.next())
            one = self._encode(best, replace(refined, quality=quality))
            if one is not None:
                least = self._loss(kept.found.data, best) if least is None else least
                loss = self._loss(one.found.data, best)
                kept, least = (one, loss) if loss < least else (kept, least)
            if step and (step > 0) != (one is not None):
                break
            step = -2 if one is None else 1
            quality += step
            if not 0 <= quality <= TOP:
                break
        return kept

    def _loss(self, data: bytes, best: Best) -> float:
        """What a file loses by the measure that latents are refined for."""
        from .refine import loss_of  # needs torch, without which no file was refined before this

        loss = loss_of(self.codec.weights, best.options.quality, self.options.tune)
        decoded = np.asarray(self.codec.decode(data, decoder=loss.decoder).convert("RGB"))
        return float(loss.measure(self.source.rgb, decoded))

    def _encode(self, best: Best, options: EncodeOptions) -> Best | None:
        """A file with other options; None where it is too large."""
        data = self.codec.encode_source(self.source, options)
        self.encodes += 1
        if len(data) > self.limit:
            return None
        found = replace(best.found, data=data, quality=options.quality)
        return Best(found, options, self._score(data))

    def _score(self, data: bytes) -> float:
        decoded = self.codec.decode(data, decoder=self.options.tune)
        return float(psnr(self.source.rgb, np.asarray(decoded.convert("RGB"))))
