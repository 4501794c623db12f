"""The files of the viewer: those of the package's folder ``page``, and the installed models as scripts.

A page that was opened by a ``file:`` URL may load scripts and nothing else. So weights are scripts too: a zlib stream
in base64, handed to a function. The encoder's networks are left out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bitstream import structure
from ...caption import language
from ...errors import ModelError
from ...model import weights
from ...model.weights import Weights

CAPTIONS = "captions"
"""Name of the captions' language model among the scripts."""
STRUCTURE = "structure"
"""Name of the tables of edge maps among the scripts."""


def fingerprint() -> str:
    """Identifies what :func:`page_files` gives, sooner than it could be made: of the page and the models' cards."""
    digest = hashlib.sha256()
    for name, data in _page():
        digest.update(f"{name} {len(data)} ".encode() + data)
    for model in _models():
        digest.update(json.dumps(model.card, sort_keys=True).encode())
    return digest.hexdigest()


def page_files() -> Iterator[tuple[str, bytes]]:
    """Names, with ``/`` between folders, and contents of all files of the viewer.

    Raises:
        ModelError: no model is installed, or the weights of one are not those that its card names.
    """
    yield from _page()
    models = _models()
    installed = json.dumps({"models": [_described(model) for model in models], "structureTables": STRUCTURE})
    yield "weights/models.js", f"mcm.installed = {installed};\n".encode()
    yield _script(CAPTIONS, language.checked())
    yield _script(STRUCTURE, structure.checked())
    for model in models:
        _ = model.entropy  # proves that no sum of its integers can be rounded, which the page takes for granted
        yield _script(model.name, _tensors(model.stream))
        for name in model.decoders:
            yield _script(f"{model.name}-{name}", _tensors(model.decoder(name)))


def _page() -> list[tuple[str, bytes]]:
    entries = files(__package__).joinpath("page").iterdir()
    return sorted((entry.name, entry.read_bytes()) for entry in entries)


def _models() -> list[Weights]:
    models = [weights.find(name) for name in weights.available()]
    if not models:
        raise ModelError("no model is installed", "install mcmcodec again, or set MCMCODEC_WEIGHTS")
    return models


def _described(model: Weights) -> dict[str, Any]:
    """What the page has to know of a model; the default decoder is the first one."""
    decoders = [
        {"name": name, "file": f"{model.name}-{name}", "config": model.card["decoders"][name].get("config", {})}
        for name in model.decoders
    ]
    return {
        "name": model.name, "id": model.number, "fingerprint": model.fingerprint.hex(), "config": model.card["config"],
        "stream": model.name, "captions": CAPTIONS, "decoders": decoders,
    }  # fmt: skip


def _tensors(arrays: dict[str, NDArray[np.generic]]) -> bytes:
    from safetensors.numpy import save

    return bytes(save(arrays))


def _script(name: str, data: bytes) -> tuple[str, bytes]:
    text = base64.b64encode(zlib.compress(data)).decode()
    return f"weights/{name}.js", f'mcm.deliver({json.dumps(name)}, "{text}");\n'.encode()
