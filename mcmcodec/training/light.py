"""The light decoder, grown out of a trained one by replacing its parts one after another.

Each part that is expensive gives way to a cheap one that is trained alone, everything around it frozen, until the
decoder paints nearly what its teacher paints; then the next part follows (asymmetric replacement, Wang et al. 2024,
AsymLLIC). In the end the whole decoder trains on as any other.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..model.config import PATCH, ModelConfig
from ..model.layers import quality_weights
from ..model.synthesis import Synthesis
from .cached import LatentCache
from .data import Crops
from .network import Network
from .stages import Numbers, Stage, psnr, squared_error

HEAD = 16
"""Inner width of the light decoder's head; it has no renderer."""
GROUP, CHEAP = 3, "ll"
"""So many blocks of the plan give way to these."""


@dataclass
class Replacement:
    """One step: a decoder of which ``fresh`` parameters are new and everything else is the teacher's."""

    what: str
    synthesis: Synthesis
    fresh: list[str]


def replacements(teacher: Synthesis) -> Iterator[Replacement]:
    """The steps, head first and then the blocks from the last; the decoder yielded is to be trained before the next.

    The ``synthesis`` of a step is where the next one starts: put what was trained back into it.
    """
    step = _head(teacher)
    yield step
    plan = teacher.config.plan
    for start in reversed(range(0, len(plan), GROUP)):
        step = _blocks(step.synthesis, start, min(start + GROUP, len(plan)))
        yield step


def _head(trained: Synthesis) -> Replacement:
    light = Synthesis(replace(trained.config, head=HEAD, renderer=0))
    dropped = ("head", "renderer.", "code.")
    fresh = _fill(light, {k: v for k, v in trained.state_dict().items() if not k.startswith(dropped)})
    return Replacement("head", light, fresh)


def _blocks(trained: Synthesis, start: int, stop: int) -> Replacement:
    old = trained.config.plan
    light = Synthesis(replace(trained.config, plan=old[:start] + CHEAP + old[stop:]))
    kept: dict[str, Tensor] = {}
    for name, values in trained.state_dict().items():
        if name.startswith("blocks."):
            _, number, rest = name.split(".", 2)
            place = int(number)
            if start <= place < stop:
                continue
            name = f"blocks.{place if place < start else place - (stop - start) + len(CHEAP)}.{rest}"
        kept[name] = values
    return Replacement(old[start:stop], light, _fill(light, kept))


def _fill(light: Synthesis, kept: dict[str, Tensor]) -> list[str]:
    """Load what stays; return the names of what is new."""
    missing, _ = light.load_state_dict(kept, strict=False)
    return list(missing)


class Imitation(Stage):
    """One replacement: what is new in the first decoder learns to paint what the teacher paints."""

    name = "light"

    def __init__(
        self, crops: Crops, batch: int, device: str, cache: LatentCache, teacher: Synthesis, fresh: list[str]
    ) -> None:
        super().__init__(crops, batch, device)
        self.cache, self.fresh = cache, set(fresh)
        self.teacher = copy.deepcopy(teacher).eval().requires_grad_(False).to(device)

    def trained(self, network: Network) -> dict[str, nn.Parameter]:
        """What is new."""
        return {k: p for k, p in network.named_parameters() if k.removeprefix("synthesis.") in self.fresh}

    def __call__(self, network: Network) -> tuple[Tensor, Numbers]:
        """Loss of one batch, and numbers for the log."""
        x, _, seen = self.cache.batch(self.batch)
        with torch.no_grad():
            wanted = network.paint(seen, self.teacher)
        x_hat = network.paint(seen)
        error = squared_error(x_hat, wanted)
        return (error * 100).mean(), {"psnr": psnr(squared_error(x_hat, x)), "likeness": psnr(error)}


def operations(synthesis: Synthesis, config: ModelConfig) -> float:
    """Multiply-accumulate operations per pixel of a decoder, counted on a picture of 512 x 512."""
    side = 512 // PATCH
    y_hat, psi = torch.zeros(1, side, side, config.latents), torch.zeros(1, side, side, config.features)
    mask = torch.ones(1, side, side, dtype=torch.bool)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        synthesis(y_hat, psi, mask, quality_weights(torch.tensor([50])))
    return float(counter.get_total_flops()) / 2 / 512**2
