"""Pictures a second by batch: whole files, made and read by the codec, on a device with room for several at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ...codec import Codec
from ...image.io import open_image, to_rgb
from ...metrics.judge import device_of

BATCHES = (1, 2, 4, 8, 16, 32, 64)
ROUNDS = 5
SIDE = 256
QUALITY = 40


def batches(
    path: Path, model: str | None, device: str, sizes: Sequence[int] = BATCHES, side: int = SIDE
) -> list[dict[str, Any]]:
    """Rows of what (encode, or a decoder), batch, pictures a second and milliseconds a picture, medians of ROUNDS.

    Pictures are the middle of the one at `path`, at most `side` pixels a side, again and again. Batches that do not fit
    into memory are left out.
    """
    codec = Codec(model, device_of(device))
    with open_image(path) as opened:
        picture = to_rgb(opened)
    top, left = (max(0, (size - side) // 2) for size in picture.shape[:2])
    picture = picture[top : top + side, left : left + side]
    x = torch.from_numpy(picture.transpose(2, 0, 1).copy()).to(codec.device)[None]
    (file,) = codec.encode_batch(x, quality=QUALITY)
    rows = []
    for name in ("encode", *codec.weights.decoders):
        for size in sizes:
            work = _encode(codec, x, size) if name == "encode" else _decode(codec, file, name, size)
            try:
                seconds = _seconds(work)
            except torch.OutOfMemoryError:
                break
            what = name if name == "encode" else f"decode, {name}"
            rows.append({"what": what, "side": side, "batch": size, "pictures_per_s": round(size / seconds, 2),
                         "milliseconds": round(1000 * seconds / size, 3)})  # fmt: skip
    return rows


def _encode(codec: Codec, x: torch.Tensor, size: int) -> Callable[[], Any]:
    images = x.expand(size, -1, -1, -1).contiguous()
    return lambda: codec.encode_batch(images, quality=QUALITY)


def _decode(codec: Codec, file: bytes, decoder: str, size: int) -> Callable[[], Any]:
    return lambda: codec.decode_batch([file] * size, decoder=decoder)


def _seconds(work: Callable[[], Any]) -> float:
    """Median wall-clock seconds of the work, all of it done."""

    def once() -> float:
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    once()  # pays for memory and kernels being set up
    return statistics.median(once() for _ in range(ROUNDS))
