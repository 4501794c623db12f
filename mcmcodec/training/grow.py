"""Growing a trained network: a larger one that computes the same, from a frozen model of the first generation.

Additions start as nothing (Chen et al. 2016, Net2Net, without the copies): residual branches end in zeros, new inputs
are not read at first. What was learned is kept, and all of it is free to learn on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file
from torch import Tensor

from ..errors import UsageError
from ..model.config import ModelConfig
from ..model.entropy_nets import bits_of, key_of
from ..model.synthesis import Synthesis
from .network import Network

Arrays = dict[str, Any]


@torch.no_grad()
def from_first_generation(card: Path, config: ModelConfig) -> tuple[Network, dict[str, Any]]:
    """A network of sizes ``config`` that paints what a first-generation model paints where every patch is visible.

    The first generation coded two slices of the fine latents for every patch and then the mask, and had no coarse
    latents. The new ones are still to be started (``Network.start_coarse``).

    Args:
        card: NAME.json of the frozen model.
        config: sizes; embedding, slices, contexts and decoder are those of the model.

    Returns:
        The network, with the model's default decoder as its second, and the history of training.
    """
    described = json.loads(card.read_text(encoding="utf-8"))
    network = Network(config)
    old = load_file(card.parent / described["stream"]["file"])
    state = network.state_dict()
    attention = [i for i, kind in enumerate(config.encoder_plan) if kind == "a"]
    renamed = {"base_in": "low_in", "base_out": "low_out"}
    for name, array in old.items():
        room, _, rest = name.partition(".")
        if room != "analysis":
            continue
        first, *more = rest.split(".")
        if first == "blocks":
            more[0] = str(attention[int(more[0])])
        if first == "out":  # now for all channels; the first had nothing of it
            state[f"analysis.{rest}"].zero_()
            state[f"analysis.{rest}"][config.low :] = torch.from_numpy(array).float()
            continue
        state[".".join(["analysis", renamed.get(first, first), *more])].copy_(torch.from_numpy(array).float())
    f, e, flag = config.features, config.expected, described["config"]["base_slices"]
    for name, into in state.items():
        key = name.removeprefix("entropy.")
        if key == name or f"entropy.{key_of(key)}" not in old or key.startswith("mask."):
            continue
        scaled = old[f"entropy.{key_of(key)}"].astype("float64") / (1 << bits_of(key))
        values = torch.from_numpy(scaled).float()
        if key.endswith(".context"):
            number = int(key.split(".")[1])
            known = sum(config.slices[:number])
            into.zero_()
            into[:, :f] = values[:, :f]
            if number < flag:
                into[:, f + e + 1 :] = values[:, f:]
            else:
                before = sum(config.slices[:flag])
                order = [*range(f, f + before), *range(f + before + 1, f + known + 1)]
                into[:, f + e] = values[:, f + before]
                into[:, f + e + 1 :] = values[:, order]
        elif key.endswith(".current"):
            into.zero_()
            into[:, :, : values.shape[2]] = values
        else:
            into.copy_(values)
    state["entropy.offset_weight"].zero_()
    network.load_state_dict(state)
    decoders = []
    for name in ("fidelity", described["default_decoder"]):
        entry = described["decoders"][name]
        noise = entry.get("config", {}).get("grain", 0)
        synthesis = Synthesis(replace(config, noise_channels=noise))
        trained = load_file(card.parent / entry["file"])
        parts = {key.replace("grain", "noise"): torch.from_numpy(array).float() for key, array in trained.items()}
        fresh = synthesis.state_dict()
        assert not set(parts) - set(fresh), f"{name} has parts that the larger decoder lacks"
        synthesis.load_state_dict(fresh | parts)
        decoders.append(synthesis)
    network.synthesis, network.second_decoder = decoders
    return network, described["training"]["stream"]


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
