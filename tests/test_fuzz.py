"""A short fuzz of every level, the same files each time (the long one: ``tests/fuzz/run.py``), and bounds on memory."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import NUMBER, smooth_noise

from mcmcodec.bitstream import container
from mcmcodec.codec import Codec, info
from mcmcodec.model.weights import find

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))

import strangers  # noqa: E402
import targets  # noqa: E402
from mutate import Mutator  # noqa: E402


@pytest.fixture(scope="module")
def seeds(tiny_codec: Codec) -> list[bytes]:
    return targets.seeds(tiny_codec, smooth_noise)


@pytest.fixture
def mutator(tiny_codec: Codec, seeds: list[bytes]) -> Mutator:
    return Mutator(seeds, tiny_codec.weights.fingerprint, 8 * NUMBER, seed=77)


def test_container(tiny_codec: Codec, mutator: Mutator) -> None:
    found = [targets.container_level(mutator.draw(), tiny_codec) for _ in range(3000)]
    assert {"refused", "accepted"} == set(found)


def test_exact(tiny_codec: Codec, mutator: Mutator, capfd: pytest.CaptureFixture[str]) -> None:
    with targets.alarm():
        found = [targets.exact_level(mutator.draw(), tiny_codec) for _ in range(150)]
    assert {"refused", "accepted"} == set(found)
    assert "panicked" not in capfd.readouterr().err


def test_pixels(tiny_codec: Codec, mutator: Mutator) -> None:
    codec = Codec("tiny", "cpu")
    assert {targets.pixel_level(mutator.draw(), codec) for _ in range(40)} <= {"refused", "accepted"}


def test_command(mutator: Mutator, tmp_path: Path) -> None:
    assert targets.command_level([mutator.draw() for _ in range(60)], tmp_path / "in")["refused"]


@pytest.mark.parametrize(("level", "count"), [("picture", 400), ("words", 25), ("weights", 60)])
def test_what_is_not_ours(tiny_codec: Codec, level: str, count: int) -> None:
    changer = strangers.changer(level, tiny_codec, smooth_noise, 77)
    with targets.alarm():
        found = [strangers.LEVELS[level](changer.draw(), tiny_codec) for _ in range(count)]
    assert "refused" in found and (level == "weights" or "accepted" in found)
    assert 0.7 < changer.right / count < 0.95


def test_seeds_are_accepted(tiny_codec: Codec) -> None:
    """What is changed is sound before, so that changes and nothing else are what is refused."""
    for level in strangers.LEVELS:
        seeds = strangers.changer(level, tiny_codec, smooth_noise, 0).seeds
        found = [strangers.LEVELS[level](data, tiny_codec) for data in seeds]
        assert found.count("refused") <= {"words": 1}.get(level, 0), (level, found)
    damaged = bytearray(strangers.pictures(smooth_noise)[0])
    damaged[30] ^= 1
    assert strangers.png_repaired(bytes(damaged))[-4:] == damaged[-4:]
    assert strangers.png_repaired(bytes(damaged)) != damaged


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 40), height=st.integers(1, 40), quality=st.integers(0, 100), keep=st.integers(0, 255),
    caption=st.booleans(), no_mask=st.sampled_from(["", "all_visible", "none_visible"]), payload=st.binary(max_size=60),
)  # fmt: skip
def test_any_payload_behind_any_header(
    tiny_codec: Codec, width: int, height: int, quality: int, keep: int, caption: bool, no_mask: str, payload: bytes
) -> None:
    keep = {"": keep, "all_visible": 255, "none_visible": 0}[no_mask]
    flags = {no_mask: True} if no_mask else {}
    header = container.Header(width, height, NUMBER, 0, quality, keep, caption=caption, **flags)
    targets.exact_level(container.pack(header, payload, tiny_codec.weights.fingerprint), tiny_codec)


def test_memory_for_a_file_is_bounded_by_its_bytes_and_pixels(tiny_codec: Codec, seeds: list[bytes]) -> None:
    """What the exact half allocates: at most 8 times the file, 32 bytes for a pixel, and a megabyte.

    For the default model it is 64 megabytes, for the batches of its networks. An empty payload gives every symbol of
    any picture; of a payload of a megabyte most is left over.
    """
    fingerprint = tiny_codec.weights.fingerprint
    info(seeds[0])
    for width, height, payload in ((16, 4080, b""), (1000, 700, b""), (16, 16, bytes(2**20 - 1) + b"\1")):
        header = container.Header(width, height, NUMBER, 0, 50, 255, all_visible=True)
        data = container.pack(header, payload, fingerprint)
        tracemalloc.start()
        targets.MAX_PIXELS, before = 2**20, targets.MAX_PIXELS
        result = targets.exact_level(data, tiny_codec)
        targets.MAX_PIXELS = before
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert result == ("accepted" if not payload else "refused")
        assert peak <= 8 * len(data) + 32 * width * height + 2**20, (width, height, len(payload), peak)
    model = find()
    info(container.pack(container.Header(1, 1, model.number, 0, 50, 0), b"", model.fingerprint))
    data = container.pack(container.Header(512, 512, model.number, 0, 50, 0), b"", model.fingerprint)
    tracemalloc.start()
    info(data)
    assert tracemalloc.get_traced_memory()[1] <= 32 * 512 * 512 + 2**26
    tracemalloc.stop()
