"""How many bytes does an edge map take? In a file of ours, and by the formats for bilevel pictures."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mcmcodec.bitstream import structure
from mcmcodec.encoder import edges
from mcmcodec.image.prepare import prepare

from . import jbig2
from .work import Work

HEAD = 3
"""Bytes of a section's type and length."""
Map = edges.Map


def measure(work: Work, *, folder: str, count: int, sizes: Sequence[int]) -> dict[str, Any]:
    """Maps of evenly spread pictures, made for some numbers of bytes; every format codes the same maps without loss."""
    facts, rows = work.facts(model=False), []
    paths = work.pictures(folder, count)
    work.watch.start("pictures", len(paths) * len(sizes))
    checked = 0
    for most in sizes:
        found: dict[str, list[int]] = {}
        shares = []
        for path in paths:
            map_ = edges.fit(prepare(path).rgb, most)
            shares.append(float(map_.edges.mean()))
            file, alone = jbig2.encode(map_.edges)
            checked += _reads_back(file, map_.edges)
            taken = {
                "mcmcodec": HEAD + len(structure.encode(map_)), "JBIG2": len(file), "JBIG2, coded data alone": alone,
                "CCITT G4": _ccitt(map_.edges), "PNG": _saved(map_.edges, "PNG", optimize=True),
                "WebP": _saved(map_.edges, "WEBP", lossless=True, quality=100, method=6),
            }  # fmt: skip
            for name, size in taken.items():
                found.setdefault(name, []).append(size)
            work.watch.advance(path.name)
        rows += [
            {"asked": most, "format": name, "bytes": round(statistics.mean(values), 1), "smallest": min(values),
             "largest": max(values), "edges": round(statistics.mean(shares), 4)}
            for name, values in found.items()
        ]  # fmt: skip
    return facts | {"pictures": len(paths), "files_that_jbig2dec_reads_back": checked, "rows": rows}


def _saved(map_: Map, name: str, **options: Any) -> int:
    """Bytes of a file by Pillow, of one bit a sample where the format has that."""
    out = BytesIO()
    image = Image.fromarray(map_ * np.uint8(255))
    (image.convert("1") if name == "PNG" else image.convert("RGB")).save(out, name, **options)
    return len(out.getvalue())


def _ccitt(map_: Map) -> int:
    """Bytes of the coded data in a TIFF file, whose head says nothing of a picture's coding."""
    out = BytesIO()
    Image.fromarray(255 - map_ * np.uint8(255)).convert("1").save(out, "TIFF", compression="group4")
    with Image.open(out) as image:
        return int(sum(image.tag_v2[279]))  # StripByteCounts


def _reads_back(file: bytes, map_: Map) -> bool:
    """Whether jbig2dec, if it is installed, finds the same map. AssertionError if it finds another."""
    if not shutil.which("jbig2dec"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "map.jb2"), Path(folder, "map.pbm")
        source.write_bytes(file)
        subprocess.run(["jbig2dec", "-o", str(target), str(source)], check=True, capture_output=True)
        with Image.open(target) as image:
            assert np.array_equal(np.asarray(image.convert("L")) == 0, map_ > 0)
    return True
