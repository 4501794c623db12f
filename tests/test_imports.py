"""The rooms' guarantees: what may import what, and that nothing heavy loads before there is work.

Imports inside functions count, those for type checking only do not.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import mcmcodec
from mcmcodec.cli.main import MODULES

ROOT = Path(mcmcodec.__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
PATHS = {
    ".".join(("mcmcodec", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
"""Every module of the package, by its name."""

PARTS = {
    "bitstream.envelope": "files",
    "bitstream.file": "files",
    "bitstream.inspect": "files",
    "bitstream.stripped": "files",
    "caption.sources": "sources",
    "model.config": "frozen",
    "model.weights": "frozen",
    "cli.bench": "cli.bench",
    "cli.search": "cli.search",
}
"""Modules and folders that are a room of their own inside another one."""

EXACT = {"entropy", "bitstream", "caption"}
"""Rooms that compute the same on every machine."""
CODING = {
    "errors",
    "options",
    "entropy",
    "bitstream",
    "caption",
    "frozen",
    "files",
    "image",
    "model",
    "encoder",
    "codec",
}
ARROWS = {
    "errors": set(),
    "entropy": {"errors"},
    "caption": {"entropy", "errors"},
    "bitstream": {"entropy", "errors"},
    "frozen": {"caption", "entropy", "errors"},
    "files": {"frozen", "bitstream", "caption", "entropy", "errors"},
    "options": {"bitstream", "caption", "errors"},
    "image": {"bitstream", "errors"},
    "model": {"frozen", "image", "entropy", "errors"},
    "sources": {"caption", "image", "errors"},
    "metrics": {"errors"},
    "encoder": {"options", "model", "frozen", "image", "metrics", "bitstream", "entropy", "errors"},
    "codec": {"options", "encoder", "model", "frozen", "files", "image", "bitstream", "caption", "entropy", "errors"},
    "mcmcodec": {"codec", "options", "files", "bitstream", "caption", "errors"},
    "plugins": CODING | {"mcmcodec"},
    "cli": CODING | {"mcmcodec", "sources", "metrics", "plugins", "cli.bench", "cli.search"},
    "cli.bench": CODING | {"mcmcodec", "metrics", "plugins", "cli"},
    "cli.search": CODING | {"mcmcodec", "cli"},
    "training": CODING | {"mcmcodec", "metrics"},
    "__main__": {"cli"},
}
"""By room, the rooms that it may import."""


class _AtRunTime(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)


@cache
def imports(module: str) -> frozenset[str]:
    """Names of all modules that a module imports: those of the package whole, of others the first part."""
    path, found = PATHS[module], set()
    package = ["mcmcodec", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(_AtRunTime().visit(ast.parse(path.read_text(encoding="utf-8")))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{whole}.{alias.name}" if f"{whole}.{alias.name}" in PATHS else whole for alias in node.names]
        for name in names:
            found.add(name if name in PATHS else name.split(".")[0])
    return frozenset(found - {module})


def ours(modules: Iterable[str]) -> set[str]:
    """Those of the package."""
    return {name for name in modules if name in PATHS}


def reached(starts: Iterable[str]) -> set[str]:
    """Everything that modules import, and what that imports, and so on; with themselves."""
    found, waiting = set(starts), [*starts]
    while waiting:
        new = imports(waiting.pop()) - found
        found |= new
        waiting += ours(new)
    return found


def room(module: str) -> str:
    inner = module.removeprefix("mcmcodec.")
    for start, name in PARTS.items():
        if inner == start or inner.startswith(f"{start}."):
            return name
    return inner.split(".")[0]


def modules(*rooms: str) -> list[str]:
    return [name for name in PATHS if room(name) in rooms]


def importers(*names: str) -> set[str]:
    """Modules that import one of the names, or something inside it."""
    return {
        module
        for module in PATHS
        if any(found == name or found.startswith(f"{name}.") for found in imports(module) for name in names)
    }


def test_arrows_between_rooms_go_one_way() -> None:
    wrong = [
        f"{module} -> {found}"
        for module in PATHS
        for found in sorted(ours(imports(module)))
        if room(found) not in ARROWS.get(room(module), set()) | {room(module)}
    ]
    assert wrong == []
    both = {"cli", "cli.bench", "cli.search"}  # a folder of commands, and commands in folders of their own
    TopologicalSorter({name: to - both if name in both else to for name, to in ARROWS.items()}).prepare()


def test_no_import_cycle() -> None:
    try:
        TopologicalSorter({module: ours(imports(module)) for module in PATHS}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_container_and_errors_need_only_the_standard_library() -> None:
    starts = [f"mcmcodec.{name}" for name in ("errors", "bitstream.varint", "bitstream.container")]
    assert reached(starts) - set(starts) <= set(sys.stdlib_module_names)


def test_one_file_knows_the_range_coder() -> None:
    assert importers("constriction") == {"mcmcodec.entropy.rangecoder"}


def test_exact_rooms_need_no_floats() -> None:
    """Nor does anything that they import."""
    found = reached(modules("entropy"))
    assert found - set(sys.stdlib_module_names) - ours(found) == {"numpy", "constriction"}
    found = reached(modules(*EXACT))
    assert found - set(sys.stdlib_module_names) - ours(found) == {
        "numpy",
        "constriction",
        "safetensors",
        "PIL",
        "reedsolo",
    }
    assert {room(name) for name in ours(found)} <= EXACT | {"errors"}


def test_files_are_read_without_torch() -> None:
    found = reached(modules("files"))
    assert "torch" not in found
    assert {name for name in found if room(name) in ("model", "frozen")} <= set(modules("frozen"))


def test_encoding_and_decoding_need_neither_training_nor_benchmarks() -> None:
    commands = [
        f"mcmcodec.cli.{name}" for name in ("encode", "decode", "batch", "info", "verify", "caption", "preview")
    ]
    found = reached([*modules(*CODING, "metrics", "plugins"), *commands])
    assert {name for name in found if name in PATHS and room(name) in ("training", "cli.bench", "cli.search")} == set()


def test_nothing_imports_training() -> None:
    assert {name for name in importers("mcmcodec.training") if room(name) != "training"} == set()


def test_commands_import_torch_nowhere() -> None:
    assert {name for name in importers("torch") if room(name) == "cli"} == set()


def test_networks_in_torch_are_not_loaded_by_what_needs_none() -> None:
    """What codes pictures reaches them by the modules that run them, which import torch themselves."""
    by_torch = {name for name in importers("torch") if room(name) in CODING}
    networks = {f"mcmcodec.model.{name}" for name in ("analysis", "blocks", "entropy_nets", "layers", "synthesis")}
    assert networks < by_torch
    assert {name for name in importers(*networks) if room(name) in CODING} <= by_torch
    assert importers("mcmcodec.model.torch_runtime") == {"mcmcodec.model.transforms"}
    assert importers("onnxruntime") == {"mcmcodec.model.onnx_runtime", "mcmcodec.training.graphs"}
    assert importers("onnx") == {"mcmcodec.training.graphs"}


def test_names_of_modules_differ() -> None:
    names = Counter(path.name for path in PATHS.values() if path.stem not in ("__init__", "__main__"))
    assert {name for name, count in names.items() if count > 1} == set()


def test_the_package_is_small_at_the_top() -> None:
    entries = [path.name for path in ROOT.iterdir() if path.name not in ("__pycache__", "_weights")]
    assert len(entries) <= 16, sorted(entries)


COMMANDS = {f"mcmcodec.cli.{name}" for name in MODULES.values()}
HEAVY = ("torch", "onnxruntime", "numpy", "PIL", "rich", "cv2", "constriction", "safetensors")


@pytest.mark.parametrize("arguments", [["--help"], ["info", "--help"], ["encode", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = f"""
import sys
from mcmcodec.cli.main import main
try:
    main({arguments!r})
