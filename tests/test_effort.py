"""Effort levels: every level decodes, and higher ones take fewer bytes."""

from typing import Any

import pytest
from models import smooth_noise

from mcmcodec.codec import symbols
from mcmcodec.errors import UsageError

QUALITY = 60
PICTURE = smooth_noise(112, 144, seed=5)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_every_level_decodes(tiny_codec: Any, level: int) -> None:
    data = tiny_codec.encode(PICTURE, quality=QUALITY, effort=level)
    assert tiny_codec.decode(data).size == (144, 112)


def test_lowest_levels_show_every_patch_unless_asked_otherwise(tiny_codec: Any) -> None:
    assert symbols(tiny_codec.encode(PICTURE, quality=QUALITY, effort=2)).mask.all()
    assert not symbols(tiny_codec.encode(PICTURE, quality=QUALITY, effort=2, keep=0.5)).mask.all()


def test_rdoq_saves_bytes(tiny_codec: Any) -> None:
    sizes = [len(tiny_codec.encode(PICTURE, quality=QUALITY, effort=level)) for level in (1, 2)]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("level", [0, 4, -1])
def test_other_levels_are_refused(tiny_codec: Any, level: int) -> None:
    with pytest.raises(UsageError, match="not 1 to 3"):
        tiny_codec.encode(PICTURE, effort=level)


def test_read_only_pictures_raise_no_warning(tiny_codec: Any, recwarn: pytest.WarningsRecorder) -> None:
    picture = PICTURE.copy()
    picture.flags.writeable = False
    tiny_codec.encode(picture, quality=QUALITY, effort=2)
    assert not recwarn.list
