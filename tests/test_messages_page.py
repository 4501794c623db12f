"""The commands of docs/messages.md, in order, in bash, with a tiny model and radios that are files."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mcmcodec
from mcmcodec.cli.links import LINKS, Messages

ROOT = Path(mcmcodec.__file__).parents[1]
PAGE = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
STUBS = {
    "codec": f"""#!{sys.executable}
from mcmcodec.model import weights
weights.DEFAULT = "tiny"
from mcmcodec.cli.main import main
main()
""",
    "sleep": "#!/bin/sh\n",
    # Sends into a file, and forgets the second message; listening prints packets as the real one does.
    "meshtastic": f"""#!{sys.executable}
import os, sys
air = os.environ["AIR"]
if "--sendtext" in sys.argv:
    text = sys.argv[sys.argv.index("--sendtext") + 1]
    assert len(text.encode()) <= 200 and sys.argv[sys.argv.index("--ch-index") + 1] == "1", text
    open(air, "a").write(text + "\\n")
else:
    for number, text in enumerate(open(air).read().split("\\n")):
        packet = {{"from": 42, "decoded": {{"portnum": "TEXT_MESSAGE_APP", "text": text}}, "rxSnr": 6.25}}
        if number != 1:
            print("DEBUG:root:Publishing meshtastic.receive.text: packet=" + str(packet), file=sys.stderr)
    sys.exit(130)
""",
    # Puts the longest name in front, cuts what is longer than a packet, and forgets the second message.
    "meshcli": f"""#!{sys.executable}
import os, sys
air = os.environ["AIR"] + ".meshcore"
if sys.argv[1] == "chan":
    open(air, "a").write(("n" * 31 + ": " + sys.argv[3])[:160] + "\\n")
else:
    lines = open(air).read().splitlines()
    print(*(lines[:1] + lines[2:]), sep="\\n")
""",
}


@pytest.mark.slow
def test_the_page(
    tiny: Path, here: Path, picture: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tools = tmp_path_factory.mktemp("tools")
    for name, text in STUBS.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    picture("photo.jpg", 320, 240)
    paths = {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "AIR": str(tools / "air")}
    script = "set -euxo pipefail\n" + "\n".join(BLOCKS)
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env={**os.environ, **paths, "LC_ALL": "C.UTF-8"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    complaints = [line for line in done.stderr.splitlines() if line.startswith("codec: ")]
    assert [line for line in complaints if "only its beginning" not in line] == []
    # the page's promise of its first example, though its radio has lost a message
    assert Path("received.png").stat().st_size > 100
    assert Path("heard.mcm").read_bytes()[:3] == Path("mesh.mcm").read_bytes()[:3] == b"\x8aMC"
    assert Path("same.mcm").read_bytes() == Path("photo.mcm").read_bytes()
    words = done.stdout.splitlines()[-1]
    assert words.startswith("6-") and len(words) <= 67
    assert max(len(path.read_text().split(":", 3)[3].rstrip("\n")) for path in Path("outgoing").iterdir()) <= 67


def test_the_table_says_what_the_presets_are() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (Base\d\d) \| ([\d, ]+) bytes \|", PAGE, re.M)
    assert rows == [
        (
            name, str(link.size), link.alphabet.capitalize(),
            ", ".join(str(Messages(name, count).largest_file()) for count in (1, 2, 3, 5)),
        )
        for name, link in LINKS.items()
    ]  # fmt: skip
