"""Block kinds of the decoder and the encoder at equal operations and equal time, from the same start.

    python benchmarks/blocks.py DATA --cache CACHE --val VAL --minutes 4 --out benchmarks/results/blocks

Every kind trains a small network from a PCA start: one plan of one kind, repeated as often as the operations of the
budget allow (nearest below). Bits are estimated, every patch visible. The numbers say what learns most in a short time
on a CPU, not what is best after a long one: the table names minutes and pictures seen.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mcmcodec.model.config import PRESETS, ModelConfig
from mcmcodec.model.synthesis import Synthesis
from mcmcodec.training.data import Crops
from mcmcodec.training.light import operations
from mcmcodec.training.loop import LoopConfig, train
from mcmcodec.training.network import Network
from mcmcodec.training.stages import Check, Fidelity, Joint

KINDS = {"a": "windowed attention", "c": "convolution bottleneck", "d": "depthwise, channel attention", "w": "Bi-RWKV",
         "da": "depthwise and windowed attention", "dw": "depthwise and Bi-RWKV"}  # fmt: skip
SMALL = replace(
    PRESETS["medium"], name="small", embed=128, encoder_plan="", coarse_width=64, coarse_blocks=1, context=64,
    coarse_context=32, width=192, plan="", bottleneck=96, head=24, renderer=0,
)  # fmt: skip
BUDGET = 6.0
"""Thousand multiplications per pixel that the decoder's blocks may take."""


def sized(kind: str) -> ModelConfig:
    """The small configuration with as many blocks as the budget allows; the encoder has half as many."""
    plain = operations(Synthesis(SMALL), SMALL)
    plan = ""
    while True:
        longer = plan + kind[len(plan) % len(kind)]
        config = replace(SMALL, plan=longer)
        if (operations(Synthesis(config), config) - plain) / 1000 > BUDGET:
            break
        plan = longer
    return replace(SMALL, plan=plan, encoder_plan=plan[: max(1, len(plan) // 2)])


def one(kind: str, o: argparse.Namespace) -> dict[str, Any]:
    """Train one kind; its sizes and what it reaches."""
    torch.manual_seed(1)
    crops = Crops(o.data, o.cache, 256, 1)
    config = sized(kind)
    network = Network(config)
    network.pca_start(crops.batch(200, "cpu"))
    network.low_precision = True
    settings = LoopConfig("joint", o.minutes, o.steps, True, 1.2e-3, 8, average=0.98)
    settings.save_every = settings.check_every = 1e9
    history: dict[str, Any] = {"seen": 0}
    out = o.work / kind
    out.mkdir(parents=True, exist_ok=True)
    trained = train(network, Joint(crops, 8, "cpu", Fidelity()), settings, out, history)
    numbers = Check(o.val, o.pictures, "cpu")(trained)
    row = {key: numbers[key] for key in ("bpp20", "psnr20", "msssim20", "bpp40", "psnr40", "msssim40")}
    return {
        "kind": KINDS[kind], "plan": config.plan, "encoder_plan": config.encoder_plan,
        "decoder_kmac": round(operations(trained.synthesis, config) / 1000, 2), "seen": history["seen"],
        "loss": round(loss(numbers), 5), **row,
    }  # fmt: skip


def loss(numbers: dict[str, float]) -> float:
    """Rate and error as training weighs them, at qualities 20 and 40, every patch visible."""
    total = 0.0
    for quality in (20, 40):
        lam = 0.6 * 2500 ** (quality / 100)
        error = 10 ** (-numbers[f"psnr{quality}"] / 10)
        total += numbers[f"bpp{quality}"] / lam**0.5 + 0.42 * lam**0.5 * error
        total += 0.07 * lam**0.25 * (1 - numbers[f"msssim{quality}"])
    return total / 2


def main() -> None:
    """Train every kind and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/blocks"))
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--out", type=Path, required=True, help="Written as .json and .md.")
    o = parser.parse_args()
    torch.set_num_threads(1)
    rows = [one(kind, o) for kind in o.kinds]
    budget = f"{o.steps} steps" if o.steps else f"{o.minutes:g} minutes of CPU time"
    o.out.with_suffix(".json").write_text(json.dumps({"budget": budget, "rows": rows}, indent=1) + "\n")
    keys = ("kind", "plan", "decoder_kmac", "seen", "loss", "bpp20", "psnr20", "bpp40", "psnr40")
    lines = [f"Each kind: {budget}, from a PCA start.", "", "| " + " | ".join(keys) + " |", "|---" * len(keys) + "|"]
    lines += ["| " + " | ".join(str(row[key]) for key in keys) + " |" for row in rows]
    o.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
