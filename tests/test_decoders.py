"""Several decoders read one file: by name, or between two of them."""

from typing import Any

import numpy as np
import pytest
from models import smooth_noise

from mcmcodec.errors import ModelError, UsageError


@pytest.fixture(scope="module")
def data(tiny_codec: Any) -> bytes:
    return bytes(tiny_codec.encode(smooth_noise(64, 80), quality=50))


def pixels(codec: Any, data: bytes, **options: Any) -> np.ndarray:
    return np.asarray(codec.decode(data, **options), np.int16)


def test_ends_of_realism_are_the_two_decoders(tiny_codec: Any, data: bytes) -> None:
    for realism, name in ((0, "fidelity"), (1.0, "perceptual")):
        assert (pixels(tiny_codec, data, realism=realism) == pixels(tiny_codec, data, decoder=name)).all()


def test_between_them_lies_another_picture(tiny_codec: Any, data: bytes) -> None:
    first, between, last = (pixels(tiny_codec, data, realism=realism) for realism in (0, 0.5, 1))
    assert np.abs(first - last).mean() > np.abs(first - between).mean() > 0


@pytest.mark.parametrize("options", [{"realism": 1.5}, {"realism": -0.1}, {"realism": 0.5, "decoder": "fidelity"}])
def test_contradictions_are_refused(tiny_codec: Any, data: bytes, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"realism -?[\d.]+ is not 0 to 1|both choose a decoder"):
        tiny_codec.decode(data, **options)


def test_a_missing_decoder_names_those_that_exist(tiny_codec: Any, data: bytes) -> None:
    with pytest.raises(ModelError, match="no decoder generative; choose from fidelity, perceptual"):
        tiny_codec.decode(data, decoder="generative")


def test_command_line(codec: Any, here: Any) -> None:
    (here / "a.mcm").write_bytes(b'{"size": [4, 3]}')
    assert codec("decode", "a.mcm", "--decoder", "light", "--realism", "0.5").code == 2
    assert codec("decode", "a.mcm", "--realism", "1").code == 0
    assert codec("decode", "a.mcm", "--realism", "2", "-f").code == 2
