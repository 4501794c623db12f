"""Does a hostile file do harm? Runs of ``tests/fuzz/run.py``, which ends with an error where one does."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .work import Work

PROGRAM = Path(__file__).parents[1] / "tests/fuzz/run.py"


def measure(work: Work, *, runs: Sequence[tuple[str, int, int]]) -> dict[str, Any]:
    """Levels, seeds and counts of files."""
    work.watch.start("fuzz", len(runs))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "fuzz.json"
        for level, seed, count in runs:
            command = [sys.executable, str(PROGRAM), level, str(count), "--seed", str(seed), "--found", folder]
            subprocess.run([*command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
            work.watch.advance(level)
        content: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return content
