"""The folders' guarantees: what may import what, and that nothing heavy loads before there is work."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mcmcodec

ROOT = Path(mcmcodec.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT.parent)}


class _AtRunTime(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)


def imports(path: Path) -> Iterator[str]:
    """Absolute names of everything that a file imports, at any depth, but for type checking only."""
    package = ["mcmcodec", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(_AtRunTime().visit(ast.parse(path.read_text(encoding="utf-8")))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def importers(*names: str) -> set[str]:
    """Files, relative to the package, that import one of the modules or something inside it."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if any(found == name or found.startswith(name + ".") for found in imports(path) for name in names)
    }


def test_container_and_errors_need_only_the_standard_library() -> None:
    for name in ("container.py", "errors.py", "varint.py"):
        roots = {found.split(".")[0] for found in imports(ROOT / name)}
        assert roots <= sys.stdlib_module_names | {"mcmcodec"}
    assert {found for found in imports(ROOT / "container.py") if found.startswith("mcmcodec.")} == {
        "mcmcodec.errors",
        "mcmcodec.errors.FormatError",
        "mcmcodec.errors.UsageError",
        "mcmcodec.bitstream.varint",
        "mcmcodec.bitstream.varint.read_varint",
        "mcmcodec.bitstream.varint.varint",
    }


def test_one_file_knows_the_range_coder() -> None:
    assert importers("constriction") == {"entropy/rangecoder.py"}


def test_exact_folders_are_free_of_floats() -> None:
    exact = {name for name in importers("torch", "mcmcodec.model") if name.startswith(("entropy/", "text/"))}
    assert not exact


def test_codec_never_imports_training() -> None:
    assert {name for name in importers("mcmcodec.training") if not name.startswith(("training/", "bench/"))} == set()


def test_few_import_the_benchmarks() -> None:
    # rate.py judges only when a likeness is wished for
    found = {name for name in importers("mcmcodec.cli.bench") if not name.startswith(("bench/", "training/"))}
    assert found <= {"cli/bench.py", "cli/compare.py", "rate.py"}
    assert importers("mcmcodec.cli.bench.run", "mcmcodec.cli.bench.peers", "mcmcodec.cli.bench.page") <= {
        name for name in importers("mcmcodec.cli.bench") if name.startswith(("bench/", "cli/bench"))
    }


def test_networks_know_nothing_of_files_and_commands() -> None:
    rooms = ("model/", "entropy/", "text/")
    found = importers("mcmcodec.cli", "mcmcodec.bitstream.container")
    assert {name for name in found if name.startswith(rooms)} == set()


def test_command_line_imports_torch_nowhere() -> None:
    assert {name for name in importers("torch") if name.startswith("cli/")} == set()


def test_files_stay_short() -> None:
    for path in SOURCES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path


HEAVY = ("torch", "numpy", "PIL", "rich", "cv2", "constriction", "safetensors")


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
