"""Choice of captions by rate."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from mcmcodec.bitstream.extras import Extras
from mcmcodec.caption import choose, coded_size
from mcmcodec.caption.shortest import content, versions
from mcmcodec.encoder.caption_choice import try_captions
from mcmcodec.errors import UsageError
from mcmcodec.image.prepare import Source
from mcmcodec.options import EncodeOptions

DOG = "A brown dog runs along a sandy beach at sunset."


def test_what_says_the_same_in_fewer_bytes_wins() -> None:
    wordy = "There is a brown dog that is running along on a beach which is very sandy at the sunset."
    assert content(wordy) >= content(DOG) - {"run"}
    assert choose([wordy, DOG]) == choose([DOG, wordy]) == DOG
    assert choose([DOG, "A dog."]) == DOG  # shorter, but says less


def test_what_most_see_weighs_more() -> None:
    texts = ["a dog on a beach", "a dog and a beach", "some xylophone quartet near Ouagadougou"]
    assert choose(texts) in texts[:2]


@pytest.mark.parametrize("limit", range(0, 14))
def test_a_limit_holds(limit: int) -> None:
    chosen = choose([DOG, "A dog runs along a beach."], limit)
    assert (coded_size(chosen) if chosen else 0) <= limit
    assert DOG.startswith(chosen) or "A dog runs along a beach.".startswith(chosen)
    beginnings = ("A brown", "A brown dog", "A dog", "A dog runs")
    assert bool(chosen) == (limit >= min(coded_size(text) for text in beginnings))


def test_nothing_to_choose_from() -> None:
    assert choose([]) == choose(["", ""]) == ""
    with pytest.raises(UsageError):
        choose(["a" * 5000])


def test_versions_to_try() -> None:
    found = versions([DOG, "A dog."])
    assert found[0] == choose([DOG, "A dog."]) and "A dog." in found
    assert "A brown dog runs" in found and "brown dog runs sandy beach sunset" in found and "dog" in found
    assert len(found) == len(set(found))
    assert all(coded_size(text) <= 6 for text in versions([DOG, "A dog."], 6))
    assert versions([]) == versions(["the"], 0) == []


def test_the_caption_from_which_a_painter_paints_best_is_kept() -> None:
    """A painter that knows red, green and blue only, where the picture is green."""
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[..., 1] = 200

    class Text:
        def encode_source(self, source: Source, options: EncodeOptions) -> bytes:
            return options.caption.encode()

        def decode(self, data: bytes, painter: Callable[[str], Image.Image]) -> Image.Image:
            return painter(data.decode())

    def painter(caption: str) -> Image.Image:
        colours = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}
        return Image.new("RGB", (60, 40), next((colours[word] for word in caption.split() if word in colours), 0))

    def distance(picture: Image.Image) -> float:
        return float(np.abs(np.asarray(picture, float) - rgb).mean() / 255)

    def best(*captions: str) -> str:
        trials = try_captions(Text(), Source(rgb, Extras()), EncodeOptions(), captions, painter, distance)  # type: ignore[arg-type]
        assert len(trials) == min(len(captions), 8) and {trial.caption for trial in trials} <= set(captions)
        return trials[0].caption

    assert best("red", "green", "blue") == "green"
    assert best("a green field", "green", "red") == "green"  # the same picture for fewer bytes
    assert best("a very long caption about a green field and more", "") == ""  # not worth its bytes
