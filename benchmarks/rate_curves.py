"""Rate and quality of one model on pictures of one size, through real files; two such tables compare models.

    python benchmarks/rate_curves.py measure VAL --model medium --out medium.json
    python benchmarks/rate_curves.py compare old.json new.json --out comparison

A table holds bits per pixel, PSNR and MS-SSIM of ``fidelity`` and LPIPS of ``perceptual`` for every picture and
quality. Compared are bytes at equal quality, over the rates that both reach and at some rates (Bjontegaard 2001,
piecewise cubic).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

QUALITIES = (0, 5, 10, 15, 20, 30, 40, 50, 60, 70)
RATES = (0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2)
METRICS = ("psnr", "msssim", "lpips")


def measure(folder: Path, model: str, count: int, mask: str, qualities: tuple[int, ...] = QUALITIES) -> dict[str, Any]:
    """The table of a model: numbers[quality][metric] is a list over pictures."""
    import torch

    from mcmcodec import Codec
    from mcmcodec.metrics.lpips import LPIPS
    from mcmcodec.metrics.ms_ssim import ms_ssim
    from mcmcodec.training.data import load_folder

    torch.set_num_threads(1)
    codec, lpips = Codec(model, "cpu"), LPIPS()
    pictures = load_folder(folder)
    pictures = pictures[:: max(1, len(pictures) // count)][:count]

    def tensor(picture: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255

    table: dict[int, dict[str, list[float]]] = {}
    for quality in qualities:
        rows: dict[str, list[float]] = {key: [] for key in ("bpp", *METRICS)}
        for picture in pictures:
            data = codec.encode(picture, quality=quality, mask=mask)
            x = tensor(picture)
            with torch.no_grad():
                fidelity = tensor(codec.decode(data, decoder="fidelity"))
                rows["psnr"].append(float(-10 * (fidelity - x).square().mean().log10()))
                rows["msssim"].append(float(ms_ssim(fidelity, x)))
                rows["lpips"].append(float(lpips(tensor(codec.decode(data, decoder="perceptual")), x)))
            rows["bpp"].append(8 * len(data) / (picture.shape[0] * picture.shape[1]))
        table[quality] = rows
        print(quality, {key: round(float(np.mean(values)), 5) for key, values in rows.items()}, flush=True)
    return {"model": model, "mask": mask, "pictures": len(pictures), "numbers": table}


def curve(table: dict[str, Any], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of mean rates, and mean quality, rising both."""
    rows = table["numbers"].values()
    rate = np.log([np.mean(row["bpp"]) for row in rows])
    quality = np.array([np.mean(row[metric]) for row in rows])
    return rate, -quality if metric == "lpips" else -np.log(1 - quality) if metric == "msssim" else quality


def bytes_at(old: dict[str, Any], new: dict[str, Any], metric: str, rate: float | None = None) -> float | None:
    """Change of bytes at equal quality in percent: at a rate of the old model, or on average; None if out of reach."""
    (r0, q0), (r1, q1) = curve(old, metric), curve(new, metric)
    first, second = PchipInterpolator(q0, r0), PchipInterpolator(q1, r1)
    low, high = max(q0[0], q1[0]), min(q0[-1], q1[-1])
    if rate is None:
        grid = np.linspace(low, high, 500)
        return float(100 * (np.exp(np.mean(second(grid) - first(grid))) - 1))
    if not r0[0] <= np.log(rate) <= r0[-1]:
        return None
    quality = float(PchipInterpolator(r0, q0)(np.log(rate)))
    return float(100 * (np.exp(second(quality)) / rate - 1)) if low <= quality <= high else None


def compare(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Changes of bytes by metric and rate, and as a table in Markdown."""
    found = {m: {"all": bytes_at(old, new, m), **{str(r): bytes_at(old, new, m, r) for r in RATES}} for m in METRICS}
    lines = [f"| bytes of {new['model']} at equal | all rates | " + " | ".join(f"{r} bpp" for r in RATES) + " |",
             "|---|" + "---|" * (len(RATES) + 1)]  # fmt: skip
    for metric, row in found.items():
        cells = ("-" if value is None else f"{value:+.1f} %" for value in row.values())
        lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    return found, "\n".join(lines) + "\n"


def main() -> None:
    """Measure a model, or compare two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure")
    one.add_argument("pictures", type=Path)
    one.add_argument("--model", required=True)
    one.add_argument("--count", type=int, default=24)
    one.add_argument("--mask", default="rd")
    one.add_argument("--out", type=Path, required=True)
    two = commands.add_parser("compare")
    two.add_argument("old", type=Path)
    two.add_argument("new", type=Path)
    two.add_argument("--out", type=Path, help="Written as .json and .md.")
    o = parser.parse_args()
    if o.command == "measure":
        o.out.write_text(json.dumps(measure(o.pictures, o.model, o.count, o.mask)) + "\n")
        return
    found, text = compare(json.loads(o.old.read_text()), json.loads(o.new.read_text()))
    print(text)
    if o.out:
        o.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
        o.out.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
