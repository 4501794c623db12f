"""The committed comparison: our results beside the peers', as tables, plots and, if asked for, a page.

    python benchmarks/report.py benchmarks/results/kodak_NAME.json [MORE.json] [--publish]

Writes results/SET.md, results/SET_METRIC.png and results/SET_training.png from results files of kodak.py and of
peers.py; ``--html PAGE`` writes the page of ``codec bench`` too, with pictures when ``--pictures FOLDER`` says where
they are. "Best variant" is the best of all variants at every rate and for every metric by itself: full size, or scaled
down for encoding.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import learning
import matplotlib
import publish

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import mcmcodec
from mcmcodec.cli.bench import curves, ours, peers, suite
from mcmcodec.cli.bench.curves import Curve
from mcmcodec.cli.bench.table import markdown
from mcmcodec.metrics import judge
from mcmcodec.metrics.judge import METRICS

FOLDER = Path(__file__).parent
RATES = (0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15)
PLOTTED = (0.004, 0.25)
ANCHORS = ("VVC", "AVIF")
PALETTE = ("tab:red", "tab:purple", "tab:brown", "tab:pink", "tab:grey", "tab:olive", "tab:cyan", "black", "rosybrown")
OURS = ("tab:blue", "tab:orange", "tab:green", "gold", "navy", "sienna")
EXPLANATION = (
    "Means over all pictures at fixed quality, interpolated linearly in log rate; rates are those of whole "
    'files. A dash: the codec cannot go there, or nothing was measured there. "Best variant" may scale the '
    "picture down before encoding, and is chosen anew for every number."
)


def peers_of(content: dict[str, Any]) -> list[Curve]:
    """Every family's full-size curve and, if it has scaled variants, the best variant at every rate."""
    found = []
    for family, variants in curves.of(content).items():
        found += [one for one in variants if content["curves"][one.name]["scale"] == 1]
        if len(variants) > 1:
            found.append(curves.best(family, variants))
    return found


def known(metric: str, lines: Sequence[Curve]) -> bool:
    """Whether the metric was measured for anything."""
    return any(curve.points[metric] for curve in lines)


def table(metric: str, lines: list[Curve]) -> list[str]:
    """Markdown table of one metric at RATES, the best value in bold; a dash where a codec cannot go."""
    title, more_is_better, digits = METRICS[metric].title, METRICS[metric].more, METRICS[metric].digits
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
    names = [name for name in METRICS if known(name, ours) and known(name, anchors)]
    out = ["### Rate at equal quality", "",
           "Bjontegaard's difference over the common range of quality: -30 % means that 30 % fewer bytes do.",
           "",
           "| against | decoder | " + " | ".join(METRICS[name].title for name in names) + " |",
           "|---" * (len(names) + 2) + "|"]  # fmt: skip
    for anchor in anchors:
        for curve in ours:
            found = [curve.bd_rate(metric, anchor) for metric in names]
            cells = ["–" if value is None else f"{value:+.0f} %" for value in found]
            out.append(f"| {anchor.name} | {curve.name} | " + " | ".join(cells) + " |")
    return [*out, ""]


def measured(contents: list[dict[str, Any]]) -> list[str]:
    """What the files say about themselves, and our points behind the interpolation."""
    out = ["### Our points", "",
           "| curve | quality | bytes | bpp | PSNR | MS-SSIM | LPIPS | DISTS | encode s | decode s |",
           "|---" * 10 + "|"]  # fmt: skip
    for content in contents:
        for row in content["points"]:
            if content["curves"][row["curve"]]["family"] != "mcm":
                continue
            judged = [
                "–" if row.get(name) is None else f"{row[name]:.{METRICS[name].digits}f}"
                for name in ("psnr", "msssim", "lpips", "dists")
            ]
            out.append(
                f"| {row['curve']} | {row['setting']:g} | {row['bytes']:.0f} | {row['bpp']:.4f} | "
                f"{' | '.join(judged)} | {row['encode_s']:.2f} | {row['decode_s']:.2f} |"
            )
    out.append("")
    for content in contents:
        machine, versions = content["machine"], content["versions"]
        model = content.get("model")
        what = f"Model {model['name']}, fingerprint `{model['fingerprint'][:16]}`" if model else "Peers"
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        out += [
            f"{what}: commit {content['commit'] or '?'}; {content['images']} pictures; {machine['cpu']}, "
            f"{machine['threads']} thread(s), {content['device']}, {content['seconds']} seconds; {listed}.",
            "",
        ]
        if not model:
            about = {
                (one["family"], f"{one['about']}; {one['version']}; {one['setting']}")
                for one in content["curves"].values()
            }
            out += [f"- {family}: {text}" for family, text in sorted(about)] + [""]
            out += [f"- {note}" for note in content.get("notes", [])] + [""] * bool(content.get("notes"))
    return out


