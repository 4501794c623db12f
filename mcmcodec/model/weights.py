"""Finds, checks and loads frozen models, each once per process. Imports no torch.

A model is NAME.json (identity, sizes, hashes) beside NAME.safetensors (the stream model: entropy integers and gains),
one NAME-DECODER.safetensors for each decoder, and NAME-for-DECODER.safetensors for each analysis, one at least; beside
each of the networks, an .onnx file of the same name holds it as a graph without weights. Models in training have no
graphs, and run with torch. Hashes are checked before a byte is used. The sha256 of the stream model's file and of the
captions' language model are its fingerprint, which the checksum of every .mcm file covers: with a better analysis or
decoder, files stay readable.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..caption import coder, language
from ..entropy.latent_coder import EntropyModel
from ..errors import ModelError
from .config import KNOTS, QUALITY_MAX, ModelConfig

DEFAULT = "medium-5"
FOLDER_VARIABLE = "MCMCODEC_WEIGHTS"
Arrays = dict[str, NDArray[Any]]
GAINS = ("log_gain", "coarse_log_gain")
"""Gains of fine and coarse latents at the knots of quality, as logarithms: of the stream, as decoders need them too."""


def folders() -> list[Path]:
    """Where weights are looked for: the variable MCMCODEC_WEIGHTS, the installed package, the source tree."""
    package = Path(__file__).resolve().parents[1]
    named = os.environ.get(FOLDER_VARIABLE)
    return [*([Path(named)] if named else []), package / "_weights", package.parent / "weights"]


def available() -> list[str]:
    """Names of the models that can be loaded."""
    return sorted({path.stem for folder in folders() for path in folder.glob("*.json")})


@dataclass(frozen=True)
class Weights:
    """One model on disk. Its files are read and hashed when they are needed; what the stream model holds is kept.

    Attributes:
        name: as given to ``--model``.
        card: the contents of NAME.json.
        folder: where its files are.
    """

    name: str
    card: dict[str, Any]
    folder: Path

    def __post_init__(self) -> None:
        """Check every entry that is used later. LookupError, TypeError or ValueError when the card lacks it."""
        _ = self.number, self.fingerprint, self.config, self.decoders, self.analysis_for(None)
        entries = self.networks
        entries += [entry["graph"] for entry in entries if "graph" in entry]
        _ = [(entry["file"], bytes.fromhex(entry["sha256"])) for entry in (self.card["stream"], *entries)]
        _ = (
            [self.decoder_config(name) for name in self.decoders],
            [self.analysis_config(name) for name in self.analyses],
        )
        if self.card["captions"] != {"name": coder.NAME, "sha256": language.SHA256}:
            raise ModelError(f"model {self.name} needs another caption coder than is here", "update mcmcodec")
        _ = [float(self.card["tuning"][price]) for price in ("rdoq_strength", "mask_lambda")]

    @property
    def number(self) -> int:
        """Model id in the file header."""
        return int(self.card["id"])

    @property
    def fingerprint(self) -> bytes:
        """Identifies the model in the checksum of every file: sha256 of both hashes, the stream's and the captions'."""
        stream, captions = self.card["stream"]["sha256"], self.card["captions"]["sha256"]
        return hashlib.sha256(bytes.fromhex(stream) + bytes.fromhex(captions)).digest()

    @property
    def decoders(self) -> list[str]:
        """Names of the decoders, the default one first."""
        first = self.card["default_decoder"]
        return [first, *(name for name in self.card["decoders"] if name != first)]

    @cached_property
    def config(self) -> ModelConfig:
        """Sizes of the model."""
        return ModelConfig.from_dict(self.card["config"])

    @cached_property
    def stream(self) -> Arrays:
        """All arrays of the stream model."""
        return self._read(self.card["stream"])

    def gains(self, name: str, qualities: Sequence[int]) -> NDArray[np.float64]:
        """Gains (B, channels) at B qualities: those of the knots, whose logarithms are interpolated linearly.

        ``name`` is one of ``GAINS``; a model without coarse latents has none of them (B, 0).
        """
        knots = self.stream.get(name, np.zeros((KNOTS, 0)))
        position = np.asarray(qualities)[:, None] * ((KNOTS - 1) / QUALITY_MAX)
        share = np.maximum(1 - np.abs(position - np.arange(KNOTS)), 0)
        found: NDArray[np.float64] = np.exp(share @ knots.astype(np.float64))
        return found

    @cached_property
    def entropy(self) -> EntropyModel:
        """The frozen integers."""
        arrays = {k.removeprefix("entropy."): v for k, v in self.stream.items() if k.startswith("entropy.")}
        return EntropyModel(arrays, self.config.coarse_slices, self.config.slices, self.config.base_slices)

    @property
    def analyses(self) -> list[str]:
        """Names of the decoders that an analysis was trained for, one at least; see :meth:`analysis_for`."""
        return list(self.card["analyses"])

    @property
    def networks(self) -> list[dict[str, Any]]:
        """The card's entries of all analyses and decoders."""
        return [*self.card["analyses"].values(), *self.card["decoders"].values()]

    def analysis_for(self, decoder: str | None) -> str:
        """Which analysis serves a decoder: its own, else the default decoder's (also for None), else the first."""
        wanted = (decoder, self.decoders[0])
        return next((name for name in wanted if name in self.analyses), self.analyses[0])

    def analysis_config(self, name: str) -> ModelConfig:
        """Sizes of an analysis: the model's, but for those that its entry in the card names."""
        return replace(self.config, **self.card["analyses"][name].get("config", {}))

    def analysis(self, name: str) -> Arrays:
        """All arrays of an analysis, read anew, and the gains from the stream model. ModelError as for decoders."""
        gains = {gain: self.stream[gain] for gain in GAINS if gain in self.stream}
        return self._read(self.card["analyses"][name]) | gains

    def decoder_config(self, name: str) -> ModelConfig:
        """Sizes of a decoder: the model's, but for those that its entry in the card names. ModelError as below."""
        return replace(self.config, **self._entry(name).get("config", {}))

    def decoder(self, name: str) -> Arrays:
        """All arrays of a decoder, read anew. ModelError names those that exist when ``name`` does not."""
        return self._read(self._entry(name))

    @property
    def has_graphs(self) -> bool:
        """Whether every analysis and every decoder runs without torch."""
        return all("graph" in entry for entry in self.networks)

    def graph(self, decoder: str) -> bytes | None:
        """A decoder's network as ONNX without weights; None if the model was frozen without."""
        return self._graph(self._entry(decoder))

    def analysis_graph(self, name: str) -> bytes | None:
        """The same of an analysis."""
        return self._graph(self.card["analyses"][name])

    def _graph(self, entry: dict[str, Any]) -> bytes | None:
        graph: dict[str, Any] | None = entry.get("graph")
        return self.checked(graph) if graph else None

    def _entry(self, name: str) -> dict[str, Any]:
        if name not in self.card["decoders"]:
            raise ModelError(f"model {self.name} has no decoder {name}", f"choose from {', '.join(self.decoders)}")
        entry: dict[str, Any] = self.card["decoders"][name]
        return entry

    def _read(self, entry: dict[str, Any]) -> Arrays:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            return load(self.checked(entry))
        except (SafetensorError, KeyError, ValueError, TypeError):
            path = self.folder / entry["file"]
            raise ModelError(f"weights {path} hold no tensors", "install mcmcodec again") from None

    def checked(self, entry: dict[str, Any]) -> bytes:
        """The file that an entry of the card names. ModelError when it is missing or its hash is another."""
        path = self.folder / str(entry["file"])
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(f"weights {path} cannot be read ({error.strerror})", "install mcmcodec again") from None
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise ModelError(f"weights {path} are not those that {self.name}.json names", "install mcmcodec again")
        return data


