"""Stage: training, how weights follow gradients: Muon for matrices inside the networks, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn

BASIS = ("analysis.embed.weight", "synthesis.linear.weight", "companion.linear.weight")
"""Orthonormal at the start, with entries far smaller than a fresh layer's: they learn more slowly."""


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal before they are applied (Jordan et al. 2024).

    Convolutions count as matrices of (out, in x kernel). A step is as long as AdamW's (Liu et al. 2025), so that both
    share one learning rate.

    Args:
        params: groups of parameters with at least two dimensions; four and more are convolutions, or stacks of them.
        lr: learning rate.
        momentum: decay of the average of gradients.
    """

    def __init__(self, params: list[dict], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """One step. Several processes with equal gradients share the work: each makes some matrices for all."""
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            updates = [
                self._direction(p, group["momentum"]) if number % world == rank else torch.zeros_like(p)
                for number, p in enumerate(params)
            ]
            if world > 1 and updates:
                flat = torch.cat([u.reshape(-1) for u in updates])
                dist.all_reduce(flat)
                updates = [u.view_as(p) for u, p in zip(flat.split([p.numel() for p in params]), params, strict=True)]
            for p, update in zip(params, updates, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"])

    def _direction(self, p: Tensor, momentum: float) -> Tensor:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].lerp_(p.grad, 1 - momentum)
        update = p.grad.lerp(state["momentum"], momentum)
        matrix = orthogonal(update.flatten(-3) if p.ndim >= 4 else update)
        return matrix.reshape(p.shape) * (0.2 * max(matrix.shape[-2:]) ** 0.5)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix (..., m, n) with singular values near 1: quintic Newton-Schulz iteration of Jordan et al.

    Iterates on the small Gram matrix: every step multiplies by a polynomial of it from the left, so the long side is
    only touched at the beginning and at the end.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    gram = x @ x.mT
    eye = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    whole = eye
    for step in range(steps):
        factor = a * eye + b * gram + c * gram @ gram
        whole = factor @ whole if step else factor
        if step + 1 < steps:
            gram = factor @ gram @ factor
    x = whole @ x
    return x.mT if tall else x


def is_matrix(name: str, p: nn.Parameter) -> bool:
    """Whether Muon takes this parameter: weights of layers inside, not tables, bases or the layers at the border."""
    if p.ndim < 2 or name.endswith(BASIS) or min(p.shape[-4 if p.ndim >= 4 else 0], p[0].numel()) < 8:
        return False
    return name.endswith((".weight", ".context", ".current", ".weight2", "hyper_weight1", "hyper_weight2"))


def optimizers(module: nn.Module, trained: list[Tensor], peak: float, muon: bool) -> list[torch.optim.Optimizer]:
    """What moves the trained parameters; every group's ``pace`` is its share of the learning rate."""
    named = {id(p): n for n, p in module.named_parameters()}
    matrices = [p for p in trained if muon and is_matrix(named[id(p)], p)]
    basis = [p for p in trained if named[id(p)].endswith(BASIS)]
    taken = {id(p) for p in [*matrices, *basis]}
    decay = [p for p in trained if p.ndim > 1 and id(p) not in taken]
    rest = [p for p in trained if p.ndim <= 1 and id(p) not in taken]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.01, "pace": 1.0}, {"params": rest, "weight_decay": 0.0, "pace": 1.0},
         {"params": basis, "weight_decay": 0.0, "pace": 0.15}],
        lr=peak, betas=(0.9, 0.98), eps=1e-9, foreach=True,
    )]  # fmt: skip
    if matrices:
        found.append(Muon([{"params": matrices, "weight_decay": 0.01, "pace": 1.0}], peak))
    return found
