"""Rate-distortion plots of the results.

Curves differ in colour, marker and stroke, so that they can be told apart without colour too. Colours are those of
Okabe and Ito ("Color Universal Design", 2008), which people with any colour vision can tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from mcmcodec.cli.bench.curves import Curve
from mcmcodec.metrics.judge import METRICS

SHOWN = (0.004, 0.25)
"""Range of rates in bits per pixel."""
SAMPLES = 97
BLACK, BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE, GREY = (
    "#000000", "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#777777",
)  # fmt: skip
DASH_DOT, DOTS = (0, (6, 2, 1, 2)), (0, (1, 1.5))
OURS = ((BLACK, "o"), (BLUE, "s"), (VERMILION, "D"), (GREEN, "^"))
OTHERS = (
    (VERMILION, "^", "-"), (GREEN, "v", "-"), (PURPLE, "x", DASH_DOT), (SKY, "+", DASH_DOT), (ORANGE, "<", "-"),
    (BLUE, ">", DASH_DOT), (GREY, "1", DOTS), (BLACK, "2", DOTS), (VERMILION, "3", DOTS),
)  # fmt: skip
PUBLISHED = (
    (BLACK, "P"), (PURPLE, "X"), (BLUE, "d"), (VERMILION, "*"), (GREEN, "p"), (GREY, "h"),
)  # fmt: skip


def draw(
    metric: str, ours: Sequence[Curve], others: Sequence[Curve], published: Sequence[Curve] = ()
) -> tuple[Figure, Any]:
    """Figure and axes of one metric over log rate.

    Thick: ours. Thin: other codecs, the best of all sizes where several were measured. Dashed with hollow markers: as
    published.
    """
    figure, axes = plt.subplots(figsize=(10, 5.5), layout="constrained")
    families = {curve.name.partition(",")[0]: curve for curve in others}
    rates = [SHOWN[0] * (SHOWN[1] / SHOWN[0]) ** (i / (SAMPLES - 1)) for i in range(SAMPLES)]
    for index, curve in enumerate(ours):
        colour, marker = OURS[index % len(OURS)]
        _line(axes, curve.points[metric], label=curve.name, color=colour, marker=marker, linewidth=2.6, zorder=3)
    # best variants stand after the full size in the list, so that they are what is left of each family
    for index, (name, curve) in enumerate(families.items()):
        colour, marker, stroke = OTHERS[index % len(OTHERS)]
        pairs: list[tuple[float, float]] = curve.points[metric]
        if curve.parts:
            pairs = [(rate, value) for rate in rates if (value := curve.at(metric, rate)) is not None]
        _line(axes, pairs, label=name, color=colour, marker=marker, linestyle=stroke, linewidth=1.3, markersize=5,
              markevery=(index % 6, 6) if curve.parts else None)  # fmt: skip
    for index, curve in enumerate(published):
        colour, marker = PUBLISHED[index % len(PUBLISHED)]
        _line(axes, curve.points[metric], label=f"{curve.name} (published)", color=colour, marker=marker, markersize=7,
              markerfacecolor="white", linestyle="--", linewidth=1)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(*SHOWN)
    shown = [value for curve in (*ours, *published) for rate, value in curve.points[metric] if rate <= SHOWN[1]]
    shown += [v for curve in others for rate in (0.02, 0.15) if (v := curve.at(metric, rate)) is not None]
    if shown:
        # other codecs' useless low end and our high end would press what matters into a corner
        margin = 0.05 * (max(shown) - min(shown)) + 0.01
        axes.set_ylim(min(shown) - margin, max(shown) + margin)
    ticks = [0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("bits per pixel (whole file)")
    axes.set_ylabel(f"{METRICS[metric].title}, {METRICS[metric].better} is better")
    axes.grid(alpha=0.3)
    # beside the curves, not over them; strokes are long enough to be told apart
    figure.legend(loc="outside right upper", fontsize=9, handlelength=4)
    return figure, axes


def plot(
    metric: str, ours: Sequence[Curve], others: Sequence[Curve], path: Path, published: Sequence[Curve] = ()
) -> None:
    """Write what :func:`draw` draws to a PNG."""
    figure, _ = draw(metric, ours, others, published)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def learning_curves(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write lines of crops seen and bytes at equal quality, in per cent, to a PNG."""
    figure, axes = plt.subplots(figsize=(10, 5), layout="constrained")
    for index, one in enumerate(lines):
        colour, marker, stroke = OTHERS[index % len(OTHERS)]
        label = f"{one['name']}: {METRICS[one['metric']].title}"
        _line(axes, one["points"], label=label, color=colour, marker=marker, linestyle=stroke, markersize=4)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xlabel("crops of 256x256 seen")
    axes.set_ylabel("bytes at equal quality, % of those before")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=9, handlelength=4)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _line(axes: Any, pairs: Sequence[tuple[float, float]], **style: Any) -> None:
    if pairs:
        axes.plot(*zip(*sorted(pairs), strict=True), **style)
