"""Search by likeness: pictures near to a file's come first, files of other models are told and left out."""

# ruff: noqa: F401, F811

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from models import NUMBER, TUNING, forget_models, smooth_noise, tiny_network
from test_cli_caption import run
from test_search import archive, cache, found, pictures

from mcmcodec.bitstream.file import open_file
from mcmcodec.cli.search.likeness import descriptor, similarity
from mcmcodec.codec import Codec
from mcmcodec.training.export import write


def test_likeness(run: Command, archive: Path, tiny_codec: Codec) -> None:
    picture = smooth_noise(48, 64, seed=1)
    Path("like.mcm").write_bytes(tiny_codec.encode(picture, quality=20, mask="none"))
    for _ in range(2):
        done = run("search", "--like", "like.mcm", archive, "-r", "--json")
        assert found(done.out)[0] == "kitchen.mcm" and len(found(done.out)) == 5
        assert run("index", "-r", archive, "--likeness").code == 0
    done = run("search", "--like", archive / "train.mcm", archive)
    assert done.code == 1 and "holds words only, nothing to compare" in done.err


@pytest.fixture
def second(tiny: Path) -> Iterator[Codec]:
    """The codec of another generation beside the tiny model: other weights, name and number."""
    network = tiny_network(7)
    write(tiny, "second", NUMBER + 1, network, {"fidelity": network.synthesis}, "fidelity", TUNING, {}, graphs=False)
    try:
        yield Codec("second", "cpu")
    finally:
        for path in tiny.glob("second*"):
            path.unlink()
        forget_models()


def test_likeness_between_models(run: Command, archive: Path, second: Codec) -> None:
    """Files of one model are compared, and a line says which were left out; in a folder of no other, nothing is."""
    for number, name in enumerate(("new.mcm", "deep/newer.mcm")):
        (archive / name).write_bytes(second.encode(smooth_noise(48, 64, seed=number)))
    told = "cannot be compared with one of"
    for _ in range(2):
        done = run("search", "--like", archive / "beach.mcm", archive, "-r", "--json")
        assert done.code == 0 and found(done.out)[0] == "beach.mcm"
        assert not {"new.mcm", "deep/newer.mcm"} & set(found(done.out))
        assert done.err == (
            f"codec: warning: 2 pictures of other models (second) {told} tiny; search with a file of that model, or "
            "encode all with one\n"
        )
        done = run("search", "--like", archive / "new.mcm", archive, "--json")
        assert (done.code, found(done.out)) == (0, ["new.mcm"])
        assert f"3 pictures of other models (tiny) {told}" in done.err
        assert run("index", "-r", archive, "--likeness").code == 0
    Path("alone").mkdir()
    shutil.copy(archive / "new.mcm", "alone")
    assert run("search", "--like", archive / "new.mcm", "alone").err == ""
    done = run("search", "--like", archive / "beach.mcm", "alone")
    assert done.code == 0 and done.err.splitlines()[1] == "nothing found" and "1 picture of other models" in done.err
    # words do not depend on the model
    (archive / "said.mcm").write_bytes(second.encode(smooth_noise(48, 64), caption="a zebra"))
    done = run("search", "zebra", archive, "--json")
    assert (found(done.out), done.err) == (["said.mcm"], "")


def test_descriptors(tiny_codec: Codec) -> None:
    vectors = [
        descriptor(open_file(tiny_codec.encode(smooth_noise(*size), mode=mode)))
        for size in ((48, 64), (1, 1), (17, 200))
        for mode in ("full", "base")
    ]
    assert len({vector.shape for vector in vectors}) == 1
    assert np.isfinite(vectors).all()
    assert similarity(np.array(vectors), vectors[2]).argmax() == 2
