"""Numbered messages: a file's content in pieces for links that carry few bytes and lose some of them.

``formats/messages.md`` is the specification; its section numbers are given below. Any K messages of a stream bring
the whole content back: pieces are coded with a systematic Reed-Solomon code across messages (Reed and Solomon,
"Polynomial codes over certain finite fields", 1960). A checksum in each message keeps damaged ones and those of other
senders out: it is masked with the stream's identifier, as the parity of Mode S transponders is with the aircraft's
address. Exact; reads untrusted bytes.
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..errors import FormatError, InputError, UsageError

if TYPE_CHECKING:
    from reedsolo import RSCodec

OVERHEAD: Final = 4
"""Bytes of a message that are not content."""
MAX_NEEDED: Final = 128
"""Most messages that a content can be cut into."""
MAX_SPARE: Final = 8
"""Spare messages that there can be beyond one for each needed one (section 4)."""
MAX_REDUNDANCY: Final = 1 + MAX_SPARE
"""Most spare messages for each needed one: as many as there can be for a single one."""

_CODEWORD: Final = 255
_PADDED: Final = 0x80
_MARK: Final = 0x80


@dataclass(frozen=True, slots=True)
class Message:
    """One message, taken apart (section 2).

    Attributes:
        needed: messages that bring the content back, 1..128.
        padded: whether the content is followed by padding.
        index: 0..254; pieces of the content come first, spare messages after them.
        stream: identifier, 0..65535, of what it belongs to; another one if the message was damaged.
        payload: at least one byte.
    """

    needed: int
    padded: bool
    index: int
    stream: int
    payload: bytes

    @property
    def key(self) -> tuple[int, int, bool, int]:
        """What the messages of one stream have in common."""
        return self.stream, self.needed, self.padded, len(self.payload)

    def pack(self) -> bytes:
        """The bytes of the message."""
        start = bytes((self.needed - 1 | _PADDED * self.padded, self.index))
        return start + (_checksum(start, self.payload) ^ self.stream).to_bytes(2, "big") + self.payload

    @classmethod
    def unpack(cls, data: bytes) -> Message | None:
        """Take a message apart; None if it cannot be one."""
        if len(data) <= OVERHEAD:
            return None
        needed = (data[0] & ~_PADDED) + 1
        if data[1] >= needed + spares(needed):
            return None
        payload = data[OVERHEAD:]
        stream = int.from_bytes(data[2:OVERHEAD], "big") ^ _checksum(data[:2], payload)
        return cls(needed, bool(data[0] & _PADDED), data[1], stream, payload)


@dataclass(slots=True)
class Stream:
    """What has arrived of one content.

    Attributes:
        stream: its identifier.
        needed: messages that bring the content back.
        padded: whether the content is followed by padding.
        payloads: by index; messages that contradicted each other are left out.
        contradicted: indexes of those.
    """

    stream: int
    needed: int
    padded: bool
    payloads: dict[int, bytes] = field(default_factory=dict)
    contradicted: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The identifier in four hexadecimal digits."""
        return f"{self.stream:04x}"

    @property
    def complete(self) -> bool:
        """Whether enough has arrived."""
        return len(self.payloads) >= self.needed

    def content(self) -> bytes:
        """The whole content (sections 3 and 4).

        Raises:
            FormatError: too little arrived, or the messages do not belong together.
        """
        if not self.complete:
            raise FormatError(
                f"{len(self.payloads)} of {self.needed} messages that are needed have arrived", "get more of them"
            )
        return self._without_padding(b"".join(_recover(self.payloads, self.needed)))

    def beginning(self) -> bytes:
        """The content up to the first message that is missing; all of it but for padding if none is."""
        found = b"".join(self._leading())
        whole = len(found) == self.needed * len(next(iter(self.payloads.values()), b"-"))
        return self._without_padding(found) if whole else found

    def _leading(self) -> Iterator[bytes]:
        for index in range(self.needed):
            if index not in self.payloads:
                return
            yield self.payloads[index]

    def _without_padding(self, data: bytes) -> bytes:
        if not self.padded:
            return data
        content = data.rstrip(b"\0")
        # there is less padding than messages (section 3), so that each holds some content
        if not 1 <= len(data) - len(content) + 1 < self.needed or content[-1] != _MARK:
            raise FormatError(f"the messages of {self.name} do not belong together", "get them once more")
        return content[:-1]


def spares(needed: int) -> int:
    """Most spare messages for a content of ``needed`` messages (section 4)."""
    return min(needed + MAX_SPARE, _CODEWORD - needed)


