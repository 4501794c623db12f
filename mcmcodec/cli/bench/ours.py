"""mcmcodec as a candidate: one file, a curve for each decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from PIL import Image

from .run import Candidate, Decode

QUALITIES = (5, 15, 25, 35, 45, 55, 65, 75)


class Coder(Protocol):
    """The part of mcmcodec.Codec that the benchmarks use."""

    def encode(self, image: Image.Image, *arguments: Any, **options: Any) -> bytes:
        """The .mcm file of the picture."""

    def decode(self, data: bytes, *arguments: Any, **options: Any) -> Image.Image:
        """The picture of the .mcm file."""


def candidate(
    coder: Coder, model: str, decoders: Sequence[str], qualities: Sequence[int], mode: str = "full", **options: Any
) -> Candidate:
    """The candidate of a model at qualities, with curves named after model, decoder and, unless full, mode and size.

    `options` go to ``Codec.encode``. `mode` is ``full``; ``base``, for files without latents; or ``caption``, for files
    of the caption in a text file beside the picture alone, which have a size and no picture to measure.
    """
    chosen = options if mode == "full" else options | {"mode": mode}

    def encode(image: Image.Image, setting: float) -> bytes:
        words = {"caption": image.info.get("caption", "")} if mode == "caption" else {}
        return coder.encode(image, quality=int(setting), **chosen, **words)

    def reader(decoder: str) -> Decode:
        if mode == "caption":
            return lambda data, size: None
        return lambda data, size: coder.decode(data, decoder=decoder)

    tail = "" if mode == "full" else f", {mode}"
    tail += f", 1/{options['reduce']}" if options.get("reduce", 1) > 1 else ""
    curves = {f"mcm {model} {decoder}{tail}": reader(decoder) for decoder in decoders}
    facts = {"family": "mcm", "scale": 1, "model": model, "mode": mode, "setting": "quality", "options": options}
    return Candidate(tuple(qualities), encode, curves, facts)
