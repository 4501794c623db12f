"""Pictures coded at a part of their size: they come back at their own, with all that goes along, and in parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import smooth_noise
from PIL import Image

from mcmcodec.bitstream import container
from mcmcodec.bitstream.container import REDUCED, Header
from mcmcodec.cli.main import main
from mcmcodec.codec import Codec, info
from mcmcodec.encoder.rate_control import Goal, fit
from mcmcodec.errors import FormatError, InputError, UsageError
from mcmcodec.image import resample
from mcmcodec.image.prepare import prepare
from mcmcodec.image.tiling import View

HEIGHT, WIDTH = 137, 219


def difference(a: Any, b: Any) -> int:
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


@pytest.fixture(scope="module")
def picture() -> Any:
    return smooth_noise(HEIGHT, WIDTH, seed=8)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_smaller_picture_is_coded_and_scaled_up(tiny_codec: Codec, picture: Any, factor: int) -> None:
    data = tiny_codec.encode(picture, quality=80, reduce=factor)
    small = np.asarray(Image.fromarray(picture).reduce(factor))
    alone = tiny_codec.encode(small, quality=80)
    assert len(data) <= len(alone) + 6, "the section takes four bytes, and the sizes two more"
    found = info(data)
    assert (found.width, found.height, found.reduction) == (WIDTH, HEIGHT, factor)
    assert found.patches == -(-small.shape[0] // 16) * -(-small.shape[1] // 16)
    assert found.bpp == 8 * len(data) / (WIDTH * HEIGHT) and sum(found.bytes.values()) == pytest.approx(len(data))
    box = (0, 0, WIDTH / factor, HEIGHT / factor)
    wanted = tiny_codec.decode(alone).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box)
    found = np.asarray(tiny_codec.decode(data), int)
    assert np.abs(found - np.asarray(wanted, int)).mean() < 0.5, "Pillow cuts to bytes between the axes"


@pytest.mark.parametrize("factor", [2, 8])
def test_parts_and_reductions_are_those_of_the_whole(
    tiny_codec: Codec, picture: Any, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny_codec.encode(picture, quality=70, reduce=factor)
    whole = np.asarray(tiny_codec.decode(data))
    monkeypatch.setattr(resample, "ROWS", 16)  # bands show no seams
    assert difference(tiny_codec.decode(data), whole) <= 1
    for x, y, w, h in ((0, 0, 1, 1), (WIDTH - 1, HEIGHT - 1, 1, 1), (30, 61, 150, 47)):
        part = tiny_codec.decode(data, crop=(x, y, w, h))
        assert part.size == (w, h) and difference(part, whole[y : y + h, x : x + w]) <= 1
    for scale in (2, 4, 8):
        less = tiny_codec.decode(data, scale=1 / scale)
        assert less.size == (-(-WIDTH // scale), -(-HEIGHT // scale))
        reduced = np.asarray(Image.fromarray(whole).reduce(scale), int)
        assert np.abs(np.asarray(less, int) - reduced).mean() < 12


def test_all_that_goes_along_keeps_its_size(tiny_codec: Codec, picture: Any) -> None:
    image = Image.fromarray(picture).convert("L").convert("LA")
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[40:90, 50:200] = 255
    image.putalpha(Image.fromarray(alpha))
    data = tiny_codec.encode(image, quality=50, reduce=2, caption="a cloud")
    decoded = tiny_codec.decode(data)
    assert (decoded.mode, decoded.size, info(data).caption) == ("LA", (WIDTH, HEIGHT), "a cloud")
    assert (np.asarray(decoded.getchannel("A")) == alpha).mean() > 0.99
    roi = np.zeros((HEIGHT, WIDTH))
    roi[:64, :64] = 1
    kept = info(tiny_codec.encode(picture, quality=50, reduce=2, keep=0.2, roi=roi))
    assert (kept.visible, kept.patches) == (7, 35)


def test_tensors(tiny_codec: Codec, picture: Any) -> None:
    files = [tiny_codec.encode(picture, quality=50, reduce=factor) for factor in (1, 2, 2, 4)]
    for file, tensor in zip(files, tiny_codec.decode_batch(files), strict=True):
        assert tensor.dtype == torch.uint8
        assert difference(tensor.permute(1, 2, 0).numpy(), tiny_codec.decode(file)) <= 1


def test_enlarging_is_cubic_convolution() -> None:
    """The specification's section 4.5, on a ramp that it must keep and a step."""
    ramp = Image.fromarray(np.tile(np.arange(0, 240, 8, dtype=np.uint8)[None, :, None], (9, 1, 3)))
    ((part, large),) = resample.enlarge(ramp, 4, View.of((36, 120)))
    assert part.size == (36, 120)
    wanted = ((np.arange(120) + 0.5) / 4 - 0.5) * 8
    assert difference(np.asarray(large)[7, 8:-8, 0], wanted[8:-8].round()) <= 1
    step = Image.fromarray(np.repeat(np.array([[0] * 8 + [200] * 8], np.uint8)[..., None], 3, 2))
    ((_, large),) = resample.enlarge(step, 2, View.of((2, 32)))
    t = np.array([0.25, 0.75])
    near = 1.5 * t**3 - 2.5 * t**2 + 1  # Keys 1981, a = -1/2
    far = -0.5 * (t + 1) ** 3 + 2.5 * (t + 1) ** 2 - 4 * (t + 1) + 2
    wanted = 200 * np.array([near[1] + far[1], near[0] + far[0], 1 - far[0]])
    assert difference(np.asarray(large)[0, 15:18, 0], wanted.round()) <= 1


