"""Freezing: a checkpoint becomes files of integers, symbol tables, hashes, a card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from ..caption import coder, language
from ..entropy.fixed_point import (
    ACT_BITS,
    FACTOR_BITS,
    MASK_CENTRE,
    REAL_BITS,
    SCALE_MIN,
    SCALE_STEP,
    SCALES,
)
from ..entropy.rangecoder import Table
from ..errors import UsageError
from ..model.analysis import Analysis
from ..model.config import QUALITY_MAX, ModelConfig
from ..model.entropy_nets import from_integers, integers
from ..model.layers import quality_weights
from ..model.synthesis import Synthesis
from ..model.weights import GAINS, Weights
from .loop import load
from .network import Network

MAX_REACH = 255
Arrays = dict[str, NDArray[Any]]


def load_frozen(card: Path, decoder: str | None = None) -> tuple[Network, dict[str, Any]]:
    """A network to go on training from frozen files, and its history; up to the rounding that freezing did.

    Args:
        card: NAME.json of a frozen model.
        decoder: which of its decoders is the first; the default one if None.
    """
    weights = _weights(card.parent, card.stem)
    decoder = decoder or weights.decoders[0]
    analysis = weights.analysis_for(decoder)
    network = Network(weights.analysis_config(analysis), weights.decoder_config(decoder))
    state = {f"analysis.{k}": torch.from_numpy(v).float() for k, v in weights.analysis(analysis).items()}
    nets = from_integers(weights.config, weights.stream)
    state |= {f"entropy.{k}": v for k, v in nets.state_dict().items()}
    painted = weights.decoder(decoder)
    state |= {f"synthesis.{k}": torch.from_numpy(v).float() for k, v in painted.items()}
    network.load_state_dict(state)
    return network, weights.card["training"]["stream"]


def logistic_tables() -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Reach (64,) and probabilities, table after table, of the logistic densities that training assumes.

    Tables counted on 250 training pictures instead save less than 0.1 % at any quality.
    """
    reach, rows = np.zeros(SCALES, np.int16), []
    for index in range(1, SCALES):
        scale = SCALE_MIN * np.exp(index * SCALE_STEP)
        reach[index] = min(MAX_REACH, max(2, int(np.ceil(8 * scale + 0.5))))
        x = np.arange(-reach[index], reach[index] + 1)
        p = 1 / (1 + np.exp(-(0.5 - np.abs(x)) / scale)) - 1 / (1 + np.exp((0.5 + np.abs(x)) / scale))
        rows.append(np.append(p, max(1e-7, 1 - p.sum())))
    return reach, np.concatenate(rows)


