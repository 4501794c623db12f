"""The shipped weights on photographs, through files: more quality is more bytes and less error, within bounds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from models import GIVEN_FOLDER
from PIL import Image

from mcmcodec.bitstream.container import MAX_MODEL
from mcmcodec.codec import Codec, info
from mcmcodec.encoder.hyper_latent import CHOSEN_UP_TO
from mcmcodec.encoder.planning import first_mask, plan_picture
from mcmcodec.encoder.rate_control import Goal, fit
from mcmcodec.errors import ModelError
from mcmcodec.image.prepare import prepare
from mcmcodec.image.tiling import pad
from mcmcodec.metrics.colour_difference import colour
from mcmcodec.metrics.psnr import psnr
from mcmcodec.model.weights import FOLDER_VARIABLE, find
from mcmcodec.options import TUNES, EncodeOptions
from mcmcodec.training.export import load_frozen

data = pytest.importorskip("skimage.data", reason="needs scikit-image's photographs")

QUALITIES = (20, 50, 80)
# Photograph: for each quality, at most so many bytes and at least so many decibels.
BOUNDS = {
    "astronaut": ((1290, 23.3), (4085, 27.2), (10760, 29.9)),
    "chelsea": ((414, 25.75), (1451, 29.0), (4523, 32.1)),
    "coffee": ((874, 23.7), (3274, 26.4), (10037, 28.5)),
}


@pytest.fixture(scope="module", autouse=True)
def codec() -> Iterator[Codec]:
    """The default model, wherever this session was told to look for weights when it began."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(FOLDER_VARIABLE, raising=False)
        if GIVEN_FOLDER:
            patch.setenv(FOLDER_VARIABLE, GIVEN_FOLDER)
        try:
            find()
        except ModelError as error:
            pytest.skip(str(error))
        yield Codec(device="cpu")


@pytest.fixture(scope="module")
def coded(codec: Codec) -> Callable[[str, int, str], bytes]:
    """The file of a photograph at a quality for a decoder's pictures, made once."""
    return lru_cache(maxsize=None)(
        lambda name, quality, tune: codec.encode(getattr(data, name)(), quality=quality, tune=tune)
    )


@pytest.mark.parametrize("name", list(BOUNDS))
def test_photograph(codec: Codec, coded: Callable[[str, int, str], bytes], tmp_path: Path, name: str) -> None:
    photograph = getattr(data, name)()
    sizes, distances = [], []
    for quality in QUALITIES:
        path = tmp_path / f"{name}-{quality}.mcm"
        path.write_bytes(coded(name, quality, "fidelity"))
        decoded = codec.decode(path.read_bytes(), decoder="fidelity")
        assert (decoded.size, decoded.mode) == (photograph.shape[1::-1], "RGB")
        sizes.append(os.path.getsize(path))
        distances.append(psnr(photograph, np.asarray(decoded)))
    assert sizes == sorted(set(sizes))
    assert distances == sorted(set(distances))
    for size, distance, (most, least) in zip(sizes, distances, BOUNDS[name], strict=True):
        assert size <= most and distance >= least, (name, sizes, distances)


@pytest.mark.parametrize("tune", TUNES)
def test_the_chosen_hyper_latent_costs_less(codec: Codec, tune: str) -> None:
    """Fewer bits of its own, and in all: those of the files and those that the latents' error is worth."""
    transforms, hyper, costs = codec.transforms(), [], []
    for effort in (2, 3):
        options, plans = EncodeOptions(quality=10, effort=effort, tune=tune), []
        for name in BOUNDS:
            padded = pad(getattr(data, name)()[:256, :320])
            visible = first_mask(padded, options)
            analysis = transforms.analyse(padded, visible, options.quality, tune)
            plans.append(plan_picture(transforms, padded, visible, analysis, options))
        hyper.append(sum(plan.symbols.hyper_bits.sum() for plan in plans))
        costs.append(sum(plan.cost(1.0) for plan in plans))
    assert hyper[1] < hyper[0] and costs[1] < costs[0]
    files = [codec.encode(data.chelsea(), quality=CHOSEN_UP_TO + 1, effort=effort) for effort in (2, 3)]
    assert files[0] == files[1], "where it pays less than its time, it is rounded"


