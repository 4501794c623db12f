"""Stacks of pictures as tensors, on the device where they are: what lets them share runs of the transforms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..entropy.latent_coder import Decoded
from ..errors import UsageError
from ..image import resample, tiling
from ..image.io import from_rgb
from .devices import device_of
from .transforms import Transforms

if TYPE_CHECKING:
    from ..bitstream.container import Header
    from ..bitstream.file import OpenedFile

SHARED = 2**22
"""Pixels that share a run of the transforms at most."""


def check(images: Tensor) -> None:
    """UsageError unless a tensor is a stack of pictures (B, 3, H, W), uint8 or floating point in [0, 1]."""
    if not isinstance(images, Tensor):
        raise UsageError(f"{type(images).__name__} is no tensor", "give (B, 3, H, W), uint8 or floating point")
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


def pixels(images: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) of either type to (B, H, W, 3) uint8."""
    if images.dtype != torch.uint8:
        images = (images.detach().float() * 255).round().to(torch.uint8)
    array: NDArray[np.uint8] = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return array


def shares_runs(device: str) -> bool:
    """Whether pictures share runs of the transforms on this device: on a GPU; a CPU gains nothing by it."""
    return device_of(device) != "cpu"


def spans(count: int, size: int) -> Iterator[slice]:
    """The spans of ``count`` pictures of ``size`` pixels each that go together."""
    step = max(1, SHARED // size)
    return (slice(start, min(count, start + step)) for start in range(0, count, step))


def alike(one: OpenedFile, other: OpenedFile) -> bool:
    """Whether two files can be painted together."""
    shapes = [(file.header.height, file.header.width, file.header.reduction) for file in (one, other)]
    return shapes[0] == shapes[1] and one.weights.fingerprint == other.weights.fingerprint


def analyse(
    transforms: Transforms, rgb: NDArray[np.uint8], qualities: Sequence[int], tune: str | None
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
    """Fine, coarse and hyper-latents of pictures (B, H, W, 3) for a decoder, every patch visible."""
    padded = np.stack([tiling.pad(picture) for picture in rgb])
    every = np.ones((len(rgb), padded.shape[1] // tiling.PATCH, padded.shape[2] // tiling.PATCH), bool)
    return zip(*transforms.analyse_batch(padded, every, qualities, tune), strict=True)


def paint(
    transforms: Transforms, decoded: Sequence[Decoded], qualities: Sequence[int], decoder: str | float, header: Header
) -> list[Tensor]:
    """Pictures (3, H, W) uint8 of decoded symbols whose files have a header of the same sizes."""
    rgb = transforms.synthesise_batch(decoded, qualities, decoder, tiling.View.of(header.coded))
    if header.reduction > 1:
        rgb = np.stack([_enlarged(picture, header) for picture in rgb])
    return [*torch.from_numpy(rgb).to(transforms.device).permute(0, 3, 1, 2).contiguous()]


def _enlarged(small: NDArray[np.uint8], header: Header) -> NDArray[np.uint8]:
    """What was coded smaller, (h, w, 3), at the size of the picture (H, W, 3)."""
    view = tiling.View.of((header.height, header.width))
    parts = resample.enlarge(from_rgb(small), header.reduction, view)
    return np.concatenate([np.asarray(picture) for _, picture in parts])
