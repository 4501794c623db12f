"""What a run of ``codec`` takes: wall-clock seconds, CPU seconds and peak memory of a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

# The kernel counts what a process had when it started another as the other's: a small one stands between.
BETWEEN = """
import os, subprocess, sys
_, status, used = os.wait4(subprocess.Popen(sys.argv[1:]).pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


class Taken(NamedTuple):
    """Seconds by the wall clock and of CPU time, and the most kilobytes in memory."""

    wall: float
    cpu: float
    kilobytes: int


def measure(*arguments: str, env: Mapping[str, str] | None = None) -> Taken:
    """Run ``codec ARGUMENTS --quiet``; ends the program with its exit status where that is not 0."""
    command = [sys.executable, "-m", "mcmcodec", *arguments, "--quiet"]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", BETWEEN, *command], stdout=subprocess.PIPE, text=True, env=env, check=True
    )
    wall = time.perf_counter() - start
    status, cpu, kilobytes = done.stdout.split()[-3:]
    if int(status):
        raise SystemExit(int(status))
    return Taken(wall, float(cpu), int(kilobytes))
