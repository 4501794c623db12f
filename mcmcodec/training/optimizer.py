"""How weights follow gradients: Muon (or SOAP) for matrices inside the networks, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

BASIS = (
    "analysis.embed.weight", "analysis.coarse_basis.weight", "entropy.expect_weight", "synthesis.linear.weight",
    "second_decoder.linear.weight",
)  # fmt: skip
"""Orthonormal at the start, with entries far smaller than a fresh layer's: they learn more slowly."""


Matrices = Literal["muon", "soap", "adamw"]
"""What may move the matrices inside the networks."""
INSIDE = (".weight", ".context", ".current", ".weight2", "hyper_weight1", "hyper_weight2", "hyper_weight3")
"""Ends of the names of matrices inside the networks."""


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal before they are applied (Jordan et al. 2024).

    Convolutions count as matrices of (out, in x kernel). A step is as long as AdamW's (Liu et al. 2025), so that both
    share one learning rate.

    Args:
        params: groups of parameters with at least two dimensions; four and more are convolutions, or stacks of them.
        lr: learning rate.
        momentum: decay of the average of gradients.
    """

    def __init__(self, params: list[dict[str, Any]], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; matrices of one shape are made orthogonal together."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            shapes: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
            for p in params:
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(momentum, group["momentum"])
                update = update.flatten(-3) if p.ndim >= 4 else update
                shapes.setdefault(tuple(update.shape[-2:]), []).append((p, update))
            for alike in shapes.values():
                stacked = torch.cat([u.reshape(-1, *u.shape[-2:]) for _, u in alike])
                matrices = orthogonal(stacked) * (0.2 * max(stacked.shape[-2:]) ** 0.5)
                counts = [u.shape[0] if u.ndim == 3 else 1 for _, u in alike]
                for (p, _), matrix in zip(alike, matrices.split(counts), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(matrix.reshape(p.shape), alpha=-group["lr"])


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix (..., m, n) with singular values near 1: quintic Newton-Schulz iteration of Jordan et al."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    if x.device.type == "cuda":  # as in its authors' implementation; many CPUs multiply bfloat16 far more slowly
        x = x.bfloat16()
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.to(matrix.dtype)
    out: Tensor = x.mT if tall else x
    return out


def is_matrix(name: str, p: nn.Parameter) -> bool:
    """Whether Muon takes this parameter: weights of layers inside, not tables, bases or the layers at the border."""
    depthwise = p.ndim == 4 and p.shape[1] == 1
    if p.ndim < 2 or name.endswith(BASIS) or depthwise:
        return False
    return min(p.shape[-4 if p.ndim >= 4 else 0], p[0].numel()) >= 8 and name.endswith(INSIDE)


def optimizers(
    module: nn.Module, trained: Sequence[nn.Parameter], peak: float, kind: Matrices
) -> list[torch.optim.Optimizer]:
    """What moves the trained parameters; every group's ``lr_scale`` is its share of the learning rate.

    ``kind`` moves the matrices; SOAP (Vyas et al. 2024) needs the package pytorch_optimizer.
    """
    named = {id(p): n for n, p in module.named_parameters()}
    matrices = [p for p in trained if kind != "adamw" and is_matrix(named[id(p)], p)]
    basis = [p for p in trained if named[id(p)].endswith(BASIS)]
    gains = [p for p in trained if named[id(p)].endswith(("log_gain", "offset_weight"))]
    taken = {id(p) for p in [*matrices, *basis, *gains]}
    decay = [p for p in trained if p.ndim > 1 and id(p) not in taken]
    rest = [p for p in trained if p.ndim <= 1 and id(p) not in taken]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.01, "lr_scale": 1.0},
         {"params": rest, "weight_decay": 0.0, "lr_scale": 1.0},
         {"params": basis, "weight_decay": 0.0, "lr_scale": 0.15},
         {"params": gains, "weight_decay": 0.0, "lr_scale": 1.0}],
        lr=peak, betas=(0.9, 0.98), eps=1e-9, foreach=True,
    )]  # fmt: skip
    if matrices:
        group = {"params": matrices, "weight_decay": 0.01, "lr_scale": 1.0}
        found.append(Muon([group], peak) if kind == "muon" else _soap(group, peak))
    return found


def _soap(group: dict[str, Any], peak: float) -> torch.optim.Optimizer:
    from pytorch_optimizer import SOAP

    # beyond 300 rows or columns a side has no preconditioner: its eigenvectors would take longer than the gradients
    found: torch.optim.Optimizer = SOAP([group], peak, betas=(0.95, 0.95), max_precondition_dim=300)
    return found
