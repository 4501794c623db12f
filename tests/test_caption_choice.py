"""Choice of captions by rate."""

import pytest

from mcmcodec.caption import choose, coded_size
from mcmcodec.caption.shortest import content
from mcmcodec.errors import UsageError

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
