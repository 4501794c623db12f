"""Texts that the language model does not suit (other scripts), byte by byte: `formats/captions.md`, section 2."""

from __future__ import annotations

from ..entropy.adaptive import AdaptiveBit
from ..entropy.rangecoder import RangeDecoder, RangeEncoder

MAX_BYTES = 4096
"""Bytes of the caption and all phrases together, in UTF-8."""
_LENGTH_BITS = 12


class _ByteModel:
    """Adaptive model of bytes: eight decisions down a tree, one tree per two high bits of the byte before."""

    def __init__(self) -> None:
        self._trees = [[AdaptiveBit() for _ in range(256)] for _ in range(4)]
        self._before = 0

    def encode(self, encoder: RangeEncoder, byte: int) -> None:
        tree, node = self._trees[self._before >> 6], 1
        for shift in range(7, -1, -1):
            bit = byte >> shift & 1
            tree[node].encode(encoder, bit)
            node = node << 1 | bit
        self._before = byte

    def decode(self, decoder: RangeDecoder) -> int:
        tree, node = self._trees[self._before >> 6], 1
        while node < 256:
            node = node << 1 | tree[node].decode(decoder)
        self._before = node - 256
        return self._before


def encode_raw(encoder: RangeEncoder, data: bytes) -> None:
    """Code 1 to 4096 bytes with adaptive bits."""
    encoder.bits(len(data) - 1, _LENGTH_BITS)
    model = _ByteModel()
    for byte in data:
        model.encode(encoder, byte)


def decode_raw(decoder: RangeDecoder) -> bytes:
    """Decode what `encode_raw` has coded."""
    length = decoder.bits(_LENGTH_BITS) + 1
    model = _ByteModel()
    return bytes(model.decode(decoder) for _ in range(length))
