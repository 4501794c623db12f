"""The training loop of every stage: time-budgeted schedule, averaged weights, checkpoints, resuming."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..model.config import ModelConfig
from ..model.synthesis import Synthesis
from .network import Network
from .optimizer import Matrices, optimizers
from .stages import Numbers, Stage


@dataclass
class LoopConfig:
    """How long and how fast.

    Attributes:
        stage: name of the stage.
        minutes: wall-clock budget; the learning rate ends at (nearly) zero exactly then.
        steps: if above 0, so many steps instead of a time: for rehearsals.
        cpu_time: the budget is of the process's CPU time, for comparisons on a machine that others use too.
        peak: highest learning rate.
        batch: pictures per step.
        average: decay of the exponential moving average of the weights, which is what gets exported.
        matrices: what moves matrices inside the networks, and AdamW all the rest.
        clip: largest norm of a gradient.
        warm: share of the budget over which the learning rate rises.
        floor: share of the peak at which it ends.
        report_every: seconds between lines of the log.
        save_every: seconds between checkpoints.
        check_every: seconds between looks at the validation pictures.
    """

    stage: str
    minutes: float
    steps: int = 0
    cpu_time: bool = False
    peak: float = 1e-3
    batch: int = 8
    average: float = 0.998
    matrices: Matrices = "muon"
    clip: float = 1.0
    warm: float = 0.03
    floor: float = 0.02
    report_every: float = 60.0
    save_every: float = 180.0
    check_every: float = 300.0


class Average:
    """Exponential moving average of a module's parameters (Polyak and Juditsky 1992)."""

    def __init__(self, module: Network, decay: float) -> None:
        self.module, self.decay, self.steps = copy.deepcopy(module).eval(), decay, 0

    @torch.no_grad()
    def update(self, source: nn.Module) -> None:
        """Move towards ``source``; the first steps move faster."""
        self.steps += 1
        rate = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self.module.parameters()), list(source.parameters()), rate)


