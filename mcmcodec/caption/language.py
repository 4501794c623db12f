"""Frozen language model of captions: exact frequencies of the next token, given the tokens before it.

An interpolated n-gram model in integers: each longer context in the frozen file gives a share of the probability to the
tokens seen after it, and leaves the rest to the shorter contexts. Specified in
`formats/captions.md`, section "Language model".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..entropy.rangecoder import Table
from ..errors import ModelError

FILE = "words-2.safetensors"
SHA256 = "70b7053c30842056640e22b50e6b24fe1fb0bae6bd30ace954325c56b6b6a73f"
END = 0
"""Token of the end of a text; also the one before its first."""
FIRST_BYTE = 1
"""Token 1 + b is the single byte b."""
TOTAL = 1 << 24
_UNIT = 20
_ECHO = 3
"""One share in 2**_ECHO of a phrase's probability goes to the words of the caption."""

CHUNKS = re.compile(r" ?[^\W\d_]+(?:['\u2019-][^\W\d_]+)*| ?\d+| ?[^\w\s]+|\s+|_+")
"""Chunks of a text before its tokens are looked up. Only encoders need it."""


def value_of(code: NDArray[Any]) -> NDArray[np.int64]:
    """Probabilities in units of 2**-20 that byte codes stand for: sixteen steps an octave."""
    wide = code.astype(np.int64)
    return (16 + (wide & 15)) << (wide >> 4)


def cut(text: str, index: dict[bytes, int]) -> list[int]:
    """Tokens that spell a text: whole chunks where there is a token, else the longest tokens from the left."""
    found: list[int] = []
    for chunk in CHUNKS.findall(text):
        data = chunk.encode()
        at = 0
        while at < len(data):
            end = min(len(data), at + 32)
            while data[at:end] not in index:
                end -= 1
            found.append(index[data[at:end]])
            at = end
    return found


class LanguageModel:
    """The model in memory.

    Args:
        arrays: the tensors of the frozen file: `text` (bytes of all tokens), `lengths` (V,), `base` (V,), and for
            each order k from 2 `next.k`, `code.k` (entries,) and `children.k` (entries of order k - 1,).

    Attributes:
        tokens: the bytes of each token, by number; that of `END` is empty.
        index: the number of each token but `END`, by bytes.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        ends = np.cumsum(arrays["lengths"], dtype=np.int64).tolist()
        text = arrays["text"].tobytes()
        self.tokens = [text[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        self.index = {token: number for number, token in enumerate(self.tokens) if token}
        self._base = arrays["base"].astype(np.int64)
        self._room = TOTAL - len(self.tokens)
        self._levels = []
        order = 2
        while f"next.{order}" in arrays:
            starts = np.concatenate(([0], np.cumsum(arrays[f"children.{order}"], dtype=np.int64)))
            self._levels.append((starts, arrays[f"next.{order}"], arrays[f"code.{order}"]))
            order += 1

    def _successors(self, context: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Tokens known after a context, ascending, and their codes; None if the file has no such context."""
        node = context[0]
        for level, (starts, follow, codes) in enumerate(self._levels[: len(context)]):
            start, end = int(starts[node]), int(starts[node + 1])
            if start == end:
                return None
            if level == len(context) - 1:
                return follow[start:end], codes[start:end]
            token = context[level + 1]
            node = start + int(np.searchsorted(follow[start:end], token))
            if node == end or follow[node] != token:
                return None
        return None

    def frequencies(self, history: Sequence[int], echo: Sequence[int] = ()) -> NDArray[np.int64]:
        """Frequencies (V,) of the next token, each at least 1, with the sum 2**24.

        Args:
            history: all tokens of this text so far, the first of them `END`.
            echo: different tokens that are likely again: those of the caption, in a phrase.
        """
        share = self._base
        for size in range(1, min(len(history), len(self._levels)) + 1):
            found = self._successors(history[-size:])
            if found is None:
                continue
            values = value_of(found[1])
            share = share * ((1 << _UNIT) - int(values.sum())) >> _UNIT
            share[found[0]] += values * self._room >> _UNIT
        if echo:
            share = share * ((1 << _ECHO) - 1) >> _ECHO
            share[list(echo)] += (self._room >> _ECHO) // len(echo)
        share = share + 1
        share[int(share.argmax())] += TOTAL - int(share.sum())
        return share

    def table(self, history: Sequence[int], echo: Sequence[int] = ()) -> Table:
        """The frequencies as a table of the range coder."""
        return Table.fine(self.frequencies(history, echo))


@cache
def load() -> LanguageModel:
    """The frozen model, read when first needed. ModelError if its file is missing or another one."""
    from safetensors.numpy import load as parse

    return LanguageModel(parse(checked()))


def checked() -> bytes:
    """The frozen file. ModelError if it is missing or another one."""
    try:
        data = Path(__file__).with_name(FILE).read_bytes()
    except OSError:
        data = b""
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ModelError(f"the language model {FILE} is missing or damaged", "install mcmcodec again")
    return data
