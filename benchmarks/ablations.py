"""What each part of the form is worth: short trainings from the same start, one part changed in each.

A small network starts from a PCA basis and trains for so many minutes of CPU time. The numbers say what learns most in
a short time, not what is best after a long one. Bits are estimated, every patch is visible.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from mcmcodec.cli.bench.curves import metric_bd_rate
from mcmcodec.metrics.lpips import LPIPS
from mcmcodec.model.config import PRESETS, ModelConfig
from mcmcodec.model.synthesis import Synthesis
from mcmcodec.training.data import Crops
from mcmcodec.training.light import operations
from mcmcodec.training.loop import LoopConfig, train
from mcmcodec.training.network import Network
from mcmcodec.training.optimizer import Matrices
from mcmcodec.training.stages import CHECK_QUALITIES, Check, Fidelity, Joint, Perceptual
from mcmcodec.training.timed import give_second_decoder

from . import operations as counted
from .work import Work

SMALL = replace(
    PRESETS["medium"], name="small", embed=128, encoder_plan="", stem=0, coarse_width=64, coarse_blocks=1, context=64,
    coarse_context=32, width=192, plan="", bottleneck=96, head=24, renderer=0,
)  # fmt: skip
BUDGET = 6.0
"""Thousand multiplications per pixel that the decoder's blocks may take; the encoder has half as many blocks."""
USUAL = "cca"
METRICS = ("psnr", "msssim", "lpips")
PEAK = 1.2e-3
"""Highest learning rate."""


@dataclass(frozen=True)
class Variant:
    """A network and how it trains.

    Attributes:
        name: what is different from the first variant.
        config: sizes.
        fidelity: the loss of the decoder.
        perceptual: a second decoder, judged by LPIPS, takes half of every batch.
        matrices: what moves the matrices.
    """

    name: str
    config: ModelConfig
    fidelity: Fidelity = field(default_factory=Fidelity)
    perceptual: bool = False
    matrices: Matrices = "muon"


def sized(kinds: str, config: ModelConfig = SMALL) -> ModelConfig:
    """A configuration with as many blocks of these kinds, in turn, as the budget of operations allows."""
    plain, plan = operations(Synthesis(config), config), ""
    while True:
        longer = plan + kinds[len(plan) % len(kinds)]
        grown = replace(config, plan=longer)
        if (operations(Synthesis(grown), grown) - plain) / 1000 > BUDGET:
            return replace(config, plan=plan, encoder_plan=plan[: max(1, len(plan) // 2)])
        plan = longer


def variants() -> list[Variant]:
    """The usual one first."""
    usual = sized(USUAL)
    coarse = replace(usual, coarse_slices=(2, 6, 16), expected_slices=3, base_slices=0)
    kinds = {"a": "windowed attention", "c": "convolution bottlenecks", "d": "depthwise, channel attention",
             "w": "Bi-RWKV"}  # fmt: skip
    return [
        Variant("bottlenecks and windowed attention, as it ships", usual),
        *(Variant(f"blocks: {said}", sized(kind)) for kind, said in kinds.items()),
        Variant("coarse latents at 1/32 for base slices", coarse),
        Variant("a renderer", replace(usual, renderer=64)),
        Variant("no colour term", usual, replace(Fidelity(), colour=0.0)),
        Variant("LPIPS in the stream, by a second decoder", usual, perceptual=True),
        Variant("AdamW for all", usual, matrices="adamw"),
        Variant("SOAP for matrices", usual, matrices="soap"),
    ]


def measure(work: Work, *, train: str, val: str, minutes: float, pictures: int) -> dict[str, Any]:
    """Every variant: sizes, crops seen, estimated rate and quality, and bytes at equal quality against the first."""
    torch.set_num_threads(work.threads)
    asked, facts = variants(), work.facts(model=False)
    known: dict[str, dict[str, Any]] = {}
    if work.journal.exists() and not work.anew:
        known = {row["variant"]: row for row in map(json.loads, work.journal.read_text().splitlines())}
    work.watch.start("ablations", len(asked))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for variant in asked:
            row = known.get(variant.name)
            if row is None or row["minutes"] != minutes:
                row = {"variant": variant.name, "minutes": minutes}
                row |= _one(variant, work.data / train, work.data / val, Path(folder), minutes, pictures)
                with work.journal.open("a") as journal:
                    journal.write(json.dumps(row) + "\n")
            rows.append(row | compared(rows[0] if rows else row, row))
            work.watch.advance(variant.name)
    return facts | {"minutes": minutes, "pictures": pictures, "rows": rows}


def compared(usual: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, float]:
    """Bytes at equal quality against the usual variant, in per cent."""
    out = {}
    for metric in METRICS:
        anchor, test = ([(one[f"bpp{q}"], one[f"{metric}{q}"]) for q in CHECK_QUALITIES] for one in (usual, row))
        out[f"bytes_{metric}"] = round(metric_bd_rate(metric, anchor, test), 2)
    return out


def _one(variant: Variant, data: Path, val: Path, folder: Path, minutes: float, pictures: int) -> dict[str, Any]:
    torch.manual_seed(1)
    crops = Crops(data, folder / "cache", 256, 1)
    network = Network(variant.config)
    network.pca_start(crops.batch(200, "cpu"))
    lpips = LPIPS()
    perceptual = None
    if variant.perceptual:
        perceptual = Perceptual(lpips)
        give_second_decoder(network)
    stage = Joint(crops, 8, "cpu", variant.fidelity, perceptual)
    settings = LoopConfig("joint", minutes, cpu_time=True, peak=PEAK, average=0.98, matrices=variant.matrices)
    settings.save_every = settings.check_every = 1e9
    history: dict[str, Any] = {"seen": 0}
    trained = train(network, stage, settings, folder, history)
    found = Check(val, pictures, "cpu", lpips)(trained)
    numbers = {f"{name}{q}": found[f"{name}{q}"] for q in CHECK_QUALITIES for name in ("bpp", *METRICS, "colour")}
    return {
        "plan": variant.config.plan,
        "encoder": round(sum(n for _, n in counted.analysis(variant.config)) / 1000, 2),
        "decoder": round(operations(trained.synthesis, variant.config) / 1000, 2),
        "seen": history["seen"],
    } | numbers
