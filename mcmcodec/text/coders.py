"""The caption coders by name. A model's card names one under "captions"; without it, it is the first."""

from __future__ import annotations

from typing import Protocol

from ..entropy.rangecoder import RangeDecoder, RangeEncoder
from ..errors import ModelError, UsageError
from . import captions, language, words
from .regions import Words

DEFAULT = "english-1"


class Coder(Protocol):
    """Codes the words of a file as the first section of the payload. Module `words` is one."""

    def encode(self, encoder: RangeEncoder, what: Words, grid: tuple[int, int]) -> None:
        """Code words, exactly, character by character; ``grid`` is the picture's rows and columns of patches.

        UsageError: too long, not valid Unicode text, a box outside the grid, or regions are more than it can code.
        """

    def decode(self, decoder: RangeDecoder, grid: tuple[int, int]) -> Words:
        """Decode words. FormatError if the file is damaged."""


class _English1:
    def encode(self, encoder: RangeEncoder, what: Words, grid: tuple[int, int]) -> None:
        if what.regions:
            raise UsageError("this model's captions have no regions", "leave them out, or choose another model")
        captions.encode_caption(encoder, what.text)

    def decode(self, decoder: RangeDecoder, grid: tuple[int, int]) -> Words:
        return Words(captions.decode_caption(decoder))


_CODERS: dict[str, Coder] = {DEFAULT: _English1(), "words-2": words}
_FILES = {DEFAULT: "", "words-2": language.SHA256}


def find(name: str) -> Coder:
    """The coder of that name. ModelError if this version does not have it."""
    if name not in _CODERS:
        raise ModelError(f"the model needs the caption coder {name}, which is not here", "update mcmcodec")
    return _CODERS[name]


def card(name: str) -> dict[str, str]:
    """What a model's card says under "captions" to use a coder other than the first."""
    return {"name": name, "sha256": _FILES[name]}


def check(name: str, sha256: str) -> None:
    """Whether this version has the coder with exactly this frozen file. ModelError if not."""
    find(name)
    if _FILES[name] != sha256:
        raise ModelError(f"the model needs other data of the caption coder {name} than is here", "update mcmcodec")
