"""Networks as they are frozen: sizes, weights and graph; a decoder by name or as a blend of two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, UsageError
from .config import PATCH, SUB, ModelConfig
from .deeper import ends_a_branch, moved, places
from .weights import Arrays, Weights

Floats = dict[str, NDArray[np.float32]]
Latents = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Fine, coarse and hyper-latents."""
BLENDED = ("fidelity", "perceptual")
"""Decoders at realism 0 and 1."""
KEPT = 5
"""Networks of a model that a runtime keeps, ready to run: two analyses and three decoders, for instance."""


@dataclass(frozen=True, eq=False)
class Frozen:
    """A network as it is stored; hashed by identity.

    Attributes:
        config: its sizes.
        load: reads the weights, by the names of the torch module, in float32. ModelError when they are damaged.
        graph: ONNX without weights; None where the model was frozen without.
    """

    config: ModelConfig
    load: Callable[[], Floats]
    graph: bytes | None


def analysis(weights: Weights, name: str) -> Frozen:
    """An analysis of a model, by the decoder that it was trained for."""
    return Frozen(weights.analysis_config(name), lambda: _float32(weights.analysis(name)), weights.analysis_graph(name))


def decoder(weights: Weights, which: str | float) -> Frozen:
    """A decoder by its name, or what lies at a realism of 0 to 1 between two. ModelError when there is none.

    Between: on the line from one to the other in weights (ESRGAN, Wang et al. 2018).
    """
    if isinstance(which, str):
        name = which
        return Frozen(weights.decoder_config(name), lambda: _float32(weights.decoder(name)), weights.graph(name))
    faithful, config = (weights.decoder_config(end) for end in BLENDED)
    try:
        blocks = places(faithful.plan, config.plan)
    except UsageError:
        blocks = None
    more = {name: getattr(config, name) for name in ("noise_channels", "renderer") if not getattr(faithful, name)}
    if blocks is None or replace(faithful, plan=config.plan, **more) != config:
        raise ModelError(f"the decoders of {weights.name} differ in shape, so none lies between", "name one")
    near, far = np.float32(1 - which), np.float32(which)

    def load() -> Floats:
        last = _float32(weights.decoder(BLENDED[1]))
        first = deepened(_float32(weights.decoder(BLENDED[0])), blocks, last)
        return {k: first[k] * near + v * far for k, v in last.items()}

    return Frozen(config, load, weights.graph(BLENDED[1]))


def deepened(arrays: Floats, blocks: list[int], like: Floats) -> Floats:
    """Weights of a decoder in the form of a deeper one, with what it lacks in that one's place but without effect.

    Args:
        arrays: of the decoder.
        blocks: where its blocks stand among the deeper one's.
        like: weights of the deeper one.
    """
    mine = {moved(name, blocks): values for name, values in arrays.items()}
    missing = {name: np.zeros_like(v) if ends_a_branch(name) else v for name, v in like.items() if name not in mine}
    return {name: _fitted(values, like[name]) for name, values in mine.items()} | missing


def linear_part(network: Frozen) -> NDArray[np.float32]:
    """The linear part of a decoder, (768, latents + 1) with the bias at the end."""
    arrays = network.load()
    return np.concatenate([arrays["linear.weight"], arrays["linear.bias"][:, None]], 1)


def paint_reduced(linear: NDArray[np.float32], latents: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Paint a small picture from the linear part of a decoder alone, averaged over factor x factor pixels.

    What blocks and head add is detail, and measured on reduced pictures the linear part comes nearer to the whole
    transform than the blocks without the head do.

    Args:
        linear: of :func:`linear_part`.
        latents: dequantised latents (B, h, w, latents).
        factor: 4, 8 or 16.

    Returns:
        Pixels (B, 16h / factor, 16w / factor, 3), nominally in [0, 1], not clamped.
    """
    n, side = PATCH // SUB, PATCH // factor
    basis = linear.reshape(n, n, SUB, SUB, 3, -1).swapaxes(1, 2)  # (row: n, SUB; column: n, SUB; colour; channel)
    basis = basis.reshape(side, factor, side, factor, 3, -1).mean((1, 3)).reshape(3 * side**2, -1)
    b, h, w, _ = latents.shape
    x = latents @ basis[:, :-1].T + (basis[:, -1] + np.float32(0.5))
    pixels: NDArray[np.float32] = x.reshape(b, h, w, side, side, 3).swapaxes(2, 3).reshape(b, h * side, w * side, 3)
    return pixels


def _float32(arrays: Arrays) -> Floats:
    return {name: np.ascontiguousarray(values, np.float32) for name, values in arrays.items()}


def _fitted(values: NDArray[np.float32], like: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights of a layer that reads fewer channels, as one of ``like``'s shape that does not look at the others."""
    if values.shape == like.shape:
        return values
    out = np.zeros_like(like)
    out[:, : values.shape[1]] = values
    return out
