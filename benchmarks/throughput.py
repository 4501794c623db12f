"""Pictures a second on a folder: one process for all, beside one process per file; time, CPU time and memory.

    python benchmarks/throughput.py FOLDER --out benchmarks/results/throughput.json

The folder's pictures are cut into squares (1,000 of 256x256), which the command line encodes and decodes as people
would: `codec encode -r squares -o packed`. CPU time is that of the process and hardly depends on what else the machine
does; wall-clock time does. A quarter of the squares runs apart, to see whether memory grows with the folder. The files
of one process and of many are compared byte by byte.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import processes
from PIL import Image

from mcmcodec.cli.bench import provenance
from mcmcodec.image.io import open_image, readable_extensions, to_rgb
from mcmcodec.model.weights import find


def cut(folder: Path, into: Path, count: int, side: int) -> None:
    """Writes `count` squares of `side` pixels from all over the pictures of a folder, the same ones each time."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in readable_extensions())
    rng = np.random.default_rng(0)
    number = 0
    while number < count:
        for path in paths:
            with open_image(path) as image:
                rgb = to_rgb(image)
            if min(rgb.shape[:2]) < side:
                continue
            for _ in range(-(-count // len(paths))):
                top, left = (int(rng.integers(0, size - side + 1)) for size in rgb.shape[:2])
                square = Image.fromarray(rgb[top : top + side, left : left + side])
                square.save(into / f"{number:05}.png", compress_level=1)
                number += 1
                if number == count:
                    return
        if number == 0:
            raise SystemExit(f"no picture of {side} pixels a side in {folder}")


def measure(*arguments: str | Path) -> dict[str, float]:
    """Runs `codec`; seconds by the wall clock and of CPU time, and the most memory it took in MB."""
    taken = processes.measure(*map(str, arguments), env=os.environ | {"OMP_NUM_THREADS": "1"})
    return {"wall_s": round(taken.wall, 2), "cpu_s": round(taken.cpu, 2), "peak_mb": round(taken.kilobytes / 1024)}


def row(name: str, images: int, measured: dict[str, float]) -> dict[str, Any]:
    """A line of the results, with pictures a second."""
    rates = {f"images_per_{key}": round(images / measured[key], 3) for key in ("cpu_s", "wall_s")}
    line = {"what": name, "images": images, **measured, **rates}
    print(f"{name:28} {images:5} images  {line['images_per_cpu_s']:6.2f} per CPU second "
          f"{line['images_per_wall_s']:6.2f} per second  {measured['peak_mb']:6.0f} MB", flush=True)  # fmt: skip
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000, help="squares [1000]")
    parser.add_argument("--side", type=int, default=256, help="pixels [256]")
    parser.add_argument("--apart", type=int, default=10, help="files that get a process each [10]")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", help="[the default one]")
    parser.add_argument("--note", default="", help="what else the machine did meanwhile, for the results")
    parser.add_argument("--options", default="", help="more options of codec encode, such as '-q 30 --effort 1'")
    options = parser.parse_args()
    model = find(options.model).name
    more = [*options.options.split(), "--device", options.device, "--model", model]
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        squares, few, packed, part = (Path(folder) / name for name in ("squares", "few", "packed", "part"))
        for path in (squares, few):
            path.mkdir()
        cut(options.folder, squares, options.count, options.side)
        names = sorted(path.name for path in squares.iterdir())
        for name in names[: options.count // 4]:
            os.link(squares / name, few / name)
        lines.append(row("encode, one process", options.count, measure("encode", squares, "-o", packed, *more)))
        lines.append(
            row("encode, a quarter of them", len(list(few.iterdir())), measure("encode", few, "-o", part, *more))
        )
        back = measure("decode", packed, "-o", part, "--device", options.device)
        lines.append(row("decode, one process", options.count, back))
        single = Path(folder) / "one.mcm"
        each = []
        for name in names[: options.apart]:
            each.append(measure("encode", squares / name, "-o", single, "-f", *more))
            if single.read_bytes() != (packed / name).with_suffix(".mcm").read_bytes():
                raise SystemExit(f"{name} has other bytes when it is encoded alone")
        together = {key: round(sum(one[key] for one in each), 2) for key in ("wall_s", "cpu_s")}
        alone = together | {"peak_mb": max(one["peak_mb"] for one in each)}
        lines.append(row("encode, one process per file", options.apart, alone))
        size = sum(path.stat().st_size for path in packed.iterdir())
    report = provenance.gather(options.device, 1) | {
        "model": model,
        "note": options.note,
        "side": options.side,
        "options": options.options,
        "bpp": round(8 * size / (options.count * options.side**2), 4),
        "rows": lines,
    }
    provenance.write_json(options.out, report)


if __name__ == "__main__":
    main()
