"""Stage: one process of a training run, from its options to the checkpoint that it leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from ..errors import UsageError
from ..model.config import PRESETS, ModelConfig
from .data import Crops, DeviceCrops, ensure_cache
from .duet import Duet
from .export import thaw
from .grow import grained, grow
from .light import Imitation, operations, replacements
from .loop import LoopConfig, save, train
from .losses import Adversary
from .network import Network
from .stages import Check, DecoderOnly, Judges, MaskedImageModelling, RateDistortion


def load(path: Path, device: str = "cpu", decoder: str | None = None) -> tuple[Network, dict]:
    """A network and its history from a checkpoint, or from a frozen model's NAME.json with a decoder of its."""
    if path.suffix == ".json":
        network, history = thaw(path, decoder)
        return network.to(device), history
    stored = torch.load(path, map_location=device, weights_only=True)
    decoder = ModelConfig.from_dict(stored.get("decoder", stored["model"]))
    network = Network(ModelConfig.from_dict(stored["model"]), decoder).to(device)
    network.load_state_dict(stored["weights"])
    return network, stored["history"]


def work(rank: int, o: dict) -> None:
    """Process ``rank`` of ``o["workers"]``; ``o`` are the options of the command ``run``."""
    device = o["device"]
    if o["workers"] > 1:
        dist.init_process_group("gloo", rank=rank, world_size=o["workers"])
    if device == "cpu":
        torch.set_num_threads(1)
    torch.manual_seed(o["seed"] + 1000 * rank)
    together = o["stage"] in ("joint", "duet")
    network, history = load(o["init"], decoder="fidelity" if together else None)
    companion = load(o["companion"] or o["init"])[0] if o["stage"] == "duet" else None
    if o["preset"]:
        network = grow(network, PRESETS[o["preset"]])
        companion = companion and grow(companion, PRESETS[o["preset"]])
    network.companion = companion.synthesis if companion else None
    if o["grain"] and not network.synthesis.config.grain:
        torch.manual_seed(0)  # one noise for all decoders, so that they can be blended
        network.synthesis = grained(network.synthesis, o["grain"])
        torch.manual_seed(o["seed"] + 1000 * rank)
    network = network.to(device)
    if rank == 0:
        ensure_cache(o["data"], o["cache"])
    if o["workers"] > 1:
        dist.barrier()
    o["out"].mkdir(parents=True, exist_ok=True)
    network.half = o["half"]
    if o["compiled"]:
        network.analysis.compile(dynamic=False)
        network.synthesis.compile(dynamic=False)
    source = o["data"], o["cache"], o["size"], o["seed"] + 1000 * rank
    crops = Crops(*source) if device == "cpu" else DeviceCrops(*source, device)
    judges = _judges(o, device)
    check = Check(o["val"], 16, device, judges.perceptual)
    config = LoopConfig(o["stage"], o["minutes"], o["peak"], o["batch"], o["size"], o["seed"], o["average"], o["muon"])
    if o["stage"] == "light":
        _lighten(network, crops, check, config, o["out"], history)
    else:
        if o["stage"] == "decoder":
            stage: MaskedImageModelling = DecoderOnly(crops, o["batch"], device, judges)
        elif o["stage"] == "joint":
            stage = RateDistortion(crops, o["batch"], device, o["msssim"], o["error"])
        elif o["stage"] == "duet":
            if judges.perceptual is None or not max(1, o["second"]) < o["batch"]:
                raise UsageError("a duet needs --lpips and a picture for each decoder", "give --lpips 3 --batch 8, say")
            judges = replace(judges, structure=0.0)  # the faithful decoder's alone
            stage = Duet(crops, o["batch"], device, judges, o["liking"], o["msssim"], o["error"], o["second"])
        else:
            stage = MaskedImageModelling(crops, o["batch"], device)
        _train(network, stage, check, config, o["out"], history)
    if dist.is_initialized():
        dist.destroy_process_group()


def _judges(o: dict, device: str) -> Judges:
    perceptual = None
    if o["lpips"]:
        from ..metrics.lpips import LPIPS

        perceptual = LPIPS().to(device)
    adversary = Adversary().to(device) if o["adversary"] else None
    return Judges(perceptual, o["reach"], o["lpips"], o["msssim"], o["lattice"], adversary, o["adversary"])


def _train(
    network: Network, stage: MaskedImageModelling, check: Check, config: LoopConfig, out: Path, history: dict
) -> Network:
    """Train what the stage trains; returns the averaged network."""
    trained = stage.trained(network)
    wanted = {id(p) for p in trained}
    for p in network.parameters():
        p.requires_grad_(id(p) in wanted)
    return train(network, trained, stage, check, config, out, history).module


def _lighten(network: Network, crops: Crops, check: Check, config: LoopConfig, out: Path, history: dict) -> None:
    """Replace the decoder's parts one by one, each for its share of the time; what each costs goes into the history."""
    teacher, device = network.synthesis, str(next(network.parameters()).device)
    whole = operations(teacher.cpu(), network.config)
    teacher.to(device)
    steps = sum(1 for _ in replacements(teacher))
    config.minutes /= steps
    costs = history.setdefault("replacements", [])
    costs.append({"replaced": "nothing", "operations": round(whole), **check(network)})
    for step in replacements(teacher):
        share = operations(step.synthesis, network.config)
        network.synthesis = step.synthesis.to(device)
        stage = Imitation(crops, config.batch, device, teacher, step.fresh)
        learnt = _train(network, stage, check, config, out, history)
        step.synthesis.load_state_dict(learnt.synthesis.state_dict())
        costs.append({"replaced": step.what, "operations": round(share), **check(network)})
    save(out / "last.pt", network, history, config)
