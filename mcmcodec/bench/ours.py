"""mcmcodec as a candidate: one file, a curve for each decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from PIL import Image

from .run import Candidate

QUALITIES = (5, 15, 25, 35, 45, 55, 65, 75)


class Coder(Protocol):
    """The part of mcmcodec.Codec that the benchmarks use."""

    def encode(self, image: Image.Image, *, quality: int, **options: Any) -> bytes:
        """The .mcm file of the picture."""

    def decode(self, data: bytes, decoder: str | None = None) -> Image.Image:
        """The picture of the .mcm file."""


def candidate(
    coder: Coder, model: str, decoders: Sequence[str], qualities: Sequence[int], mode: str = "full", **options: Any
) -> Candidate:
    """The candidate of a model at qualities, with curves named after model, decoder and, unless full, mode.

    `options` go to ``Codec.encode``. A `mode` other than ``full`` writes less: see `modes`.
    """
    chosen = options if mode == "full" else options | {"mode": mode}

    def encode(image: Image.Image, setting: float) -> bytes:
        return coder.encode(image, quality=int(setting), **chosen)

    def reader(decoder: str) -> Callable[[bytes, tuple[int, int]], Image.Image]:
        return lambda data, size: coder.decode(data, decoder=decoder)

    tail = "" if mode == "full" else f", {mode}"
    curves = {f"mcm {model} {decoder}{tail}": reader(decoder) for decoder in decoders}
    facts = {"family": "mcm", "scale": 1, "model": model, "mode": mode, "setting": "quality", "options": options}
    return Candidate(tuple(qualities), encode, curves, facts)


def curve_facts(one: Candidate) -> dict[str, dict[str, Any]]:
    """What a results file says about each of the candidate's curves."""
    return {name: dict(one.facts) for name in one.decoders}