def find(name: str | None = None) -> Weights:
    """The model of that name, or the default one; the same object for every call, until its card changes.

    Raises:
        ModelError: it is not there, or its card is damaged.
    """
    name = name or DEFAULT
    for folder in folders():
        path = folder / f"{name}.json"
        if path.is_file():
            try:
                changed = path.stat()
                return _kept(folder, name, (changed.st_mtime_ns, changed.st_size))
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                raise ModelError(f"model card {path} cannot be read", "install mcmcodec again") from None
    raise ModelError(
        f"there is no model {name}", f"choose from {', '.join(available()) or 'none: weights are missing'}"
    )


def find_number(number: int, variant: int) -> Weights:
    """The model that a file's header names. ModelError if it is not installed."""
    unreadable: ModelError | None = None
    for name in available():
        try:
            weights = find(name)
        except ModelError as error:  # a damaged card must not keep the other models from being used
            unreadable = error
            continue
        if weights.number == number and variant == 0:
            return weights
    raise unreadable or ModelError(
        f"the file needs model {number}.{variant}, which is not installed", "update mcmcodec"
    )


@lru_cache(maxsize=32)
def _kept(folder: Path, name: str, changed: tuple[int, int]) -> Weights:
    """Every model that was used in this process. ``changed`` is the card's time and size, so that a new card counts."""
    return Weights(name, json.loads((folder / f"{name}.json").read_text(encoding="utf-8")), folder)


def forget() -> None:
    """Read every model anew when it is next asked for: for tests and tools that change files under a card."""
    _kept.cache_clear()
