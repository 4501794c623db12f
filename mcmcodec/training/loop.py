"""Stage: the training loop of every stage: time-budgeted schedule, averaged weights, several processes, resuming."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from rich.console import Console
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .optimizer import optimizers


@dataclass
class LoopConfig:
    """How long and how fast.

    Attributes:
        minutes: wall-clock budget; the learning rate ends at (nearly) zero exactly then.
        peak: highest learning rate.
        batch: pictures per process and step.
        average: decay of the exponential moving average of the weights, which is what gets exported.
    """

    stage: str
    minutes: float
    peak: float = 1e-3
    batch: int = 8
    size: int = 256
    seed: int = 1
    average: float = 0.998
    muon: bool = False
    clip: float = 1.0
    warm: float = 0.03
    floor: float = 0.02
    report_every: float = 60.0
    save_every: float = 240.0


class Average:
    """Exponential moving average of a module's parameters (Polyak and Juditsky 1992)."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay, self.steps = copy.deepcopy(module).eval(), decay, 0

    @torch.no_grad()
    def update(self, source: nn.Module) -> None:
        """Move towards ``source``; the first steps move faster."""
        self.steps += 1
        rate = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self.module.parameters()), list(source.parameters()), rate)


def train(
    module: nn.Module,
    trained: list[Tensor],
    step: Callable[[nn.Module, int], tuple[Tensor, dict[str, float]]],
    check: Callable[[nn.Module], dict[str, float]],
    config: LoopConfig,
    out: Path,
    history: dict[str, object],
) -> Average:
    """Run until the time is up.

    Args:
        module: holds all weights; saved whole.
        trained: the parameters that learn.
        step: one batch to (loss, numbers for the log).
        check: evaluates the averaged weights on validation pictures.
        config: the schedule.
        out: folder for ``last.pt`` and ``log.jsonl``.
        history: what happened before, kept in the checkpoint; pictures seen are added up there.
    """
    rank = dist.get_rank() if dist.is_initialized() else 0
    world = dist.get_world_size() if dist.is_initialized() else 1
    movers = optimizers(module, trained, config.peak, config.muon)
    average = Average(module, config.average)
    counter, best = FlopCounterMode(display=False), matmul_rate(trained[0].device, bool(getattr(module, "half", False)))
    begin = reported = saved = time.monotonic()
    sums: dict[str, float] = {}
    steps = since = 0
    seen = int(history.get("seen", 0))
    progress = 0.0
    console = Console(highlight=False)
    log = (out / "log.jsonl").open("a") if rank == 0 else None
    while progress < 1.0:
        rate = config.peak * _schedule(progress, config)
        for group in (g for optimizer in movers for g in optimizer.param_groups):
            group["lr"] = rate * group["pace"]
        with counter if steps == 0 else nullcontext():
            loss, numbers = step(module, steps)
            loss.backward()
        progress = _share_gradients(trained, (time.monotonic() - begin) / (60 * config.minutes), world)
        norm = float(nn.utils.clip_grad_norm_(trained, config.clip))
        if math.isfinite(norm):
            for optimizer in movers:
                optimizer.step()
            average.update(module)
        for optimizer in movers:
            optimizer.zero_grad(set_to_none=True)
        steps, since, seen = steps + 1, since + 1, seen + config.batch * world
        for key, value in {**numbers, "loss": float(loss.detach()), "norm": norm}.items():
            sums[key] = sums.get(key, 0.0) + value
        now = time.monotonic()
        if log and (now - reported > config.report_every or progress >= 1.0):
            speed = since * config.batch * world / (now - reported)
            row: dict[str, object] = {
                "stage": config.stage,
                "minutes": round((now - begin) / 60, 1),
                "seen": seen,
                "per_s": round(speed, 2),
                "of_peak": round(speed * counter.get_total_flops() / config.batch / world / best, 3),
                "lr": rate,
                **{k: round(v / since, 4) for k, v in sums.items()},
            }
            if now - saved > config.save_every or progress >= 1.0:
                row |= check(average.module)
                save(out / "last.pt", average.module, {**history, "seen": seen}, config)
                saved = time.monotonic()
            log.write(json.dumps(row) + "\n")
            log.flush()
            text = (f"[bold]{k}[/bold] {v if isinstance(v, str) else format(v, '.6g')}" for k, v in row.items())
            console.print(" ".join(text), soft_wrap=True)
            reported, since, sums = time.monotonic(), 0, {}
    history["seen"] = seen
    return average


def matmul_rate(device: torch.device, half: bool) -> float:
    """Floating-point operations per second of a large matrix product: the speed that this device could train at."""
    side, kind = (1024, torch.float32) if device.type == "cpu" else (8192, torch.bfloat16 if half else torch.float32)
    a = torch.randn(side, side, device=device, dtype=kind)
    best = math.inf
    for _ in range(4):
        begin = time.perf_counter()
        float((a @ a)[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - begin)
    return 2 * side**3 / best


def _schedule(progress: float, config: LoopConfig) -> float:
    warm = min(1.0, progress / config.warm + 0.02)
    return warm * (config.floor + (1 - config.floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def _share_gradients(trained: list[Tensor], progress: float, world: int) -> float:
    """Average the gradients of all processes, and agree on how far the clock is (rank 0's word counts)."""
    if world == 1:
        return progress
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in trained]
    rank0 = progress if dist.get_rank() == 0 else 0.0
    flat = torch.cat([*[g.reshape(-1) for g in grads], torch.tensor([rank0 * world])])
    dist.all_reduce(flat)
    flat /= world
    start = 0
    for p in trained:
        p.grad = flat[start : start + p.numel()].view_as(p)
        start += p.numel()
    return float(flat[-1])


def save(path: Path, module: nn.Module, history: dict[str, object], config: LoopConfig) -> None:
    """Write a checkpoint in one move, so that a killed run leaves the old one.

    A companion goes into a checkpoint of its own, ``companion.pt`` beside ``path``, in the decoder's place.
    """
    weights = {k: v for k, v in module.state_dict().items() if not k.startswith("companion.")}
    decoders = {path: module.synthesis}
    if module.companion is not None:
        decoders[path.with_name("companion.pt")] = module.companion
    for target, decoder in decoders.items():
        partial = target.with_suffix(".part")
        torch.save(
            {
                "model": module.config.to_dict(),
                "decoder": decoder.config.to_dict(),
                "weights": weights | {f"synthesis.{k}": v for k, v in decoder.state_dict().items()},
                "history": {**history, "runs": [*history.get("runs", []), asdict(config)]},  # type: ignore[misc]
            },
            partial,
        )
        partial.rename(target)
