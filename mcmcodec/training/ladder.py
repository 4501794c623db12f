"""Stage: after export. Measures what the qualities of a frozen model cost and reach, for its card.

Nothing of it is needed for decoding: the encoder's searches start from it, and ``codec models`` prints it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..codec import Codec
from ..encoder.rate_control import TOP
from ..errors import UsageError
from ..metrics.judge import QUICK, Judge, Reference
from .data import load_folder

QUALITIES = tuple(range(0, TOP + 1, 10))
DIGITS = {"bpp": 5, "psnr": 3, "msssim": 4, "lpips": 4}


def measure(name: str, folder: Path, count: int) -> dict[str, list[float]]:
    """Means over pictures spread evenly over a folder, through real files and the model's default decoder.

    Returns:
        ``quality`` and, for each of them, ``bpp``, ``psnr`` (dB), ``msssim`` and, where its weights are installed,
        ``lpips``; pictures too small for a metric are left out of its mean.

    Raises:
        UsageError: the folder holds no picture.
    """
    codec, judge = Codec(name, "cpu"), Judge(QUICK)
    pictures = load_folder(folder)
    if not pictures:
        raise UsageError(f"no picture in {folder}", "check the name")
    rows: dict[str, list[list[float]]] = {key: [[] for _ in QUALITIES] for key in DIGITS}
    for picture in pictures[:: max(1, len(pictures) // count)][:count]:
        reference = Reference("", picture, judge)
        for at, quality in enumerate(QUALITIES):
            data = codec.encode(picture, quality=quality)
            row, _ = reference.judge(codec.decode(data))
            row["bpp"] = reference.bpp(len(data))
            for key, value in row.items():
                if value is not None:
                    rows[key][at].append(float(value))
    table = {"quality": list(map(float, QUALITIES))}
    for key, columns in rows.items():
        if all(columns):
            table[key] = [round(float(np.mean(column)), DIGITS[key]) for column in columns]
    return table


def note(name: str, folder: Path, count: int) -> None:
    """Measure, print, and write the key ``ladder`` of the model's card."""
    from ..model.weights import find

    table = measure(name, folder, count)
    weights = find(name)
    card = {**weights.card, "ladder": {**table, "quality": list(QUALITIES), "pictures": count}}
    (weights.folder / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print("  ".join(f"{key:>8}" for key in table))
    for row in zip(*table.values(), strict=True):
        print("  ".join(f"{value:8.4f}" if at else f"{value:8.0f}" for at, value in enumerate(row)))
