"""What a file is worth with words only, with the base layer only, and whole: likeness and naturalness of the pictures.

    python benchmarks/modes.py FOLDER --captions PAIRS.csv --model NAME --out benchmarks/results/modes.json

After the benchmarks of multi-modal compression (Li et al., "CMC-Bench", 2024), which judge every mode by its
consistency with the original and by perception, of the pictures by themselves. PAIRS.csv has columns ``name`` and
``caption``; without it captions are taken from text files beside the pictures. Words make a picture only with
``--painter NAME:FOLDER``, a model of one's own; without one their bytes are all there is to say of them.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import common

from mcmcodec.cli.bench import ours, suite
from mcmcodec.cli.bench.table import CONSISTENCY, PERCEPTION
from mcmcodec.metrics.judge import METRICS

QUALITIES = "30,50"
TITLES = {"caption": "words only", "base": "base layer only", "full": "full"}


def captioned(folder: Path, pairs: Path | None, count: int, into: Path) -> list[Path]:
    """Copies of evenly spread pictures that have captions, with the first caption of each in a text file beside it."""
    words: dict[str, str] = {}
    if pairs is not None:
        with pairs.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row.get("kind", "human") == "human":
                    words.setdefault(row["name"], row["caption"])
    for path in common.pictures(folder):
        beside = path.with_suffix(".txt")
        if path.name not in words and beside.is_file():
            words[path.name] = beside.read_text(encoding="utf-8").strip()
    paths = suite.spread([path for path in common.pictures(folder) if path.name in words], count)
    if not paths:
        raise SystemExit(f"no picture in {folder} has a caption; give --captions a table of theirs")
    for path in paths:
        shutil.copyfile(path, into / path.name)
        (into / path.name).with_suffix(".txt").write_text(words[path.name], encoding="utf-8")
    return [into / path.name for path in paths]


def table(content: dict[str, Any]) -> list[str]:
    """Markdown: a line per mode, quality and decoder, with columns of consistency and of perception."""
    groups = {"consistency": CONSISTENCY, "perception": PERCEPTION}
    shown = [(group, name) for group, names in groups.items() for name in names if name in content["metrics"]]
    head = ["mode", "decoder", "quality", "bytes", "bpp"]
    head += [f"{group}: {METRICS[name].title.partition(' (')[0]}" for group, name in shown]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for mode, title in TITLES.items():
        for point in content["points"]:
            about = content["curves"][point["curve"]]
            if about["mode"] != mode:
                continue
            whose = content["painter"] or "–" if mode == "caption" else point["curve"].split(",")[0].split()[-1]
            quality = "–" if mode == "caption" else f"{point['setting']:g}"
            row = [title, whose, quality, f"{point['bytes']:.0f}", f"{point['bpp']:.4f}"]
            for _, name in shown:
                row.append("–" if point.get(name) is None else f"{point[name]:.{METRICS[name].digits}f}")
            lines.append(f"| {' | '.join(row)} |")
    return lines


def page(content: dict[str, Any]) -> str:
    """The Markdown file."""
    model, versions = content["model"], content["versions"]
    lines = ["# Modes", "",
             f"Means over {content['images']} pictures that people described; model {model['name']}, fingerprint "
             f"`{model['fingerprint'][:16]}`. Consistency: likeness to the original. Perception: how natural the "
             "pictures are as a set, by the Frechet distance of patches (VGG16, not FID): lower is better, and only "
             "numbers of this table compare.", "",
             *table(content), ""]  # fmt: skip
    if not content["painter"]:
        lines += [
            "A file of words only has bytes and no picture, unless a model for painting is given: `--painter`.",
            "",
        ]
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n".join([*lines, f"Commit {content['commit'] or 'unknown'}; {listed}."]) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_sample(parser, 16, QUALITIES)
    parser.add_argument("--captions", type=Path, help="table of captions, CSV [text files beside the pictures]")
    parser.add_argument("--painter", help="model that paints words alone, NAME:FOLDER [none]")
    parser.set_defaults(metrics="all")
    options = parser.parse_args()
    coder, about = common.start(options)
    painter = None
    if options.painter:
        from mcmcodec.plugins import load_painter as load

        painter = load(options.painter, options.device)
    decoders, qualities = common.points(options)
    name = coder.weights.name
    candidates = [ours.candidate(coder, name, decoders[:1], (0,), "caption", painter)]
    candidates += [ours.candidate(coder, name, decoders, qualities, mode) for mode in ("base", "full")]
    journal = options.out.with_suffix(".partial")
    with common.watch() as watch, tempfile.TemporaryDirectory() as folder:
        paths = captioned(options.folder, options.captions, options.count, Path(folder))
        content = suite.rate_distortion(
            options.folder.name, paths, candidates, common.referee(options), about, journal, watch
        )
    content["painter"] = options.painter
    suite.finish(content, options.out, journal)
    options.out.with_suffix(".md").write_text(page(content), encoding="utf-8")
    print("\n".join(table(json.loads(options.out.read_text()))))


if __name__ == "__main__":
    common.run(main)
