"""Runs ``codec`` with the codec that stands in, and lets something happen at its file operations.

    python faults.py FOLDER EVENT ARGUMENT...

EVENT is nothing (run once, as it is); or ``nobody`` (run once, without the rights of root; the last argument is the
output); or ``stranger`` (run once, as a user without a name or a home, after a first run elsewhere that loads what
this user may have no leave to read); or the name of a signal: the command runs again and again, each time in a new
process and a new folder, and gets the signal before its first, second, ... operation on a file of the folder, until it
ends before that. Prints a line of JSON per run: exit code (negative: the signal that ended it) and the files left.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from stand_in import modules

sys.modules.update(modules())

import PIL.PngImagePlugin  # noqa: E402, F401

from mcmcodec.cli.main import main  # noqa: E402

STRANGER = 54321
OPERATIONS = ("open", "os.rename", "os.link", "os.remove", "os.chmod", "os.mkdir", "os.listdir", "os.scandir")


def run(folder: Path, number: int, when: int, arguments: list[str]) -> dict[str, Any]:
    """One run in a child process, with signal ``number`` before operation ``when``."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(1, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        seen = 0

        def watch(event: str, details: tuple[Any, ...]) -> None:
            nonlocal seen
            if event in OPERATIONS and str(details[0]).startswith((str(folder), "in", "out")):
                seen += 1
                if seen - 1 == when:
                    os.kill(os.getpid(), number)

        sys.addaudithook(watch)
        with contextlib.suppress(SystemExit):
            try:
                main(arguments)
            except SystemExit as end:
                os._exit(end.code if seen <= when or isinstance(end.code, int) and end.code else 99)
        os._exit(98)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    files = {str(path.relative_to(folder)): path.read_bytes().decode("latin-1") for path in folder.glob("out/**/*.*")}
    return {"code": code, "files": files}


def again_and_again(folder: Path, number: int, arguments: list[str]) -> None:
    """Until a run ends undisturbed."""
    for when in range(100):
        copy = folder.parent / f"{folder.name}-{when}"
        shutil.copytree(folder, copy)
        found = run(copy, number, when, arguments)
        print(json.dumps(found))
        if found["code"] == 0:
            return


def become_stranger(folder: Path, arguments: list[str]) -> None:
    """Run the command in a copy of the folder and silently, then give up all rights of root and go to the folder."""
    kept = [(number, os.dup(number)) for number in (1, 2)]
    null = os.open(os.devnull, os.O_WRONLY)
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(folder, Path(name) / "copy")
        os.chdir(Path(name) / "copy")
        os.environ["MCMCODEC_CACHE"] = "cache"
        for number, _ in kept:
            os.dup2(null, number)
        with contextlib.suppress(SystemExit):
            main(arguments)
        for number, copy in kept:
            os.dup2(copy, number)
        del os.environ["MCMCODEC_CACHE"]
        os.chdir(folder)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(STRANGER)
        os.setuid(STRANGER)


if __name__ == "__main__":
    place, event, *rest = sys.argv[1:]
    if event == "nobody":
        os.chdir(place)
        with contextlib.suppress(SystemExit):
            main([*rest[:-1], "elsewhere"])  # loads what nobody may have no leave to read
        if os.geteuid() == 0:  # whose writing cannot be forbidden
            os.setegid(65534)
            os.seteuid(65534)
        main(rest)
    elif event == "stranger":
        become_stranger(Path(place), rest)
        main(rest)
    elif event:
        again_and_again(Path(place), signal.Signals[event], rest)
    else:
        os.chdir(place)
        main(rest)
