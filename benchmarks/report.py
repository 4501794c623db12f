"""The committed comparison: our results beside the competitors', as a table and as plots.

    python benchmarks/report.py benchmarks/results/small.json [MORE.json] --name kodak

Writes results/NAME.md and results/NAME_psnr.png, _msssim.png, _lpips.png from results files of kodak.py and
from peers/NAME.json. "Best variant" is the best of all variants at every rate and for every metric by itself:
full size, or scaled down by 2, 4 or 8 before encoding and up again after decoding.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import curves
import matplotlib.pyplot as plt
from curves import METRICS, Curve
from peers import IMAGES

FOLDER = Path(__file__).parent
RATES = (0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15)
FAMILIES = ["VVC", "AVIF", "WebP", "JPEG XL", "JPEG"]
PLOTTED = (0.004, 0.25)
EXPLANATION = (
    "Means over all pictures at fixed quality, interpolated linearly in log rate; rates are those of whole "
    'files. A dash: the codec cannot go there, or nothing was measured there. "Best variant" may scale the '
    "picture down before encoding, and is chosen anew for every number."
)


def table(metric: str, lines: list[Curve]) -> list[str]:
    """Markdown table of one metric at RATES, the best value in bold; a dash where a codec cannot go."""
    title, more_is_better, digits = METRICS[metric]
    values = [[curve.at(metric, rate) for rate in RATES] for curve in lines]
    best = []
    for column in zip(*values, strict=True):
        known = [round(value, digits) for value in column if value is not None]
        best.append((max if more_is_better else min)(known, default=None))
    out = [f"### {title}, {'higher' if more_is_better else 'lower'} is better", ""]
    out += ["| bpp | " + " | ".join(f"{rate:g}" for rate in RATES) + " |", "|---" * (len(RATES) + 1) + "|"]
    for curve, row in zip(lines, values, strict=True):
        cells = []
        for value, top in zip(row, best, strict=True):
            text = "–" if value is None else f"{value:.{digits}f}"
            cells.append(f"**{text}**" if value is not None and round(value, digits) == top else text)
        out.append(f"| {curve.name} | " + " | ".join(cells) + " |")
    return [*out, ""]


def rate_differences(ours: list[Curve], anchors: list[Curve]) -> list[str]:
    """Markdown table of Bjontegaard rate differences against full-size anchors."""
    out = ["### Rate at equal quality", "",
           "Bjontegaard's difference over the common range of quality: -30 % means that 30 % fewer bytes do.",
           "",
           "| against | decoder | " + " | ".join(name for name, _, _ in METRICS.values()) + " |",
           "|---" * (len(METRICS) + 2) + "|"]  # fmt: skip
    for anchor in anchors:
        for curve in ours:
            found = [curve.bd_rate(metric, anchor) for metric in METRICS]
            cells = ["–" if value is None else f"{value:+.0f} %" for value in found]
            out.append(f"| {anchor.name} | {curve.name} | " + " | ".join(cells) + " |")
    return [*out, ""]


def measured(contents: list[dict[str, Any]]) -> list[str]:
    """What the files of our results say about themselves, and the points behind the interpolation."""
    out = ["### Our points", "",
           "| model | decoder | quality | bytes | bpp | PSNR | MS-SSIM | LPIPS | encode s | decode s |",
           "|---" * 10 + "|"]  # fmt: skip
    for content in contents:
        for row in content["means"]:
            lpips = "–" if row["lpips"] is None else f"{row['lpips']:.3f}"
            out.append(
                f"| {content['model']['name']} | {row['decoder']} | {row['quality']} | {row['bytes']:.0f} | "
                f"{row['bpp']:.4f} | {row['psnr']:.2f} | {row['msssim']:.3f} | {lpips} | "
                f"{row['encode_s']:.2f} | {row['decode_s']:.2f} |"
            )
    out.append("")
    for content in contents:
        model, machine, versions = content["model"], content["machine"], content["versions"]
        settings = content["settings"]
        out.append(
            f"Model {model['name']}, fingerprint `{model['fingerprint'][:16]}`; "
            f"commit {content['commit'] or '?'}; mask {settings['mask']}, {settings['images']} pictures; "
            f"{machine['cpu']}, {machine['threads']} thread(s), {content['device']}, {content['seconds']} seconds; "
            f"Python {versions['python']}, torch {versions['torch']}, numpy {versions['numpy']}."
        )
    return [*out, ""]


def plot(metric: str, ours: list[Curve], others: list[Curve], path: Path) -> None:
    """One metric over log rate; full-size competitors solid, best variants dotted in the same colour."""
    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
    colours = {}
    for curve in others:
        family = curve.name.split(",")[0].split(" (")[0]
        colour = colours.setdefault(family, f"C{len(colours) + 4}")
        if curve.parts:
            rates = [PLOTTED[0] * (PLOTTED[1] / PLOTTED[0]) ** (i / 200) for i in range(201)]
            values = [curve.at(metric, rate) for rate in rates]
            pairs = [(rate, value) for rate, value in zip(rates, values, strict=True) if value is not None]
            style = {"linestyle": ":", "linewidth": 1.5}
        else:
            pairs, style = curve.points[metric], {"marker": ".", "linewidth": 1.2}
        if pairs:
            axes.plot(*zip(*pairs, strict=True), color=colour, label=curve.name, **style)
    for index, curve in enumerate(ours):
        if curve.points[metric]:
            axes.plot(*zip(*curve.points[metric], strict=True), color=f"C{index}", marker="o", linewidth=2.2,
                      label=curve.name, zorder=3)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(*PLOTTED)
    shown = [value for curve in ours for rate, value in curve.points[metric] if rate <= PLOTTED[1]]
    shown += [v for curve in others for rate in (0.02, 0.15) if (v := curve.at(metric, rate)) is not None]
    if shown:
        # Competitors' useless low end and our high end would press what matters into a corner.
        margin = 0.1 * (max(shown) - min(shown)) + 0.01
        axes.set_ylim(min(shown) - margin, max(shown) + margin)
    ticks = [0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("bits per pixel (whole file)")
    axes.set_ylabel(METRICS[metric][0] + ("" if METRICS[metric][1] else ", lower is better"))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="results files of kodak.py")
    parser.add_argument("--name", default="kodak", help="of the peers file and of what is written [kodak]")
    parser.add_argument("--out", type=Path, default=FOLDER / "results", help="folder [benchmarks/results]")
    options = parser.parse_args()
    contents = [json.loads(path.read_text()) for path in options.results]
    for path, content in zip(options.results, contents, strict=True):
        if (count := content["settings"]["images"]) != IMAGES:
            raise SystemExit(f"{path} covers {count} of {IMAGES} pictures; measure all of them")
    ours = [curve for content in contents for curve in curves.ours(content, f"mcm {content['model']['name']}")]
    others = curves.peers(FOLDER / "peers" / f"{options.name}.json", FAMILIES)
    lines = [f"# mcmcodec on {options.name}", "", EXPLANATION, ""]
    options.out.mkdir(parents=True, exist_ok=True)
    for metric in METRICS:
        path = options.out / f"{options.name}_{metric}.png"
        plot(metric, ours, others, path)
        lines += [
            *table(metric, ours + others),
            f"![{METRICS[metric][0]} over bits per pixel]({path.name})",
            "",
        ]
    anchors = [curve for curve in others if not curve.parts and curve.name.startswith(("VVC", "AVIF"))]
    lines += rate_differences(ours, anchors) + measured(contents)
    (options.out / f"{options.name}.md").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
