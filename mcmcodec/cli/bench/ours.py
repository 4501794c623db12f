"""mcmcodec as a candidate: one file, a curve for each decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from ...options import PICTURES
from .run import Candidate, Decode

if TYPE_CHECKING:
    from ...image.painting import Painter
    from ...model.weights import Weights

QUALITIES = (5, 15, 25, 35, 45, 55, 65, 75)


class Coder(Protocol):
    """The part of mcmcodec.Codec that the benchmarks use."""

    @property
    def weights(self) -> Weights:
        """The model."""

    def encode(self, image: Image.Image, *arguments: Any, **options: Any) -> bytes:
        """The .mcm file of the picture."""

    def decode(self, data: bytes, *arguments: Any, **options: Any) -> Image.Image:
        """The picture of the .mcm file."""


def candidates(
    coder: Coder, decoders: Sequence[str], qualities: Sequence[int], mode: str = "full", painter: Painter | None = None,
    **options: Any,
) -> list[Candidate]:  # fmt: skip
    """As :func:`candidate`, with files that are encoded for the decoders that read them: one for each analysis."""
    if mode not in PICTURES:
        return [candidate(coder, coder.weights.name, decoders, qualities, mode, painter, **options)]
    served: dict[str, list[str]] = {}
    for decoder in decoders:
        served.setdefault(coder.weights.analysis_for(decoder), []).append(decoder)
    first, name = coder.weights.analysis_for(None), coder.weights.name
    return [
        candidate(coder, name, some, qualities, mode, painter, **({} if tune == first else {"tune": tune}), **options)
        for tune, some in served.items()
    ]


def candidate(
    coder: Coder, model: str, decoders: Sequence[str], qualities: Sequence[int], mode: str = "full",
    painter: Painter | None = None, **options: Any,
) -> Candidate:  # fmt: skip
    """The candidate of a model at qualities, with curves named after model, decoder and, unless full, mode and size.

    `options` go to ``Codec.encode``. `mode` is ``full``; ``base``, for files without latents; ``sketch``, for edges and
    the caption in a text file beside the picture; or ``caption``, for that caption alone. A painter makes pictures of
    all but full files; without one, sketches are measured as they are drawn, and captions have no picture to measure.
    """
    chosen = options if mode == "full" else options | {"mode": mode}

    def encode(image: Image.Image, setting: float) -> bytes:
        if mode not in PICTURES:
            return coder.encode(image, caption=image.info.get("caption", ""), **chosen)
        return coder.encode(image, quality=int(setting), **chosen)

    def reader(decoder: str) -> Decode:
        if mode == "caption" and painter is None:
            return lambda data, size: None
        if mode != "full" and painter is not None:
            return lambda data, size: coder.decode(data, decoder=decoder, painter=painter)
        return lambda data, size: coder.decode(data, decoder=decoder)

    tail = "" if mode == "full" else f", {mode}" + (", painted" if painter else "")
    tail += f", 1/{options['reduce']}" if options.get("reduce", 1) > 1 else ""
    curves = {f"mcm {model} {decoder}{tail}": reader(decoder) for decoder in decoders}
    facts = {"family": "mcm", "scale": 1, "model": model, "mode": mode, "setting": "quality", "options": options}
    return Candidate(tuple(qualities), encode, curves, facts)
