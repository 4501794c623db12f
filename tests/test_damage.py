"""Damaged files: every one is refused, with an error that says what to do, before anything is painted."""

from __future__ import annotations

import itertools

import pytest
from models import NUMBER, smooth_noise

import mcmcodec
from mcmcodec.bitstream import container
from mcmcodec.codec import Codec, info
from mcmcodec.errors import FormatError, ModelError


def small_file(tiny_codec: Codec) -> bytes:
    data = tiny_codec.encode(smooth_noise(17, 33), quality=40, keep=0.5, caption="a disc")
    assert len(data) < 100
    return data


def test_every_flipped_bit_is_noticed(tiny_codec: Codec) -> None:
    data = small_file(tiny_codec)
    model_field = range(6, 9)  # one varint of three bytes, after two of one byte
    for at, bit in itertools.product(range(len(data)), range(8)):
        damaged = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for read in (tiny_codec.decode, info, mcmcodec.decode):
            with pytest.raises((FormatError, ModelError) if at in model_field else FormatError) as caught:
                read(damaged)
            assert caught.value.remedy and "\n" not in str(caught.value)


def test_every_cut_is_noticed(tiny_codec: Codec) -> None:
    data = small_file(tiny_codec)
    for size in range(len(data)):
        with pytest.raises(FormatError):
            tiny_codec.decode(data[:size])
        with pytest.raises(FormatError):
            info(data[:size])
    with pytest.raises(FormatError):
        tiny_codec.decode(data + b"\0")


def test_payload_that_no_encoder_writes(tiny_codec: Codec) -> None:
    """A right checksum over a longer payload does not help."""
    fingerprint = tiny_codec.weights.fingerprint
    header, payload = container.unpack(tiny_codec.encode(smooth_noise(80, 96)), fingerprint)
    for other in (payload + b"\1", payload + b"\0", payload + bytes(range(9))):
        with pytest.raises(FormatError):
            tiny_codec.decode(container.pack(header, other, fingerprint))
    assert header.model == NUMBER
