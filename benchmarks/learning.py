"""How fast trainings learn: bytes at equal quality over crops seen, from their logs.

    python -m benchmarks.learning "two judges:lpips=first/log.jsonl,next/log.jsonl" "LPIPS alone:lpips=other/log.jsonl"

Each argument names a line, the metric of the checks in the logs, and one log or several that go on from one another.
The first check of the first log is what bytes are compared with. Writes ``learning.json`` and ``learning.png``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mcmcodec.cli.bench.curves import metric_bd_rate
from mcmcodec.cli.bench.provenance import write_json
from mcmcodec.metrics.judge import METRICS
from mcmcodec.training.stages import CHECK_QUALITIES

from .plots import learning_curves
from .work import RESULTS


def line(logs: Iterable[Path], metric: str) -> list[tuple[int, float]]:
    """Crops seen since the first check, and bytes at an equal metric against it, in per cent."""
    rows = [json.loads(text) for log in logs for text in log.read_text().splitlines()]
    checks = [row for row in rows if f"bpp{CHECK_QUALITIES[0]}" in row]

    def curve(row: Mapping[str, Any]) -> list[tuple[float, float]]:
        return [(row[f"bpp{quality}"], row[f"{metric}{quality}"]) for quality in CHECK_QUALITIES]

    first = checks[0]
    return [
        (row["seen"] - first["seen"], round(metric_bd_rate(metric, curve(first), curve(row)), 2)) for row in checks
    ]


def main(arguments: Sequence[str]) -> None:
    """Read the logs, write both files."""
    lines = []
    for argument in arguments:
        title, _, logs = argument.partition("=")
        name, _, metric = title.rpartition(":")
        if metric not in METRICS or not logs:
            sys.exit(f"{argument}: not NAME:METRIC=LOG,...; metrics are {', '.join(METRICS)}")
        points = line([Path(log) for log in logs.split(",")], metric)
        lines.append({"name": name, "metric": metric, "points": points})
        print(name, metric, points[-1])
    write_json(RESULTS / "learning.json", {"lines": lines})
    learning_curves(lines, RESULTS / "learning.png")


if __name__ == "__main__":
    main(sys.argv[1:])
