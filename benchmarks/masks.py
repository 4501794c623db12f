"""What the choice of the mask is worth: every way to choose it, at equal shares and at equal bytes.

    python benchmarks/masks.py FOLDER --out benchmarks/results/masks

Writes OUT.json and OUT.md. "Equal share": all masks keep the same share of patches at one quality, so bytes
and distortion both move. "Equal bytes": the quality of every mask is searched until its mean file size over
the pictures meets the target; where no quality comes within TOLERANCE, the two that enclose the target are
interpolated in log bytes. Pictures are measured as kodak.py does.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
from PIL import Image

from mcmcodec.bitstream.container import parse_header
from mcmcodec.cli.bench import run
from mcmcodec.cli.bench.ours import Coder
from mcmcodec.cli.bench.run import Clock
from mcmcodec.image import tiling
from mcmcodec.metrics.judge import Reference

Row = dict[str, Any]
MASKS = ("none", "random", "texture", "structure", "dual", "rd")
TOLERANCE = 0.02


class Bench:
    """Encodes the pictures with one mask after the other; what was measured before is not run again."""

    def __init__(self, coder: Coder, references: Sequence[Reference], decoder: str) -> None:
        self.coder, self.references, self.decoder = coder, references, decoder
        self.measured: dict[tuple[str, float | None, int], Row] = {}

    def measure(self, mask: str, keep: float | None, quality: int) -> Row:
        """Means over the pictures; `visible` is the share of patches that the files say are there."""
        key = (mask, keep, quality)
        if key not in self.measured:
            shares: list[float] = []

            def encode(image: Image.Image, setting: float) -> bytes:
                data = self.coder.encode(image, quality=int(setting), keep=keep, mask=mask)
                shares.append(parse_header(data)[0].keep / 255)
                return data

            decode = {self.decoder: lambda data, size: self.coder.decode(data, decoder=self.decoder)}
            candidate = run.Candidate((quality,), encode, decode)
            rows = [row for reference in self.references for row, _ in run.measure(candidate, quality, reference)]
            visible = round(sum(shares) / len(shares), 3)
            means = {k: v for k, v in run.points(rows)[0].items() if k in run.DIGITS}
            self.measured[key] = {"mask": mask, "keep": keep, "quality": quality, "visible": visible} | means
        return self.measured[key]

    def mean_bytes(self, mask: str, keep: float | None, quality: int) -> float:
        """Mean file size over the pictures, encoding only."""
        if (mask, keep, quality) in self.measured:
            return float(self.measured[mask, keep, quality]["bytes"])
        files = [self.coder.encode(r.image, quality=quality, keep=keep, mask=mask) for r in self.references]
        return sum(map(len, files)) / len(files)

    def at_bytes(self, mask: str, keep: float | None, target: float) -> Row | None:
        """Means at a mean file size of `target` bytes; None when no quality reaches it."""
        low, high = 0, 100
        if not self.mean_bytes(mask, keep, low) <= target <= self.mean_bytes(mask, keep, high):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if self.mean_bytes(mask, keep, middle) <= target:
                low = middle
            else:
                high = middle
        ends = [self.measure(mask, keep, quality) for quality in (low, high)]
        for row in sorted(ends, key=lambda row: abs(row["bytes"] - target)):
            if abs(row["bytes"] / target - 1) <= TOLERANCE:
                return row
        a, b = ends
        share = math.log(target / a["bytes"]) / math.log(b["bytes"] / a["bytes"])
        keys = [key for key in ("quality", "visible", *run.DIGITS) if a.get(key) is not None]
        between = {key: round(a[key] + share * (b[key] - a[key]), run.DIGITS.get(key, 2)) for key in keys}
        between |= {"bytes": round(target, 1), "bpp": round(a["bpp"] * (b["bpp"] / a["bpp"]) ** share, 6)}
        return a | between | {"interpolated": True}


def choice_seconds(bench: Bench, quality: int, keep: float) -> dict[str, float]:
    """Mean seconds per picture that choosing takes with every mask.

    Masks that look at the picture only are timed by themselves. "rd" makes a dry run of the encoder; its time
    is what its encoding takes longer than that of "dual" at the same share, which does the same work after
    choosing.
    """
    seconds = {"none": 0.0}
    padded = [tiling.pad(reference.picture) for reference in bench.references]
    for mask in MASKS:
        if mask not in ("none", "rd"):
            mask.scores(padded[0], mask)  # the first call sets OpenCV up
            start = Clock.read()
            for picture in padded:
                mask.choose(mask.scores(picture, mask), keep)
            seconds[mask] = (Clock.read() - start) / len(padded)
    longer = [bench.measure(mask, keep, quality)["encode_s"] for mask in ("rd", "dual")]
    return seconds | {"rd": max(0.0, longer[0] - longer[1] + seconds["dual"])}


def cases(keeps: Sequence[float]) -> list[tuple[str, float | None]]:
    """(mask, keep) pairs: no mask, every mask at every share, and "rd" choosing its own share."""
    chosen = [(mask, keep) for keep in keeps for mask in MASKS if mask != "none"]
    return [("none", None), *chosen, ("rd", None)]


def compare(bench: Bench, keeps: Sequence[float], quality: int, target_bpp: float) -> dict[str, list[Row]]:
    """Both tables; the first with the seconds that choosing the mask takes."""
    pixels = [reference.pixels for reference in bench.references]
    target = target_bpp * sum(pixels) / len(pixels) / 8
    tables: dict[str, list[Row]] = {"equal_share": [], "equal_bytes": []}
    with common.progress() as progress:
        task = progress.add_task("masks", total=2 * len(cases(keeps)))
        seconds = choice_seconds(bench, quality, keeps[0])
        for mask, keep in cases(keeps):
            row = bench.measure(mask, keep, quality) | {"mask_s": seconds[mask]}
            tables["equal_share"].append(run.rounded(row))
            progress.advance(task)
        for mask, keep in cases(keeps):
            found = bench.at_bytes(mask, keep, target)
            tables["equal_bytes"].append(found or {"mask": mask, "keep": keep, "unreachable": True})
            progress.advance(task)
    return tables


def markdown(content: dict[str, Any]) -> str:
    """The two tables in print."""
    settings, model = content["settings"], content["model"]
    lines = [
        "# Which patches to keep",
        "",
        f"Model {model['name']}, fingerprint `{model['fingerprint'][:16]}`, decoder {settings['decoder']}, "
        f"{settings['images']} pictures, means. Real files. \"keep\" is the share of patches asked for, "
        "\"visible\" the share that the files hold.",
        "",
    ]  # fmt: skip
    titles = {
        "equal_share": f"Equal share of patches, quality {settings['quality']}",
        "equal_bytes": f"Equal bytes, {settings['target_bpp']} bits per pixel (quality searched, within "
        f"{TOLERANCE:.0%} or interpolated: ~)",
    }
    for table, title in titles.items():
        lines += [f"## {title}", ""]
        lines += [
            "| mask | keep | visible | quality | bytes | bpp | PSNR | MS-SSIM | LPIPS | encode s | choice s |",
            "|---" * 11 + "|",
        ]
        for row in content[table]:
            keep = "codec decides" if row["keep"] is None and row["mask"] != "none" else row["keep"] or "all"
            if "unreachable" in row:
                lines.append(f"| {row['mask']} | {keep} |" + " – |" * 9)
                continue
            lpips = "–" if row.get("lpips") is None else f"{row['lpips']:.3f}"
            about = "~" if "interpolated" in row else ""
            size = f"{about}{row['quality']} | {row['bytes']:.0f} | {row['bpp']:.4f}"
            choice = f"{row['mask_s']:.3f}" if "mask_s" in row else "–"
            seconds = f"{row['encode_s']:.2f} | {choice}"
            judged = f"{row['psnr']:.2f} | {row['msssim']:.3f} | {lpips}"
            lines.append(f"| {row['mask']} | {keep} | {row['visible']:.2f} | {size} | {judged} | {seconds} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keeps", default="0.5,0.25", help="shares, separated by commas [0.5,0.25]")
    parser.add_argument("--quality", type=int, default=40, help="of the comparison at equal share [40]")
    parser.add_argument("--target-bpp", type=float, default=0.05, help="of the comparison at equal bytes [0.05]")
    parser.add_argument("--decoder", default="fidelity")
    parser.add_argument("--out", type=Path, required=True, help="without .json and .md")
    parser.add_argument("--model", help="which weights [the default model]")
    common.add_options(parser)
    options = parser.parse_args()
    coder, facts = common.start(options)
    references = list(run.references(common.pictures(options.folder)[: options.limit], common.referee(options)))
    keeps = [float(keep) for keep in options.keeps.split(",")]
    bench = Bench(coder, references, options.decoder)
    tables = compare(bench, keeps, options.quality, options.target_bpp)
    settings = {"keeps": keeps, "quality": options.quality, "target_bpp": options.target_bpp,
                "decoder": options.decoder, "images": len(references)}  # fmt: skip
    content = facts | {"settings": settings} | tables
    common.write_json(options.out.with_suffix(".json"), content)
    options.out.with_suffix(".md").write_text(markdown(content))


if __name__ == "__main__":
    common.run(main)
