"""What a file says about itself, and how many bytes each part of it takes. No torch, no pixels."""

from __future__ import annotations

from dataclasses import dataclass

from ..caption import Region
from . import container
from .container import as_bytes
from .extras import sizes
from .file import open_file
from .structure import of as structure_of


@dataclass(frozen=True)
class Info:
    """What a file says about itself.

    Attributes:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        version: of the format.
        model: name of the stream model.
        variant: of the stream model.
        quality: 0..100.
        keep: share of visible patches, 0..1.
        visible: number of visible patches.
        patches: number of 16x16 patches of the picture that is coded.
        caption: empty if there is none.
        bytes: bytes of ``header``, of extension sections if any (``metadata``, ``alpha``, ``grey``, ``structure``), of
            ``caption``, ``base``, ``mask``, ``latents``, ``tail`` and ``crc``; fractions inside the payload. Their sum
            is ``total``.
        total: bytes of the file.
        bpp: bits per pixel of the picture.
        crc: the checksum.
        fingerprint: of the stream model, in hexadecimal.
        mode: ``full``, ``base`` (no patch is visible), ``sketch`` or ``caption`` (there is no picture).
        regions: phrases about boxes.
        reduction: the picture is coded so many times smaller along each side.
        edges: columns and rows of the edge map, None if there is none.
    """

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
    edges: tuple[int, int] | None = None


def info(data: bytes, max_pixels: int | None = None) -> Info:
    """Read what a file says about itself. The symbols are decoded, the pixels are not.

    Args:
        data: the bytes of the file.
        max_pixels: the limit of pixels; see :func:`mcmcodec.bitstream.limits.max_pixels`.

    Raises:
        FormatError: not an .mcm file, or damaged.
        InputError: the picture is over the limit of pixels.
        ModelError: the file's model is not installed.
    """
    file = open_file(as_bytes(data))
    header, weights = file.header, file.weights
    parts = {"caption": file.decoder.position()}
    found = structure_of(header)
    edges = None if found is None else (found.edges.shape[1], found.edges.shape[0])
    visible, patches = 0, header.grid[0] * header.grid[1]
    if not header.caption_only:
        decoded, rest = file.symbols(max_pixels)
        visible, parts = int(decoded.mask.sum()), parts | rest
    at = container.parse_header(data)[1]
    beside = sizes(header)
    split = {"header": at - sum(beside.values()), **beside, **{k: v / 8 for k, v in parts.items()}}
    split["crc"] = float(container.CRC_SIZE)
    order = ("header", *beside, "caption", "base", "mask", "latents", "tail", "crc")
    split["tail"] = len(data) - sum(split.values())
    # Zero bytes at the end of a payload are not written, so the parts before the tail may take less than bits / 8.
    for name in ("latents", "mask", "base", "caption"):
        spare = min(max(-split["tail"], 0.0), split.get(name, 0.0))
        split[name] = split.get(name, 0.0) - spare
        split["tail"] += spare
    return Info(
        header.width, header.height, container.VERSION, weights.name, header.variant, header.quality,
        visible / patches, visible, patches, file.caption,
        {k: split.get(k, 0.0) for k in order}, len(data), 8 * len(data) / header.pixels, container.crc_of(data),
        weights.fingerprint.hex(), file.mode, file.words.regions, header.reduction,
        edges,
    )  # fmt: skip