finally:
    print("HEAVY", *(name for name in {HEAVY!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "HEAVY"


def test_a_command_loads_no_other() -> None:
    program = """
import sys
from mcmcodec.cli.main import main
sys.argv[1:] = ["info", "missing.mcm"]
try:
    main()
finally:
    print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (1, "codec: missing.mcm: no such file or directory; check the name\n")
    loaded = {*done.stdout.split()}
    assert "mcmcodec.bitstream.inspect" in loaded and loaded & COMMANDS == {"mcmcodec.cli.info"}
    assert not loaded & {"PIL", "onnxruntime", "torch", "rich", "cv2", "mcmcodec.codec"}


@pytest.mark.parametrize(("given", "used"), [(None, "1"), ("3", "3")])
def test_threads_of_numpy_stay_out_of_the_way(given: str | None, used: str) -> None:
    program = """
import os
from mcmcodec.cli.main import main
try:
    main(["--version"])
finally:
    print(os.environ["OPENBLAS_NUM_THREADS"])
"""
    environment = {k: v for k, v in ENVIRONMENT.items() if k != "OPENBLAS_NUM_THREADS"}
    environment |= {"OPENBLAS_NUM_THREADS": given} if given else {}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, used), done.stderr


def test_codec_module_loads_without_torch() -> None:
    program = "import mcmcodec.codec, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_package_is_light_and_lazy() -> None:
    program = f"import mcmcodec, sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stdout.strip()) == (0, "")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        mcmcodec.nonsense  # noqa: B018
