"""What a picture of 100 megapixels takes: memory and time of encoding, of decoding, of a part and of reduced pictures.

    python benchmarks/huge.py FOLDER --out benchmarks/results/huge.json

The picture is a wall of the folder's photographs, every other one mirrored, 12000 x 8400 pixels. Each command is a
process of its own; its peak memory is what the kernel counted (ru_maxrss), Python, torch and the picture included.
A PNG this large is written while it is painted. On the way in Pillow decodes the picture whole, whatever its format,
and the encoder, which looks at it up to three times, keeps its pixels at three bytes each.
Seams are measured on a wall of 3200 x 512 pixels: painted in tiles against painted in one piece. Reduced
pictures are compared with the reduced decoded picture and with the reduced original (Lanczos).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import processes
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mcmcodec.codec import SCALES, Codec
from mcmcodec.image import tiling
from mcmcodec.image.io import open_image

Picture = NDArray[np.uint8]
WALL = (12000, 8400)
SEAM_WALL = (3200, 512)
LEVELS = 255.0


def wall(files: Sequence[Path], size: tuple[int, int]) -> Image.Image:
    """Photographs side by side until the picture (width, height) is full, every other one mirrored."""
    out = Image.new("RGB", size)
    x = y = row = count = 0
    while y < size[1]:
        with open_image(files[count % len(files)]) as source:
            photo = source.convert("RGB")
        photo = ImageOps.mirror(photo) if count % 2 else photo
        out.paste(photo, (x, y))
        x, row, count = x + photo.width, max(row, photo.height), count + 1
        if x >= size[0]:
            x, y, row = 0, y + row, 0
    return out


def measured(*arguments: str) -> dict[str, float]:
    """Run ``codec ARGUMENTS``; its seconds on the clock and on the processor, and its peak memory in GB."""
    taken = processes.measure(*arguments, "-f")
    return {
        "seconds": round(taken.wall, 1),
        "processor_seconds": round(taken.cpu, 1),
        "peak_gb": round(taken.kilobytes * 1024 / 1e9, 3),
    }


def commands(picture: Path, folder: Path, options: Sequence[str]) -> dict[str, Any]:
    """Peak memory and time of every way to use a huge picture."""
    packed, out = str(folder / "wall.mcm"), str(folder / "out.png")
    width, height = WALL
    found: dict[str, Any] = {"encode": measured("encode", str(picture), "-o", packed, *options)}
    found["encode"]["bytes"] = os.path.getsize(packed)
    found["decode"] = measured("decode", packed, "-o", out)
    found["decode --crop"] = measured("decode", packed, "-o", out, "--crop", f"{width // 2},{height // 2},640,480")
    for scale in ("1/2", "1/4", "1/8"):
        found[f"decode --scale {scale}"] = measured("decode", packed, "-o", out, "--scale", scale)
    return found


def psnr(a: Any, b: Any) -> float:
    """Peak signal-to-noise ratio of two pictures of 8 bits, in dB; 99 where they are equal."""
    error = float(np.square(np.asarray(a, np.float64) - np.asarray(b, np.float64)).mean())
    return round(10 * float(np.log10(LEVELS**2 / error)), 2) if error else 99.0


def seams(codec: Codec, files: Sequence[Path], quality: int) -> dict[str, Any]:
    """The same file painted in tiles and in one piece: all pixels, and those within 8 of a tile's edge."""
    data = codec.encode(wall(files, SEAM_WALL), quality=quality)
    found: dict[str, Any] = {"pixels": SEAM_WALL, "quality": quality}
    for decoder in codec.weights.decoders:
        tiled = np.asarray(codec.decode(data, decoder), np.int16)
        interior, tiling.INTERIOR = tiling.INTERIOR, 1 << 20
        try:
            whole = np.asarray(codec.decode(data, decoder), np.int16)
        finally:
            tiling.INTERIOR = interior
        near = np.zeros(whole.shape[:2], bool)
        for edge in range(interior * tiling.PATCH, max(SEAM_WALL), interior * tiling.PATCH):
            near[edge - 8 : edge + 8] = near[:, edge - 8 : edge + 8] = True
        difference = np.abs(tiled - whole)
        found[decoder] = {
            "psnr": psnr(tiled, whole), "psnr_at_edges": psnr(tiled[near], whole[near]),
            "largest": int(difference.max()), "share_of_values_that_differ": float((difference > 0).mean()),
        }  # fmt: skip
    return found


def reduced(codec: Codec, files: Sequence[Path], quality: int, repeats: int = 3) -> dict[str, Any]:
    """Means over the photographs: quality of reduced pictures, and time beside that of the whole picture."""
    found: dict[str, Any] = {"quality": quality, "pictures": len(files)}
    for scale in SCALES[1:]:
        rows = []
        for file in files:
            with open_image(file) as source:
                original = source.convert("RGB")
            data = codec.encode(original, quality=quality)
            whole, small = codec.decode(data), codec.decode(data, scale=scale)
            ratio = min(_seconds(codec, data, scale) / _seconds(codec, data, 1) for _ in range(repeats))
            lanczos = whole.resize(small.size, Image.Resampling.LANCZOS)
            reference = original.resize(small.size, Image.Resampling.LANCZOS)
            rows.append((ratio, psnr(small, lanczos), psnr(small, reference), psnr(lanczos, reference)))
        names = ("time_of_whole", "psnr_to_reduced_decode", "psnr_to_reduced_original", "psnr_of_reduced_decode")
        found[f"1/{round(1 / scale)}"] = dict(zip(names, np.mean(rows, 0).round(3).tolist(), strict=True))
    return found


def _seconds(codec: Codec, data: bytes, scale: float) -> float:
    start = time.process_time()
    codec.decode(data, scale=scale)
    return time.process_time() - start


def main() -> None:
    """Measure what was asked for, and add it to the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument("--out", type=Path, required=True, help="results, JSON; parts not measured now are kept")
    parser.add_argument("--parts", default="memory,seams,reduced", help="which measurements, with commas")
    parser.add_argument("--quality", type=int, default=50)
    parser.add_argument("--model", help="the default one if left out")
    parser.add_argument("--limit", type=int, default=8, help="photographs to use")
    given = parser.parse_args()
    files = [path for path in sorted(given.folder.iterdir()) if path.suffix.lower() in (".png", ".jpg", ".webp")]
    results = json.loads(given.out.read_text()) if given.out.exists() else {}
    codec = Codec(given.model)
    for part in given.parts.split(","):
        if part == "memory":
            with tempfile.TemporaryDirectory() as name:
                picture = Path(name) / "wall.jpg"
                wall(files, WALL).save(picture, quality=95)
                options = ["-q", str(given.quality), "--model", codec.weights.name]
                results[part] = {"pixels": WALL, "model": codec.weights.name} | commands(picture, Path(name), options)
        else:
            measure = {"seams": seams, "reduced": reduced}[part]
            results[part] = {"model": codec.weights.name} | measure(codec, files[: given.limit], given.quality)
        given.out.write_text(json.dumps(results, indent=1) + "\n")
        print(json.dumps(results[part], indent=1))


if __name__ == "__main__":
    main()
