"""Growing a trained network: a larger one that computes the same.

Additions start as nothing (:mod:`mcmcodec.model.deeper`), new inputs are not read at first. What was learned is kept,
and all of it is free to learn on.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..errors import UsageError
from ..model.config import ModelConfig
from ..model.deeper import moved, places
from ..model.synthesis import Synthesis
from .network import Network


@torch.no_grad()
def grow(trained: Network, config: ModelConfig) -> Network:
    """A network of sizes ``config`` that paints what ``trained`` paints where every patch is visible.

    Blocks, coarse latents and a renderer may be added, and base slices may become slices of visible patches only. New
    coarse latents are still to be started (``Network.start_coarse``); the mask network starts anew where it reads other
    inputs.

    Args:
        trained: with one decoder or two.
        config: sizes; embedding, slices and widths are those of ``trained``.

    Raises:
        UsageError: a trained parameter has no place in the larger network.
    """
    old, grown = trained.config, Network(config)
    state = grown.state_dict()
    blocks = places(old.encoder_plan, config.encoder_plan)
    for name, values in trained.state_dict().items():
        room, _, rest = name.partition(".")
        if room == "analysis":
            _copy(f"analysis.{moved(rest, blocks)}", values, state)
        elif room == "entropy":
            _grow_entropy(rest, values, state[name], old, config)
    grown.load_state_dict(state)
    grown.synthesis = grow_decoder(trained.synthesis, config)
    if trained.second_decoder is not None:
        grown.second_decoder = grow_decoder(trained.second_decoder, config)
    return grown


@torch.no_grad()
def grow_decoder(trained: Synthesis, config: ModelConfig) -> Synthesis:
    """A decoder of sizes ``config`` that paints what ``trained`` paints; its noise channels stay."""
    grown = Synthesis(replace(config, noise_channels=trained.config.noise_channels))
    state, blocks = grown.state_dict(), places(trained.config.plan, config.plan)
    for name, values in trained.state_dict().items():
        _copy(moved(name, blocks), values, state)
    grown.load_state_dict(state)
    return grown


def _copy(name: str, values: Tensor, state: dict[str, Tensor]) -> None:
    if name not in state or state[name].shape != values.shape:
        raise UsageError(f"{name} has no place in the larger network", "start the model with a PCA basis")
    state[name].copy_(values)


def _inputs(config: ModelConfig, number: int) -> list[tuple[str, int]]:
    """What the context network of slice ``number`` reads, channel by channel."""
    known = sum(config.slices[:number])
    base = min(known, config.base)
    before = [("psi", i) for i in range(config.features)] + [("expected", i) for i in range(config.expected)]
    flag = [("visible", 0)] if number >= config.base_slices else []
    return [*before, *(("y", i) for i in range(base)), *flag, *(("y", i) for i in range(base, known))]


def _grow_entropy(name: str, values: Tensor, into: Tensor, old: ModelConfig, new: ModelConfig) -> None:
    """Put a trained parameter of the entropy networks into a grown one's place; what is new is not read at first."""
    part, _, rest = name.partition(".")
    if part == "mask" and (old.base, old.expected) != (new.base, new.expected):
        return
    if part == "slices" and rest.endswith(".context"):
        number = int(rest.split(".")[0])
        place = {channel: at for at, channel in enumerate(_inputs(new, number))}
        into.zero_()
        for at, channel in enumerate(_inputs(old, number)):
            into[:, place[channel]] = values[:, at]
    elif part == "slices" and rest.endswith(".current"):
        into.zero_()
        into[:, :, : values.shape[2]] = values
    elif into.shape == values.shape:
        into.copy_(values)
    else:
        raise UsageError(f"entropy.{name} has no place in the larger network", "start the model with a PCA basis")


@torch.no_grad()
def with_noise(synthesis: Synthesis, channels: int) -> Synthesis:
    """The same decoder with so many channels of noise beside what its head reads; unread at first."""
    grown = Synthesis(replace(synthesis.config, noise_channels=channels))
    weights = grown.state_dict()
    for name, values in synthesis.state_dict().items():
        place(name, values, weights[name])
    grown.load_state_dict(weights)
    return grown


def place(name: str, values: Tensor, room: Tensor) -> None:
    """Put trained values into the corner of a larger fresh parameter; what layers read of new inputs is zero."""
    if name.endswith((".weight2", ".weight3", "head1.weight", "renderer.enter.weight")):
        room[: values.shape[0], values.shape[1] :] = 0
    room[tuple(slice(n) for n in values.shape)] = values


@torch.no_grad()
def add_task_vector(decoder: Synthesis, before: Synthesis, after: Synthesis) -> Synthesis:
    """Add what another decoder learnt, ``after - before``, to a decoder's weights; returns it.

    Decoders that grew out of ``before`` take it well, and need a fraction of the training that ``after`` took (task
    arithmetic, Ilharco et al. 2023).

    Raises:
        UsageError: a parameter of theirs does not fit into the decoder's.
    """
    mine = decoder.state_dict()
    for name, values in before.state_dict().items():
        room = mine.get(name)
        fits = room is not None and values.ndim == room.ndim and all(
            a <= b for a, b in zip(values.shape, room.shape, strict=True)
        )  # fmt: skip
        if room is None or not fits:
            raise UsageError(f"{name} has no place in the decoder", "train it from the stream's")
        room[tuple(slice(n) for n in values.shape)] += after.state_dict()[name] - values
    return decoder


@torch.no_grad()
def blend(before: Network, after: Network, share: float, new: float) -> Network:
    """Weights on the line from a network to what training made of it; returns ``after``, changed.

    Between the two, much of what was learned stays and little of what was forgotten is missing (WiSE-FT, Wortsman et
    al. 2022).

    Args:
        before: where training began; it grows to the sizes of ``after``.
        after: the trained network.
        share: 0 for the one, 1 for the other.
        new: the same for what ``before`` does not have, which began as nothing: its last layers were zeros.

    Raises:
        UsageError: ``after`` did not grow out of ``before``.
    """
    grown = grow(before, after.config)
    start, old = grown.state_dict(), _names(before, grown)
    for name, values in after.state_dict().items():
        if name not in start or start[name].shape != values.shape:
            raise UsageError(f"{name} did not grow out of the other network", "name the model that training began with")
        if name in old:
            values.copy_(start[name] + share * (values - start[name]))
        elif not start[name].any():
            values.mul_(new)
    return after


def _names(trained: Network, grown: Network) -> set[str]:
    """Names that the parameters of a network have in the one that grew out of it."""
    rooms = {
        "analysis": places(trained.config.encoder_plan, grown.config.encoder_plan),
        "synthesis": places(trained.synthesis.config.plan, grown.synthesis.config.plan),
    }
    if trained.second_decoder is not None and grown.second_decoder is not None:
        rooms["second_decoder"] = places(trained.second_decoder.config.plan, grown.second_decoder.config.plan)
    names = (name.partition(".") for name in trained.state_dict())
    return {f"{room}.{moved(rest, rooms[room]) if room in rooms else rest}" for room, _, rest in names}


def replace_decoder(network: Network, synthesis: Synthesis) -> Network:
    """Give a network another model's first decoder as it is, to be trained on.

    Raises:
        UsageError: the decoder was made for other latents or features.
    """
    mine, its = network.config, synthesis.config
    if (mine.latents, mine.features) != (its.latents, its.features):
        raise UsageError(f"{mine.name} has other latents than this decoder reads", "grow a light decoder instead")
    network.synthesis = synthesis
    return network