def frequencies(reach: NDArray[np.int16], probabilities: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Exact 16-bit frequencies of every table; each sums to 65536, none is zero."""
    out, start = [], 0
    for index in range(1, SCALES):
        size = 2 * int(reach[index]) + 2
        weights = np.rint(probabilities[start : start + size] * (1 << 36)).astype(np.int64)
        out.append(np.diff(Table.from_weights(weights).cumulative))
        start += size
    return np.concatenate(out).astype(np.uint16)


def mask_probabilities() -> NDArray[np.int16]:
    """Probability of a visible patch (64,) in 1/4096, by the index that the mask network predicts."""
    log_odds = (np.arange(2 * MASK_CENTRE) - MASK_CENTRE + 0.5) / 4
    return np.clip(np.rint(4096 / (1 + np.exp(-log_odds))), 1, 4095).astype(np.int16)


def stream_arrays(network: Network) -> Arrays:
    """Everything in a stream model's file: entropy integers with tables, and gains, which scale every symbol."""
    arrays = integers(network.entropy)
    if network.config.coarse:
        arrays |= _expectation_factors(network)
    reach, prior = logistic_tables()
    arrays |= {"tables.reach": reach, "tables.frequencies": frequencies(reach, prior)}
    arrays["mask.p1"] = mask_probabilities()
    out: Arrays = {f"entropy.{k}": np.ascontiguousarray(v) for k, v in arrays.items()}
    gains = network.analysis.state_dict()
    return out | {name: gains[name].cpu().numpy() for name in GAINS if name in gains}


def _expectation_factors(network: Network) -> Arrays:
    """Integers ``expect_from`` and ``expect_to`` (101, channels): between gained and real units of latents.

    For every quality: gains are exponentials, which interpolation of integers would follow only roughly.
    """
    with torch.no_grad():
        a = network.analysis
        every = quality_weights(torch.arange(QUALITY_MAX + 1, device=a.log_gain.device))
        unit = 1 / a.coarse_gains(every).double().cpu().numpy()
        gain = a.gains(every)[:, : network.config.expected].double().cpu().numpy()
    return {
        "expect_from": np.rint(unit * 2.0 ** (FACTOR_BITS + REAL_BITS - ACT_BITS)).astype(np.int32),
        "expect_to": np.rint(gain * 2.0 ** (FACTOR_BITS + ACT_BITS - REAL_BITS)).astype(np.int32),
    }


def decoder_arrays(synthesis: Synthesis) -> Arrays:
    """Everything in a decoder's file, in float16."""
    return {k: v.cpu().numpy().astype(np.float16) for k, v in synthesis.state_dict().items()}


def analysis_arrays(analysis: Analysis) -> Arrays:
    """Everything in the file of an analysis, in float16; gains are in the stream model's."""
    return {k: v.cpu().numpy().astype(np.float16) for k, v in analysis.state_dict().items() if k not in GAINS}


def write(folder: Path, name: str, number: int, stream: Network, decoders: dict[str, Synthesis], default: str,
          tuning: dict[str, float], history: dict[str, Any], graphs: bool = True) -> None:  # fmt: skip
    """Write NAME.json, its safetensors files and, unless told otherwise, its graphs into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {}
    for decoder, synthesis in decoders.items():
        entry: dict[str, Any] = _store(folder / f"{name}-{decoder}.safetensors", decoder_arrays(synthesis))
        if differs := _differences(synthesis.config, stream.config):
            entry["config"] = differs
        entries[decoder] = entry
    card = {
        "name": name, "id": number, "config": stream.config.to_dict(),
        "stream": _store(folder / f"{name}.safetensors", stream_arrays(stream)),
        "analyses": {default: _store(folder / f"{name}-for-{default}.safetensors", analysis_arrays(stream.analysis))},
        "decoders": entries, "default_decoder": default, "tuning": tuning, "training": history,
    }  # fmt: skip
    card["captions"] = {"name": coder.NAME, "sha256": language.SHA256}
    _write_card(folder / f"{name}.json", card)
    if graphs:
        add_graphs(folder, name)


def add_graphs(folder: Path, name: str) -> list[Path]:
    """Write the graphs of a frozen model, with which it runs without torch, and note them in its card.

    Raises:
        UsageError: there is no onnx.
    """
    try:
        from . import graphs
    except ImportError as error:
        raise UsageError(f"graphs cannot be made without {error.name}", "pip install onnx onnxruntime") from None
    weights = _weights(folder, name)
    card = weights.card
    made = [(card["analyses"][key], graphs.analysis_graph(weights.analysis_config(key))) for key in weights.analyses]
    made += [(card["decoders"][key], graphs.decoder_graph(weights.decoder_config(key))) for key in weights.decoders]
    for entry, graph in made:
        path = (folder / entry["file"]).with_suffix(".onnx")
        path.write_bytes(graph)
        entry["graph"] = {"file": path.name, "sha256": hashlib.sha256(graph).hexdigest()}
    _write_card(folder / f"{name}.json", card)
    return [folder / entry["graph"]["file"] for entry, _ in made]


def _write_card(path: Path, card: dict[str, Any]) -> None:
    path.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def put_decoder(folder: Path, name: str, decoder: str, synthesis: Synthesis, history: dict[str, Any]) -> None:
    """Put another decoder into a frozen model, beside its others or in the place of one; files stay as they are.

    Args:
        folder: of the frozen model.
        name: of the model.
        decoder: name of the decoder.
        synthesis: trained on the model's frozen latents.
        history: of its training, for the card.

    Raises:
        UsageError: the decoder reads other latents or features than the model has.
    """
    weights, own = _weights(folder, name), synthesis.config
    if (own.slices, own.features) != (weights.config.slices, weights.config.features):
        raise UsageError(f"the decoder reads other latents than {name} has", "train it from this model")
    entry: dict[str, Any] = _store(folder / f"{name}-{decoder}.safetensors", decoder_arrays(synthesis))
    entry["config"] = _differences(own, weights.config)
    _put(weights, "decoders", decoder, entry, decoder, history)


def put_analysis(folder: Path, name: str, decoder: str, analysis: Analysis, history: dict[str, Any]) -> None:
    """Put an analysis into a frozen model, for one of its decoders; files stay as they are.

    Args:
        folder: of the frozen model.
        name: of the model.
        decoder: name of the decoder.
        analysis: trained before the model's frozen entropy networks, with its gains.
        history: of its training, for the card.

    Raises:
        UsageError: it gives other latents than the model has, or has other gains.
    """
    weights, own, state = _weights(folder, name), analysis.config, analysis.state_dict()
    stream, theirs = weights.stream, weights.config.to_dict()
    gains = [k for k in GAINS if k in stream]
    fixed = [(one.slices, one.coarse_slices, one.hyper, one.head_dim) for one in (own, weights.config)]
    if fixed[0] != fixed[1] or any(not np.array_equal(stream[k], state[k].cpu().numpy()) for k in gains):
        raise UsageError(f"the analysis gives other latents than {name} has", "train it from this model")
    entry: dict[str, Any] = _store(folder / f"{name}-for-{decoder}.safetensors", analysis_arrays(analysis))
    if differs := {k: v for k, v in own.to_dict().items() if k in OF_ANALYSIS and v != theirs[k]}:
        entry["config"] = differs
    _put(weights, "analyses", decoder, entry, f"for {decoder}", history)


def _put(weights: Weights, part: str, key: str, entry: dict[str, Any], runs: str, history: dict[str, Any]) -> None:
    """Name a network in a model's card, and its history under ``runs``; and make its graph where the model has them."""
    card, graphs = weights.card, weights.has_graphs
    card[part][key] = entry
    card["training"][runs] = beyond(history, card["training"]["stream"])
    _write_card(weights.folder / f"{weights.name}.json", card)
    if graphs:
        add_graphs(weights.folder, weights.name)


def _weights(folder: Path, name: str) -> Weights:
    """A frozen model of its own card, which may be changed."""
    return Weights(name, json.loads((folder / f"{name}.json").read_text(encoding="utf-8")), folder)


OF_ANALYSIS = ("embed", "encoder_plan", "stem", "low", "coarse_width", "coarse_blocks")
"""The sizes that the analysis alone has."""


def _differences(own: ModelConfig, usual: ModelConfig) -> dict[str, object]:
    """The sizes of a decoder that are not its model's; its encoder and its name are none of its sizes."""
    theirs = usual.to_dict()
    skipped = ("name", *OF_ANALYSIS)
    return {key: value for key, value in own.to_dict().items() if value != theirs[key] and key not in skipped}


TUNING = {"rdoq_strength": 0.15, "mask_lambda": 0.3}
"""What the encoder's choices are tuned to until ``tune`` finds better."""


def freeze(checkpoint: Path, others: dict[str, Path], out: Path, name: str, number: int,
           tuning: dict[str, float]) -> None:  # fmt: skip
    """Freeze a checkpoint: its stream, its two decoders, and the first decoders of ``others`` by their names."""
    network, history = load(checkpoint)
    decoders, runs = {}, {"stream": history}
    if network.second_decoder is not None:
        decoders["perceptual"] = network.second_decoder
    decoders["fidelity"] = network.synthesis
    for key, path in others.items():
        other, its = load(path)
        decoders[key], runs[key] = other.synthesis, beyond(its, history)
    write(out, name, number, network, decoders, next(iter(decoders)), tuning, runs)


def freeze_network(
    network: Network, light: Synthesis | None, out: Path, name: str, history: dict[str, Any], number: int = 7
) -> None:
    """Freeze a network in training with its decoders, without graphs.

    Files over ``PIECE`` are cut to pieces, see :func:`join`.
    """
    decoders = {"fidelity": network.synthesis}
    if network.second_decoder is not None:
        decoders = {"perceptual": network.second_decoder} | decoders
    if light is not None:
        decoders["light"] = light
    write(out, name, number, network, decoders, next(iter(decoders)), TUNING, {"stream": history}, graphs=False)
    for path in out.glob(f"{name}*.safetensors"):
        if path.stat().st_size > PIECE:
            data = path.read_bytes()
            for place, begin in enumerate(range(0, len(data), PIECE)):
                path.with_name(f"{path.name}.{place:03d}").write_bytes(data[begin : begin + PIECE])
            path.unlink()


PIECE = 15 << 20
"""Largest file that leaves a machine whose results come back in small files."""


def join(folder: Path) -> list[Path]:
    """Put files together again that :func:`freeze_network` has cut; returns them."""
    whole = sorted({path.with_suffix("") for path in folder.glob("*.safetensors.[0-9][0-9][0-9]")})
    for path in whole:
        pieces = sorted(folder.glob(f"{path.name}.[0-9][0-9][0-9]"))
        path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
        for piece in pieces:
            piece.unlink()
    return whole


def beyond(history: dict[str, Any], stream: dict[str, Any]) -> dict[str, Any]:
    """A decoder's history for the card: if it began with the stream's runs, only those that came after."""
    runs, before = history.get("runs", []), stream.get("runs", [])
    if runs[: len(before)] != before:
        return history
    return {**history, "begins": "stream", "runs": runs[len(before) :]}


def _store(path: Path, arrays: Arrays) -> dict[str, str]:
    """Write a file in one move."""
    partial = path.with_suffix(".part")
    partial.write_bytes(save(arrays))
    partial.rename(path)
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
