"""Random messages for the tests of the range coder."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from mcmcodec.entropy.rangecoder import TOTAL, RangeEncoder, Table

Step = tuple[str, Any, Any]
"""Method of the encoder, value, and its model: a table, a number of bits or a probability."""


def random_table(rng: random.Random) -> Table:
    n = rng.choice((1, 2, 2, 3, 5, 17, 64, 300))
    if rng.random() < 0.3:  # as skewed as a table can be
        weights = [0] * n
        weights[rng.randrange(n)] = 1
    else:
        weights = [int(2 ** rng.uniform(0, 20)) for _ in range(n)]
    return Table.from_weights(weights)


def random_steps(rng: random.Random, count: int) -> list[Step]:
    """Calls of the encoder: mostly what the tables expect, sometimes any or the first or last symbol."""
    steps: list[Step] = []
    for _ in range(count):
        kind = rng.choice(("symbols", "symbol", "bits", "bit"))
        if kind == "bit":
            p1 = rng.choice((1, 5, 2048, 4000, 4095))
            steps.append((kind, int(rng.random() < p1 / 4096), p1))
        elif kind == "bits":
            width = rng.randrange(0, 65)
            value = rng.choice((0, (1 << width) - 1, rng.getrandbits(width) if width else 0))
            steps.append((kind, value, width))
        else:
            table = random_table(rng)
            choose: Callable[[], int] = rng.choice(
                (
                    lambda t=table: int(np.searchsorted(t.cumulative, rng.randrange(TOTAL), "right")) - 1,
                    lambda t=table: rng.randrange(t.size),
                    lambda: 0,
                    lambda t=table: t.size - 1,
                )
            )
            steps.append(
                (kind, choose() if kind == "symbol" else [choose() for _ in range(rng.randrange(9))], table)
            )
    return steps


def encode(steps: list[Step]) -> tuple[bytes, float]:
    encoder = RangeEncoder()
    for kind, value, model in steps:
        getattr(encoder, kind)(value, model)
    return encoder.finish(), encoder.position()
