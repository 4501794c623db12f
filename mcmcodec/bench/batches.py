"""Pictures a second by batch, on a device that has more to offer than one picture takes: the float half of the codec.

The codec takes one picture at a time. What a batch would give is measured on its two networks, for pictures that fit
into one tile; the exact half (integers and range coder) is the processor's, and is timed whole by `speed`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import tiling
from ..image import open_image, to_rgb
from ..model.layers import knot_weights
from ..model.transforms import Transforms
from ..weights import find
from .judge import device_of

BATCHES = (1, 2, 4, 8, 16, 32, 64)
ROUNDS = 5
SIDE = 256
QUALITY = 40


def batches(
    path: Path, model: str | None, device: str, sizes: Sequence[int] = BATCHES, side: int = SIDE
) -> list[dict[str, Any]]:
    """Rows of what (analysis or a decoder), batch, pictures a second and milliseconds a picture, medians of ROUNDS.

    Pictures are the middle of the one at `path`, `side` pixels a side. Batches that do not fit into memory are left
    out.
    """
    weights = find(model)
    transforms = Transforms(weights, device_of(device))
    with open_image(path) as opened:
        picture = to_rgb(opened)
    top, left = ((size - side) // 2 for size in picture.shape[:2])
    padded = tiling.pad(picture[max(0, top) :][:side, max(0, left) :][:, :side])
    x = torch.from_numpy(padded.copy()).to(transforms.device).float()[None].permute(0, 3, 1, 2) / 255
    rows = []
    for name in ("analysis", *weights.decoders):
        work = _analysis(transforms) if name == "analysis" else _synthesis(transforms, name)
        for size in sizes:
            try:
                seconds = _seconds(work, x.expand(size, -1, -1, -1).contiguous())
            except torch.OutOfMemoryError:
                break
            rows.append({"what": name, "side": side, "batch": size, "pictures_per_s": round(size / seconds, 2),
                         "milliseconds": round(1000 * seconds / size, 3)})  # fmt: skip
    return rows


def _analysis(transforms: Transforms) -> Callable[[Tensor], Tensor]:
    """Pixels (B, 3, H, W) to latents, all patches visible."""
    a, knots = transforms.analysis, knot_weights(torch.tensor([QUALITY], device=transforms.device))

    def work(x: Tensor) -> Tensor:
        t = a.tokens(x)
        visible = torch.ones(t.shape[:3], dtype=torch.bool, device=x.device)
        return a.latents(t, visible, knots) + a.hyper(t, knots).sum()

    return work


def _synthesis(transforms: Transforms, name: str) -> Callable[[Tensor], Tensor]:
    """Latents of as many patches as the pixels (B, 3, H, W) have, to pixels; what they are makes no difference."""
    g_s, knots = transforms.synthesis(name), knot_weights(torch.tensor([QUALITY], device=transforms.device))
    config = transforms.weights.config

    def work(x: Tensor) -> Tensor:
        grid = (len(x), x.shape[2] // tiling.PATCH, x.shape[3] // tiling.PATCH)
        y_hat = torch.zeros(*grid, config.latents, device=x.device)
        psi = torch.zeros(*grid, config.features, device=x.device)
        out: Tensor = g_s(y_hat, psi, torch.ones(grid, dtype=torch.bool, device=x.device), knots)
        return out

    return work


@torch.inference_mode()
def _seconds(work: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Median wall-clock seconds of the work on x, all of it done."""

    def once() -> float:
        start = time.perf_counter()
        work(x)
        if x.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    once()  # pays for memory and kernels being set up
    return statistics.median(once() for _ in range(ROUNDS))
