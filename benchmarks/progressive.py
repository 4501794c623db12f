"""What a file shows while it arrives: quality of the picture against the bytes that are there.

    python benchmarks/progressive.py --out benchmarks/results/progressive

Cuts files of a few pictures (docs/demo.png and two of scikit-image's, or those that are named) at many places, decodes
them with ``allow_truncated``, and measures PSNR against the original; beside it, whole files of lower qualities. Writes
OUT.json and OUT.png. Ends with status 1 where a kilobyte more made a picture worse by over TOLERANCE dB.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import common
import matplotlib
import numpy as np
from PIL import Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mcmcodec.bitstream import container
from mcmcodec.bitstream.file import open_file
from mcmcodec.codec import Codec
from mcmcodec.image.io import open_image
from mcmcodec.metrics import pixel_metrics

DEMO = Path(__file__).parents[1] / "docs" / "demo.png"
WHOLE = (0, 20, 40, 60)
KILOBYTE = 1024
TOLERANCE = 0.05


def usual() -> dict[str, Image.Image]:
    """The pictures that everybody has."""
    import skimage.data

    with open_image(DEMO) as demo:
        found = {"demo": demo.convert("RGB")}
    return found | {name: Image.fromarray(getattr(skimage.data, name)()) for name in ("astronaut", "cat")}


def arrival(codec: Codec, image: Image.Image, quality: int, decoder: str, points: int) -> dict[str, Any]:
    """(bytes, PSNR) while one file arrives, where its parts begin, and (bytes, PSNR) of whole files."""

    def psnr(data: bytes) -> float:
        shown = codec.decode(data, decoder, allow_truncated=True)
        return round(pixel_metrics.psnr(np.asarray(image), np.asarray(shown)), 3)

    data = codec.encode(image, quality=quality)
    header, start = container.parse_header(data)
    sections = open_file(data).symbols()[1]
    ends = np.cumsum([start, *(sections.get(name, 0.0) / 8 for name in ("base", "mask", "latents"))])
    sizes = sorted({*np.geomspace(start + 2 * container.CRC_SIZE, len(data), points).astype(int).tolist(), len(data)})
    lower = [codec.encode(image, quality=other) for other in WHOLE if other < quality]
    return {
        "size": image.size, "quality": quality, "bytes": len(data), "keep": header.keep,
        "base_ends": round(float(ends[1]), 1), "mask_ends": round(float(ends[2]), 1),
        "arriving": [(size, psnr(data[:size])) for size in sizes],
        "whole_files": [(len(one), psnr(one)) for one in [*lower, data]],
    }  # fmt: skip


def falls(curve: list[tuple[int, float]]) -> list[tuple[int, int, float]]:
    """Where at least a kilobyte more (or all the rest) gave less: (bytes, bytes, dB)."""
    found = []
    for at, (size, before) in enumerate(curve[:-1]):
        more, after = next((one for one in curve[at + 1 :] if one[0] >= size + KILOBYTE), curve[-1])
        if after < before - TOLERANCE:
            found.append((size, more, round(after - before, 3)))
    return found


def plot(content: dict[str, Any], path: Path) -> None:
    """A panel per picture."""
    figure, panels = plt.subplots(1, len(content["pictures"]), figsize=(5 * len(content["pictures"]), 4), squeeze=False)
    for panel, (name, row) in zip(panels[0], content["pictures"].items(), strict=True):
        panel.plot(*zip(*row["arriving"], strict=True), ".-", label=f"one file of quality {row['quality']}, arriving")
        panel.plot(*zip(*row["whole_files"], strict=True), "x--", color="tab:grey", label="whole files")
        panel.axvline(row["base_ends"], color="tab:green", lw=0.8, label="base layer there")
        panel.set(title=name, xlabel="bytes", ylabel="PSNR (dB)", xscale="log")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, write, and say where more was worse."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="*", help="pictures to use instead of the usual ones")
    parser.add_argument("--out", type=Path, required=True, help="results, without extension")
    parser.add_argument("--model", help="the default one if left out")
    parser.add_argument("--quality", type=int, default=75)
    parser.add_argument("--decoder", default="fidelity")
    parser.add_argument("--points", type=int, default=24)
    common.add_options(parser)
    given = parser.parse_args()
    codec, content = common.start(given)
    images = {path.stem: Image.open(path).convert("RGB") for path in given.pictures} or usual()
    content |= {"decoder": given.decoder, "pictures": {}}
    worse = False
    for name, image in list(images.items())[: given.limit]:
        row = content["pictures"][name] = arrival(codec, image, given.quality, given.decoder, given.points)
        row["falls"] = falls(row["arriving"])
        worse |= bool(row["falls"])
        rises = sum(after >= before for (_, before), (_, after) in pairwise(row["arriving"]))
        print(f"{name}: {row['bytes']} bytes, {row['arriving'][0][1]:.2f} to {row['arriving'][-1][1]:.2f} dB,", end=" ")
        print(f"{rises} of {len(row['arriving']) - 1} steps rise, falls over a kilobyte: {row['falls'] or 'none'}")
    given.out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    plot(content, given.out.with_suffix(".png"))
    sys.exit(int(worse))


if __name__ == "__main__":
    main()
