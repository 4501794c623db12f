"""Networks as ONNX graphs, without their weights: what runs them where there is no torch.

A graph follows from a configuration alone. Weights stay in the safetensors files and are given to the runtime by name,
with ``network.`` before it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from ..model.analysis import Analysis
from ..model.config import PATCH, ModelConfig
from ..model.layers import quality_weights
from ..model.synthesis import Synthesis

OPSET = 18
SMALL = 64
"""Elements of the largest constant that a graph may hold: everything larger is a weight."""
GRID = (2, 9, 13)
"""Pictures, rows and columns of the example that is traced: odd, so that all padding is in the graph."""


class Encode(nn.Module):
    """Pictures to gained latents: what the graph of an analysis computes."""

    def __init__(self, analysis: Analysis) -> None:
        super().__init__()
        self.network = analysis

    def forward(self, pixels: Tensor, visible: Tensor, quality: Tensor) -> tuple[Tensor, ...]:
        """See ``OnnxRuntime.analyse``; coarse latents only if the model has any."""
        a, weights = self.network, quality_weights(quality)
        x = pixels.permute(0, 3, 1, 2) / 255
        t = a.tokens(x)
        fine = a.latents(x, t, visible, weights) * a.gains(weights)[:, None, None, :]
        hyper = a.hyper(t, weights)
        if not a.config.coarse:
            return fine, hyper
        return fine, hyper, a.coarse(t, weights) * a.coarse_gains(weights)[:, None, None, :]


class Paint(nn.Module):
    """Latents to pictures: what the graph of a decoder computes."""

    def __init__(self, synthesis: Synthesis) -> None:
        super().__init__()
        self.network = synthesis

    def forward(self, latents: Tensor, features: Tensor, visible: Tensor, quality: Tensor) -> Tensor:
        """See ``OnnxRuntime.synthesise``."""
        pixels: Tensor = self.network(latents, features, visible, quality_weights(quality))
        return pixels.permute(0, 2, 3, 1)


@lru_cache(maxsize=8)
def analysis_graph(config: ModelConfig) -> bytes:
    """The graph of an analysis; its weights are named as in :class:`Analysis`, after ``network.``."""
    pixels = torch.zeros(GRID[0], GRID[1] * PATCH, GRID[2] * PATCH, 3, dtype=torch.uint8)
    outputs = ["fine", "hyper", *(["coarse"] if config.coarse else [])]
    given = {"pixels": pixels, "visible": torch.ones(GRID, dtype=torch.bool), "quality": torch.zeros(GRID[0])}
    return _graph(Encode(Analysis(config)), given, outputs)


@lru_cache(maxsize=8)
def decoder_graph(config: ModelConfig) -> bytes:
    """The graph of a decoder; its weights are named as in :class:`Synthesis`, after ``network.``."""
    given = {
        "latents": torch.zeros(*GRID, config.latents),
        "features": torch.zeros(*GRID, config.features),
        "visible": torch.ones(GRID, dtype=torch.bool),
        "quality": torch.zeros(GRID[0]),
    }
    return _graph(Paint(Synthesis(config)), given, ["pixels"])


def _graph(module: nn.Module, given: dict[str, Tensor], outputs: Sequence[str]) -> bytes:
    """Trace a module whose one child holds the weights; sizes of the batch and of the grid stay free."""
    free = {"pixels": "height width", "fine": "h w", "hyper": "h4 w4", "coarse": "h2 w2", "quality": ""}
    axes = {name: {0: "batch", **dict(enumerate(free.get(name, "h w").split(), 1))} for name in (*given, *outputs)}
    with warnings.catch_warnings(), torch.no_grad(), TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        for parameter in module.parameters():  # the exporter would join those of equal values
            nn.init.normal_(parameter)
        # The exporter that traces: it keeps the parameters' names and takes a second, that of torch.export half a
        # minute. What it records as constant (whether there is anything to pad) holds for every size, see GRID.
        traced = Path(folder) / "traced.onnx"
        torch.onnx.export(
            module.eval(), tuple(given.values()), traced, dynamo=False, input_names=list(given), output_names=outputs,
            dynamic_axes=axes, opset_version=OPSET, do_constant_folding=False,
        )  # fmt: skip
        model = onnx.load(traced)
    weights = [tensor for tensor in model.graph.initializer if tensor.name in module.state_dict()]
    for tensor in weights:
        model.graph.initializer.remove(tensor)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights")
    # While the weights are inputs, nothing that is computed from them is folded into constants, all else is.
    inputs = list(model.graph.input)
    model.graph.input.extend(onnx.helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in weights)
    model = _simplified(model)
    del model.graph.input[:], model.graph.value_info[:]
    model.graph.input.extend(inputs)
    names = {name: name for name in (*module.state_dict(), *given, *outputs)}
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("name")
        for values in (node.input, node.output):  # "" is an input that is left out
            values[:] = [name and names.setdefault(name, f"v{len(names)}") for name in values]
    for tensor in model.graph.initializer:
        assert len(tensor.raw_data) <= 8 * SMALL, f"{tensor.name} is no parameter of the network"
        tensor.name = names[tensor.name]
    model.graph.initializer.extend(weights)
    return bytes(model.SerializeToString())


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without what is constant or computed twice, above all of sizes: it opens in half the time."""
    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = f"{folder}/graph.onnx"
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)
