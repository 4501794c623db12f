"""Likeness of pictures by what is coded of them: statistics of the base layer and the mask. Exact half only, no torch.

A descriptor lays a 4x4 grid over the picture. Of each cell it has the mean and the spread of every base channel (the
lowest frequencies of the patches), and how much of the mask lies in it. Compared are descriptors of one stream
model, each number in units of its spread over the archive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from ...bitstream.file import OpenedFile, open_file
from ...entropy.fixed_point import ACT_BITS
from ...errors import McmError
from ...model.weights import Weights
from .index import Index, Vectors

KIND: Final = "likeness"
CELLS: Final = 4
_BATCH: Final = 100


def descriptor(file: OpenedFile) -> Vectors:
    """The descriptor (n,) of a file; empty where it holds words alone. Its symbols are read.

    Raises:
        FormatError: the payload is damaged.
        InputError: the picture is over the limit of pixels.
    """
    if file.header.caption_only:
        return np.zeros(0, np.float32)
    decoded, _ = file.symbols(coarse=True)
    base = file.weights.config.base
    y_hat = decoded.v_hat[..., :base] / (_gains(file.weights, file.header.quality)[:base] * (1 << ACT_BITS))
    mask = decoded.mask[..., None] / max(float(decoded.mask.mean()), 1e-9)
    numbers = []
    for rows in _spans(y_hat.shape[0]):
        for cols in _spans(y_hat.shape[1]):
            cell = y_hat[rows, cols].reshape(-1, base)
            numbers += [cell.mean(0), np.log(cell.std(0) + 0.01), mask[rows, cols].reshape(-1, 1).mean(0)]
    return np.concatenate(numbers).astype(np.float32)


def similarity(vectors: Vectors, wanted: Vectors) -> Vectors:
    """Cosines (files,) of descriptors (files, n) with another (n,), about the mean and in the spread of all of them."""
    every = np.vstack([vectors, wanted])
    every = (every - every.mean(0)) / (every.std(0) + 1e-6)
    every /= np.linalg.norm(every, axis=1, keepdims=True) + 1e-9
    found: Vectors = every[:-1] @ every[-1]
    return found


def _gains(weights: Weights, quality: int) -> Vectors:
    """The gain of each latent (specification, section 5.7)."""
    knots = weights.stream["analysis.log_gain"].astype(np.float64)
    where = quality * (len(knots) - 1) / 100
    left = min(int(where), len(knots) - 2)
    found: Vectors = np.exp(knots[left] * (left + 1 - where) + knots[left + 1] * (where - left))
    return found


def _spans(count: int) -> list[slice]:
    """``CELLS`` spans over ``count`` patches, of at least one each; they overlap where there are too few."""
    edges = [(i * count / CELLS, (i + 1) * count / CELLS) for i in range(CELLS)]
    return [slice(int(a), max(int(a) + 1, round(b))) for a, b in edges]


def complete(index: Index, read: Callable[[str], bytes]) -> None:
    """Describe the files of an index that have no descriptor yet; one that cannot be described gets an empty one.

    Args:
        index: the index.
        read: the bytes of a file, by its path in the index.
    """
    waiting = index.lacking(KIND)
    for start in range(0, len(waiting), _BATCH):
        index.store(KIND, ((number, _described(read, path)) for number, path, _ in waiting[start : start + _BATCH]))


def _described(read: Callable[[str], bytes], path: str) -> Vectors:
    try:
        return descriptor(open_file(read(path)))
    except (McmError, OSError):
        return np.zeros(0, np.float32)
