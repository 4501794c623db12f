"""Stage: around the codec; stacks of pictures as tensors, on the device where they are, to files, and files to tensors.

On a GPU pictures of one shape share the runs of the float transforms. On a CPU, where a larger batch is hardly faster,
each goes alone: its file and its pixels are exactly those of :meth:`mcmcodec.Codec.encode` and ``decode``. What shares
a run may be rounded another way now and then: files are as valid, and pixels agree within 1 of 255.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..bitstream.container import Header
from ..bitstream.extras import Extras
from ..bitstream.file import OpenedFile, open_file
from ..caption import Words
from ..encoder import planning
from ..encoder.refinement import settings
from ..errors import FormatError, McmError, UsageError
from ..image import resample, tiling
from ..image.io import from_rgb
from ..image.prepare import Taken

if TYPE_CHECKING:
    from ..codec import Codec
    from ..entropy.latent_coder import Decoded
    from .transforms import Transforms

SHARED = 2**22
"""Pixels that share a run of the transforms at most."""


def encode(
    codec: Codec, images: Tensor, quality: int | Sequence[int], captions: Sequence[str] = (),
    keep: float | None = None, mask: str = "rd", effort: int = 3, mode: str = "full",
) -> list[bytes]:  # fmt: skip
    """Encode B pictures of one shape.

    Args:
        codec: the model.
        images: (B, 3, H, W) in sRGB, uint8 or floating point in [0, 1], which is rounded to 1/255; on any device.
        quality: 0..100, for all pictures or one for each.
        captions: none, or one for each.
        keep: as the other options for all pictures, see :meth:`mcmcodec.Codec.encode`.
        mask: how visible patches are chosen.
        effort: 1 to 9.
        mode: ``full``, ``base`` or ``caption``.

    Returns:
        The bytes of B files.

    Raises:
        InputError: the pictures are too large, or a caption is missing in mode ``caption``; names the picture.
        UsageError: another shape or type, values out of range, too many or too few qualities or captions, or an option
            out of range.
    """
    _check(images)
    count = len(images)
    qualities = [quality] * count if isinstance(quality, int) else [int(one) for one in quality]
    words = [Words(text) for text in captions] if captions else [Words("")] * count
    for name, given in (("qualities", len(qualities)), ("captions", len(words))):
        if given != count:
            raise UsageError(f"{given} {name} for {count} pictures", "give one for each, or one for all")
    settings(effort)
    for one in sorted(set(qualities)):
        planning.check(one, keep, mask, None, mode)
    files = []
    for part in _parts(count, images.shape[2] * images.shape[3]):
        rgb = _pixels(images[part])
        known: list[planning.Analysed | None] = [None] * len(rgb)
        if mode == "full" and mask in ("rd", "none") and shares(codec.transforms()):
            known = [*_analysed(codec.transforms(), rgb, qualities[part])]
        for i, picture, before in zip(range(count)[part], rgb, known, strict=True):
            with _named(i):
                settled = (qualities[i], keep, mask, None, effort, mode)
                files.append(codec.encode_taken(Taken(picture, Extras()), words[i], *settled, known=before))
    return files


def decode(
    codec: Codec, files: Sequence[bytes], decoder: str | None = None, realism: float | None = None
) -> list[Tensor]:
    """Decode files, of any models and sizes.

    Args:
        codec: says on which device.
        files: the bytes of each.
        decoder: as for :meth:`mcmcodec.Codec.decode`.
        realism: as there.

    Returns:
        A picture (3, H, W) uint8 in sRGB for each file, on the codec's device. Grey is the same in all three channels,
        transparency is left out. Pictures of one shape can be stacked.

    Raises:
        FormatError: a file is not an .mcm file, or damaged, or holds a caption only; names it by its number, from 0.
        InputError: a picture is over the limit of pixels.
        ModelError: a file's model, or the decoder, is not installed.
        UsageError: both a decoder and a realism, or a realism out of range.
    """
    pictures: list[Tensor] = []
    waiting: list[tuple[OpenedFile, Decoded]] = []
    for i, data in enumerate(files):
        with _named(i):
            file = open_file(data)
            if file.header.caption_only:
                raise FormatError("the file holds a caption and no picture", "decode it with a painter")
            symbols, _ = file.symbols(codec.max_pixels)
        if waiting and not _together(codec, waiting, file):
            pictures += _painted(codec, waiting, decoder, realism)
            waiting = []
        waiting.append((file, symbols))
    return pictures + (_painted(codec, waiting, decoder, realism) if waiting else [])


def shares(transforms: Transforms) -> bool:
    """Whether pictures share runs of the transforms."""
    return transforms.device.type != "cpu"


def _check(images: Tensor) -> None:
    """UsageError when a tensor is no stack of pictures."""
    kind = images.dtype
    if images.ndim != 4 or images.shape[1] != 3 or not (kind == torch.uint8 or kind.is_floating_point):
        raise UsageError(
            f"a tensor of shape {tuple(images.shape)} and type {kind} is no stack of pictures",
            "give (B, 3, H, W), uint8 or floating point in [0, 1]",
        )
    if 0 in images.shape[2:]:
        raise UsageError("the pictures have no pixels", "leave them out")
    # comparisons with NaN are false
    if kind.is_floating_point and not bool(((images >= 0) & (images <= 1)).all()):
        raise UsageError("values are not in [0, 1]", "divide by 255, or clamp them")


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) of either type to (B, H, W, 3) uint8."""
    if images.dtype != torch.uint8:
        images = (images.detach().float() * 255).round().to(torch.uint8)
    array: NDArray[np.uint8] = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return array


