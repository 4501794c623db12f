"""Networks as self-contained ONNX files, for other languages and devices: graph and weights in one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import ModelError
from .frozen import Frozen, analysis, decoder
from .onnx_runtime import open_session
from .weights import Weights

README = """\
# The networks of {model} as ONNX

{analyses} are the encoder's half, for one
decoder's pictures each. The other .onnx files are decoders: any of them paints any file. They compute in float32 and
need no other file. Between the two stands the exact half, which turns latents into bytes and back: it is integer
arithmetic, and the specification of the format, formats/mcm.md in the source of mcmcodec, has all of it.

Sizes are free: a batch of B pictures of H x W pixels, both multiples of 16 (pictures are padded by repeating their last
row and column), has h = H / 16 rows and w = W / 16 columns of patches. Arrays are in C order.

## Encoder: {analyses}

| input | type | shape | |
|---|---|---|---|
| `pixels` | uint8 | B, H, W, 3 | sRGB |
| `visible` | bool | B, h, w | patches that the blocks see; those of hidden ones mean nothing in `fine` |
| `quality` | float32 | B | 0 to 100 |

| output | type | shape | |
|---|---|---|---|
| `fine` | float32 | B, h, w, {latents} | latents times their gains: what is rounded and coded |
| `hyper` | float32 | B, ceil(h / 4), ceil(w / 4), {hyper} | hyper-latent |
{coarse}
## Decoders: {decoders}

| input | type | shape | |
|---|---|---|---|
| `latents` | float32 | B, h, w, {latents} | v_hat / 64 / gain: decoded integers in real units, gains taken away |
| `features` | float32 | B, h, w, {features} | psi / 64: what the hyper-decoder gives |
| `visible` | bool | B, h, w | patches whose latents were coded |
| `quality` | float32 | B | 0 to 100 |

| output | type | shape | |
|---|---|---|---|
| `pixels` | float32 | B, H, W, 3 | sRGB; times 255, rounded and limited to 0..255 |

Huge pictures can be painted in tiles that begin at multiples of 8 patches: what is further than 16 patches from the
edge of a tile looks as in the whole picture.

## gains.json

`log_gain` holds the natural logarithms of the gains at the qualities 0, 20, ..., 100, {latents} each; between two they
are interpolated linearly.
"""
COARSE = "| `coarse` | float32 | B, ceil(h / 2), ceil(w / 2), {coarse} | coarse latents times their gains |\n"


def files(weights: Weights) -> Iterator[tuple[str, bytes]]:
    """The files of a model, by name: networks, gains and a page about them.

    Raises:
        ModelError: the model was frozen without graphs, or is damaged.
    """
    if not weights.has_graphs:
        raise ModelError(f"model {weights.name} has no graphs", "python -m mcmcodec.training graphs FOLDER")
    for part, network in (
        *((f"for-{name}", analysis(weights, name)) for name in weights.analyses),
        *((name, decoder(weights, name)) for name in weights.decoders),
    ):
        yield f"{weights.name}-{part}.onnx", _whole(network, weights.name)
    gains = {"log_gain": weights.stream["log_gain"].tolist()}
    yield "gains.json", json.dumps(gains).encode()
    config = weights.config
    sizes = {"model": weights.name, "latents": config.latents, "hyper": config.hyper, "features": config.features}
    coarse = COARSE.format(coarse=config.coarse) if config.coarse else ""
    names = ", ".join(f"`{weights.name}-{name}.onnx`" for name in weights.decoders)
    analyses = ", ".join(f"`{weights.name}-for-{name}.onnx`" for name in weights.analyses)
    yield "README.md", README.format(coarse=coarse, analyses=analyses, decoders=names, **sizes).encode()


def _whole(network: Frozen, name: str) -> bytes:
    """A graph with its weights in it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "whole.onnx"
        open_session(network, name, save_to=str(path))
        return path.read_bytes()
