"""Exact coder of captions: UTF-8 text to decisions of the range coder, and back (a section of the payload).

A caption is cut into pieces: common English words and word parts from a frozen list, or single bytes. Each
piece is coded as its class given the class of the piece before, then as itself within its class. Text that
this does not suit (another script) is coded byte by byte with adaptive bits. Specified in `formats/mcm.md`,
section "Caption".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

from ..entropy.adaptive import AdaptiveBit
from ..entropy.rangecoder import RangeDecoder, RangeEncoder, Table
from ..errors import FormatError, UsageError

MAX_BYTES = 4096
END = 0
"""Class of the end of the caption; also the class before the first piece."""
BYTE = 1
"""Class of a byte that is in no piece."""
WEIGHTS = tuple((4 + step % 4) << (step // 4) for step in range(64))
"""Weights that the characters "!" (33) to "`" (96) of the prior stand for."""
_RAW_P1 = 128
_LENGTH_BITS = 12


@dataclass(frozen=True, slots=True)
class _Prior:
    classes: list[Table]  # [class before] -> table of the next class
    members: list[Table]  # [class] -> table of its pieces
    pieces: list[list[bytes]]  # [class][member]
    index: dict[bytes, tuple[int, int]]  # piece -> class, member
    longest: int


@cache
def _prior() -> _Prior:
    lines = resources.files(__package__).joinpath("english.txt").read_text(encoding="utf-8").split("\n")
    count = len(lines[0])
    pieces: list[list[bytes]] = [[b""] for _ in range(2)] + [[] for _ in range(2, count)]
    weights: list[list[int]] = [[1] for _ in range(2)] + [[] for _ in range(2, count)]
    for line in lines[count:]:
        number = ord(line[0]) - 33
        pieces[number].append(line[2:].encode())
        weights[number].append(WEIGHTS[ord(line[1]) - 33])
    index = {piece: (c, i) for c in range(2, count) for i, piece in enumerate(pieces[c])}
    return _Prior(
        classes=[Table.from_weights([WEIGHTS[ord(char) - 33] for char in line]) for line in lines[:count]],
        members=[Table.from_weights(row) for row in weights],
        pieces=pieces,
        index=index,
        longest=max(map(len, index)),
    )


def _cost(table: Table, symbol: int) -> int:
    """Information of a symbol in 1/16 bit: an integer, so that the same pieces are chosen everywhere."""
    frequency = int(table.cumulative[symbol + 1] - table.cumulative[symbol])
    return 16 * 16 + 1 - (frequency**16).bit_length()


def _cut(data: bytes, prior: _Prior) -> list[tuple[int, int]]:
    """The cheapest (class, member or byte) pairs that spell `data`: shortest path over (position, class)."""
    # paths[position][class]: cost so far, where the last piece began, the class before it, the piece's number
    paths: list[dict[int, tuple[int, int, int, int]]] = [{} for _ in range(len(data) + 1)]
    paths[0][END] = (0, 0, END, 0)
    steps = [[_cost(table, number) for number in range(table.size)] for table in prior.classes]
    for start, here in enumerate(paths[:-1]):
        for end in range(start + 1, min(start + prior.longest, len(data)) + 1):
            known = prior.index.get(data[start:end])
            if known is None and end > start + 1:
                continue
            number, member = known or (BYTE, data[start])
            own = _cost(prior.members[number], member) if known else 8 * 16
            for before, path in here.items():
                cost = path[0] + steps[before][number] + own
                if number not in paths[end] or cost < paths[end][number][0]:
                    paths[end][number] = (cost, start, before, member)
    number = min(paths[-1], key=lambda last: (paths[-1][last][0] + steps[last][END], last))
    result, position = [(END, 0)], len(data)
    while position:
        _, start, before, member = paths[position][number]
        result.append((number, member))
        position, number = start, before
    return result[::-1]


def _encode_pieces(encoder: RangeEncoder, data: bytes) -> None:
    prior = _prior()
    encoder.bit(0, _RAW_P1)
    before = END
    for number, member in _cut(data, prior):
        encoder.symbol(number, prior.classes[before])
        if number == BYTE:
            encoder.bits(member, 8)
        else:
            encoder.symbol(member, prior.members[number])
        before = number


def _decode_pieces(decoder: RangeDecoder) -> bytes:
    prior = _prior()
    data = bytearray()
    before = END
    while (number := decoder.symbol(prior.classes[before])) != END:
        if number == BYTE:
            data.append(decoder.bits(8))
        else:
            data += prior.pieces[number][decoder.symbol(prior.members[number])]
        if len(data) > MAX_BYTES:
            raise FormatError("the caption is longer than the format allows", "fetch or copy the file again")
        before = number
    return bytes(data)


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


def _encode_raw(encoder: RangeEncoder, data: bytes) -> None:
    encoder.bit(1, _RAW_P1)
    encode_raw(encoder, data)


def encode_raw(encoder: RangeEncoder, data: bytes) -> None:
    """Code 1 to 4096 bytes that no language model fits, with adaptive bits."""
    encoder.bits(len(data) - 1, _LENGTH_BITS)
    model = _ByteModel()
    for byte in data:
        model.encode(encoder, byte)


def decode_raw(decoder: RangeDecoder) -> bytes:
    """Decode what `encode_raw` has coded."""
    length = decoder.bits(_LENGTH_BITS) + 1
    model = _ByteModel()
    return bytes(model.decode(decoder) for _ in range(length))


def encode_caption(encoder: RangeEncoder, text: str) -> None:
    """Code a caption, exactly, character by character.

    Raises:
        UsageError: it is longer than 4096 bytes of UTF-8, or contains half of a surrogate pair.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise UsageError("the caption is not valid Unicode text", "remove unpaired surrogates") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"the caption has {len(data)} bytes, the limit is {MAX_BYTES}", "shorten it")
    sizes = []
    for code in (_encode_pieces, _encode_raw) if data else (_encode_pieces,):
        trial = RangeEncoder()
        code(trial, data)
        sizes.append(len(trial.finish()))
    (_encode_raw if sizes[-1] < sizes[0] else _encode_pieces)(encoder, data)


def decode_caption(decoder: RangeDecoder) -> str:
    """Decode a caption. FormatError if it is too long or not UTF-8, which only a damaged file can contain."""
    data = decode_raw(decoder) if decoder.bit(_RAW_P1) else _decode_pieces(decoder)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FormatError("the caption is not valid text", "fetch or copy the file again") from None
