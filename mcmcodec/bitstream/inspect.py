"""Stage: beside decoding; what a file says about itself, and where its bytes went. No torch, no pixels."""

from __future__ import annotations

from dataclasses import dataclass

from ..caption import Region
from . import container
from .container import as_bytes
from .extras import sizes
from .file import opened


@dataclass(frozen=True)
class Info:
    """What a file says about itself; see :func:`info`."""

    width: int
    height: int
    version: int
    model: str
    variant: int
    quality: int
    keep: float
    visible: int
    patches: int
    caption: str
    bytes: dict[str, float]
    total: int
    bpp: float
    crc: int
    fingerprint: str
    mode: str = "full"
    regions: tuple[Region, ...] = ()
    reduction: int = 1


def info(data: bytes, max_pixels: int | None = None) -> Info:
    """Read a file's facts and where its bytes went, without torch: symbols are decoded, pixels are not.

    ``patches`` are of 16x16 pixels of what is coded, ``reduction`` times smaller along each side than the picture.
    ``bytes`` maps header, extension sections if any (``metadata``, ``alpha``, ``grey``), caption, base, mask, latents,
    tail and crc to bytes (fractional inside the payload); they add up to ``total``. FormatError when the file is
    damaged, InputError when its picture is over the limit of pixels, ModelError when its model is not installed.
    """
    file = opened(as_bytes(data))
    header, weights = file.header, file.weights
    sections = {"caption": file.decoder.position()}
    visible, patches = 0, header.grid[0] * header.grid[1]
    if not header.words_only:
        decoded, rest = file.symbols(max_pixels)
        visible, sections = int(decoded.mask.sum()), sections | rest
    at = container.parse_header(data)[1]
    beside = sizes(header)
    split = {"header": at - sum(beside.values()), **beside, **{k: v / 8 for k, v in sections.items()}}
    split["crc"] = float(container.CRC_SIZE)
    order = ("header", *beside, "caption", "base", "mask", "latents", "tail", "crc")
    split["tail"] = len(data) - sum(split.values())
    # a payload that ends in zero bytes does without them: the sections before the tail cost that much less
    for name in ("latents", "mask", "base", "caption"):
        spare = min(max(-split["tail"], 0.0), split.get(name, 0.0))
        split[name] = split.get(name, 0.0) - spare
        split["tail"] += spare
    return Info(
        header.width, header.height, container.VERSION, weights.name, header.variant, header.quality,
        visible / patches, visible, patches, file.caption,
        {k: split.get(k, 0.0) for k in order}, len(data), 8 * len(data) / header.pixels, container.crc_of(data),
        weights.fingerprint.hex(), file.mode, file.words.regions, header.reduction,
    )  # fmt: skip
