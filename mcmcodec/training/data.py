"""Training data. Photographs from tar files, decoded once into one flat uint8 file, cropped at random.

On a CPU the flat file is memory-mapped, so that worker processes share one copy (``Crops``); a GPU holds all of it, and
crops, scales and flips there (``DeviceCrops``).
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..errors import InputError

SUFFIXES = {".webp", ".jpg", ".jpeg", ".png"}
PLAIN = 0.02
"""Share of crops that are flat or a gradient: photographs alone teach a codec to spend bytes on nothing."""
CALM, CHOICE = 0.5, 3
"""Share of crops that are the calmest of so many. With the crops that are scaled up, they make small training pictures
more like the large ones that people keep: those have fewer edges in a patch, and more that is smooth."""


def ensure_cache(source: Path, cache: Path) -> None:
    """Build the cache unless it is there. One process at a time."""
    if not (cache / "pixels.bin").exists():
        build_cache(source, cache)


def build_cache(source: Path, cache: Path) -> None:
    """Decode every picture of ``source`` (tars, or picture files) into ``cache``: pixels.bin and index.json.

    Raises:
        InputError: when the folder holds no pictures.
    """
    cache.mkdir(parents=True, exist_ok=True)
    shapes: list[tuple[int, int]] = []
    partial = cache / "pixels.part"
    with partial.open("wb") as sink:
        for name, data in _blobs(source):
            try:
                picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            except (UnidentifiedImageError, OSError):
                print(f"skipped {name}: not a readable picture", flush=True)
                continue
            if min(picture.shape[:2]) < 192:
                continue
            sink.write(picture.tobytes())
            shapes.append(picture.shape[:2])
    if not shapes:
        raise InputError(f"{source} holds no pictures of at least 192 pixels", "name a folder of tars or pictures")
    (cache / "index.json").write_text(json.dumps(shapes))
    partial.rename(cache / "pixels.bin")


def _blobs(source: Path) -> Iterator[tuple[str, bytes]]:
    for tar in sorted(source.glob("*.tar")):
        with tarfile.open(tar) as archive:
            for member in archive:
                if (
                    member.isfile()
                    and Path(member.name).suffix.lower() in SUFFIXES
                    and (f := archive.extractfile(member))
                ):
                    yield member.name, f.read()
    for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES):
        yield path.name, path.read_bytes()


class Crops:
    """Endless random crops: flips, many scales, the calmest of a few; deterministic for a seed."""

    def __init__(self, source: Path, cache: Path, size: int, seed: int) -> None:
        ensure_cache(source, cache)
        self.shapes = json.loads((cache / "index.json").read_text())
        self.offsets = np.concatenate([[0], np.cumsum([h * w * 3 for h, w in self.shapes])])
        self.pixels = np.memmap(cache / "pixels.bin", np.uint8, "r")
        self.size, self.rng = size, np.random.default_rng(seed)

    def picture(self, index: int) -> np.ndarray:
        """Picture ``index`` as (H, W, 3) uint8."""
        h, w = self.shapes[index]
        return self.pixels[self.offsets[index] : self.offsets[index + 1]].reshape(h, w, 3)

    def one(self) -> np.ndarray:
        """One crop (size, size, 3) uint8."""
        if self.rng.random() < PLAIN:
            return plain(self.rng, self.size)
        if self.rng.random() < CALM:
            return min((self.cut() for _ in range(CHOICE)), key=lambda crop: roughness(crop[::2, ::2].mean(2)))
        return self.cut()

    def draw(self) -> np.ndarray:
        """A random picture (H, W, 3) uint8."""
        return self.picture(int(self.rng.integers(len(self.shapes))))

    def cut(self) -> np.ndarray:
        """One crop (size, size, 3) uint8 of a photograph."""
        rng, size = self.rng, self.size
        picture = self.draw()
        take = min(self.side(), *picture.shape[:2])
        top = int(rng.integers(picture.shape[0] - take + 1))
        left = int(rng.integers(picture.shape[1] - take + 1))
        crop = picture[top : top + take, left : left + take]
        if take != size:
            crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if take > size else cv2.INTER_CUBIC)
        return crop[:, ::-1] if rng.random() < 0.5 else crop

    def side(self) -> int:
        """Pixels of a photograph that a crop's side takes."""
        kind = self.rng.random()
        low, high = (1, 1) if kind < 0.4 else (0.75, 1.25) if kind < 0.7 else (0.45, 0.75)
        return int(self.size * self.rng.uniform(low, high))

    def batch(self, count: int, device: str) -> Tensor:
        """Pixels (count, 3, size, size) in [0, 1]."""
        stack = torch.from_numpy(np.stack([self.one() for _ in range(count)]))
        return jitter(stack.to(device).permute(0, 3, 1, 2).float().div_(255))


class MixedCrops(Crops):
    """Crops of two sets of pictures, for instance of small and of large photographs."""

    def __init__(self, first: Crops, second: Crops, share: float) -> None:
        """``share`` of the photographs is taken from ``second``."""
        self.first, self.second, self.share = first, second, share
        self.size, self.rng, self.shapes = first.size, first.rng, first.shapes

    def draw(self) -> np.ndarray:
        """A random picture (H, W, 3) uint8."""
        return (self.second if self.rng.random() < self.share else self.first).draw()


