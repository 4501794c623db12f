"""What the encoder's choices are worth: masks and quantisation, in bytes at equal quality, through real files.

And what masks could save at most: the bits of patches that have no symbol but zeros beyond the base, which could be
hidden without loss if the mask cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mcmcodec import Codec, EncodeOptions
from mcmcodec.cli.bench import run
from mcmcodec.cli.bench.curves import metric_bd_rate
from mcmcodec.codec import symbols
from mcmcodec.encoder.planning import first_mask, plan_picture
from mcmcodec.image.tiling import pad

from .work import Work, mean

JUDGED = {"psnr": "fidelity", "lpips": "perceptual"}
"""Metrics, and the decoder whose pictures each judges; files are encoded for it."""
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "as it is": {},
    "hiding patches weighed by rate and distortion": {"mask": "rd"},
    "the hyper-latent rounded to nearest": {"effort": 2},
    "mask by both scores, 3/4 visible": {"mask": "dual", "keep": 0.75},
    "mask by texture, 3/4 visible": {"mask": "texture", "keep": 0.75},
    "mask by structure, 3/4 visible": {"mask": "structure", "keep": 0.75},
    "mask at random, 3/4 visible": {"mask": "random", "keep": 0.75},
    "mask by rate and distortion, 3/4 visible": {"keep": 0.75},
    "rounded to nearest": {"rdoq_strength": 0.0},
    "RDOQ three times as strong": {"rdoq_strength": 0.15},
}


def measure(work: Work, *, folder: str, count: int, qualities: Sequence[int]) -> dict[str, Any]:
    """Mean rate, metrics and share of visible patches of every variant and quality; bytes against the first one."""
    facts, codec, judge = work.facts(), work.codec, work.judge(tuple(JUDGED))
    originals = list(run.references(work.pictures(folder, count), judge))
    work.watch.start("choices", len(VARIANTS) * len(qualities))
    variants: list[dict[str, Any]] = []
    for name, options in VARIANTS.items():
        rows = []
        for quality in qualities:
            found = []
            for original in originals:
                row: dict[str, Any] = {}
                for metric, decoder in JUDGED.items():
                    data = codec.encode(original.picture, quality=quality, tune=decoder, **options)
                    metrics, _ = original.judge(codec.decode(data, decoder=decoder))
                    row |= {f"bpp_{metric}": 8 * len(data) / original.pixels, metric: metrics.get(metric)}
                    row["visible"] = symbols(data).mask.mean()
                found.append(row)
            rows.append(means(quality, found))
            work.watch.advance(f"{name}, quality {quality}")
        usual = variants[0]["rows"] if variants else rows
        variants.append({"variant": name, "options": dict(options), "bytes": compared(usual, rows), "rows": rows})
    empty = [means(q, [empty_patches(codec, original.picture, q) for original in originals]) for q in qualities]
    return facts | {"pictures": len(originals), "variants": variants, "empty": empty}


def means(quality: int, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over pictures of all that was found at a quality."""
    return {"quality": quality} | {key: mean([one[key] for one in found]) for key in found[0]}


def empty_patches(codec: Codec, picture: Any, quality: int) -> dict[str, float]:
    """Share of patches without a symbol beyond the base, and of all bits that they take beyond the base."""
    options, transforms = EncodeOptions(quality=quality, mask="none"), codec.transforms()
    padded = pad(np.asarray(picture))
    visible = first_mask(padded, options)
    analysis = transforms.analyse(padded, visible, quality)
    plan = plan_picture(transforms, padded, visible, analysis, options)
    base = transforms.weights.config.base
    empty = ~np.rint(plan.symbols.unsaid - plan.symbols.error)[..., base:].any(-1)
    return {"patches": float(empty.mean()), "bits": float(plan.symbols.bits(base)[empty].sum() / plan.bits())}


def compared(usual: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Bytes at equal quality against the usual variant, in per cent, by metric: over all rates, and the lower half.

    Metrics that were not measured are left out.
    """
    out: dict[str, dict[str, float]] = {}
    for metric in JUDGED:
        if any(row[metric] is None for row in (*usual, *rows)):
            continue
        anchor, test = ([(row[f"bpp_{metric}"], row[metric]) for row in every] for every in (usual, rows))
        parts = {"all": len(anchor), "low": len(anchor) // 2 + 1}
        out[metric] = {part: round(metric_bd_rate(metric, anchor[:n], test[:n]), 2) for part, n in parts.items()}
    return out
