"""Similarity of pictures by their coded data: statistics of the base layer and the mask. Nothing is drawn, no torch.

A descriptor divides the picture into 4x4 cells. For each cell it holds the mean and the logarithm of the standard
deviation of every base channel (the lowest frequencies of the patches), and the share of visible patches relative to
the whole picture's.
Descriptors of one stream model are compared, each number standardised over the archive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from ...bitstream.file import OpenedFile, open_file
from ...entropy.fixed_point import ACT_BITS
from ...errors import McmError
from .index import Index, Vectors

KIND: Final = "likeness"
CELLS: Final = 4
_BATCH: Final = 100


def descriptor(file: OpenedFile) -> Vectors:
    """The descriptor (n,) of a file; empty for a file with a caption only. Its symbols are decoded.

    Raises:
        FormatError: the payload is damaged.
        InputError: the picture is over the limit of pixels.
    """
    if file.header.caption_only:
        return np.zeros(0, np.float32)
    decoded, _ = file.symbols(coarse=True)
    base = file.weights.config.low
    gain = file.weights.gains("log_gain", [file.header.quality])[0]
    y_hat = decoded.v_hat[..., :base] / (gain[:base] * (1 << ACT_BITS))
    mask = decoded.mask[..., None] / max(float(decoded.mask.mean()), 1e-9)
    numbers = []
    for rows in _spans(y_hat.shape[0]):
        for cols in _spans(y_hat.shape[1]):
            cell = y_hat[rows, cols].reshape(-1, base)
            numbers += [cell.mean(0), np.log(cell.std(0) + 0.01), mask[rows, cols].reshape(-1, 1).mean(0)]
    return np.concatenate(numbers).astype(np.float32)


def similarity(vectors: Vectors, wanted: Vectors) -> Vectors:
    """Cosine similarities (files,) of descriptors (files, n) and another (n,), standardised over all of them."""
    every = np.vstack([vectors, wanted])
    every = (every - every.mean(0)) / (every.std(0) + 1e-6)
    every /= np.linalg.norm(every, axis=1, keepdims=True) + 1e-9
    found: Vectors = every[:-1] @ every[-1]
    return found


def _spans(count: int) -> list[slice]:
    """``CELLS`` spans over ``count`` patches, of at least one each; they overlap where there are too few."""
    edges = [(i * count / CELLS, (i + 1) * count / CELLS) for i in range(CELLS)]
    return [slice(int(a), max(int(a) + 1, round(b))) for a, b in edges]


def complete(index: Index, read: Callable[[str], bytes]) -> None:
    """Add the descriptors that an index lacks; a file that cannot be decoded gets an empty one.

    Args:
        index: the index.
        read: the bytes of a file, by its path in the index.
    """
    missing = index.lacking(KIND)
    for start in range(0, len(missing), _BATCH):
        index.store(KIND, ((number, _described(read, path)) for number, path, _ in missing[start : start + _BATCH]))


def _described(read: Callable[[str], bytes], path: str) -> Vectors:
    try:
        return descriptor(open_file(read(path)))
    except (McmError, OSError):
        return np.zeros(0, np.float32)
