"""Tables of ours against other codecs on the same pictures: differences with their intervals, and every picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mcmcodec.cli.bench.curves import Curve
from mcmcodec.metrics.judge import METRICS, QUICK

from .cells import DASH, grid, number, signed, title
from .intervals import Bootstrap, interval

if TYPE_CHECKING:
    from .pages import Results

RATES = (0.01, 0.02, 0.03, 0.05, 0.1)
ANCHORS = ("VVC", "AVIF")
CLAIMS = (("lpips", "perceptual"), ("msssim", "fidelity"), ("psnr", "fidelity"))
"""Metrics, each with the decoder that was trained for it."""
RATE = 0.03
"""Of the table of pictures, in bits per pixel."""


def metric_table(metric: str, lines: Sequence[Curve], at: Sequence[float], draws: Bootstrap | None = None) -> list[str]:
    """One metric at rates, with half the width of the interval of each mean; a dash where a codec cannot go.

    In bold is the best value, and what its pictures cannot tell from it: the interval of the difference holds zero.
    """
    values = [[curve.at(metric, rate) for rate in at] for curve in lines]
    drawn = [draws.at(curve, metric, at) for curve in lines] if draws else None
    rows = [[title(curve), *(number(metric, value) for value in row)] for curve, row in zip(lines, values, strict=True)]
    for column, _ in enumerate(at):
        known = {index: value for index, row in enumerate(values) if (value := row[column]) is not None}
        if not known:
            continue
        best = max(known, key=lambda index: METRICS[metric].score(known[index]))  # noqa: B023
        for index in known:
            text, level = rows[index][column + 1], index == best
            level |= text.partition(" ")[0] == number(metric, known[best])
            if drawn:
                level |= _holds_zero(interval(drawn[index][:, column] - drawn[best][:, column]))
            text = f"**{text}**" if level else text
            if drawn and (found := interval(drawn[index][:, column])):
                text += f" ± {number(metric, (found[1] - found[0]) / 2)}"
            rows[index][column + 1] = text
    return grid(["bpp", *(f"{rate:g}" for rate in at)], rows)


def rates(results: Results) -> list[str]:
    """Bjontegaard's rate difference to full-size anchors."""
    rows = []
    for anchor in (one for one in results.peers if one.name in ANCHORS):
        for curve in results.ours:
            cells = []
            for metric in QUICK:
                rate = curve.bd_rate(metric, anchor)
                found = interval(results.draws.bd_rate(curve, metric, anchor)) if results.draws else None
                text = DASH if rate is None else f"{rate:+.0f} %"
                cells.append(text if found is None else f"{text} ({found[0]:+.0f} to {found[1]:+.0f})")
            rows.append([anchor.name, title(curve), *cells])
    return grid(["against", "decoder", *(METRICS[m].title for m in QUICK)], rows)


def differences(results: Results) -> list[str]:
    """Each decoder's metric less that of the best variants of others, at rates."""
    rows = []
    for metric, decoder in CLAIMS:
        for ours, other in ((ours, other) for other in _anchors(results) for ours in _decoder(results, decoder)):
            means = [(ours.at(metric, rate), other.at(metric, rate)) for rate in RATES]
            drawn = results.draws and results.draws.at(ours, metric, RATES) - results.draws.at(other, metric, RATES)
            cells = []
            for column, (mine, theirs) in enumerate(means):
                if mine is None or theirs is None:
                    cells.append(DASH)
                    continue
                found = interval(drawn[:, column]) if drawn is not None else None
                text = signed(metric, mine - theirs)
                cells.append(f"{text} ({signed(metric, found[0])} to {signed(metric, found[1])})" if found else text)
            rows.append([METRICS[metric].title, title(ours), other.name, *cells])
    return grid(["metric", "decoder", "less that of", *(f"{rate:g} bpp" for rate in RATES)], rows)


def pictures(results: Results) -> list[str]:
    """Every Kodak picture at one rate, ours and the best variants of others, and how often ours is better."""
    if not results.draws:
        return ["Not the same pictures."]
    head, columns, better = ["picture"], [], []
    for metric, decoder in (CLAIMS[0], CLAIMS[-1]):
        short = METRICS[metric].title.partition(" (")[0]
        (mine,) = _decoder(results, decoder)
        found = {title(mine): mine} | {one.name.partition(",")[0]: one for one in _anchors(results)}
        values = {name: results.draws.each(curve, metric, [RATE])[:, 0] for name, curve in found.items()}
        head += [f"{short}, {name}" for name in values]
        columns += [(metric, column) for column in values.values()]
        ours, *others = values.items()
        for name, column in others:
            wins = METRICS[metric].score(ours[1]) > METRICS[metric].score(column)
            better.append(f"{short} against {name} on {wins.sum()} of {np.isfinite(column - ours[1]).sum()}")
    rows = [
        [name, *(number(metric, None if np.isnan(value := column[index]) else value) for metric, column in columns)]
        for index, name in enumerate(results.draws.images)
    ]
    return ["<details>", f"<summary>At {RATE} bpp ours is better in {', in '.join(better)} pictures</summary>", "",
            *grid(head, rows), "", "</details>"]  # fmt: skip


def figure(metric: str) -> Callable[[Results], list[str]]:
    """The block of the sentences under the figure of a metric: where ours stands, and who is ahead."""
    decoder = dict(CLAIMS)[metric]
    unit = " dB" if metric == "psnr" else ""

    def block(results: Results) -> list[str]:
        (mine,) = _decoder(results, decoder)
        said = []
        for other in _anchors(results):
            pairs = [(mine.at(metric, rate), other.at(metric, rate)) for rate in RATES]
            parts = [
                f"{signed(metric, a - b)}{unit} at {rate:g}"
                for rate, (a, b) in zip(RATES, pairs, strict=True) if a is not None and b is not None
            ]  # fmt: skip
            said.append(f"{', '.join(parts)} bpp against {other.name.partition(',')[0]}")
        better = METRICS[metric].better
        lines = [f"`{decoder}`, {better} is better: {'; '.join(said)}."]
        published = {one.name: value for one in results.published
                     if one.points.get(metric) and (value := one.at(metric, RATE)) is not None}  # fmt: skip
        here = mine.at(metric, RATE)
        if published and here is not None:
            name = max(published, key=lambda one: METRICS[metric].score(published[one]))
            scores = [METRICS[metric].score(value) for value in published.values()]
            ahead = sum(score > METRICS[metric].score(here) for score in scores)
            lines += ["", f"At {RATE} bpp {ahead} of {len(published)} published codecs are ahead of ours, "
                      f"{name} most: {number(metric, published[name])} to our {number(metric, here)}."]  # fmt: skip
        return lines

    return block


def published(results: Results) -> list[str]:
    """What the dashed curves are, and where their numbers come from."""
    content = results.need("published")
    rows = [
        [name, f"{one['points'][0][0]:g} to {one['points'][-1][0]:g}", one["about"], one["source"]]
        for name, one in content["curves"].items()
    ]
    return grid(["published", "bpp", "what", "source"], rows)


def _holds_zero(found: tuple[float, float] | None) -> bool:
    return found is not None and found[0] <= 0 <= found[1]


def _decoder(results: Results, name: str) -> list[Curve]:
    """Our curve of a decoder, whole pictures."""
    return [curve for curve in results.ours if curve.name.split()[2] == name]


def _anchors(results: Results) -> list[Curve]:
    """The best variants of other codecs."""
    return [one for name in ANCHORS for one in results.peers if one.name == f"{name}, best variant"]