@pytest.mark.parametrize("more", [{"reduce": 3}, {"reduce": 0}, {"reduce": 2, "mode": "caption", "caption": "a"}])
def test_nonsense_is_refused(tiny_codec: Codec, picture: Any, more: dict[str, Any]) -> None:
    message = r"reduce \d is not 1, 2, 4 or 8; 2 codes at half the size|so reduce says nothing; leave one out"
    with pytest.raises(UsageError, match=message):
        tiny_codec.encode(picture, **more)


@pytest.mark.parametrize("body", [b"", b"\0", b"\1", b"\3", b"\x10", b"\2\2"])
def test_damaged_sections(tiny_codec: Codec, picture: Any, body: bytes) -> None:
    data = tiny_codec.encode(picture, quality=50, reduce=2)
    header, payload = container.unpack(data, tiny_codec.weights.fingerprint)
    fields = {name: getattr(header, name) for name in Header.__slots__}
    with pytest.raises(UsageError, match="the reduction is not 2, 4 or 8"):
        container.pack(Header(**fields | {"extensions": ((REDUCED, body),)}), payload, tiny_codec.weights.fingerprint)
    whole = container.pack(replace(header, extensions=((REDUCED + 1, body),)), payload, tiny_codec.weights.fingerprint)
    at = whole.index(bytes((REDUCED + 1, len(body))))
    with pytest.raises(FormatError, match="damaged header: the reduction is not 2, 4 or 8"):
        container.parse_header(whole[:at] + bytes((REDUCED,)) + whole[at + 1 :])


def test_the_picture_that_is_shown_counts_for_the_limit(tiny_codec: Codec, picture: Any) -> None:
    data = tiny_codec.encode(picture, quality=50, reduce=8)
    with pytest.raises(InputError, match=f"{WIDTH} x {HEIGHT} pixels are over the limit of 20000"):
        Codec("tiny", "cpu", max_pixels=20000).decode(data)


def test_wishes_below_the_lowest_quality_are_met(tiny_codec: Codec, picture: Any) -> None:
    lowest, source = [len(tiny_codec.encode(picture, quality=0, reduce=n)) for n in (1, 2, 4, 8)], prepare(picture)
    assert lowest == sorted(lowest, reverse=True)
    for factor, most in zip((2, 4), lowest[1:], strict=False):
        found = fit(tiny_codec, source, Goal("bytes", most))
        assert found.reduce == info(found.data).reduction == factor and len(found.data) <= most
        with pytest.raises(InputError, match=rf"quality 0 takes {lowest[0]} bytes, more than {most}; allow more"):
            fit(tiny_codec, source, Goal("bytes", most), reductions=(1,))
    assert fit(tiny_codec, source, Goal("bpp", 8 * lowest[0] / HEIGHT / WIDTH / 1.05)).reduce == 1
    assert fit(tiny_codec, source, Goal("bpp", 8 * lowest[0] / HEIGHT / WIDTH / 1.3)).reduce > 1
    with pytest.raises(InputError, match=f"quality 0 at 1/8 of the size takes {lowest[3]} bytes, more than 3; allow"):
        fit(tiny_codec, source, Goal("bytes", 3))


def test_command_line(
    tiny_codec: Codec, picture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture).save("a.png")

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([*arguments])
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    code, _, err = run("encode", "a.png", "--reduce", "4", "-q", "60", "-v", "--model", "tiny", "--device", "cpu")
    assert code == 0 and "quality 60, encodes 1, reduce 4" in err
    code, out, _ = run("info", "a.mcm")
    assert code == 0 and "  picture   219 x 137 pixels\n" in out and "  coded at  1/4 of its size\n" in out
    assert run("decode", "a.mcm", "-o", "b.png", "--device", "cpu")[0] == 0
    with Image.open("b.png") as decoded:
        assert decoded.size == (WIDTH, HEIGHT)
    code, out, err = run("encode", "a.png", "-f", "--reduce", "2", "--region", "0,0,1,1=a cloud", "--model", "tiny")
    assert code == 2 and err.count("leave out the reduction") == 1
