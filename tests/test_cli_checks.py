"""The commands verify, models and completion."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command

import mcmcodec
from mcmcodec.cli.console import size
from mcmcodec.model.weights import DEFAULT

Picture = Callable[..., Path]


def test_verify(codec: Command, here: Path) -> None:
    Path("good.mcm").write_bytes(b'{"size": [3, 2]}')
    done = codec("verify", "good.mcm")
    assert (done.code, done.out, done.err) == (0, b"", "1 file, 16 B, all whole\n")
    assert codec("verify", "good.mcm", "-v").err == "good.mcm: ok\n1 file, 16 B, all whole\n"
    assert codec("verify", "good.mcm", "--quiet").err == ""
    assert codec("verify", "good.mcm", "--pixels").code == 0
    assert codec("verify", "-", stdin=b"x").err == "1 file, 1 B, all whole\n"


def test_verify_keeps_going(codec: Command, here: Path) -> None:
    for name, data in (("a", b"bad"), ("b", b"fine"), ("deep/c", b"bad too")):
        Path(f"{name}.mcm").parent.mkdir(exist_ok=True)
        Path(f"{name}.mcm").write_bytes(data)
    done = codec("verify", "-r", ".", "none.mcm", "--json")
    wrong = "not an .mcm file; give a file that codec encode wrote"
    missing = "no such file or directory; check the name"
    assert done.code == 1
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {"file": "./a.mcm", "status": "failed", "bytes": 3, "error": wrong},
        {"file": "./b.mcm", "status": "ok", "bytes": 4},
        {"file": "./deep/c.mcm", "status": "failed", "bytes": 7, "error": wrong},
        {"file": "none.mcm", "status": "failed", "error": missing},
    ]
    assert done.err.splitlines() == [
        f"codec: ./a.mcm: {wrong}",
        f"codec: ./deep/c.mcm: {wrong}",
        f"codec: none.mcm: {missing}",
        "4 files, 14 B, 3 failed",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify"], "Missing argument 'FILES|FOLDERS|-'; see codec verify --help"),
        (["verify", "."], "nothing to do: no suitable file in .; give -r to look into folders inside it"),
        (["verify", "-v", "--quiet", "x"], "--quiet and --verbose contradict each other; give one of them"),
        (["completion", "csh"], "Invalid value for '{bash|zsh|fish}': 'csh' is not one of 'bash', 'zsh', 'fish'; see "),
    ],
)
def test_usage(codec: Command, here: Path, arguments: list[str], message: str) -> None:
    done = codec(*arguments)
    assert (done.code, done.out) == (2, b"")
    assert done.err.startswith(f"codec: {message}") and done.err.count("\n") == 1


def test_models(codec: Command, here: Path, tiny: Path) -> None:
    files = {
        part: (tiny / f"{name}.safetensors").read_bytes()
        for part, name in (
            ("stream", "tiny"),
            ("for fidelity", "tiny-for-fidelity"),
            ("fidelity", "tiny-fidelity"),
            ("perceptual", "tiny-perceptual"),
        )
    }
    hashes = {part: hashlib.sha256(data).hexdigest() for part, data in files.items()}
    roles = {
        "stream": "stream model",
        "for fidelity": "analysis",
        "fidelity": "decoder, the default",
        "perceptual": "decoder",
    }
    rows = [f"  {part:<16}{size(len(files[part])):>8}  sha256 {hashes[part][:16]}  {roles[part]}" for part in roles]
    done = codec("models", "tiny")
    assert (done.code, done.err) == (0, "")
    assert done.out.decode().splitlines() == ["tiny (id 4000)", *rows, f"  in {tiny}"]
    facts = [json.loads(line) for line in codec("models", "--json").out.splitlines()]
    assert [one["name"] for one in facts if one["default"]] == [DEFAULT]
    found = next(one for one in facts if one["name"] == "tiny")
    assert (found["id"], found["status"], found["decoders"]) == (4000, "ok", ["fidelity", "perceptual"])
    assert {part: file["sha256"] for part, file in found["files"].items()} == hashes


def test_damaged_and_missing_models(
    codec: Command, here: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own.json").write_bytes((tiny / "tiny.json").read_bytes())
    Path("tiny.safetensors").write_bytes(b"not these")
    monkeypatch.setenv("MCMCODEC_WEIGHTS", str(here))
    done = codec("models", "own", "none", "--json")
    assert done.code == 1
    own, none = (json.loads(line) for line in done.out.splitlines())
    assert own["status"] == none["status"] == "failed"
    assert done.err.splitlines()[0] == (
        f"codec: own: weights {here}/tiny.safetensors are not those that own.json names; install mcmcodec again"
    )
    assert done.err.splitlines()[1].startswith("codec: none: there is no model none; choose from ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(codec: Command, shell: str) -> None:
    done = codec("completion", shell)
    assert done.code == 0 and b"_CODEC_COMPLETE" in done.out and done.err == ""


def test_bash_completes(here: Path) -> None:
    """The script, in bash, with a command line half typed."""
    package = str(Path(mcmcodec.__file__).parents[1])
    Path("codec").write_text(f'#!/bin/sh\nexec {sys.executable} -m mcmcodec "$@"\n')
    Path("codec").chmod(0o755)
    script = """
        PATH="$PWD:$PATH"; eval "$(codec completion bash)"; compopt() { echo compopt "$@"; }
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
                _codec_completion codec; echo "${COMPREPLY[*]}"; }
        try codec ver; try codec encode --max-b; try codec encode pho
    """
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": package}
    )
    assert done.stdout == "verify\n--max-bytes\ncompopt -o default\n\n", done.stderr
