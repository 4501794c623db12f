"""Rate and distortion of mcmcodec over a folder of pictures, with real files on disk.

    python benchmarks/kodak.py FOLDER --qualities 5,15,30 --decoder fidelity,perceptual --out
    benchmarks/results/NAME.json

Every picture is written as an .mcm file at every quality; the file's size counts, header and all. The file is
read back and decoded with every decoder named; PSNR, MS-SSIM and LPIPS compare the 8-bit result with the
original.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import common
from common import Clock, Coder, Reference

Row = dict[str, Any]
QUALITIES = "5,15,25,35,45,55,65,75,85,95"


def measure(
    coder: Coder, reference: Reference, path: Path, quality: int, decoders: Sequence[str],
    keep: float | None = None, mask: str = "rd",
) -> list[Row]:  # fmt: skip
    """One row per decoder for one picture at one quality; the file stays at `path`."""
    start = Clock.read()
    data = coder.encode(reference.image, quality=quality, keep=keep, mask=mask)
    encode_s = Clock.read() - start
    path.write_bytes(data)
    size = path.stat().st_size
    rows = []
    for decoder in decoders:
        data = path.read_bytes()
        start = Clock.read()
        decoded = coder.decode(data, decoder=decoder)
        decode_s = Clock.read() - start
        facts = {"image": reference.name, "decoder": decoder, "quality": quality, "bytes": size}
        times = {"encode_s": encode_s, "decode_s": decode_s}
        rows.append(common.rounded(facts | {"bpp": reference.bpp(size)} | reference.judge(decoded) | times))
    return rows


def sweep(
    coder: Coder, references: Iterable[Reference], count: int, qualities: Sequence[int],
    decoders: Sequence[str], keep: float | None = None, mask: str = "rd",
) -> list[Row]:  # fmt: skip
    """Rows of all `count` pictures at all qualities with all decoders, under a progress display."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, common.progress() as progress:
        task = progress.add_task("files", total=count * len(qualities))
        for index, reference in enumerate(references):
            if index == 0:
                # The first run pays for memory and kernels being set up; it is not timed.
                measure(coder, reference, Path(folder) / "warm-up.mcm", qualities[0], decoders, keep, mask)
            for quality in qualities:
                path = Path(folder) / f"{reference.name}-{quality}.mcm"
                rows += measure(coder, reference, path, quality, decoders, keep, mask)
                progress.advance(task)
    return rows


def summary(rows: Sequence[Row]) -> list[Row]:
    """Means over the pictures for every decoder and quality: a curve at fixed quality, as papers draw it."""
    keys = dict.fromkeys((row["decoder"], row["quality"]) for row in rows)
    means = []
    for decoder, quality in keys:
        chosen = [row for row in rows if (row["decoder"], row["quality"]) == (decoder, quality)]
        means.append({"decoder": decoder, "quality": quality, "images": len(chosen)} | common.mean(chosen))
    return means


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--qualities", default=QUALITIES, help=f"separated by commas [{QUALITIES}]")
    parser.add_argument("--decoder", default="fidelity", help="one or several, separated by commas [fidelity]")
    parser.add_argument("--out", type=Path, required=True, help="results file, JSON")
    parser.add_argument("--mask", default="rd", help="which mask [rd]")
    parser.add_argument("--keep", type=float, help="share of visible patches [the codec decides]")
    parser.add_argument("--square", type=int, default=0, help="centre square, scaled to this side")
    common.add_options(parser)
    options = parser.parse_args()
    coder, facts = common.start(options)
    qualities = [int(quality) for quality in options.qualities.split(",")]
    references = common.references(options.folder, common.load_lpips(), options.limit, options.square)
    count = len(common.pictures(options.folder)[: options.limit])
    rows = sweep(coder, references, count, qualities, options.decoder.split(","), options.keep, options.mask)
    settings = {"mask": options.mask, "keep": options.keep, "square": options.square, "images": count}
    common.write_json(options.out, facts | {"settings": settings, "means": summary(rows), "rows": rows})


if __name__ == "__main__":
    common.run(main)
