"""Measures the peers on a folder of pictures, once: they do not depend on our models.

    python benchmarks/peers.py FOLDER --out benchmarks/results/kodak_peers.json
    python benchmarks/peers.py FOLDER --out benchmarks/results/kodak_peers.json --check

A run that was stopped goes on where it was. ``--only`` measures some peers and keeps the file's rows of the others;
``--fill`` measures only the settings that the file lacks.
``--check`` measures nothing: it encodes everything once more and compares the byte counts with the file's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import common

from mcmcodec.cli.bench import peers, run, suite
from mcmcodec.metrics import judge


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="results file, JSON")
    parser.add_argument("--only", help="peers by name, separated by commas [all that are found]")
    parser.add_argument("--scales", default="1,2,4", help="sides are divided by these before encoding [1,2,4]")
    parser.add_argument("--fill", action="store_true", help="measure only what the file lacks")
    parser.add_argument("--check", action="store_true", help="compare byte counts with those of the file")
    common.add_options(parser)
    options = parser.parse_args()
    found, missing = peers.find()
    for one in missing:
        print(f"without {one.name}: {one.remedy}")
    names = options.only.split(",") if options.only else [one.name for one in found]
    scales = [int(scale) for scale in options.scales.split(",")]
    candidates = suite.peer_candidates([one for one in found if one.name in names], scales)
    paths = common.pictures(options.folder)[: options.limit]
    if options.check:
        check(json.loads(options.out.read_text()), candidates, paths)
        return
    old = json.loads(options.out.read_text()) if options.out.exists() else None
    if options.fill and old:
        candidates = lacking(candidates, old, len(paths))
        if not candidates:
            raise SystemExit(f"{options.out} lacks nothing")
    about = common.begin(options)
    journal = options.out.with_suffix(".partial")
    with common.watch() as watch:
        content = suite.rate_distortion(
            options.folder.name, paths, candidates, common.referee(options), about, journal, watch
        )
    suite.finish(merged(old, content, whole=not options.fill) if old else content, options.out, journal)


def lacking(candidates: list[run.Candidate], old: dict, images: int) -> list[run.Candidate]:
    """The candidates with those settings that the old file does not have of all pictures."""
    known = {(point["curve"], float(point["setting"])) for point in old["points"] if point["images"] >= images}
    found = []
    for one in candidates:
        (name,) = one.decoders
        settings = tuple(setting for setting in one.settings if (name, float(setting)) not in known)
        found += [dataclasses.replace(one, settings=settings)] if settings else []
    return found


def merged(old: dict, new: dict, whole: bool = True) -> dict:
    """The old file with the new one's curves in it: in place of the old ones, or only their settings."""
    measured = {(point["curve"], float(point["setting"])) for point in new["points"]}
    curves = set(new["curves"]) if whole else set()
    result = old | new | {"curves": old["curves"] | new["curves"]}
    for part in ("points", "rows"):
        kept = [row for row in old[part] if row["curve"] not in curves]
        kept = [row for row in kept if (row["curve"], float(row["setting"])) not in measured]
        result[part] = kept + new[part]
    return result


def check(recorded: dict, candidates: list[run.Candidate], paths: list[Path]) -> None:
    """Says how many files have the recorded byte counts; ends with an error when one has not."""
    known = {(row["curve"], row["setting"], row["image"]): row["bytes"] for row in recorded["rows"]}
    same, different = 0, []
    for reference in run.references(paths, judge.Judge(())):
        for candidate in candidates:
            for setting in candidate.settings:
                name = next(iter(candidate.decoders))
                if (name, setting, reference.name) not in known:
                    continue
                size = len(candidate.encode(reference.image, setting)) + candidate.extra
                if known[name, setting, reference.name] == size:
                    same += 1
                else:
                    different.append(f"{reference.name}: {name} at {setting:g}: {size}")
    print(f"{same} files have the recorded byte counts, {len(different)} have not")
    if different:
        raise SystemExit("\n".join(different[:10]))


if __name__ == "__main__":
    common.run(main)
