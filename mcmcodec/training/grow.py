"""Stage: between training stages. A trained network becomes a larger one that computes the same, or learns by heart.

Blocks that the larger network has beyond the trained ones start as the identity, hidden units that it has beyond them
start unread (Chen et al. 2016, Net2Net, without the copies): nothing that was learned is lost, and all of it is free to
learn on.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..errors import UsageError
from ..model.config import ModelConfig
from ..model.synthesis import Synthesis
from .network import Network

READERS = (".weight2", ".weight3", "head1.weight")
"""Layers that read hidden units of context networks, or noise: what they read of new ones starts at zero."""


@torch.no_grad()
def grow(trained: Network, config: ModelConfig) -> Network:
    """``trained`` with the sizes of ``config``: more encoder blocks, a longer plan, wider context networks.

    Raises:
        UsageError: ``config`` differs in something that cannot grow, or is smaller.
    """
    grown = Network(config)
    old, new = trained.state_dict(), grown.state_dict()
    if not config.plan.startswith(trained.config.plan) or set(old) - set(new):
        raise UsageError(f"{config.name} is no larger version of {trained.config.name}", "start it with pca")
    for name, values in old.items():
        wider = ".slices." in name or ".mask." in name
        if values.shape != new[name].shape and not (wider and _fits(values, new[name])):
            raise UsageError(f"{name} cannot grow from {tuple(values.shape)}", "start the larger model with pca")
        _place(name, values, new[name])
    grown.load_state_dict(new)
    return grown


@torch.no_grad()
def grained(synthesis: Synthesis, channels: int) -> Synthesis:
    """The same decoder with so many channels of noise beside what its head reads; unread at first."""
    grown = Synthesis(replace(synthesis.config, grain=channels))
    weights = grown.state_dict()
    for name, values in synthesis.state_dict().items():
        _place(name, values, weights[name])
    grown.load_state_dict(weights)
    return grown


@torch.no_grad()
def carry(network: Network, before: Synthesis, after: Synthesis) -> Network:
    """Give a network's decoder what another one learnt: the difference ``after - before`` is added to its weights.

    Decoders that grew out of ``before`` take it well, and need a fraction of the training that ``after`` took (task
    arithmetic, Ilharco et al. 2023).

    Raises:
        UsageError: a parameter of theirs does not fit into the network's.
    """
    mine = network.synthesis.state_dict()
    for name, values in before.state_dict().items():
        if name not in mine or not _fits(values, mine[name]):
            raise UsageError(
                f"{name} has no place in the decoder of {network.config.name}", "train it from the stream's"
            )
        mine[name][tuple(slice(n) for n in values.shape)] += after.state_dict()[name] - values
    return network


def adopt(network: Network, synthesis: Synthesis) -> Network:
    """Give a network another model's decoder as it is, to be trained on: a retrained stream keeps its latents' meaning.

    Raises:
        UsageError: the decoder was made for other latents or features.
    """
    mine, its = network.config, synthesis.config
    if (mine.latents, mine.features) != (its.latents, its.features):
        raise UsageError(f"{mine.name} has other latents than this decoder reads", "grow a decoder with run light")
    network.synthesis = synthesis
    return network


def _fits(values: Tensor, room: Tensor) -> bool:
    return values.ndim == room.ndim and all(a <= b for a, b in zip(values.shape, room.shape, strict=True))


def _place(name: str, values: Tensor, room: Tensor) -> None:
    """Put trained values into the corner of a larger fresh parameter."""
    if name.endswith(READERS):
        room[: values.shape[0], values.shape[1] :] = 0
    room[tuple(slice(n) for n in values.shape)] = values
