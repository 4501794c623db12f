"""The codec that stands in for the real one in the tests of the command line promises the same."""

import dataclasses
import inspect

import pytest
from stand_in import FakeCodec, FakeInfo, fake_info

from mcmcodec.codec import Codec, Info, info


def parameters(function: object) -> dict[str, tuple[object, object]]:
    assert callable(function)
    return {name: (p.kind, p.default) for name, p in inspect.signature(function).parameters.items()}


@pytest.mark.parametrize(
    ("fake", "real"),
    [
        *((getattr(FakeCodec, name), getattr(Codec, name)) for name in ("__init__", "encode_source", "open", "decode")),
        (FakeCodec.decode_bands, Codec.decode_bands),
        (fake_info, info),
    ],
)
def test_same_signatures(fake: object, real: object) -> None:
    assert parameters(fake) == parameters(real)


def test_same_facts() -> None:
    names = [field.name for field in dataclasses.fields(Info)]
    assert [field.name for field in dataclasses.fields(FakeInfo)] == names
