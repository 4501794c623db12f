"""Choice between captions by rate: of several with the same content, the one that takes the fewest bytes.

Content words are all but articles, prepositions and the like, compared without case and endings. The weight of each is
the number of candidates that contain it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ..entropy.rangecoder import RangeEncoder
from . import coder
from .words import Words

SHARE = 0.9
"""A caption is good enough when it has this share of the most content that any candidate has."""
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about above across after along an and another are around as at away be behind being below beside between
        by down for from front has have he her his in inside into is it its near next of off on one onto other out
        over she some something that the their them there they this through to together top toward towards two under
        up very was were what where which while who with
        """,
    )
)


def coded_size(text: str) -> int:
    """Bytes that a caption takes when it is coded alone, rounded up. UsageError if it cannot be coded."""
    encoder = RangeEncoder()
    coder.encode(encoder, Words(text), (1, 1))
    return len(encoder.finish())


def content(text: str) -> set[str]:
    """The content words of a caption, in lower case and without the endings of plurals and verbs."""
    words = re.findall(r"[^\W_]+", text.lower())
    return {re.sub(r"(?<=\w\w\w)(ing|es|ed|s)$", "", word) for word in words if word not in _FUNCTION_WORDS}


def choose(candidates: Sequence[str], limit: int | None = None) -> str:
    """The candidate that keeps the content words in the fewest bytes.

    Of the candidates that fit, those with nine tenths of the most content are compared by size. If none fits,
    candidates are cut after whole words until they do.

    Args:
        candidates: captions of one picture; empty ones are passed over.
        limit: most bytes that the caption may take when coded alone; None for no limit.

    Returns:
        One of the candidates, the beginning of one, or an empty string if nothing fits.

    Raises:
        UsageError: a candidate is longer than a caption may be, or is not valid Unicode text.
    """
    texts = list(dict.fromkeys(text for text in candidates if text))
    weight: Counter[str] = Counter(word for text in texts for word in content(text))
    sizes = {text: coded_size(text) for text in texts}
    if limit is not None and texts and min(sizes.values()) > limit:
        texts = [cut for text in texts if (cut := _cut(text, limit))]
        sizes = {text: coded_size(text) for text in texts}
    values = {
        text: sum(weight[word] for word in content(text)) for text in texts if limit is None or sizes[text] <= limit
    }
    if not values:
        return ""
    enough = SHARE * max(values.values())
    return min((text for text in values if values[text] >= enough), key=lambda text: (sizes[text], -values[text]))


def versions(candidates: Sequence[str], limit: int | None = None) -> list[str]:
    """Captions to try where their worth can be measured.

    That of :func:`choose` comes first, then the others, then shorter ones of them all: the beginning with half of the
    content words, and the content words alone.

    Args:
        candidates: captions of one picture.
        limit: most bytes that one may take when coded alone; None for no limit.

    Raises:
        UsageError: as :func:`choose`.
    """
    whole = list(dict.fromkeys((choose(candidates, limit), *candidates)))
    shorter = [cut for text in whole for cut in (_half(text), _bare(text))]
    found = dict.fromkeys(text for text in (*whole, *shorter) if text)
    return [text for text in found if limit is None or coded_size(text) <= limit]


def _half(text: str) -> str:
    """The beginning of a text that has half of its content words, rounded up."""
    ends = _ends(text)
    return text[: ends[(len(ends) - 1) // 2]] if ends else text


def _bare(text: str) -> str:
    """The content words of a text, as they are."""
    return " ".join(word for word in re.findall(r"[^\W_]+", text) if word.lower() not in _FUNCTION_WORDS)


def _ends(text: str) -> list[int]:
    """Where the content words of a text end."""
    return [match.end() for match in re.finditer(r"[^\W_]+", text) if match.group().lower() not in _FUNCTION_WORDS]


def _cut(text: str, limit: int) -> str:
    """The longest beginning of whole words, function words at its end dropped, that takes at most ``limit`` bytes."""
    for end in reversed(_ends(text)):
        if coded_size(text[:end]) <= limit:
            return text[:end]
    return ""
