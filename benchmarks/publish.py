"""Puts measured numbers where people read them: the marked tables of README.md and of the models' cards.

    python benchmarks/publish.py benchmarks/results/kodak_NAME.json benchmarks/results/kodak_NAME_half.json

``benchmarks/report.py --publish`` does the same after its own work.
What stands between ``<!-- numbers: WHAT -->`` and ``<!-- end -->`` is written anew: ``reach`` compares our curves with
the peers' best variants at five rates, ``points`` lists what was measured at every quality.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mcmcodec.cli.bench import curves
from mcmcodec.cli.bench.curves import Curve
from mcmcodec.metrics.judge import METRICS

ROOT = Path(__file__).parents[1]
RATES = (0.01, 0.02, 0.03, 0.05, 0.1)
COMPARED = ("VVC", "AVIF", "JPEG XL", "WebP")
SHOWN = ("psnr", "msssim", "lpips")
BLOCK = re.compile(r"(<!-- numbers: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def cell(values: list[float | None]) -> str:
    """``24.81 / .830 / .537``; a dash for what is not known."""
    texts = ["–" if v is None else f"{v:.{METRICS[m].digits}f}" for m, v in zip(SHOWN, values, strict=True)]
    return " / ".join(text.removeprefix("0") for text in texts)


def variants(content: dict[str, Any], smaller: Sequence[dict[str, Any]]) -> list[Curve]:
    """The best of our whole and reduced pictures, for each decoder; nothing if none were reduced."""
    ours = [curve for one in (content, *smaller) for family in curves.of(one).values() for curve in family]
    whole = [name for name, about in content["curves"].items() if about["family"] == "mcm"]
    parts = {name: [curve for curve in ours if curve.name.split(",")[0] == name] for name in whole}
    return [curves.best(name, found) for name, found in parts.items() if len(found) > 1]


def reach(content: dict[str, Any], peers: dict[str, Any], smaller: Sequence[dict[str, Any]] = ()) -> list[str]:
    """Ours beside the best variants of others."""
    ours = [curve for family in curves.of(content).values() for curve in family]
    families = curves.of(peers)
    rivals = [curves.best(name, families[name]) for name in COMPARED if name in families]
    lines = [*ours, *variants(content, smaller), *rivals]
    out = ["| bpp | " + " | ".join(f"{rate:g}" for rate in RATES) + " |", "|---" * (len(RATES) + 1) + "|"]
    for curve in lines:
        cells = [cell([curve.at(metric, rate) for metric in SHOWN]) for rate in RATES]
        out.append(f"| {title(curve)} | " + " | ".join(cells) + " |")
    return [*out, "", *(against(ours, families[name][0]) for name in COMPARED[:2] if name in families)]


def against(ours: list[Curve], anchor: Curve) -> str:
    """Bytes beyond the anchor's at equal quality, of the best of our curves for each metric."""
    parts = []
    for metric in SHOWN:
        found = [(rate, curve) for curve in ours if (rate := curve.bd_rate(metric, anchor)) is not None]
        if found:
            rate, curve = min(found, key=lambda one: one[0])
            parts.append(f"{rate:+.0f} % at equal {METRICS[metric].title} (`{curve.name.split()[2]}`)")
    return f"Bytes against {anchor.name} at its full size: {', '.join(parts)}."


def title(curve: Curve) -> str:
    """``mcm medium fidelity`` is called ``mcmcodec, `fidelity```."""
    name, _, variant = curve.name.partition(", ")
    words = name.split()
    if words[0] != "mcm":
        return curve.name
    return f"mcmcodec, `{words[2]}`" + (f", {variant}" if variant else "")


def points(content: dict[str, Any], *others: object) -> list[str]:
    """All points of our curves, a line per quality."""
    names = [name for name, about in content["curves"].items() if about["family"] == "mcm"]
    head = " | ".join(f"`{name.split()[2]}`: PSNR / MS-SSIM / LPIPS" for name in names)
    out = [f"| quality | bytes | bpp | {head} |", "|---" * (len(names) + 3) + "|"]
    for setting in dict.fromkeys(row["setting"] for row in content["points"]):
        rows = [next(r for r in content["points"] if (r["curve"], r["setting"]) == (name, setting)) for name in names]
        cells = [cell([row[metric] for metric in SHOWN]) for row in rows]
        out.append(f"| {setting:g} | {rows[0]['bytes']:.0f} | {rows[0]['bpp']:.4f} | {' | '.join(cells)} |")
    return out


TABLES: dict[str, Callable[..., list[str]]] = {"reach": reach, "points": points}


def write(
    content: dict[str, Any], peers: dict[str, Any], smaller: Sequence[dict[str, Any]] = (), root: Path = ROOT
) -> None:
    """Write the marked tables of README.md and of the card of the results' model anew.

    ``smaller`` are the results of the same model on reduced pictures.
    """
    for path in (root / "README.md", root / "weights" / f"{content['model']['name']}.md"):
        text = path.read_text(encoding="utf-8")
        new = BLOCK.sub(lambda m: m[1] + "\n".join(TABLES[m[2]](content, peers, smaller)) + "\n" + m[3], text)
        path.write_text(new, encoding="utf-8")
        print(f"{path.relative_to(root)}: {len(BLOCK.findall(text))} tables written")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="results file of kodak.py; then those of its --reduce")
    parser.add_argument("--peers", type=Path, default=ROOT / "benchmarks/results/kodak_peers.json")
    options = parser.parse_args()
    content, *smaller, peers = (json.loads(path.read_text()) for path in (*options.results, options.peers))
    write(content, peers, smaller)


if __name__ == "__main__":
    main()
