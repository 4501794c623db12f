"""Training: what Muon does to a matrix, which parameters it takes, and that it learns."""

from __future__ import annotations

import pytest
import torch
from models import tiny_network

from mcmcodec.training.optimizer import Muon, is_matrix, orthogonal


@pytest.mark.parametrize("shape", [(24, 24), (16, 72), (72, 16), (3, 16, 72)])
def test_orthogonal_keeps_directions_and_evens_lengths(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    matrix = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    made = u.mT @ orthogonal(matrix) @ v.mT  # (..., k, k), diagonal where directions stay
    lengths = made.diagonal(dim1=-2, dim2=-1)
    assert lengths.median() == pytest.approx(0.95, abs=0.25) and lengths.max() < 1.3 and lengths.min() > 0.05
    assert (made - torch.diag_embed(lengths)).abs().max() < 0.08  # bfloat16


def test_orthogonal_of_nothing_is_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(8, 12)), torch.zeros(8, 12))


def test_matrices_are_weights_inside_the_networks() -> None:
    names = {name for name, p in tiny_network().named_parameters() if is_matrix(name, p)}
    assert {"synthesis.blocks.0.mix.weight", "analysis.blocks.1.qkv.weight", "entropy.slices.2.context"} <= names
    assert not names & {"analysis.embed.weight", "synthesis.linear.weight", "analysis.log_gain", "analysis.norm.weight"}
    assert not any("bias" in name or "place" in name or "quality" in name for name in names)


def test_a_step_is_as_long_as_promised() -> None:
    p = torch.nn.Parameter(torch.zeros(32, 8, 3, 3))
    p.grad = torch.randn(p.shape)
    Muon([{"params": [p]}], lr=1e-2).step()
    assert float(p.detach().square().mean().sqrt()) == pytest.approx(0.2e-2, rel=0.2)


def test_it_finds_a_least_square() -> None:
    torch.manual_seed(2)
    wanted, x = torch.randn(16, 24), torch.randn(200, 24)
    p = torch.nn.Parameter(torch.zeros(16, 24))
    optimizer = Muon([{"params": [p]}], lr=0.3)
    for number in range(60):
        optimizer.param_groups[0]["lr"] = 0.3 * (1 - number / 60)
        optimizer.zero_grad()
        loss = (x @ (p - wanted).T).square().mean()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.03 * float((x @ wanted.T).square().mean())
