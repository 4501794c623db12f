"""The caption coders by name. A model's card names one under "captions"; without it, it is the first."""

from __future__ import annotations

from typing import Protocol

from ..entropy.rangecoder import RangeDecoder, RangeEncoder
from ..errors import ModelError
from . import captions

DEFAULT = "english-1"


class Coder(Protocol):
    """Codes a caption as the first section of the payload."""

    def encode(self, encoder: RangeEncoder, text: str) -> None:
        """Code a caption, exactly, character by character. UsageError if it cannot be coded."""

    def decode(self, decoder: RangeDecoder) -> str:
        """Decode a caption. FormatError if the file is damaged."""


class _English1:
    def encode(self, encoder: RangeEncoder, text: str) -> None:
        captions.encode_caption(encoder, text)

    def decode(self, decoder: RangeDecoder) -> str:
        return captions.decode_caption(decoder)


_CODERS: dict[str, Coder] = {DEFAULT: _English1()}


def find(name: str) -> Coder:
    """The coder of that name. ModelError if this version does not have it."""
    if name not in _CODERS:
        raise ModelError(f"the model needs the caption coder {name}, which is not here", "update mcmcodec")
    return _CODERS[name]
