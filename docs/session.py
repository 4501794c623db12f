"""Record a session with real commands and real weights: ``python docs/session.py`` writes ``docs/session.svg``."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).resolve().parent
WIDTH = 100
COMMANDS = (
    "codec encode photo.png",
    "codec info photo.mcm",
    "codec encode photo.png -f -v --max-bytes 500",
    "codec decode photo.mcm -o photo.jpg",
    "codec encode album -o packed --total-bytes 2kB",
    "codec verify packed",
    "codec encode album -o packed --skip-existing; echo exit code $?",
    "codec encode photo.png -q 101",
)


def prepare(folder: Path) -> None:
    """Lay out the photograph, and an album of its parts."""
    from PIL import Image

    (folder / "album").mkdir()
    with Image.open(HERE / "demo.png") as whole:
        photo = whole.reduce(2)
        photo.save(folder / "photo.png")
        width, height = photo.size
        for name, box in (("left", (0, 0, width // 2, height)), ("right", (width // 2, 0, width, height))):
            photo.crop(box).save(folder / "album" / f"{name}.png")


def record(folder: Path) -> Console:
    """Run every command in the folder and keep what a person would see."""
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w", encoding="utf-8"), force_terminal=True)  # noqa: SIM115
    package = str(HERE.parent)
    tools = folder / ".tools"
    tools.mkdir()
    (tools / "codec").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mcmcodec "$@"\n')
    (tools / "codec").chmod(0o755)
    paths = {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": package}
    for command in COMMANDS:
        console.print(Text("$ ", "bold green") + Text(command, "bold"))
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env={**os.environ, **paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        console.print(Text(done.stdout.rstrip("\n")))
    return console


def main() -> None:
    """Write the picture of the session."""
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        svg = record(Path(name)).export_svg(title="codec", unique_id="session")
    # the fonts are the reader's own: nothing is fetched from elsewhere to show the picture
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.S)
    (HERE / "session.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
