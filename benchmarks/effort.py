"""What does the encoder's effort buy? Bytes at equal quality, and time, of every level, through real files.

Each level is measured for both decoders that latents can be refined for, each by its own metric and by DISTS, which no
level looks at. The usual effort is measured at several qualities: on its curve lies what it takes to be as good as the
others, which are measured at one quality, because refining is slow.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from mcmcodec.cli.bench import run
from mcmcodec.options import EncodeOptions

from .work import Work, mean

USUAL = EncodeOptions.effort
METRICS = ("psnr", "lpips", "dists")


def measure(
    work: Work, *, folder: str, count: int, qualities: Sequence[int], quality: int, levels: Sequence[int],
    tunes: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """Mean rate and metrics per level, decoder and quality, and CPU seconds of encoding per picture."""
    facts, codec, judge = work.facts(), work.codec, work.judge(METRICS)
    originals = list(run.references(work.pictures(folder, count), judge))
    codec.decode(codec.encode(originals[0].picture, effort=1))  # sets kernels and memory up
    runs = [
        (level, tune, q) for level in levels for tune in tunes for q in (qualities if level == USUAL else [quality])
    ]
    work.watch.start("effort", len(runs))
    rows = []
    for level, tune, q in runs:
        found, seconds = [], 0.0
        for original in originals:
            begin = time.process_time()
            data = codec.encode(original.picture, quality=q, effort=level, tune=tune)
            seconds += time.process_time() - begin
            row, _ = original.judge(codec.decode(data, decoder=tune))
            found.append({"bpp": 8 * len(data) / original.pixels} | {name: row.get(name) for name in METRICS})
        means = {key: mean([one[key] for one in found]) for key in found[0]}
        rows.append(
            {"effort": level, "decoder": tune, "quality": q} | means | {"seconds": round(seconds / len(originals), 3)}
        )
        work.watch.advance(f"effort {level}")
    return facts | {"pictures": len(originals), "quality": quality, "rows": rows}
