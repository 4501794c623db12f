"""The float half of the data path. Pictures to latents and latents to pictures, tile by tile, on one device.

On a CPU the networks run by ONNX Runtime, on a GPU by torch, which is not imported before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import lru_cache, partial
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..entropy.fixed_point import ACT_BITS
from ..entropy.latent_coder import Decoded
from ..errors import ModelError
from ..image import tiling
from .config import COARSE, HYPER
from .devices import INSTALL_TORCH, device_of
from .frozen import Frozen, analysis, decoder, linear_part, paint_reduced
from .weights import Weights

if TYPE_CHECKING:
    from .onnx_runtime import OnnxRuntime
    from .torch_runtime import TorchRuntime

LINEAR_FROM = 4
"""Reduction from which on a picture is painted from the low frequencies alone."""

KEPT, DECODERS_KEPT = 4, 4
"""Models that stay loaded, and decoders of each."""
_loaded: dict[tuple[str | bytes, ...], Transforms] = {}
_lock = Lock()


class Transforms:
    """g_a, h_a and the decoders of one model on one device, in float32 without gradients.

    Attributes:
        weights: the model.
        runtime: runs its networks.
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: no such device.
        ModelError: torch is needed and not installed.
    """

    def __init__(self, weights: Weights, device: str = "auto") -> None:
        self.weights = weights
        self.device = device_of(device)
        self.runtime = _runtime(weights, self.device)
        self.frozen_decoder = lru_cache(maxsize=DECODERS_KEPT)(partial(decoder, weights))
        self._linear_part = lru_cache(maxsize=DECODERS_KEPT)(linear_part)
        self._analysis = lru_cache(maxsize=None)(partial(analysis, weights))

    def frozen_analysis(self, tune: str | None = None) -> Frozen:
        """The analysis for a decoder, or for the default one, as it is stored."""
        return self._analysis(self.weights.analysis_for(tune))

    def gains(self, quality: int) -> NDArray[np.float64]:
        """Gain per channel of the fine latents (channels,)."""
        gains: NDArray[np.float64] = self.weights.gains("log_gain", [quality])[0]
        return gains

    def coarse_gains(self, quality: int) -> NDArray[np.float64]:
        """Gain per channel of the coarse latents (coarse,)."""
        gains: NDArray[np.float64] = self.weights.gains("coarse_log_gain", [quality])[0]
        return gains

    def analyse(
        self, padded: NDArray[np.uint8], visible: NDArray[np.bool_], quality: int, tune: str | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Pixels to gained latents and hyper-latent.

        Args:
            padded: (16h, 16w, 3) uint8.
            visible: (h, w) bool; the encoder's blocks see these patches only.
            quality: 0..100.
            tune: the decoder that the latents are for; the default one if None.

        Returns:
            v (h, w, channels), of no meaning where hidden; c (ceil(h/2), ceil(w/2), coarse);
            z (ceil(h/4) * ceil(w/4), hyper).
        """
        v, c, z = self.analyse_batch(padded[None], visible[None], [quality], tune)
        return v[0], c[0], z[0]

    def analyse_batch(
        self, padded: NDArray[np.uint8], visible: NDArray[np.bool_], qualities: Sequence[int], tune: str | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """As :meth:`analyse`, for B pictures of one shape at once.

        Args:
            padded: (B, 16h, 16w, 3) uint8.
            visible: (B, h, w) bool.
            qualities: B of them.
            tune: as for :meth:`analyse`.

        Returns:
            v (B, h, w, channels), c (B, ceil(h/2), ceil(w/2), coarse) and z (B, ceil(h/4) * ceil(w/4), hyper).
        """
        count, rows, cols = visible.shape
        config, network = self.weights.config, self.frozen_analysis(tune)
        v = np.empty((count, rows, cols, config.latents), np.float32)
        c = np.empty((count, -(-rows // COARSE), -(-cols // COARSE), config.coarse), np.float32)
        z = np.empty((count, -(-rows // HYPER), -(-cols // HYPER), config.hyper), np.float32)
        for tile in tiling.tiles(rows, cols):
            pixels, shown = padded[_every(tiling.pixels(tile.outer))], visible[_every(tile.outer)]
            parts = self.runtime.analyse(network, pixels, shown, qualities)
            for whole, part, side in zip((v, c, z), parts, (1, COARSE, HYPER), strict=True):
                whole[_every(tiling.cells(tile.inner, side))] = part[_every(tiling.cells(tile.local, side))]
        return v, c, z.reshape(count, -1, z.shape[3])

    def synthesise(self, decoded: Decoded, quality: int, decoder: str | float, view: tiling.View) -> NDArray[np.uint8]:
        """Decoded integers to the pixels of a view, uint8 (height, width, 3); only tiles that it touches are painted.

        Args:
            decoded: integers of the whole picture.
            quality: 0..100.
            decoder: the decoder's name, or a realism of 0 to 1.
            view: what is wanted. At a factor of 4 and above only the linear part of the decoder is used.
        """
        pixels: NDArray[np.uint8] = self.synthesise_batch([decoded], [quality], decoder, view)[0]
        return pixels

    def synthesise_batch(
        self, decoded: Sequence[Decoded], qualities: Sequence[int], decoder: str | float, view: tiling.View
    ) -> NDArray[np.uint8]:
        """As :meth:`synthesise`, for B pictures of one shape at once: (B, height, width, 3)."""
        out = np.empty((len(decoded), *view.size, 3), np.uint8)
        rows, cols = decoded[0].mask.shape
        network, gain = self.frozen_decoder(decoder), self.weights.gains("log_gain", qualities).astype(np.float32)
        unit = np.float32(1 << ACT_BITS)
        linear = view.factor >= LINEAR_FROM
        for tile in tiling.tiles(rows, cols, view.patches(), halo=0 if linear else None):
            v_hat, psi, mask = (
                np.stack([part[tile.outer] for part in parts])
                for parts in zip(*((one.v_hat, one.psi, one.mask) for one in decoded), strict=True)
            )
            latents = v_hat.astype(np.float32) / (gain[:, None, None, :] * unit)
            if linear:
                x = paint_reduced(self._linear_part(network), latents, view.factor)
            else:
                x = self.runtime.synthesise(network, latents, psi.astype(np.float32) / unit, mask, qualities)
                if view.factor > 1:
                    b, h, w, _ = x.shape
                    x = x.reshape(b, h // view.factor, view.factor, w // view.factor, view.factor, 3).mean((2, 4))
            to, of = view.place(tile)
            pixels = x[_every(of)] * np.float32(255)
            out[_every(to)] = np.clip(np.rint(pixels, out=pixels), 0, 255, out=pixels)
        return out

    def open(self, decoder: str | float, factor: int = 1) -> None:
        """Load a decoder, by its name or a realism of 0 to 1, for :meth:`synthesise` with a view of that factor.

        Raises:
            ModelError: there is none, or it is damaged.
        """
        network = self.frozen_decoder(decoder)
        if factor < LINEAR_FROM:
            self.runtime.open(network)
        else:
            self._linear_part(network)


def _runtime(weights: Weights, device: str) -> OnnxRuntime | TorchRuntime:
    """ONNX Runtime on a CPU where the model has graphs, otherwise torch."""
    if device == "cpu" and weights.has_graphs:
        from .onnx_runtime import OnnxRuntime

        return OnnxRuntime(weights.name)
    try:
        from .torch_runtime import TorchRuntime
    except ImportError:
        raise ModelError(f"model {weights.name} needs torch", INSTALL_TORCH) from None
    return TorchRuntime(weights.name, device)


def _every(span: tuple[slice, slice]) -> tuple[slice, slice, slice]:
    """A span of rows and columns, in every picture of a batch."""
    return (slice(None), *span)


def load(weights: Weights, device: str) -> Transforms:
    """The transforms of a model on a device, built once and kept."""
    # the fingerprint leaves out analyses and decoders
    networks = (entry["sha256"] for entry in weights.networks)
    key = (weights.name, weights.fingerprint, device, *networks)
    with _lock:
        if key not in _loaded:
            while len(_loaded) >= KEPT:
                _loaded.pop(next(iter(_loaded)))
            _loaded[key] = Transforms(weights, device)
        return _loaded[key]


def _after_fork() -> None:
    """Make the transforms usable in a forked child.

    Of a process, fork copies the calling thread alone. OpenMP still believes in the threads that torch started in the
    parent and would wait for them forever in its first parallel region; with one thread it never enters one. ONNX
    Runtime's networks are opened anew, see there. A lock that another thread held at the fork would never be released.
    """
    global _lock
    _lock = Lock()
    if _loaded and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_after_fork)
