"""The best picture within so many bytes: never a byte more, and no choice that makes it worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command
from models import smooth_noise
from PIL import Image

from mcmcodec import options
from mcmcodec.encoder import best_within as module
from mcmcodec.encoder.best_within import best_within
from mcmcodec.encoder.rate_control import Goal, fit
from mcmcodec.errors import InputError
from mcmcodec.image.prepare import prepare
from mcmcodec.metrics.psnr import psnr
from mcmcodec.options import EncodeOptions

PICTURE = smooth_noise(128, 160, seed=3)
SOURCE = prepare(PICTURE)
DEFAULTS = EncodeOptions()


def likeness(codec: Any, data: bytes) -> float:
    return psnr(PICTURE, np.asarray(codec.decode(data)))


@pytest.mark.parametrize("limit", [60, 110, 400])
def test_never_a_byte_more_and_no_worse_than_the_ladder(tiny_codec: Any, limit: int) -> None:
    best = best_within(tiny_codec, SOURCE, limit, DEFAULTS)
    assert len(best.found.data) <= limit
    assert best.score == pytest.approx(likeness(tiny_codec, best.found.data))
    try:
        plain = fit(tiny_codec, SOURCE, Goal("bytes", limit), reductions=(1,))
    except InputError:
        return
    assert best.score >= likeness(tiny_codec, plain.data)


def test_a_smaller_size_has_to_win_clearly(tiny_codec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALLER_BELOW", 99)
    monkeypatch.setattr(module, "MARGIN", -99)
    assert best_within(tiny_codec, SOURCE, 400, DEFAULTS).found.reduce == 8
    monkeypatch.setattr(module, "MARGIN", 99)
    assert best_within(tiny_codec, SOURCE, 400, DEFAULTS).found.reduce == 1


def test_what_does_not_fit_is_refused(tiny_codec: Any) -> None:
    with pytest.raises(InputError, match="quality 0 at 1/8 of the size takes .* bytes, more than 5"):
        best_within(tiny_codec, SOURCE, 5, DEFAULTS)


def test_refined_latents_are_within_the_limit_and_no_worse(tiny_codec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "STEPS", {4: 6})
    plain = best_within(tiny_codec, SOURCE, 400, DEFAULTS, reductions=(1,))
    refined = best_within(tiny_codec, SOURCE, 400, EncodeOptions(effort=4), reductions=(1,))
    assert len(refined.found.data) <= 400 and refined.found.encodes > plain.found.encodes
    assert likeness(tiny_codec, refined.found.data) >= likeness(tiny_codec, plain.found.data)  # tuned for this decoder


def test_the_command_says_what_it_chose(run_codec: Command, tiny: Path, here: Path) -> None:
    Image.fromarray(PICTURE).save("a.png")
    done = run_codec("encode", "a.png", "--model", "tiny", "--max-bytes", "300", "--json")
    row = json.loads(done.out)
    assert row["bytes_out"] <= 300 and {"quality", "encodes", "psnr"} <= row.keys()
    done = run_codec("encode", "-f", "a.png", "--model", "tiny", "--for", "sms", "-v")
    assert done.code == 0 and " quality " in done.err and " psnr " in done.err
