"""Fits the frozen tables of the coder of edge maps to edges of photographs.

    python -m mcmcodec.training.structure_model FOLDER mcmcodec/bitstream/structure-1.safetensors

The folder has pictures, or tars of them. Maps are traced at random thresholds and scales. Each table holds the
probability of an edge in each context and how much it is to be trusted; every map belongs to the table that codes it in
the fewest bits, and the tables are fitted to their maps in turn, as k-means does. The same pictures give the same file.
"""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save
from scipy.special import betaln

from ..bitstream.structure import CONTEXTS, TABLES, contexts
from ..encoder.edges import blurred, trace
from .data import _blobs

Counts = NDArray[np.float64]
CONFIDENCES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 255)
DENSITIES = (0.01, 0.12)
"""Share of edges in the maps, drawn evenly."""
ROUNDS = 5


def counts(source: Path, most: int, seed: int = 1) -> Counts:
    """How often each context was followed by no edge and by one, (maps, CONTEXTS, 2)."""
    rng, found = np.random.default_rng(seed), []
    for number, (_, data) in enumerate(_blobs(source)):
        if number == most:
            break
        rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        scale = int(rng.integers(1, 4)) if min(rgb.shape[:2]) > 512 else 1
        small, wanted = blurred(rgb, scale), rng.uniform(*DENSITIES)
        edges = next((map_ for t in np.geomspace(1200, 30, 18) if (map_ := trace(small, t)).mean() >= wanted), None)
        if edges is not None:
            near, truth = contexts(edges).ravel(), edges.ravel()
            ones = np.bincount(near, truth, CONTEXTS)
            found.append(np.stack((np.bincount(near, minlength=CONTEXTS) - ones, ones), 1).astype(np.float32))
    return np.array(found)


def fit(maps: Counts) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Tables of probabilities in 1/4096 and of confidences, each (TABLES, CONTEXTS)."""
    density = maps[..., 1].sum(1) / maps.sum((1, 2))
    member = np.argsort(np.argsort(density)) * TABLES // len(maps)
    p1 = np.zeros((TABLES, CONTEXTS), np.uint16)
    confidence = np.zeros((TABLES, CONTEXTS), np.uint8)
    for _ in range(ROUNDS):
        for table in range(TABLES):
            p1[table], confidence[table] = _table(maps[member == table])
        costs = np.stack([_bits(maps, p1[table], confidence[table]).sum(1) for table in range(TABLES)])
        member = costs.argmin(0)
        print(f"{costs.min(0).sum() / 8 / len(maps):.1f} bytes a map, maps of each table {np.bincount(member)}")
    return p1, confidence


def _table(maps: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The best probability and confidence of every context; contexts that never occur take those of any."""
    zeros, ones = maps.sum(0).T
    p1 = np.clip(np.rint(4096 * (ones + 0.2) / (zeros + ones + 0.8)), 1, 4095).astype(np.int64)
    costs = np.stack([_bits(maps, p1, np.full(CONTEXTS, one)).sum(0) for one in CONFIDENCES])
    return p1, np.array(CONFIDENCES)[costs.argmin(0)] * (zeros + ones > 0)


def _bits(maps: Counts, p1: NDArray[np.integer], confidence: NDArray[np.integer]) -> Counts:
    """Bits of each context of each map with an adaptive probability, which is nearly a Beta distribution's."""
    weight = confidence + 0.5
    a, b = weight * p1 / 4096, weight * (1 - p1 / 4096)
    return np.asarray((betaln(a, b) - betaln(maps[..., 1] + a, maps[..., 0] + b)) / np.log(2))


if __name__ == "__main__":
    folder, out = map(Path, sys.argv[1:3])
    p1, confidence = fit(counts(folder, int(sys.argv[3]) if sys.argv[3:] else 1500))
    data = save({"p1": p1, "confidence": confidence})
    out.write_bytes(data)
    print(f"{out}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")
