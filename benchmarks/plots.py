"""Rate-distortion plots of the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mcmcodec.cli.bench.curves import Curve
from mcmcodec.metrics.judge import METRICS

SHOWN = (0.004, 0.25)
"""Range of rates in bits per pixel."""
PALETTE = ("tab:red", "tab:purple", "tab:brown", "tab:pink", "tab:grey", "tab:olive", "tab:cyan", "black", "rosybrown")
OURS = ("tab:blue", "tab:orange", "tab:green", "gold", "navy", "sienna")


def plot(metric: str, ours: Sequence[Curve], others: Sequence[Curve], path: Path) -> None:
    """One metric over log rate; other codecs at full size solid, best variants dotted in the same colour."""
    figure, axes = plt.subplots(figsize=(10, 5.5), layout="constrained")
    colours: dict[str, str] = {}
    for curve in others:
        family = curve.name.split(",")[0]
        colour = colours.setdefault(family, PALETTE[len(colours) % len(PALETTE)])
        if curve.parts:
            rates = [SHOWN[0] * (SHOWN[1] / SHOWN[0]) ** (i / 200) for i in range(201)]
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
    axes.set_xlim(*SHOWN)
    shown = [value for curve in ours for rate, value in curve.points[metric] if rate <= SHOWN[1]]
    shown += [v for curve in others for rate in (0.02, 0.15) if (v := curve.at(metric, rate)) is not None]
    if shown:
        # other codecs' useless low end and our high end would press what matters into a corner
        margin = 0.1 * (max(shown) - min(shown)) + 0.01
        axes.set_ylim(min(shown) - margin, max(shown) + margin)
    ticks = [0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("bits per pixel (whole file)")
    better = METRICS[metric].better
    axes.set_ylabel(METRICS[metric].title + ("" if better == "higher" else f", {better} is better"))
    axes.grid(alpha=0.3)
    # beside the curves, not over them
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
