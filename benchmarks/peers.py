"""Measures the peers on a folder of pictures, once: they do not depend on our models.

    python benchmarks/peers.py FOLDER --out benchmarks/results/kodak_peers.json
    python benchmarks/peers.py FOLDER --out benchmarks/results/kodak_peers.json --check

A run that was stopped goes on where it was. ``--only`` measures some peers and keeps the file's rows of the others.
``--check`` measures nothing: it encodes everything once more and compares the byte counts with the file's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import common

from mcmcodec.bench import judge, peers, run, suite


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="results file, JSON")
    parser.add_argument("--only", help="peers by name, separated by commas [all that are found]")
    parser.add_argument("--scales", default="1,2,4", help="sides are divided by these before encoding [1,2,4]")
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
    about = common.begin(options)
    journal = options.out.with_suffix(".partial")
    with common.watch() as watch:
        content = suite.rate_distortion(
            options.folder.name, paths, candidates, common.referee(options), about, journal, watch
        )
    if options.out.exists():
        content = merged(json.loads(options.out.read_text()), content)
    suite.finish(content, options.out, journal)


def merged(old: dict, new: dict) -> dict:
    """The old file with the new one's curves in it."""
    result = old | new | {"curves": old["curves"] | new["curves"]}
    for part in ("points", "rows"):
        kept = [row for row in old[part] if row["curve"] not in new["curves"]]
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
