"""The report as one HTML page that needs nothing else: plots to hover over, pictures at equal bytes with a slider."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from PIL import Image

from ...errors import UsageError
from ...metrics.judge import METRICS, Reference
from .equal_bytes import Shown
from .table import cells

# Colours that people with any colour vision can tell apart (Okabe, Ito: "Color Universal Design", 2008), grey in place
# of black, which a dark page would hide. Every family has a symbol of its own too, for those who print in grey.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#888888", "#B8A800")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "triangle-down", "cross", "star", "pentagon", "hexagon",
           "triangle-left", "triangle-right", "bowtie", "hourglass")  # fmt: skip
DASHES = {1: "solid", 2: "dash", 4: "dot", 8: "longdashdot"}
# Copies for the screen: no larger than this, and without what a lossless file would add.
SIDE, QUALITY = 1600, 92


def render(
    contents: Sequence[Mapping[str, Any]], pictures: Sequence[tuple[Reference, Sequence[Shown]]] = (), title: str = ""
) -> str:
    """The page of one or several results files, with the pictures given.

    Raises UsageError when the package plotly is missing.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UsageError("the page needs the package plotly", "pip install plotly") from error
    curves = {name: about for content in contents for name, about in content["curves"].items()}
    points = [point for content in contents for point in content["points"]]
    data = {
        "title": title or f"mcmcodec on {contents[0]['set']}",
        "facts": " ".join(_facts(content) for content in contents),
        "plots": [plot for metric in METRICS if (plot := _plot(metric, curves, points))],
        "table": dict(zip(("head", "rows"), cells(curves, points), strict=True)),
        "pictures": [_picture(reference, shown) for reference, shown in pictures],
    }
    # "</" would end the element that holds the data
    text = json.dumps(data).replace("</", "<\\/")
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    return template.replace("/*PLOTLY*/", get_plotlyjs(), 1).replace("/*DATA*/", text, 1)


def _facts(content: Mapping[str, Any]) -> str:
    machine, model = content["machine"], content.get("model")
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    what = f"Model {model['name']}, fingerprint {model['fingerprint'][:16]}" if model else "Peers"
    return (
        f"{what}: {content['images']} pictures, {machine['cpu']}, {machine['threads']} thread(s), {content['device']}, "
        f"{content['seconds']} seconds, commit {content['commit'] or 'unknown'}; {versions}."
    )


def _plot(metric: str, curves: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """One metric over rate; None when nothing was measured."""
    families = list(dict.fromkeys(about["family"] for about in curves.values()))
    mine = [name for name, about in curves.items() if about["family"] == "mcm"]
    # ours first, then the families of others
    places = {name: i for i, name in enumerate([*mine, *(one for one in families if one != "mcm")])}
    traces, rates = [], []
    for name, about in curves.items():
        known = [p for p in points if p["curve"] == name and p.get(metric) is not None]
        known.sort(key=lambda point: point["bpp"])
        if not known:
            continue
        ours = about["family"] == "mcm"
        place = places[name if ours else about["family"]]
        traces.append({
            "name": name, "x": [p["bpp"] for p in known], "y": [p[metric] for p in known], "ours": ours,
            "color": PALETTE[place % len(PALETTE)], "symbol": SYMBOLS[place % len(SYMBOLS)],
            "dash": DASHES.get(about["scale"], "dot"),
            "text": [f"{about['setting']} {p['setting']:g}, {p['bytes']:.0f} bytes" for p in known],
        })  # fmt: skip
        rates += [p["bpp"] for p in known if ours]
    if not traces:
        return None
    rates = rates or [rate for trace in traces for rate in trace["x"]]
    spread = [math.log10(min(rates)) - 0.1, math.log10(max(rates)) + 0.3]
    return {"title": METRICS[metric].title, "better": METRICS[metric].better, "traces": traces, "range": spread}


def _picture(reference: Reference, shown: Sequence[Shown]) -> dict[str, Any]:
    height, width = reference.picture.shape[:2]
    items = [{"title": "original", "text": f"original, {width} x {height}", "src": _source(reference.image)}]
    for one in shown:
        values = ", ".join(
            f"{METRICS[name].title.partition(' (')[0]} {value:.{METRICS[name].digits}f}"
            for name, value in one.values.items()
            if value is not None
        )
        text = f"{one.title} at {one.setting:g}: {one.size} bytes, {reference.bpp(one.size):.4f} bpp; {values}"
        items.append({"title": one.title, "text": text, "src": _source(one.image)})
    return {"name": reference.name, "items": items}


def _source(image: Image.Image) -> str:
    """A data address of a copy for the screen."""
    copy = image.convert("RGB")
    copy.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    copy.save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
