"""A process that has encoded and decoded starts others by fork, forkserver or spawn, or threads: all of them work."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mcmcodec
from mcmcodec.model.weights import FOLDER_VARIABLE

SCRIPT = """
import multiprocessing, queue, sys, threading
import numpy as np
from mcmcodec.codec import Codec

PICTURE = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)


def work(answers):
    codec = Codec("tiny", "cpu")
    data = codec.encode(PICTURE, quality=50)
    answers.put((len(data), codec.decode(data).size))


if __name__ == "__main__":
    here = queue.Queue()
    work(here)
    if sys.argv[1] == "threads":
        answers, start = queue.Queue(), threading.Thread
    else:
        context = multiprocessing.get_context(sys.argv[1])
        answers, start = context.Queue(), context.Process
    workers = [start(target=work, args=(answers,), daemon=True) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [answers.get(timeout=60) for _ in workers]
    assert found == [here.get()] * 2, found
    # and the parent goes on as before
    work(here)
    assert here.get() == found[0]
    torch = sys.modules.get("torch")
    print(torch.get_num_threads() if torch else "without torch")
"""
METHODS = [*multiprocessing.get_all_start_methods(), "threads"]


def run(text: str, folder: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script with the models of a folder, in a process of its own."""
    script = tmp_path / "script.py"
    script.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(Path(mcmcodec.__file__).parents[1]), FOLDER_VARIABLE: str(folder)}
    environment["OMP_NUM_THREADS"] = "2"  # with one, no threads are started, and there is nothing to test
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150)


# with torch, a child of the fork server is as new as one that is spawned
@pytest.mark.parametrize(
    ("method", "graphs"),
    [(method, graphs) for method in METHODS for graphs in (True, False) if graphs or method != "forkserver"],
)
def test_others_work_after_use(tiny: Path, tmp_path: Path, method: str, graphs: bool) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(tiny, folder)
    if not graphs:
        card = json.loads((folder / "tiny.json").read_text())
        del card["analyses"]["fidelity"]["graph"]
        (folder / "tiny.json").write_text(json.dumps(card))
    done = run(SCRIPT, folder, tmp_path, method)
    assert (done.returncode, done.stdout) == (0, "without torch\n" if graphs else "2\n"), done.stderr


FORK = """
import os, signal
import numpy as np
from mcmcodec.codec import Codec
from mcmcodec.model import transforms
{before}
if child := os.fork():
    print(os.waitpid(child, 0)[1])
else:
    signal.alarm(30)
    {inside}
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("before", "inside"),
    [
        # another thread was loading a model when the process forked
        ("transforms._lock.acquire()", "Codec('tiny', 'cpu').transforms()"),
        # threads of the networks that the parent opened stayed behind; closing a session would wait for them
        ("Codec('tiny', 'cpu').encode(np.zeros((64, 64, 3), np.uint8))", "transforms._loaded.clear(); os._exit(0)"),
    ],
    ids=["a lock that was held", "networks that are dropped"],
)
def test_a_forked_child_ends(tiny: Path, tmp_path: Path, before: str, inside: str) -> None:
    done = run(FORK.format(before=before, inside=inside), tiny, tmp_path)
    assert done.stdout == "0\n", done.stderr
