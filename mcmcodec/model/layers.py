"""Rearrangements between pixels, 4x4 blocks and patches, weights of the quality knots, frozen weights in modules.

Tokens are channels-last, (B, h, w, D), one per 16x16 patch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ModelError
from .config import COARSE, KNOTS, PATCH, QUALITY_MAX, SUB

M = TypeVar("M", bound=nn.Module)


def patchify(x: Tensor) -> Tensor:
    """Pixels (B, 3, 16h, 16w) to patch vectors (B, h, w, 768), ordered (block row, block column, y, x, colour)."""
    b, c, height, width = x.shape
    n = PATCH // SUB
    x = x.reshape(b, c, height // PATCH, n, SUB, width // PATCH, n, SUB)
    return x.permute(0, 2, 5, 3, 6, 4, 7, 1).reshape(b, height // PATCH, width // PATCH, -1)


def to_blocks(t: Tensor) -> Tensor:
    """Tokens (B, h, w, 16 C) to the sub-pixel grid (B, C, 4h, 4w), channels-last in memory."""
    b, h, w, c = t.shape
    n = PATCH // SUB
    t = t.reshape(b, h, w, n, n, c // (n * n)).permute(0, 1, 3, 2, 4, 5)
    return t.reshape(b, h * n, w * n, -1).permute(0, 3, 1, 2)


def blocks_to_pixels(t: Tensor) -> Tensor:
    """Sub-pixel grid (B, 48, H/4, W/4) to pixels (B, 3, H, W)."""
    b, _, h, w = t.shape
    t = t.reshape(b, SUB, SUB, 3, h, w).permute(0, 3, 4, 1, 5, 2)
    return t.reshape(b, 3, h * SUB, w * SUB)


def to_cells(t: Tensor) -> Tensor:
    """Tokens (B, h, w, D) to coarse cells (B, ceil(h/2), ceil(w/2), 2, 2, D); odd grids are padded by repetition."""
    h, w = t.shape[1:3]
    if h % COARSE or w % COARSE:
        t = F.pad(t.permute(0, 3, 1, 2), (0, w % COARSE, 0, h % COARSE), mode="replicate").permute(0, 2, 3, 1)
    return squares(t, COARSE)


def squares(t: Tensor, side: int) -> Tensor:
    """A grid (B, side h, side w, D) cut into squares, (B, h, w, side, side, D)."""
    b, h, w, d = t.shape
    return t.reshape(b, h // side, side, w // side, side, d).permute(0, 1, 3, 2, 4, 5)


def joined(t: Tensor, side: int) -> Tensor:
    """The same with a square's tokens as one, (B, h, w, side^2 D)."""
    b, h, w, d = t.shape
    return squares(t, side).reshape(b, h // side, w // side, side * side * d)


def repeated(t: Tensor, times: int) -> Tensor:
    """Every token of (B, h, w, D) as a square of so many a side, (B, times h, times w, D)."""
    return t.repeat_interleave(times, 1).repeat_interleave(times, 2)


def quality_weights(quality: Tensor) -> Tensor:
    """Linear interpolation weights (B, 6) of the quality knots for qualities (B,) in 0..100."""
    position = quality.to(torch.float32)[:, None] * ((KNOTS - 1) / QUALITY_MAX)
    return (1 - (position - torch.arange(KNOTS, device=quality.device)).abs()).clamp(min=0)


def zero(layer: nn.Linear) -> nn.Linear:
    """Set a layer to zero, so that the branch it ends starts as nothing."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def frozen_module(module: M, arrays: Mapping[str, NDArray[Any]], model: str, device: torch.device | str) -> M:
    """A module with weights as they are stored, in float32 and without gradients, on a device.

    Raises:
        ModelError: the weights do not fit the module; ``model`` is the name to give.
    """
    try:
        module.load_state_dict({name: torch.from_numpy(values).float() for name, values in arrays.items()})
    except RuntimeError:
        raise ModelError(f"weights of {model} do not fit its card", "install mcmcodec again") from None
    return module.eval().requires_grad_(False).to(device)


@contextmanager
def full_precision(device: torch.device | str) -> Iterator[None]:
    """No TF32 on CUDA: it would move the latents by more than other devices' rounding does. The setting is put back."""
    if torch.device(device).type != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