def _parts(count: int, pixels: int) -> Iterator[slice]:
    """The spans of pictures that go together."""
    step = max(1, SHARED // pixels)
    return (slice(start, min(count, start + step)) for start in range(0, count, step))


def _analysed(
    transforms: Transforms, rgb: NDArray[np.uint8], qualities: Sequence[int]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Latents and hyper-latents of pictures (B, H, W, 3), every patch visible."""
    padded = np.stack([tiling.pad(picture) for picture in rgb])
    every = np.ones((len(rgb), padded.shape[1] // tiling.PATCH, padded.shape[2] // tiling.PATCH), bool)
    return zip(*transforms.analyse_batch(padded, every, qualities), strict=True)


def _together(codec: Codec, waiting: list[tuple[OpenedFile, Decoded]], file: OpenedFile) -> bool:
    """Whether a file can be painted together with those that wait."""
    first = waiting[0][0]
    shapes = [(one.header.height, one.header.width, one.header.reduction) for one in (first, file)]
    same = first.weights is file.weights or first.weights.fingerprint == file.weights.fingerprint
    same = same and shapes[0] == shapes[1]
    return same and (len(waiting) + 1) * file.header.pixels <= SHARED and shares(codec.transforms(file.weights))


def _painted(
    codec: Codec, files: list[tuple[OpenedFile, Decoded]], decoder: str | None, realism: float | None
) -> list[Tensor]:
    header, weights = files[0][0].header, files[0][0].weights
    transforms = codec.transforms(weights)
    way = float(realism) if realism is not None else decoder or weights.decoders[0]
    out = torch.empty((len(files), *header.coded, 3), dtype=torch.uint8, device=transforms.device)
    view = tiling.View.of(header.coded)
    qualities = [file.header.quality for file, _ in files]
    for (rows, cols), pixels in transforms.paint([symbols for _, symbols in files], qualities, way, view):
        out[:, rows, cols] = pixels
    if header.reduction > 1:
        out = torch.from_numpy(np.stack([_enlarged(picture, header) for picture in out.cpu().numpy()])).to(out.device)
    return [*out.permute(0, 3, 1, 2).contiguous()]


def _enlarged(small: NDArray[np.uint8], header: Header) -> NDArray[np.uint8]:
    """What was coded smaller, (h, w, 3), at the size of the picture (H, W, 3)."""
    view = tiling.View.of((header.height, header.width))
    parts = resample.enlarge(from_rgb(small), header.reduction, view)
    return np.concatenate([np.asarray(picture) for _, picture in parts])


@contextmanager
def _named(number: int) -> Iterator[None]:
    """Say of an error which picture it is about."""
    try:
        yield
    except McmError as error:
        raise type(error)(f"picture {number}: {error.cause}", error.remedy) from error
