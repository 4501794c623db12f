"""The peers' results beside an independent measurement with the same settings: do they agree?

    python benchmarks/anchors.py

Prints, for every curve that both have, the settings in common and the largest differences between the means over all
pictures. Ends with an error where they are beyond what rounding and another version of an encoder explain.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
# Bytes in parts of the mean file, PSNR in dB. The VVC encoder is another build, which writes a few more bytes a file.
TOLERANCES = {"bytes": 0.001, "psnr": 0.005, "msssim": 0.0002, "lpips": 0.001}
LOOSE = {"VVC": {"bytes": 0.2, "psnr": 0.15, "msssim": 0.006, "lpips": 0.02}}
# Few bytes weigh much in a small file.
SLACK = {"VVC": 24.0}


def differences(content: dict[str, Any], anchors: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Per curve: number of settings in common, and the largest difference of every column (None: not in both)."""
    ours = {(point["curve"], float(point["setting"])): point for point in content["points"]}
    found: dict[str, dict[str, Any]] = {}
    for anchor in anchors["points"]:
        point = ours.get((anchor["curve"], float(anchor["setting"])))
        if point is None:
            continue
        row = found.setdefault(anchor["curve"], {"settings": 0} | dict.fromkeys(TOLERANCES))
        row["settings"] += 1
        for column in TOLERANCES:
            if point.get(column) is None or anchor.get(column) is None:
                continue
            away = abs(point[column] - anchor[column])
            if column == "bytes":
                away = max(0.0, away - SLACK.get(family(anchor["curve"]), 0.0)) / anchor["bytes"]
            row[column] = max(row[column] or 0.0, away)
    return found


def family(curve: str) -> str:
    """``AVIF 1/2`` is AVIF."""
    return curve.partition(" 1/")[0]


def beyond(found: dict[str, dict[str, Any]]) -> list[str]:
    """What differs by more than it may."""
    said = []
    for curve, row in found.items():
        for column, most in LOOSE.get(family(curve), TOLERANCES).items():
            if row[column] is not None and row[column] > most:
                said.append(f"{curve}: {column} differs by {row[column]:.5f}, more than {most}")
    return said


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """Markdown."""
    lines = ["| curve | settings | bytes | PSNR (dB) | MS-SSIM | LPIPS |", "|---" * 6 + "|"]
    for curve, row in found.items():
        cells = ["–" if row[c] is None else f"{row[c]:.5f}" for c in ("psnr", "msssim", "lpips")]
        lines.append(f"| {curve} | {row['settings']} | {100 * row['bytes']:.2f} % | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=RESULTS / "kodak_peers.json", help="results file of peers.py")
    parser.add_argument("--anchors", type=Path, default=RESULTS / "kodak_anchors.json")
    options = parser.parse_args()
    content, anchors = (json.loads(path.read_text()) for path in (options.peers, options.anchors))
    found = differences(content, anchors)
    print("\n".join(table(found)))
    if said := beyond(found):
        raise SystemExit("\n".join(said))


if __name__ == "__main__":
    main()