def perception(path: Path, name: str) -> list[str]:
    """The section of perception.py's results; nothing when there are none of this set."""
    if not path.exists():
        return []
    content = json.loads(path.read_text())
    if content["set"] != name:
        return []
    return ["### DISTS and Frechet distance of patches, lower is better", "",
            f"Means over {content['images']} pictures, evenly spread; peers at the settings closest to two rates. The "
            "Frechet distance is of features of 64x64 patches (VGG16, relu4_3) over all these pictures together: it is "
            "not FID, and only numbers of this table compare. Model "
            f"{content['model']['name']}, commit {content['commit'] or '?'}; `benchmarks/perception.py`.", "",
            *markdown(content["curves"], content["points"]), ""]  # fmt: skip


def plot(metric: str, ours: list[Curve], others: list[Curve], path: Path) -> None:
    """One metric over log rate; full-size competitors solid, best variants dotted in the same colour."""
    figure, axes = plt.subplots(figsize=(10, 5.5), layout="constrained")
    colours = {}
    for curve in others:
        family = curve.name.split(",")[0]
        colour = colours.setdefault(family, PALETTE[len(colours) % len(PALETTE)])
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
            axes.plot(*zip(*curve.points[metric], strict=True), color=OURS[index % len(OURS)], marker="o",
                      linewidth=2.2, label=curve.name, zorder=3)  # fmt: skip
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
    axes.set_ylabel(METRICS[metric].title + ("" if METRICS[metric].more else ", lower is better"))
    axes.grid(alpha=0.3)
    # beside the curves, not over them
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def pictures(folder: Path, contents: list[dict[str, Any]], count: int) -> list[Any]:
    """Some of the folder's pictures: original, ours by the first file's model, and the peers at equal bytes."""
    mine = contents[0]
    names = list(mine["curves"])
    options = mine["curves"][names[0]]["options"]
    coder = mcmcodec.Codec(model=mine["model"]["name"], device="cpu")
    candidate = ours.candidate(coder, mine["model"]["name"], list(coder.weights.decoders), (50,), **options)
    found, _ = peers.find()
    rows = [row for content in contents for row in content["rows"]]
    referee = judge.Judge(judge.QUICK)
    with common.watch() as watch:
        others = suite.peer_candidates(found, peers.SCALES)
        return suite.pictures(suite.spread(common.pictures(folder), count), [candidate], others, rows, referee, watch)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="results files of kodak.py")
    parser.add_argument(
        "--peers", type=Path, default=FOLDER / "results/kodak_peers.json", help="results file of peers.py"
    )
    parser.add_argument(
        "--perception", type=Path, default=FOLDER / "results/perception.json", help="results file of perception.py"
    )
    parser.add_argument("--out", type=Path, default=FOLDER / "results", help="folder [benchmarks/results]")
    parser.add_argument("--html", type=Path, help="write a page with plots to hover over, too")
    parser.add_argument("--pictures", type=Path, help="folder of the pictures, to put some into the page")
    parser.add_argument("--count", type=int, default=6, help="of pictures in the page [6]")
    parser.add_argument("--publish", action="store_true", help="put the first file's numbers into README and card")
    options = parser.parse_args()
    contents = [json.loads(path.read_text()) for path in [*options.results, options.peers]]
    others = contents[-1]
    for path, content in zip(options.results, contents, strict=False):
        if (content["set"], content["images"]) != (others["set"], others["images"]):
            raise SystemExit(f"{path} covers {content['images']} pictures of {content['set']}, "
                             f"but the peers {others['images']} of {others['set']}; measure the same")  # fmt: skip
    mine = [curve for content in contents[:-1] for family in curves.of(content).values() for curve in family]
    name = others["set"]
    rivals = peers_of(others)
    smaller = [one for one in contents[1:-1] if one["model"] == contents[0]["model"]]
    variants = publish.variants(contents[0], smaller)
    lines = [f"# mcmcodec on {name}", "", EXPLANATION, ""]
    options.out.mkdir(parents=True, exist_ok=True)
    for metric in METRICS:
        if not known(metric, mine):
            continue
        path = options.out / f"{name}_{metric}.png"
        plot(metric, mine, rivals, path)
        lines += [
            *table(metric, mine + variants + rivals),
            f"![{METRICS[metric].title} over bits per pixel]({path.name})",
            "",
        ]
    anchors = [curve for curve in rivals if curve.name in ANCHORS]
    lines += rate_differences(mine, anchors)
    for anchor in anchors[:1]:
        lines += learning.section(contents[:-1], anchor, options.out / f"{name}_training.png")
    lines += perception(options.perception, name) + measured(contents)
    (options.out / f"{name}.md").write_text("\n".join(lines).rstrip() + "\n")
    if options.html:
        shown = pictures(options.pictures, contents, options.count) if options.pictures else []
        suite.write_page(options.html, contents, shown)
    if options.publish:
        publish.write(contents[0], others, smaller)


if __name__ == "__main__":
    common.run(main)
