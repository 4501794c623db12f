"""Captions: exchanged without a change of the picture, alone in a file, and damaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import smooth_noise
from PIL import Image

from mcmcodec.bitstream import container
from mcmcodec.bitstream.file import encode_caption_only, open_file, with_caption
from mcmcodec.caption import Words
from mcmcodec.codec import Codec, info, symbols
from mcmcodec.entropy.rangecoder import RangeEncoder
from mcmcodec.errors import FormatError, InputError, UsageError
from mcmcodec.image.painting import PaintRequest

TEXT = "A brown dog runs along the beach near the sea."


@pytest.fixture(scope="module")
def file(tiny_codec: Codec) -> bytes:
    return tiny_codec.encode(smooth_noise(100, 130), quality=70, keep=0.4, caption="a disc")


def same_symbols(a: bytes, b: bytes) -> bool:
    one, two = symbols(a), symbols(b)
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ("v_hat", "psi", "mask"))


@given(st.text(min_size=1, max_size=60))
@settings(max_examples=15, deadline=None)
def test_any_caption_takes_its_place(file: bytes, tiny_codec: Codec, text: str) -> None:
    edited = with_caption(file, text)
    assert info(edited).caption == text
    assert same_symbols(edited, file)
    assert with_caption(edited, "a disc") == file


def test_the_picture_stays(file: bytes, tiny_codec: Codec) -> None:
    bare = with_caption(file, "")
    assert open_file(bare).caption == "" and not open_file(bare).header.caption
    assert len(bare) < len(file)
    for other in (bare, with_caption(bare, TEXT)):
        assert np.array_equal(tiny_codec.decode(other), tiny_codec.decode(file))


def test_as_if_encoded_with_it(tiny_codec: Codec) -> None:
    for options in ({"mask": "none"}, {"keep": 0.3}, {"mode": "base"}):
        plain = tiny_codec.encode(smooth_noise(33, 50), **options)
        assert with_caption(plain, TEXT) == tiny_codec.encode(smooth_noise(33, 50), caption=TEXT, **options)


def test_extensions_stay(file: bytes, tiny_codec: Codec) -> None:
    header, payload = container.unpack(file, tiny_codec.weights.fingerprint)
    from dataclasses import replace

    extended = container.pack(replace(header, extensions=((100, b"kept"),)), payload, tiny_codec.weights.fingerprint)
    assert open_file(with_caption(extended, TEXT)).header.extensions == ((100, b"kept"),)


def test_damage_is_not_copied(file: bytes, tiny_codec: Codec) -> None:
    fingerprint = tiny_codec.weights.fingerprint
    header, payload = container.unpack(file, fingerprint)
    with pytest.raises(FormatError):
        with_caption(container.pack(header, payload + b"\1\2", fingerprint), TEXT)
    with pytest.raises(FormatError, match="checksum is wrong"):
        with_caption(file[:-1] + bytes((file[-1] ^ 1,)), TEXT)


def test_base_layer_only(tiny_codec: Codec) -> None:
    image = smooth_noise(100, 130)
    base, full = (tiny_codec.encode(image, quality=80, mode=mode) for mode in ("base", "full"))
    facts = info(base)
    assert (facts.mode, facts.visible, facts.bytes["mask"], facts.bytes["latents"]) == ("base", 0, 0, 0)
    assert info(full).mode == "full" and len(base) < len(full)
    assert not symbols(base).mask.any()
    error = [np.square(np.asarray(tiny_codec.decode(data), float) - image).mean() for data in (base, full)]
    assert error[1] < error[0] < image.var()


def test_caption_only_files_are_small(tiny_codec: Codec) -> None:
    data = tiny_codec.encode(np.zeros((512, 768, 3), np.uint8), mode="caption", caption=TEXT)
    facts = info(data)
    assert len(data) < 40 and facts.bpp < 0.001
    assert (facts.mode, facts.caption, facts.width, facts.height, facts.visible) == ("caption", TEXT, 768, 512, 0)
    assert (facts.patches, facts.bytes["base"], facts.bytes["latents"]) == (1536, 0, 0)
    assert sum(facts.bytes.values()) == pytest.approx(len(data))
    assert open_file(with_caption(data, "other words")).caption == "other words"


def test_caption_only_files_have_no_picture(tiny_codec: Codec) -> None:
    data = encode_caption_only(tiny_codec.weights, 40, 30, Words(TEXT))
    with pytest.raises(FormatError, match="holds a caption and no picture; give --painter"):
        tiny_codec.decode(data)
    with pytest.raises(FormatError, match="no picture"):
        symbols(data)
    with pytest.raises(InputError, match="all that the file holds; delete the file"):
        with_caption(data, "")
    with pytest.raises(InputError, match="there is no caption"):
        encode_caption_only(tiny_codec.weights, 40, 30, Words(""))
    asked: list[PaintRequest] = []

    def painter(request: PaintRequest) -> Image.Image:
        asked.append(request)
        return Image.new("L", (8, 8), 77)

    picture = tiny_codec.decode(data, painter=painter)
    assert (picture.size, picture.mode, picture.getpixel((3, 3))) == ((40, 30), "RGB", (77, 77, 77))
    assert [(one.caption, one.size, one.picture, one.edges) for one in asked] == [(TEXT, (40, 30), None, None)]
    part = tiny_codec.decode(data, painter=painter, crop=(8, 4, 16, 6), scale=0.5)
    assert part.size == (8, 3)
    with pytest.raises(InputError, match="over the limit"):
        tiny_codec.decode(encode_caption_only(tiny_codec.weights, 65535, 65535, Words(TEXT)), painter=painter)


def test_caption_only_files_carry_nothing_else(tiny_codec: Codec) -> None:
    data = encode_caption_only(tiny_codec.weights, 40, 30, Words(TEXT))
    header, payload = container.unpack(data, tiny_codec.weights.fingerprint)
    for more in (b"\1", b"\0", bytes(99)):
        with pytest.raises(FormatError, match="belong to nothing"):
            open_file(container.pack(header, payload + more, tiny_codec.weights.fingerprint))
    with pytest.raises(FormatError):
        info(container.pack(header, RangeEncoder().finish(), tiny_codec.weights.fingerprint)[:-1])


def test_modes_and_masks_contradict_each_other(tiny_codec: Codec) -> None:
    image = smooth_noise(20, 20)
    for options in ({"keep": 0.5}, {"mask": "none"}, {"roi": np.ones((20, 20))}):
        with pytest.raises(UsageError, match="shows no patch"):
            tiny_codec.encode(image, mode="base", **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no mode bogus; choose from full, base, sketch, caption"):
        tiny_codec.encode(image, mode="bogus")


def test_editing_needs_no_torch(file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mcm"
    path.write_bytes(file)
    program = f"""
import sys, pathlib
from mcmcodec.bitstream.file import open_file, with_caption
print(open_file(with_caption(pathlib.Path({str(path)!r}).read_bytes(), "new words")).caption, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "new words False\n"), done.stderr
