"""The points of a run in rows of text: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...metrics.judge import METRICS, PERCEPTION

if TYPE_CHECKING:
    from rich.table import Table

# After the benchmarks of multi-modal compression: likeness to the original, and how natural the pictures are at all.
CONSISTENCY = ("psnr", "msssim", "lpips", "lpips_vgg", "dists", "ciede", "chroma")


def cells(curves: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: curve, mode, setting, pictures, bytes, bpp, every metric that was measured, seconds."""
    measured = [name for name in METRICS if any(point.get(name) is not None for point in points)]
    head = ["codec", "mode", "setting", "pictures", "bytes", "bpp", *(METRICS[m].title for m in measured)]
    rows = []
    order = {name: index for index, name in enumerate(curves)}
    for point in sorted(points, key=lambda one: (order[one["curve"]], one["bpp"])):
        about = curves[point["curve"]]
        row = [point["curve"], about.get("mode", "-"), f"{about['setting']} {point['setting']:g}", str(point["images"])]
        row += [f"{point['bytes']:.0f}", f"{point['bpp']:.4f}"]
        row += ["-" if point.get(m) is None else f"{point[m]:.{METRICS[m].digits}f}" for m in measured]
        row += [f"{point['encode_s']:.2f}", f"{point['decode_s']:.2f}"]
        rows.append(row)
    return [*head, "encode s", "decode s"], rows


def markdown(curves: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The points of all curves as lines of a Markdown table."""
    head, rows = cells(curves, points)
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def table(curves: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> Table:
    """The points of all curves for the terminal; "consistency" and "perception" stand over their metrics."""
    from rich.table import Table

    head, rows = cells(curves, points)
    groups = {METRICS[m].title: "consistency" for m in CONSISTENCY} | {
        METRICS[m].title: "perception" for m in PERCEPTION
    }
    out = Table()
    for index, name in enumerate(head):
        # the explanation in parentheses is in the page
        title = "FD" if name == METRICS["fd"].title else name.partition(" (")[0]
        if name in groups:
            title = f"{groups[name]}\n{title}"
        out.add_column(title, justify="left" if index == 0 else "right", no_wrap=True)
    last = None
    for row in rows:
        if last not in (None, row[0]):
            out.add_section()
        last = row[0]
        out.add_row(*row)
    return out
