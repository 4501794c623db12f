"""The long fuzz: draws hostile files and hands them to the codec until a count is reached. Not part of the tests.

    python tests/fuzz/run.py container 1000000 --seed 1
    python tests/fuzz/run.py exact 100000
    python tests/fuzz/run.py pixel 2000
    python tests/fuzz/run.py command 5000
    python tests/fuzz/run.py picture 20000      (pictures to encode; ``words`` and ``weights`` likewise)
    python tests/fuzz/run.py exact 100000 --out fuzz.json

A file that brings anything but one of the codec's errors, a wrong result, a hang or a word of a panic is written to
``--found`` and ends the run with status 1. At the end stand the counts, the rate and the growth of memory; ``--out``
adds them to a results file, one row for each level and seed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent), str(TESTS / "fuzz")]

import strangers  # noqa: E402
import targets  # noqa: E402
from models import NUMBER, export_tiny, smooth_noise  # noqa: E402
from mutate import Mutator  # noqa: E402

from mcmcodec.cli.bench import provenance  # noqa: E402
from mcmcodec.codec import Codec  # noqa: E402
from mcmcodec.model.weights import FOLDER_VARIABLE  # noqa: E402

LEVELS = {"container": targets.container_level, "exact": targets.exact_level, "pixel": targets.pixel_level}
LEVELS |= strangers.LEVELS


@contextlib.contextmanager
def panics() -> Iterator[None]:
    """Watch the process's stderr, where Rust tells of a panic even if somebody catches it."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said = file.read()
            if said:
                sys.stderr.buffer.write(said)
            assert b"panicked" not in said


def work(level: str, mutator: Mutator, codec: Codec, count: int, found: Path) -> Counter[str]:
    """Try `count` files; return what became of them."""
    counts: Counter[str] = Counter()
    if level == "command":
        with tempfile.TemporaryDirectory() as folder:
            while counts.total() < count:
                files = [mutator.draw() for _ in range(min(500, count - counts.total()))]
                try:
                    with targets.alarm(20 * targets.SECONDS):
                        counts.update(targets.command_level(files, Path(folder) / "in"))
                except BaseException:
                    for number, data in enumerate(files):
                        (found / f"command-{number}.mcm").write_bytes(data)
                    raise
        return counts
    data, batch = b"", 100 if level == "container" else 1
    try:
        for start in range(0, count, batch):
            with targets.alarm():
                for _ in range(min(batch, count - start)):
                    data = mutator.draw()
                    counts[LEVELS[level](data, codec)] += 1
    except BaseException:
        (found / f"{level}.mcm").write_bytes(data)
        raise
    return counts


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("level", choices=[*LEVELS, "command"])
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--found", type=Path, default=Path("."), help="folder for files that do harm [.]")
    parser.add_argument("--out", type=Path, help="results file, JSON; other rows in it are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        export_tiny(Path(folder))
        os.environ[FOLDER_VARIABLE] = folder
        codec = Codec("tiny", "cpu")
        start = targets.seeds(codec, smooth_noise)
        mutator = Mutator(start, codec.weights.fingerprint, 8 * NUMBER, options.seed)
        if options.level in strangers.LEVELS:
            mutator = strangers.changer(options.level, codec, smooth_noise, options.seed)
        for data in start:
            targets.exact_level(data, codec)
        before, clock = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        try:
            with panics():
                counts = work(options.level, mutator, codec, options.count, options.found)
        except BaseException:
            traceback.print_exc()
            raise SystemExit(1) from None
        seconds = time.monotonic() - clock
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = (peak - before) / 1024
    print(
        f"{options.level}: {counts.total()} files, seed {options.seed}: {counts['refused']} refused, "
        f"{counts['accepted']} accepted, {counts.total() / seconds:.0f} a second, memory +{grown:.1f} MB"
    )
    if options.out:
        row = {
            "level": options.level, "seed": options.seed, "files": counts.total(), "checksum_right": mutator.right,
            "refused": counts["refused"], "accepted": counts["accepted"], "failures": 0, "seconds": round(seconds),
            "peak_mb": round(peak / 1024, 1), "grown_mb": round(grown, 1),
            "commit": provenance.gather("cpu", 1)["commit"],
        }  # fmt: skip
        add(options.out, row)


def add(path: Path, row: dict[str, Any]) -> None:
    """Put a row into a results file, in the place of an older one of its level and seed."""
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = [one for one in rows if (one["level"], one["seed"]) != (row["level"], row["seed"])] + [row]
    rows.sort(key=lambda one: (one["level"], one["seed"]))
    sums = {name: sum(one[name] for one in rows) for name in ("files", "checksum_right", "failures")}
    about = {key: value for key, value in provenance.gather("cpu", 1).items() if key in ("machine", "versions")}
    provenance.write_json(path, about | {"sums": sums, "rows": rows})


if __name__ == "__main__":
    main()
