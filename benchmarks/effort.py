"""What does the encoder's effort buy? Bytes at equal PSNR and time of every level, through real files."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from mcmcodec.image.io import open_image, to_rgb
from mcmcodec.metrics.psnr import psnr

from .work import Work


def measure(
    work: Work, *, folder: str, count: int, qualities: Sequence[int], levels: Sequence[int], decoder: str
) -> dict[str, Any]:
    """Mean bpp and PSNR per level and quality, and CPU seconds of encoding per picture."""
    facts, codec = work.facts(), work.codec
    pictures = []
    for path in work.pictures(folder, count):
        with open_image(path) as image:
            pictures.append(to_rgb(image))
    codec.decode(codec.encode(pictures[0], effort=levels[0]), decoder=decoder)  # sets kernels and memory up
    work.watch.start("effort", len(levels) * len(qualities))
    rows = []
    for level in levels:
        points, seconds = [], 0.0
        for quality in qualities:
            rates, likeness = [], []
            for picture in pictures:
                begin = time.process_time()
                data = codec.encode(picture, quality=quality, effort=level)
                seconds += time.process_time() - begin
                rates.append(8 * len(data) / (picture.shape[0] * picture.shape[1]))
                likeness.append(psnr(picture, np.asarray(codec.decode(data, decoder=decoder))))
            points.append([round(statistics.fmean(rates), 6), round(statistics.fmean(likeness), 4)])
            work.watch.advance(f"effort {level}")
        rows.append({"effort": level, "points": points, "seconds": round(seconds / len(pictures) / len(qualities), 4)})
    return facts | {"pictures": len(pictures), "qualities": list(qualities), "decoder": decoder, "levels": rows}
