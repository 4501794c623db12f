"""After export: finds the encoder's two prices (rdoq_strength, mask_lambda) on validation pictures.

Both change only what the encoder chooses, never what a file means, so they may be tuned after freezing.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..codec import Codec
from ..model.config import lagrange_lambda
from .data import load_folder

QUALITIES = (15, 35, 55, 75)


def cost(codec: Codec, pictures: list[np.ndarray], mask: str, decoder: str) -> tuple[float, list[tuple[float, float]]]:
    """Mean training loss over real files, and (bpp, PSNR) per quality."""
    rows, sum_ = [], 0.0
    for quality in QUALITIES:
        bits, error, psnr = [], [], []
        for picture in pictures:
            data = codec.encode(picture, quality=quality, mask=mask)
            out = np.asarray(codec.decode(data, decoder=decoder), np.float64)
            bits.append(8 * len(data) / (picture.shape[0] * picture.shape[1]))
            error.append(float(((out - picture) ** 2).mean()) / 255**2)
            psnr.append(-10 * math.log10(error[-1]))
        weight = lagrange_lambda(quality)
        sum_ += (float(np.mean(bits)) + weight * float(np.mean(error))) / math.sqrt(weight)
        rows.append((float(np.mean(bits)), float(np.mean(psnr))))
    return sum_ / len(QUALITIES), rows


def tune(name: str, folder: Path, count: int, decoder: str, settings: list[tuple[str, float, float]]) -> None:
    """Print the cost of each (mask mode, rdoq_strength, mask_lambda)."""
    codec = Codec(name, "cpu")
    pictures = load_folder(folder, count)
    for mask, quantise, price in settings:
        codec.weights.card["tuning"] = {"rdoq_strength": quantise, "mask_lambda": price}
        value, rows = cost(codec, pictures, mask, decoder)
        curve = "  ".join(f"{bpp:.4f}/{psnr:.2f}" for bpp, psnr in rows)
        print(f"{mask:5s} quantise {quantise:.2f} mask {price:.2f}  cost {value:.5f}  {curve}", flush=True)
