"""The float half of the data path. Pictures to latents and latents to pictures, tile by tile, on one device."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ..entropy.fixed_point import ACT_BITS
from ..entropy.latent_coder import Decoded
from ..errors import ModelError, UsageError
from ..image import tiling
from .analysis import Analysis
from .config import COARSE, HYPER
from .layers import quality_weights
from .synthesis import Synthesis
from .weights import Weights

M = TypeVar("M", bound=nn.Module)

LINEAR_FROM = 4
"""Reduction from which on a picture is painted from the low frequencies alone."""
BLENDED = ("fidelity", "perceptual")
"""Decoders at realism 0 and 1."""


KEPT = 4
"""Models that stay loaded."""
_loaded: dict[tuple[str, bytes, str], Transforms] = {}
_lock = Lock()


class Transforms:
    """g_a, h_a and the decoders of one model on one device, in float32 without gradients.

    Raises:
        UsageError: no such device.
        ModelError: the weights do not fit the model's configuration.
    """

    def __init__(self, weights: Weights, device: str = "auto") -> None:
        self.weights, self.device = weights, device_of(device)
        arrays = {k.removeprefix("analysis."): v for k, v in weights.stream.items() if k.startswith("analysis.")}
        self.analysis = self._fill(Analysis(weights.config), arrays)
        self._named = lru_cache(maxsize=None)(self._load)
        self._blended = lru_cache(maxsize=2)(self._blend)

    def gains(self, quality: int) -> NDArray[np.float64]:
        """Gain per channel of the fine latents (channels,)."""
        with torch.inference_mode():
            return self.analysis.gains(self._weights(quality))[0].double().cpu().numpy()

    def coarse_gains(self, quality: int) -> NDArray[np.float64]:
        """Gain per channel of the coarse latents (coarse,)."""
        with torch.inference_mode():
            return self.analysis.coarse_gains(self._weights(quality))[0].double().cpu().numpy()

    def analyse(
        self, padded: NDArray[np.uint8], visible: NDArray[np.bool_], quality: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Pixels to gained latents and hyper-latent.

        Args:
            padded: (16h, 16w, 3) uint8.
            visible: (h, w) bool; the encoder's blocks see these patches only.
            quality: 0..100.

        Returns:
            v (h, w, channels), of no meaning where hidden; c (ceil(h/2), ceil(w/2), coarse);
            z (ceil(h/4) * ceil(w/4), hyper).
        """
        v, c, z = self.analyse_batch(padded[None], visible[None], [quality])
        return v[0], c[0], z[0]

    @torch.inference_mode()
    def analyse_batch(
        self, padded: NDArray[np.uint8], visible: NDArray[np.bool_], qualities: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """As :meth:`analyse`, for B pictures of one shape at once.

        Args:
            padded: (B, 16h, 16w, 3) uint8.
            visible: (B, h, w) bool.
            qualities: B of them.

        Returns:
            v (B, h, w, channels), c (B, ceil(h/2), ceil(w/2), coarse) and z (B, ceil(h/4) * ceil(w/4), hyper).
        """
        count, rows, cols = visible.shape
        a, weights, config = self.analysis, self._weights(*qualities), self.weights.config
        gain, coarse_gain = (g[:, None, None, :] for g in (a.gains(weights), a.coarse_gains(weights)))
        v = np.empty((count, rows, cols, config.latents), np.float32)
        c = np.empty((count, -(-rows // COARSE), -(-cols // COARSE), config.coarse), np.float32)
        z = np.empty((count, -(-rows // HYPER), -(-cols // HYPER), config.hyper), np.float32)
        for tile in tiling.tiles(rows, cols):
            x = self._pixels(padded[_every(tiling.pixels(tile.outer))])
            shown = visible[_every(tile.outer)]
            mask = None if shown.all() else torch.from_numpy(shown).to(self.device)
            with _full_precision(self.device):
                t = a.tokens(x)
                fine = (a.latents(t, mask, weights) * gain).cpu().numpy()
                coarse = (a.coarse(t, weights) * coarse_gain).cpu().numpy()
                hyper = a.hyper(t, weights).cpu().numpy()
            v[_every(tile.inner)] = fine[_every(tile.local)]
            for whole, part, side in ((c, coarse, COARSE), (z, hyper, HYPER)):
                whole[_every(_cells(tile.inner, side))] = part[_every(_cells(tile.local, side))]
        return v, c, z.reshape(count, -1, z.shape[3])

    def synthesise(self, decoded: Decoded, quality: int, decoder: str | float, view: tiling.View) -> NDArray[np.uint8]:
        """Decoded integers to the pixels of a view, uint8 (height, width, 3); only tiles that it touches are painted.

        Args:
            decoded: integers of the whole picture.
            quality: 0..100.
            decoder: the decoder's name, or a realism of 0 to 1.
            view: what is wanted. At a factor of 4 and above only the linear part of the decoder is used.
        """
        out = np.empty((*view.size, 3), np.uint8)
        for to, pixels in self.paint([decoded], [quality], decoder, view):
            out[to] = pixels[0].cpu().numpy()
        return out

    def paint(
        self, decoded: Sequence[Decoded], qualities: Sequence[int], decoder: str | float, view: tiling.View
    ) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
        """As :meth:`synthesise`, for B pictures of one shape at once, tile by tile.

        Yields:
            Rows and columns of the view, and the pixels that belong there: (B, rows, columns, 3) uint8 on the device.
        """
        rows, cols = decoded[0].mask.shape
        g_s, weights = self.decoder(decoder), self._weights(*qualities)
        gain = self.analysis.gains(weights)[:, None, None, :] * (1 << ACT_BITS)
        linear = view.factor >= LINEAR_FROM
        for tile in tiling.tiles(rows, cols, view.patches(), halo=0 if linear else None):
            with torch.inference_mode(), _full_precision(self.device):
                y_hat = self._tensor(np.stack([one.v_hat[tile.outer] for one in decoded])) / gain
                if linear:
                    x = g_s.reduced(y_hat, view.factor)
                else:
                    x = g_s(y_hat, *self._beside(decoded, tile), weights)
                    if view.factor > 1:  # pooling single pixels would take a tenth of a light decoder's time
                        x = avg_pool2d(x, view.factor)
                to, of = view.place(tile)
                pixels = (x.permute(0, 2, 3, 1)[_every(of)] * 255).round_().clamp_(0, 255).byte()
            yield to, pixels

    def _beside(self, decoded: Sequence[Decoded], tile: tiling.Tile) -> tuple[Tensor, Tensor]:
        """What a decoder gets beside the latents of a tile: psi and masks."""
        psi = self._tensor(np.stack([one.psi[tile.outer] for one in decoded])) / (1 << ACT_BITS)
        return psi, torch.from_numpy(np.stack([one.mask[tile.outer] for one in decoded])).to(self.device)

    def decoder(self, name: str | float) -> Synthesis:
        """A decoder by its name, kept once loaded; or by a realism of 0 to 1. ModelError when there is none."""
        return self._named(name) if isinstance(name, str) else self._blended(float(name))

    def _load(self, name: str) -> Synthesis:
        return self._fill(Synthesis(self.weights.decoder_config(name)), self.weights.decoder(name))

    def _blend(self, realism: float) -> Synthesis:
        """The line between two decoders in weights (ESRGAN, Wang et al. 2018)."""
        faithful, config = (self.weights.decoder_config(end) for end in BLENDED)
        if faithful not in (config, replace(config, noise_channels=0)):
            raise ModelError(f"the decoders of {self.weights.name} differ in shape, so none lies between", "name one")
        first, last = (self.weights.decoder(end) for end in BLENDED)
        near, far = np.float32(1 - realism), np.float32(realism)
        return self._fill(Synthesis(config), {k: _fitted(first.get(k, v), v) * near + v * far for k, v in last.items()})

    def _fill(self, module: M, arrays: dict[str, NDArray[Any]]) -> M:
        try:
            module.load_state_dict({k: torch.from_numpy(v).float() for k, v in arrays.items()})
        except RuntimeError:
            raise ModelError(f"weights of {self.weights.name} do not fit its card", "install mcmcodec again") from None
        return module.eval().requires_grad_(False).to(self.device)

    def _weights(self, *qualities: int) -> Tensor:
        return quality_weights(torch.tensor(qualities, device=self.device))

    def _pixels(self, rgb: NDArray[np.uint8]) -> Tensor:
        return self._tensor(rgb).permute(0, 3, 1, 2) / 255

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.require(values, requirements=("C", "W"))).to(self.device).float()


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """No TF32 on CUDA: it would move the latents by more than other devices' rounding does. The setting is put back."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _every(span: tuple[slice, slice]) -> tuple[slice, slice, slice]:
    """A span of rows and columns, in every picture of a batch."""
    return (slice(None), *span)


def _fitted(values: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """Weights of a layer that reads fewer channels, as one of ``like``'s shape that does not look at the others."""
    if values.shape == like.shape:
        return values
    out = np.zeros_like(like)
    out[:, : values.shape[1]] = values
    return out


def _cells(span: tuple[slice, slice], side: int) -> tuple[slice, slice]:
    rows, cols = (slice(s.start // side, -(-s.stop // side)) for s in span)
    return rows, cols


def device_of(name: str) -> torch.device:
    """``auto`` (CUDA when there is one), ``cpu``, ``cuda`` or ``cuda:N``. UsageError when it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"device {name} is not there", "choose auto or cpu") from None
    return device


def load(weights: Weights, device: str) -> Transforms:
    """The transforms of a model on a device, built once and kept."""
    key = (weights.name, weights.fingerprint, device)
    with _lock:
        if key not in _loaded:
            while len(_loaded) >= KEPT:
                _loaded.pop(next(iter(_loaded)))
            _loaded[key] = Transforms(weights, device)
        return _loaded[key]


def _after_fork() -> None:
    """Make the transforms usable in a forked child.

    Of a process, fork copies the calling thread alone. OpenMP still believes in the threads that torch started in the
    parent and would wait for them forever in its first parallel region; with one thread it never enters one. A lock
    that another thread held at the fork would never be released either.
    """
    global _lock
    _lock = Lock()
    if _loaded:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_after_fork)
