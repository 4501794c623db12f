"""The long fuzz: draws hostile files and hands them to the codec until a count is reached. Not part of the tests.

    python tests/fuzz/run.py container 1000000 --seed 1
    python tests/fuzz/run.py exact 100000
    python tests/fuzz/run.py pixel 2000
    python tests/fuzz/run.py command 5000

A file that brings anything but one of the codec's errors, a wrong result, a hang or a word of a panic is written to
``--found`` and ends the run with status 1. At the end stand the counts, the rate and the growth of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent), str(TESTS / "fuzz")]

import targets  # noqa: E402
from models import NUMBER, export_tiny, smooth_noise  # noqa: E402
from mutate import Mutator  # noqa: E402

from mcmcodec.codec import Codec  # noqa: E402
from mcmcodec.weights import FOLDER_VARIABLE  # noqa: E402

LEVELS = {"container": targets.container_level, "exact": targets.exact_level, "pixel": targets.pixel_level}


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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        export_tiny(Path(folder))
        os.environ[FOLDER_VARIABLE] = folder
        codec = Codec("tiny", "cpu")
        start = targets.seeds(codec, smooth_noise)
        mutator = Mutator(start, codec.weights.fingerprint, 8 * NUMBER, options.seed)
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
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{options.level}: {counts.total()} files, seed {options.seed}: {counts['refused']} refused, "
        f"{counts['accepted']} accepted, {counts.total() / seconds:.0f} a second, memory +{grown:.1f} MB"
    )


if __name__ == "__main__":
    main()
