"""One command that trains a model within a time budget: all stages in one process, resumable at any second."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..model.config import PRESETS
from ..model.synthesis import Synthesis
from .data import Crops, MixedCrops
from .grow import from_first_generation, with_noise
from .loop import LoopConfig, load, save, train
from .network import Network
from .stages import Check, EntropyOnly, Fidelity, Joint, Perceptual, Stage

NOISE_CHANNELS = 4


@dataclass
class Options:
    """Options of the command ``timed``.

    Attributes:
        data: folder of tars or pictures.
        large: another one, of large photographs, or None.
        val: folder of validation pictures of one size, or None.
        out: folder for checkpoints and log; what lies there is gone on with.
        cache: where decoded pictures are kept.
        init: checkpoint or frozen model (NAME.json) to start from, or None for a PCA start.
        preset: sizes.
        minutes: time budget.
        steps: if above 0, steps of every stage instead of a time: for rehearsals.
        device: ``cpu`` or ``cuda``.
        batch: pictures per step.
        size: side of a crop in pixels, a multiple of 64.
        peak: highest learning rate.
        perceptual_weight: weight of the second decoder's loss.
        entropy_minutes: of them for the entropy networks alone, first.
        low_precision: bfloat16 in the float transforms.
        seed: of all randomness.
    """

    data: Path
    out: Path
    cache: Path
    large: Path | None = None
    val: Path | None = None
    init: Path | None = None
    preset: str = "medium"
    minutes: float = 10.0
    steps: int = 0
    device: str = "cpu"
    batch: int = 8
    size: int = 256
    peak: float = 8e-4
    perceptual_weight: float = 0.04
    entropy_minutes: float = 0.0
    low_precision: bool = True
    seed: int = 1


def start(o: Options, crops: Crops) -> tuple[Network, dict[str, Any]]:
    """The network that training begins with, two decoders in it, and its history."""
    if o.init is None:
        network, history = Network(PRESETS[o.preset]), {"seen": 0}
        network.pca_start(crops.batch(400, "cpu"))
    elif o.init.suffix == ".json":
        network, history = from_first_generation(o.init, PRESETS[o.preset])
        network.start_coarse(crops.batch(500, "cpu"))
        network.blend_means(crops.batch(100, "cpu"))
    else:
        network, history = load(o.init)
    if network.second_decoder is None:
        second = Synthesis(network.synthesis.config)
        second.load_state_dict(network.synthesis.state_dict())
        network.second_decoder = with_noise(second, NOISE_CHANNELS)
    return network, history


def run(o: Options) -> None:
    """Train, stage after stage; goes on where a run that was killed left off."""
    from ..metrics.lpips import LPIPS

    if o.device == "cpu":
        torch.set_num_threads(1)
    o.out.mkdir(parents=True, exist_ok=True)
    left = torch.load(o.out / "state.pt", weights_only=True) if (o.out / "state.pt").exists() else None
    # a run that is gone on with draws other pictures than it has seen
    seed = o.seed + (left["steps"] if left else 0)
    torch.manual_seed(seed)
    crops = Crops(o.data, o.cache / "small", o.size, seed)
    if o.large is not None:
        crops = MixedCrops(crops, Crops(o.large, o.cache / "large", o.size, seed + 1), 0.25)
    network, history = load(o.out / "last.pt") if left else start(o, crops)
    if left:
        history["runs"].pop()
    network = network.to(o.device)
    network.low_precision = o.low_precision
    lpips = LPIPS().to(o.device)
    check = Check(o.val, 12, o.device, lpips) if o.val else None
    perceptual = Perceptual(lpips, low_precision=o.low_precision)
    stages: list[tuple[Stage, float, float]] = []
    if o.entropy_minutes:
        stages.append((EntropyOnly(crops, 2 * o.batch, o.device), o.entropy_minutes, 1.5 * o.peak))
    joint = Joint(crops, o.batch, o.device, Fidelity(), perceptual, o.perceptual_weight)
    stages.append((joint, o.minutes - o.entropy_minutes, o.peak))
    names = [stage.name for stage, _, _ in stages]
    if check is not None and left is None:
        print("before", check(network), flush=True)
    first = names.index(left["stage"]) if left else 0
    for stage, minutes, peak in stages[first:]:
        config = LoopConfig(stage.name, minutes, o.steps, peak, stage.batch)
        began = time.monotonic()
        network = train(network, stage, config, o.out, history, check, left)
        network.train()
        left = None
        print(f"{stage.name} took {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    save(o.out / "last.pt", network, history)