class DeviceCrops(Crops):
    """The same crops, made on the device; all pictures lie there as uint8. One scale per batch.

    Args:
        source: as for :class:`Crops`, and the next three.
        cache: see there.
        size: see there.
        seed: see there.
        device: where the pictures lie.
        second: another set of pictures, mixed in.
        share: of the crops that are of that set.
    """

    def __init__(
        self, source: Path, cache: Path, size: int, seed: int, device: str, second: Crops | None = None,
        share: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(source, cache, size, seed)
        sets = [self] if second is None else [self, second]
        self.store = torch.cat([torch.from_numpy(np.array(one.pixels)).to(device) for one in sets])
        begins = np.cumsum([0, *(len(one.pixels) for one in sets)])
        rows = [
            [begin + offset, h, w]
            for begin, one in zip(begins, sets, strict=False)
            for offset, (h, w) in zip(one.offsets[:-1], one.shapes, strict=True)
        ]
        self.tables = torch.tensor(rows, device=device)
        self.first, self.share = len(self.shapes), share if second is not None else 0.0
        self.least = min(min(shape) for one in sets for shape in one.shapes)
        self.generator = torch.Generator(device).manual_seed(seed)

    def batch(self, count: int, device: str) -> Tensor:
        """Pixels (count, 3, size, size) in [0, 1]."""
        take = min(self.side(), self.least)
        cuts = self.cuts(take, count * CHOICE, device)
        x = cuts.view(count, CHOICE, *cuts.shape[1:])
        calm = torch.rand(count, generator=self.generator, device=device) < CALM
        calmest = roughness(x[..., ::2, ::2].mean(2)).argmin(1)
        x = x[torch.arange(count, device=device), torch.where(calm, calmest, 0)]
        if take != self.size:
            x = F.interpolate(x, size=(self.size, self.size), mode="bicubic", antialias=True).clamp_(0, 1)
        return jitter(x)

    def cuts(self, take: int, count: int, device: str) -> Tensor:
        """Crops (count, 3, take, take) in [0, 1], flipped at random."""
        draw = torch.rand(2, count, generator=self.generator, device=device)
        second = self.first + (draw[0] * (len(self.tables) - self.first)).long()
        pick = torch.where(draw[1] < self.share, second, (draw[0] * self.first).long())
        offset, height, width = self.tables[pick].T
        place = torch.rand(3, count, generator=self.generator, device=device)
        top, left = (place[0] * (height - take + 1)).long(), (place[1] * (width - take + 1)).long()
        along = torch.arange(take, device=device)
        mirrored = torch.where((place[2] < 0.5)[:, None], along, take - 1 - along)
        rows = (top[:, None] + along) * width[:, None]  # (count, take)
        pixel = rows[:, :, None] + (left[:, None] + mirrored)[:, None, :]
        index = offset[:, None, None, None] + 3 * pixel[..., None] + torch.arange(3, device=device)
        return self.store[index].permute(0, 3, 1, 2).float().div_(255)


def roughness(grey: Any) -> Any:
    """Mean step between neighbouring pixels of grey pictures (..., h, w): (...,), 0 if flat."""
    down, along = grey[..., 1:, :] - grey[..., :-1, :], grey[..., 1:] - grey[..., :-1]
    return abs(down).mean((-2, -1)) + abs(along).mean((-2, -1))


def plain(rng: np.random.Generator, size: int) -> np.ndarray:
    """A flat colour, or a linear gradient between two, (size, size, 3) uint8."""
    first = rng.uniform(0, 256, 3)
    second = first if rng.random() < 0.5 else rng.uniform(0, 256, 3)
    direction = rng.uniform(0, 2 * np.pi)
    along = np.linspace(-0.5, 0.5, size)
    place = along[:, None] * np.sin(direction) + along[None, :] * np.cos(direction)
    share = np.clip(place / 1.4 + 0.5, 0, 1)[..., None]
    mixed: np.ndarray = np.clip(first * share + second * (1 - share), 0, 255).astype(np.uint8)
    return mixed


def jitter(x: Tensor) -> Tensor:
    """Change the saturation of every second picture (B, 3, H, W) by a factor of 0.6 to 1.6: strong colours are rare."""
    factor = torch.where(torch.rand(len(x), device=x.device) < 0.5, 1.0, 0.6 + torch.rand(len(x), device=x.device))
    grey = x.mean(1, keepdim=True)
    return (grey + (x - grey) * factor[:, None, None, None]).clamp_(0, 1)


def load_folder(folder: Path, limit: int | None = None) -> list[np.ndarray]:
    """The pictures of a folder in name order, each (H, W, 3) uint8, cut to multiples of 32."""
    pictures = []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)[:limit]:
        a = np.asarray(Image.open(path).convert("RGB"))
        pictures.append(a[: a.shape[0] // 32 * 32, : a.shape[1] // 32 * 32])
    return pictures
