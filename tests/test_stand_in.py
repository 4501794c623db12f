"""The codec that stands in for the real one in the tests of the command line promises the same."""

import dataclasses
import inspect

from stand_in import FakeCodec, FakeInfo

from mcmcodec.codec import Codec, Info


def parameters(function: object) -> dict[str, tuple[object, object]]:
    assert callable(function)
    return {name: (p.kind, p.default) for name, p in inspect.signature(function).parameters.items()}


def test_same_signatures() -> None:
    for name in ("__init__", "encode", "bands"):
        assert parameters(getattr(FakeCodec, name)) == parameters(getattr(Codec, name))
    # the one that stands in hands its arguments on
    assert parameters(Codec.decode) == parameters(Codec.bands)


def test_same_facts() -> None:
    names = [field.name for field in dataclasses.fields(Info)]
    assert [field.name for field in dataclasses.fields(FakeInfo)] == names