def test_every_decoder_paints_the_picture(codec: Codec) -> None:
    photograph = data.chelsea()
    file = codec.encode(photograph, quality=60)
    for decoder in codec.weights.decoders:
        assert psnr(photograph, np.asarray(codec.decode(file, decoder=decoder))) > 20


@pytest.mark.parametrize("name", list(BOUNDS))
def test_areas_keep_their_colour(codec: Codec, coded: Callable[[str, int, str], bytes], name: str) -> None:
    """Mean CIEDE2000 of 16x16 means, and chroma within 3.5 per cent, by every decoder."""
    photograph = getattr(data, name)()
    for quality, most in zip(QUALITIES, (4.8, 2.0, 1.0), strict=True):
        for decoder in codec.weights.decoders:
            file = coded(name, quality, "fidelity" if decoder == "fidelity" else "perceptual")
            difference, chroma = colour(photograph, np.asarray(codec.decode(file, decoder=decoder)))
            assert difference < most and chroma == pytest.approx(1, abs=0.035), (decoder, quality, difference, chroma)


def test_no_decoder_paints_the_grid_of_patches(codec: Codec) -> None:
    """What errors have in common from patch to patch is no more than in the decoder for least squared error."""
    photograph = data.coffee()
    file = codec.encode(photograph, quality=40)
    shares = {}
    for decoder in codec.weights.decoders:
        error = np.asarray(codec.decode(file, decoder=decoder), float) - photograph
        height, width = (side // 64 for side in error.shape[:2])
        # squares of 4 x 4 patches; what the patches of a square have in common
        squares = error[: 64 * height, : 64 * width].reshape(height, 4, 16, width, 4, 16, 3)
        shares[decoder] = np.square(squares.mean((1, 4))).mean() / np.square(error).mean()
    assert max(shares.values()) < 1.3 * shares["fidelity"], shares


def test_at_the_lowest_rates_a_smaller_picture_comes_nearer(codec: Codec) -> None:
    """In the bytes of quality 0, half the size at a higher quality has less squared error; and 0.003 bpp is reached."""
    gains = []
    for name in BOUNDS:
        photograph = getattr(data, name)()
        whole = codec.encode(photograph, quality=0, tune="fidelity")
        source = prepare(photograph)
        half = fit(codec, source, Goal("bytes", len(whole)), EncodeOptions(tune="fidelity"), reductions=(2,)).data
        near, nearer = (psnr(photograph, np.asarray(codec.decode(file, decoder="fidelity"))) for file in (whole, half))
        gains.append(nearer - near)
        assert len(half) <= len(whole)
        least = fit(codec, source, Goal("bpp", 0.003))
        assert info(least.data).bpp == pytest.approx(0.003, rel=0.1)
        assert psnr(photograph, np.asarray(codec.decode(least.data, decoder="fidelity"))) > 15
    assert np.mean(gains) > 0.2, gains


def test_fixed_cost(codec: Codec) -> None:
    """Header, checksum and tail of a picture of the usual size are at most 16 bytes."""
    file = codec.encode(Image.fromarray(data.coffee()).resize((768, 512)), quality=30)
    parts = info(file).bytes
    assert parts["header"] + parts["crc"] + max(0.0, parts["tail"]) <= 16
    assert codec.weights.number <= MAX_MODEL


def test_empty_picture_is_small(codec: Codec) -> None:
    """Nothing to see: less than a byte for each of its 1536 patches, and the same grey again."""
    file = codec.encode(np.full((512, 768, 3), 128, np.uint8), quality=50)
    assert len(file) < 1200
    assert abs(np.asarray(codec.decode(file), float).mean() - 128) < 3


@pytest.mark.parametrize("quality", [20, 50])
def test_files_are_as_small_as_training_counts(codec: Codec, quality: int) -> None:
    """Networks and tables in the weights file code what the trained form expects to: nothing was lost in freezing."""
    network, _ = load_frozen(codec.weights.folder / f"{codec.weights.name}.json")
    photograph = data.coffee()[:384, :576]
    x = torch.from_numpy(photograph.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        _, coded = network.code(x, torch.tensor([quality]), torch.ones(1, 24, 36, dtype=torch.bool))
    expected = float(sum(coded.bits.values())) / 8
    assert len(codec.encode(photograph, quality=quality, effort=1)) < 1.01 * expected + 16
