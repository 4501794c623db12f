"""Runs the networks on a CPU without torch: graphs by ONNX Runtime, with weights from the safetensors files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from weakref import WeakSet

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..errors import ModelError
from .config import COARSE
from .frozen import KEPT, Frozen, Latents

PREFIX = "network."
"""Stands before the names of weights in a graph."""
MOST_THREADS = 8
"""Threads that are started where nobody says how many: small products gain little from more."""
_FATAL = 4


class _Opened(NamedTuple):
    """A session, and the process and the number of threads that it is for."""

    session: Any
    process: int
    threads: int


_chosen: list[int] = []
_networks: WeakSet[Network] = WeakSet()
_abandoned: list[_Opened] = []
"""Sessions of the process that this one was forked from: their threads are not here, and whoever closed one would wait
for them forever."""


def set_threads(count: int) -> None:
    """Bound the threads of every network from now on."""
    _chosen[:] = [count]


def threads() -> int:
    """How many threads a network may use: those set, or OMP_NUM_THREADS, or one a processor, up to 8."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if _chosen:
        return _chosen[0]
    if given.isdecimal() and int(given):
        return int(given)
    mine = getattr(os, "sched_getaffinity", None)
    return min(len(mine(0)) if mine else os.cpu_count() or 1, MOST_THREADS)


def open_session(network: Frozen, name: str, save_to: str | None = None) -> Any:
    """A session of ONNX Runtime for a graph with its weights.

    Args:
        network: the graph and its weights.
        name: of the model.
        save_to: where graph and weights are written together, as they are; otherwise they are made ready to run.

    Raises:
        MemoryError: there is too little.
        ModelError: the weights do not fit the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads(), _FATAL
    # waiting threads sleep; memory of one shape of tile is of no use for the next
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False
    # weights are multiplied as they are: a second, rearranged copy would not be faster
    options.add_session_config_entry("session.disable_prepacking", "1")
    if save_to:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.optimized_model_filepath = save_to
    # the session copies them while it is opened
    values = {key: onnxruntime.OrtValue.ortvalue_from_numpy(array) for key, array in network.load().items()}
    options.add_external_initializers([PREFIX + key for key in values], [*values.values()])
    try:
        return onnxruntime.InferenceSession(network.graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _fault(error, name) from None


def _fault(error: Exception, name: str) -> Exception:
    """What an error of ONNX Runtime means: too little memory, or weights and graphs that do not fit together."""
    if "alloc" in str(error):
        return MemoryError(str(error))
    return ModelError(f"weights of {name} do not fit its card", "install mcmcodec again")


class Network:
    """A graph with its weights, ready to run; by several threads, and in forked processes.

    Raises:
        ModelError: the weights do not fit the graph.
    """

    def __init__(self, name: str, frozen: Frozen) -> None:
        self.name, self.frozen = name, frozen
        self._opened = self._open()
        _networks.add(self)

    def run(self, **given: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Outputs of the graph, in its order.

        Raises:
            MemoryError: there is too little.
            ModelError: the inputs are not those of the graph.
        """
        opened = self._opened
        if (opened.process, opened.threads) != (os.getpid(), threads()):
            opened = self._opened = self._open()
        try:
            return list(opened.session.run(None, given))
        except Exception as error:
            raise _fault(error, self.name) from None

    def _open(self) -> _Opened:
        count = threads()
        return _Opened(open_session(self.frozen, self.name), os.getpid(), count)

    def abandon(self) -> None:
        """Keep the session of the parent process for good, whatever becomes of the network."""
        _abandoned.append(self._opened)


class OnnxRuntime:
    """Runs the analysis and the decoders of a model, each opened when it is first used."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._network = lru_cache(maxsize=KEPT)(self._load)

    def analyse(
        self, analysis: Frozen, pixels: NDArray[np.uint8], visible: NDArray[np.bool_], qualities: Sequence[int]
    ) -> Latents:
        """Pictures to gained latents.

        Args:
            analysis: the network.
            pixels: (B, 16h, 16w, 3) in sRGB.
            visible: patches that the encoder's blocks see (B, h, w).
            qualities: B of them, 0..100.

        Returns:
            fine latents (B, h, w, latents), coarse ones (B, ceil(h/2), ceil(w/2), coarse) and hyper-latent
            (B, ceil(h/4), ceil(w/4), hyper).
        """
        fine, hyper, *coarse = self._network(analysis).run(
            pixels=np.ascontiguousarray(pixels), visible=np.ascontiguousarray(visible),
            quality=np.asarray(qualities, np.float32),
        )  # fmt: skip
        none = np.zeros((len(fine), *(-(-side // COARSE) for side in visible.shape[1:]), 0), np.float32)
        return fine, coarse[0] if coarse else none, hyper

    def synthesise(
        self, decoder: Frozen, latents: NDArray[np.float32], features: NDArray[np.float32],
        visible: NDArray[np.bool_], qualities: Sequence[int],
    ) -> NDArray[np.float32]:  # fmt: skip
        """Latents to pictures.

        Args:
            decoder: the network.
            latents: dequantised, in real units (B, h, w, latents).
            features: of the hyper-decoder, in real units (B, h, w, features).
            visible: visible patches (B, h, w).
            qualities: B of them, 0..100.

        Returns:
            Pixels (B, 16h, 16w, 3), nominally in [0, 1], not clamped.
        """
        (pixels,) = self._network(decoder).run(
            latents=latents, features=features, visible=visible, quality=np.asarray(qualities, np.float32)
        )
        return pixels

    def open(self, network: Frozen) -> None:
        """Open a network that is used soon. ModelError when its weights do not fit."""
        self._network(network)

    def _load(self, frozen: Frozen) -> Network:
        return Network(self.name, frozen)


def _after_fork() -> None:
    """In a forked child: a network opens a session of its own when it runs, or is dropped without having run."""
    for network in _networks:
        network.abandon()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_after_fork)
