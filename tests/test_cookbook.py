"""Every recipe of the cookbook, in bash, with a codec that needs no weights and a host that is a folder."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mcmcodec

ROOT = Path(mcmcodec.__file__).parents[1]
RECIPES = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8"), re.S)
STUBS = {
    "codec": f"""#!{sys.executable}
import sys, stand_in, stand_in_ray
sys.modules.update(stand_in.modules(), ray=stand_in_ray.module())
from mcmcodec.cli.main import main
main()
""",
    "ssh": '#!/bin/sh\ncd "$HOST" && shift && exec sh -c "$*"\n',
    "parallel": f"""#!{sys.executable}
import os, subprocess, sys
at = sys.argv.index(":::")
for name in sys.argv[at + 1 :]:
    fill = {{"{{}}": name, "{{.}}.mcm": os.path.splitext(name)[0] + ".mcm"}}
    subprocess.run([fill.get(word, word) for word in sys.argv[1:at]], check=True)
""",
}


@pytest.fixture
def shell(here: Path, picture: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A folder with pictures, and the environment of a shell in it."""
    tools, host = tmp_path_factory.mktemp("tools"), tmp_path_factory.mktemp("host")
    for name, text in STUBS.items():
        if name in ("codec", "ssh") or not shutil.which(name):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
    for name in ("photo", "album/one", "album/beach/two"):
        picture(f"{name}.png", 64, 48)
    Path("broken.png").write_bytes(b"no picture")
    paths = {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return {**os.environ, **paths, "HOST": str(host), "BASH_ENV": "", "LC_ALL": "C.UTF-8"}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda text: text.splitlines()[0][:50])
def test_recipe(recipe: str, shell: dict[str, str]) -> None:
    for tool in ("jq", "curl", "find", "xargs", "tar", "base64"):
        if re.search(rf"\b{tool}\b", recipe) and not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    script = "set -euo pipefail\n" + recipe
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=shell, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if line.startswith("codec: ")]
    assert done.returncode == 0, done.stderr
    assert [line for line in complaints if "broken.png" not in line] == []
    made = [Path(word) for word in re.findall(r"(?:-o|>|-cz?f) ([\w./]+)", recipe.replace("'cat > photo.mcm'", ""))]
    for path in made:
        assert "dry-run" in recipe or path.is_dir() or path.stat().st_size, path
    if "broken.png" in recipe:
        assert done.stdout.startswith("broken.png: not a picture in a format that can be read; ")


def test_all_recipes_are_found() -> None:
    text = "\n".join(RECIPES)
    assert len(RECIPES) >= 12
    assert all(tool in text for tool in ("find", "xargs", "parallel", "ssh", "tar", "jq", "curl", "base64"))
