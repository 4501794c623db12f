"""Small numbers that pages quote: flat pictures, bytes of modes, colours after painting, messages, sizes of packages.

Each is a measurement of its own and takes seconds; they save the pages from numbers that nobody measures again.
"""

from __future__ import annotations

import importlib.metadata
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image, ImageEnhance

from mcmcodec.bitstream import messages
from mcmcodec.cli.viewer.page_files import page_files
from mcmcodec.image.io import open_image, to_rgb
from mcmcodec.image.painting import PaintRequest
from mcmcodec.metrics.colour_difference import colour

from .work import Work

FLAT = (768, 512)
GREY = 128
WITHOUT_TORCH = ("click", "constriction", "numpy", "onnxruntime", "pillow", "safetensors")
"""What the first page installs without torch, without what these need in turn."""
MODES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--mode caption", {"mode": "caption"}),
    ("--mode sketch --structure 100", {"mode": "sketch", "structure": 100}),
    ("--mode sketch", {"mode": "sketch"}),
    ("--mode base -q 0 --reduce 4", {"mode": "base", "quality": 0, "reduce": 4}),
    ("--mode base -q 0 --reduce 2", {"mode": "base", "quality": 0, "reduce": 2}),
    ("--mode base -q 0", {"mode": "base", "quality": 0}),
    ("-q 0", {"quality": 0}),
)
PAINTED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--mode base -q 0 --reduce 2", {"mode": "base", "quality": 0, "reduce": 2}),
    ("--mode base -q 30", {"mode": "base", "quality": 30}),
)
WARM, SATURATED = (1.12, 1.0, 0.85), 1.6
"""Factors of the channels, and of the saturation, of what stands for a painted picture."""


def measure(
    work: Work, *, folder: str, every: int, painted: int, caption: str, flat: Sequence[int],
    links: Sequence[Sequence[int]],
) -> dict[str, Any]:  # fmt: skip
    """All of them.

    Args:
        work: the run.
        folder: name of the set of pictures.
        every: which of them are coded in all modes.
        painted: which of them are painted.
        caption: of all of them.
        flat: qualities of a flat grey picture.
        links: needed messages, their bytes, spare messages, and how many are lost.
    """
    facts, codec = work.facts(), work.codec
    paths = work.pictures(folder)
    pictures = [_opened(path) for path in paths[::every]]
    others = [_opened(path) for path in paths[::painted]]
    work.watch.start("facts", len(flat) + len(MODES) + len(PAINTED) + len(links) + 1)
    content: dict[str, Any] = {"pictures": len(pictures), "painted": len(others), "caption": caption}
    content["flat"] = [_flat(work, quality) for quality in flat]
    content["modes"] = []
    for name, options in MODES:
        sizes = [len(codec.encode(picture, caption=caption, **options)) for picture in pictures]
        content["modes"].append({"mode": name, "least": min(sizes), "most": max(sizes)})
        work.watch.advance(name)
    content["colours"] = [_colours(work, name, options, others) for name, options in PAINTED]
    content["links"] = []
    for one in links:
        content["links"].append(_link(*one))
        work.watch.advance("messages")
    content["viewer_bytes"] = {name: len(data) for name, data in page_files() if _of_viewer(work, name)}
    content["installed_mb"] = installed_megabytes()
    work.watch.advance("sizes")
    return facts | content


def _of_viewer(work: Work, name: str) -> bool:
    """Whether a file of the viewer is one of the page, or of this model."""
    stem = name.removeprefix("weights/").removesuffix(".js")
    own = (work.codec.weights.name, *(f"{work.codec.weights.name}-{one}" for one in work.codec.weights.decoders))
    return "/" not in name or stem in (*own, "models", "captions", "structure")


def _opened(path: Path) -> np.ndarray:
    with open_image(path) as image:
        return to_rgb(image)


def _flat(work: Work, quality: int) -> dict[str, Any]:
    """Bytes of a flat picture, how far its mean is off, and single pixels, by every decoder."""
    data = work.codec.encode(Image.new("RGB", FLAT, (GREY,) * 3), quality=quality)
    row: dict[str, Any] = {"quality": quality, "bytes": len(data), "mean_off": {}, "pixel_off": {}}
    for name in work.codec.weights.decoders:
        found = np.asarray(work.codec.decode(data, decoder=name), np.float64) - GREY
        row["mean_off"][name] = round(float(np.abs(found.mean((0, 1))).max()), 2)
        row["pixel_off"][name] = int(np.abs(found).max())
    work.watch.advance(f"flat, quality {quality}")
    return row


def _colours(work: Work, name: str, options: dict[str, Any], pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    """CIEDE2000 of block means of a decoded picture, of one in wrong colours, and of that after their correction."""
    rows = []
    for picture in pictures:
        tinted = Image.fromarray(np.clip(picture * np.array(WARM), 0, 255).astype(np.uint8))
        wrong = ImageEnhance.Color(tinted).enhance(SATURATED)

        def painter(request: PaintRequest, wrong: Image.Image = wrong) -> Image.Image:
            return wrong

        data = work.codec.encode(picture, **options)
        shown = (work.codec.decode(data), wrong, work.codec.decode(data, painter=painter))
        rows.append([colour(picture, np.asarray(one.convert("RGB")))[0] for one in shown])
    decoded, before, after = (round(statistics.fmean(column), 2) for column in zip(*rows, strict=True))
    work.watch.advance(f"painted, {name}")
    return {"mode": name, "decoded": decoded, "before": before, "after": after}


def _link(needed: int, size: int, spare: int, lost: int) -> dict[str, Any]:
    """Seconds of cutting a content into messages, and of putting it together without some of them."""
    content = np.random.default_rng(0).bytes(needed * (size - messages.OVERHEAD))
    begin = time.process_time()
    sent = messages.split(content, 0, size, spare / needed)
    cut = time.process_time() - begin
    begin = time.process_time()
    (stream,) = messages.gather(sent[lost:])
    assert stream.content() == content
    joined = time.process_time() - begin
    return {"needed": needed, "bytes": size, "spare": len(sent) - needed, "lost": lost, "split_s": round(cut, 2),
            "join_s": round(joined, 2)}  # fmt: skip


def installed_megabytes() -> dict[str, float]:
    """Megabytes of the installed files with all that is required, and, without bytecode, with what CPUs need."""
    own = sum(path.stat().st_size for path in _own_files())
    known: set[str] = set()
    wanted = [Requirement(text).name for text in importlib.metadata.requires("mcmcodec") or () if _needed(text)]
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in known:
            continue
        known.add(name)
        wanted += [Requirement(text).name for text in importlib.metadata.requires(name) or () if _needed(text)]
    few = sum(_size(name, bytecode=False) for name in WITHOUT_TORCH)
    every = sum(_size(name, bytecode=True) for name in known)
    return {"all": round((own + every) / 1e6), "without_torch": round((own + few) / 1e6)}


def _needed(text: str) -> bool:
    marker = Requirement(text).marker
    return marker is None or marker.evaluate({"extra": ""})


def _size(name: str, *, bytecode: bool) -> int:
    """Bytes of an installed distribution's files."""
    found = importlib.metadata.files(name) or ()
    paths = [Path(str(one.locate())) for one in found if bytecode or one.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _own_files() -> list[Path]:
    """The files of the package and the weights, without bytecode."""
    root = Path(__file__).parents[1]
    paths = [path for folder in ("mcmcodec", "weights") for path in (root / folder).rglob("*")]
    return [path for path in paths if path.is_file() and path.suffix != ".pyc"]