def train(
    network: Network,
    stage: Stage,
    config: LoopConfig,
    out: Path,
    history: dict[str, Any],
    check: Callable[[Network], Numbers] | None = None,
    state: dict[str, Any] | None = None,
    saved: Callable[[Network], None] | None = None,
) -> Network:
    """Run until the time is up.

    Args:
        network: holds all weights.
        stage: what learns and how it is judged.
        config: the schedule.
        out: folder for ``last.pt`` (averaged weights), ``state.pt`` (for resuming) and ``log.jsonl``.
        history: what happened before, kept in the checkpoint; pictures seen are added up there.
        check: evaluates the averaged weights on validation pictures.
        state: what a killed run left of this stage; ``network`` is filled from it.
        saved: called with the averaged network after each checkpoint.

    Returns:
        The averaged network.
    """
    trained = stage.trained(network)
    for name, p in network.named_parameters():
        p.requires_grad_(name in trained)
    params = list(trained.values())
    found = optimizers(network, params, config.peak, config.matrices)
    average = Average(network, config.average)
    steps, spent, seen = 0, 0.0, int(history.get("seen", 0))
    if state:
        network.load_state_dict(state["network"])
        average.module.load_state_dict(state["average"])
        for optimizer, values in zip(found, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        average.steps, steps, spent, seen = state["average_steps"], state["steps"], state["spent"], state["seen"]
    counter, best = FlopCounterMode(display=False), matmul_rate(params[0].device, network.low_precision)
    clock = time.process_time if config.cpu_time else time.monotonic
    begin = clock() - spent
    reported = stored = checked = time.monotonic()
    sums: Numbers = {}
    since, flops = 0, 0
    history.setdefault("runs", [])

    def progress() -> float:
        return steps / config.steps if config.steps else (clock() - begin) / (60 * config.minutes)

    def store() -> None:
        record = {**history, "seen": seen, "runs": [*history["runs"], asdict(config)]}
        save(out / "last.pt", average.module, record)
        write({"stage": config.stage, "network": network.state_dict(), "average": average.module.state_dict(),
               "optimizers": [o.state_dict() for o in found], "average_steps": average.steps, "steps": steps,
               "spent": clock() - begin, "seen": seen}, out / "state.pt")  # fmt: skip
        if saved is not None:
            saved(average.module)

    with (out / "log.jsonl").open("a") as log:
        while (now := progress()) < 1.0:
            rate = config.peak * schedule(now, config)
            for group in (g for optimizer in found for g in optimizer.param_groups):
                group["lr"] = rate * group["lr_scale"]
            with counter if not flops else nullcontext():
                loss, numbers = stage(network)
                torch.autograd.backward(loss)
            flops = flops or counter.get_total_flops()
            norm = float(nn.utils.clip_grad_norm_(params, config.clip))
            if math.isfinite(norm):
                for optimizer in found:
                    optimizer.step()
                average.update(network)
            for optimizer in found:
                optimizer.zero_grad(set_to_none=True)
            steps, since, seen = steps + 1, since + 1, seen + config.batch
            for key, value in {**numbers, "loss": float(loss.detach()), "norm": norm}.items():
                sums[key] = sums.get(key, 0.0) + value
            last = progress() >= 1.0
            if last or time.monotonic() - reported > config.report_every:
                speed = since * config.batch / (time.monotonic() - reported)
                row: dict[str, object] = {
                    "stage": config.stage,
                    "minutes": round((clock() - begin) / 60, 1),
                    "seen": seen,
                    "per_s": round(speed, 2),
                    "of_peak": round(speed * flops / config.batch / best, 3),
                    "lr": round(rate, 7),
                    **{k: round(v / since, 5) for k, v in sums.items()},
                }
                if last or time.monotonic() - stored > config.save_every:
                    store()
                    stored = time.monotonic()
                if check is not None and (last or time.monotonic() - checked > config.check_every):
                    row |= check(average.module)
                    checked = time.monotonic()
                log.write(json.dumps(row) + "\n")
                log.flush()
                print(" ".join(f"{k} {v}" for k, v in row.items()), flush=True)
                reported, since, sums = time.monotonic(), 0, {}
    history["seen"] = seen
    history["runs"].append(asdict(config))
    return average.module


def schedule(progress: float, config: LoopConfig) -> float:
    """Share of the peak learning rate: a short rise, then half a cosine down to the floor."""
    warm = min(1.0, progress / config.warm + 0.02)
    return warm * (config.floor + (1 - config.floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def matmul_rate(device: torch.device, low_precision: bool) -> float:
    """Floating-point operations per second of a large matrix product: the speed that this device could train at."""
    kind = torch.bfloat16 if low_precision else torch.float32
    side = 512 if device.type == "cpu" else 8192
    a = torch.randn(side, side, device=device, dtype=kind)
    best = math.inf
    for _ in range(4):
        begin = time.perf_counter()
        float((a @ a)[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - begin)
    return 2 * side**3 / best


def write(stored: dict[str, Any], path: Path) -> None:
    """Write a file in one move, so that a killed run leaves the old one."""
    partial = path.with_suffix(".part")
    torch.save(stored, partial)
    partial.rename(path)


def save(path: Path, network: Network, history: dict[str, Any]) -> None:
    """Write a checkpoint: sizes, all weights, history."""
    second = network.second_decoder
    write({"model": network.config.to_dict(), "decoder": network.synthesis.config.to_dict(),
           "second": second.config.to_dict() if second is not None else None,
           "weights": network.state_dict(), "history": history}, path)  # fmt: skip


def load(path: Path, device: str = "cpu") -> tuple[Network, dict[str, Any]]:
    """A network and its history from a checkpoint."""
    stored = torch.load(path, map_location=device, weights_only=True)
    network = Network(ModelConfig.from_dict(stored["model"]), ModelConfig.from_dict(stored["decoder"]))
    if stored["second"]:
        network.second_decoder = Synthesis(ModelConfig.from_dict(stored["second"]))
    network.load_state_dict(stored["weights"])
    return network.to(device), stored["history"]
