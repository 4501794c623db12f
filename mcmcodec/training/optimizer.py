"""Stage: training, how weights follow gradients: Muon for matrices inside the networks, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

BASIS = ("analysis.embed.weight", "synthesis.linear.weight")
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
        """One step."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(state["momentum"], group["momentum"])
                matrix = update.flatten(-3) if p.ndim >= 4 else update
                matrix = orthogonal(matrix)
                size = 0.2 * max(matrix.shape[-2:]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(matrix.reshape(p.shape), alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix (..., m, n) with singular values near 1: quintic Newton-Schulz iteration of Jordan et al."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def is_matrix(name: str, p: nn.Parameter) -> bool:
    """Whether Muon takes this parameter: weights of layers inside, not tables, bases or the layers at the border."""
    if p.ndim < 2 or name.endswith(BASIS) or min(p.shape[-4 if p.ndim >= 4 else 0], p[0].numel()) < 8:
        return False
    return name.endswith((".weight", ".context", ".current", ".weight2", "hyper_weight1", "hyper_weight2"))
