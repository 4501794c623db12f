"""How many multiplications does each part take for a pixel? Computed from the networks; nothing is timed.

Of the float networks the products are counted on torch modules of the model's sizes, at 512x512 pixels with every patch
visible. Of the integer networks a matrix's size is what it takes at a position: a context network is evaluated once for
every patch, for a quarter of them in each pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from mcmcodec.entropy.fixed_point import COARSE, HYPER
from mcmcodec.entropy.integer_networks import ContextNet
from mcmcodec.entropy.latent_coder import EntropyModel
from mcmcodec.model.analysis import Analysis
from mcmcodec.model.config import PATCH, ModelConfig
from mcmcodec.model.layers import quality_weights
from mcmcodec.model.synthesis import Synthesis
from mcmcodec.training.light import operations

from .work import Work

SIDE = 512
Row = dict[str, Any]


def measure(work: Work) -> dict[str, Any]:
    """A row per part: ``part``, ``what``, multiplications with additions per pixel, and who needs it.

    The analysis is the one for the default decoder.
    """
    weights = work.codec.weights
    parts = [("encoder", "analysis", *one) for one in analysis(weights.analysis_config(weights.analysis_for(None)))]
    parts += [("both", "entropy", *one) for one in entropy(weights.entropy)]
    parts += [
        ("decoder", "decoder", name, operations(Synthesis(weights.decoder_config(name)), weights.config))
        for name in weights.decoders
    ]
    rows = [{"side": side, "part": part, "what": what, "operations": round(n, 1)} for side, part, what, n in parts if n]
    return work.facts() | {"rows": rows}


def analysis(config: ModelConfig) -> list[tuple[str, float]]:
    """The parts of the analysis transform."""
    network, side = Analysis(config).eval(), SIDE // PATCH
    pixels, weights = torch.zeros(1, 3, SIDE, SIDE), quality_weights(torch.tensor([50]))
    tokens = torch.zeros(1, side, side, config.embed)
    runs = {
        "patches to tokens": lambda: network.tokens(pixels),
        "hyper-latent": lambda: network.hyper(tokens, weights),
        "coarse latents": lambda: network.coarse(tokens, weights),
        "latents of visible patches": lambda: network.latents(pixels, tokens, None, weights),
    }
    found = []
    for name, run in runs.items():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            run()
        found.append((name, counter.get_total_flops() / 2 / SIDE**2))
    return found


def entropy(model: EntropyModel) -> list[tuple[str, float]]:
    """The integer networks, each evaluated once."""
    patch, cell = PATCH**2, (PATCH * HYPER) ** 2
    base = model.base_slices
    found = [("features from the hyper-latent", (model.hyper.weight1.size + model.hyper.weight2.size) / cell)]
    if model.coarse:
        coarse_cell = (PATCH * COARSE) ** 2
        found.append(("context of the coarse latents", sum(map(per_position, model.coarse_nets)) / coarse_cell))
        found.append(("prediction from the coarse latents", model.predictor.weight.size / coarse_cell))
    found.append(("context of the base layer", sum(map(per_position, model.nets[:base])) / patch))
    found.append(("mask, where any patch is hidden", per_position(model.mask) / patch))
    found.append(("context of the visible patches' latents", sum(map(per_position, model.nets[base:])) / patch))
    return found


def per_position(net: ContextNet) -> float:
    """Multiplications of a context network at a position, mean of the passes."""
    return float(np.mean([one.size for one in net.first])) + net.weight2.size + net.weight3.size