def split(content: bytes, stream: int, size: int, redundancy: float = 0.0) -> list[bytes]:
    """Cut a content into messages of equal length.

    Args:
        content: at least one byte.
        stream: identifier, 0..65535.
        size: most bytes of a message.
        redundancy: spare messages for each needed one, 0..9, rounded up to whole messages and down to as many as
            there can be; any of them replaces any that is lost.

    Returns:
        The needed messages, whose payloads are the content in order, and then the spare ones.

    Raises:
        InputError: the content is empty, or does not fit into so many messages of that size.
        UsageError: a number is out of range.
    """
    if not content:
        raise InputError("there is nothing to send", "give a file that codec encode wrote")
    if size <= OVERHEAD:
        raise UsageError(f"messages of {size} bytes hold nothing but their {OVERHEAD} bytes of overhead", "allow more")
    if not 0 <= redundancy <= MAX_REDUNDANCY:
        raise UsageError(
            f"a redundancy of {100 * redundancy:g} % is not from 0 to {100 * MAX_REDUNDANCY} %", "30 % is a usual one"
        )
    needed = -(-len(content) // (size - OVERHEAD))
    if needed > MAX_NEEDED:
        raise InputError(
            f"{len(content)} bytes do not fit into {MAX_NEEDED} messages of {size} bytes",
            "make the file smaller (codec encode --max-bytes), or allow larger messages",
        )
    length = -(-len(content) // needed)
    padding = needed * length - len(content)
    padded = content + (bytes((_MARK,)) + bytes(padding - 1) if padding else b"")
    payloads = [padded[at : at + length] for at in range(0, len(padded), length)]
    # 30 % of 10 are 3, not 4: the product is a float
    wanted = math.ceil(round(redundancy * needed, 6))
    payloads += _spare(payloads, min(wanted, spares(needed)))
    return [Message(needed, padding > 0, index, stream, payload).pack() for index, payload in enumerate(payloads)]


def gather(messages: Iterable[bytes]) -> list[Stream]:
    """Sort messages by what they belong to.

    Args:
        messages: in any order, repeated, damaged, of several senders, or no messages at all.

    Returns:
        Streams, complete ones first and then by messages. A message that was damaged makes a stream of its own.
    """
    found: dict[tuple[int, int, bool, int], Stream] = {}
    for data in messages:
        message = Message.unpack(data)
        if message is None:
            continue
        stream = found.setdefault(message.key, Stream(message.stream, message.needed, message.padded))
        if message.index in stream.contradicted:
            continue
        if stream.payloads.setdefault(message.index, message.payload) != message.payload:
            del stream.payloads[message.index]
            stream.contradicted.add(message.index)
    streams = [stream for stream in found.values() if stream.payloads]
    return sorted(streams, key=lambda one: (not one.complete, -len(one.payloads)))


def _checksum(start: bytes, payload: bytes) -> int:
    """CRC-16 with polynomial 0x1021 and initial value 0xffff over a message without its checksum (section 2)."""
    return binascii.crc_hqx(payload, binascii.crc_hqx(start, 0xFFFF))


def _codec(needed: int) -> RSCodec:
    """The Reed-Solomon code of section 4: GF(256) with polynomial 0x11d, generator 2, first root 2^0."""
    from reedsolo import RSCodec

    return RSCodec(spares(needed), nsize=_CODEWORD, fcr=0, prim=0x11D, generator=2)


def _spare(payloads: Sequence[bytes], wanted: int) -> list[bytes]:
    """The first ``wanted`` spare payloads: one codeword for each byte position."""
    if not wanted:
        return []
    codec, needed = _codec(len(payloads)), len(payloads)
    codewords = [codec.encode(bytes(column)) for column in zip(*payloads, strict=True)]
    return [bytes(codeword[needed + number] for codeword in codewords) for number in range(wanted)]


def _recover(payloads: dict[int, bytes], needed: int) -> list[bytes]:
    """The payloads of the needed messages from any that are enough."""
    missing = [index for index in range(needed) if index not in payloads]
    if not missing:
        return [payloads[index] for index in range(needed)]
    from reedsolo import ReedSolomonError

    codec, total = _codec(needed), needed + spares(needed)
    length = len(next(iter(payloads.values())))
    unknown = [index for index in range(total) if index not in payloads]
    columns = zip(*(payloads.get(index, bytes(length)) for index in range(total)), strict=True)
    try:
        decoded = [codec.decode(bytearray(column), erase_pos=unknown, only_erasures=True)[0] for column in columns]
    except ReedSolomonError:
        raise FormatError("the messages do not belong together", "get them once more") from None
    return [bytes(column[index] for column in decoded) for index in range(needed)]
