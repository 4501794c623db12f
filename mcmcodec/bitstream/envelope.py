"""Messages as they arrive: binary ones, frames of a serial line, or text; and a file out of text. No torch.

Binary messages that follow each other are framed as on the serial line of a packet radio (Chepponis and Karn, "The KISS
TNC", 1987), which many radios take as it is (``formats/messages.md``, section 6).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from ..errors import FormatError, McmError
from . import armor
from .container import MAGIC
from .messages import Stream, gather
from .stripped import restore, restore_beginning

_END, _ESCAPE = b"\xc0", b"\xdb"
_ESCAPED_END, _ESCAPED_ESCAPE = b"\xdb\xdc", b"\xdb\xdd"
_DATA: Final = b"\0"
"""KISS command of a frame that holds data, on port 0."""


def to_frames(messages: Iterable[bytes]) -> bytes:
    """Frame messages, one KISS data frame each."""
    escaped = (one.replace(_ESCAPE, _ESCAPED_ESCAPE).replace(_END, _ESCAPED_END) for one in messages)
    return b"".join(_END + _DATA + one + _END for one in escaped)


def messages_in(data: bytes) -> Iterator[bytes]:
    """Everything in an input that may be a message.

    Args:
        data: text with armored messages in it, KISS frames, or one binary message.

    Yields:
        Candidates; whether one is a message shows only when it is joined with others.
    """
    text = armor.read_text(data)
    found = list(armor.find(text)) if text is not None else []
    if found:
        yield from found
        return
    # a binary message may have in it what frames begin with, and a serial line rubbish in front of them
    if _END + _DATA in data:
        yield from _from_frames(data)
    yield data


def unwrap(data: bytes, *, allow_truncated: bool = False) -> bytes:
    """The .mcm file that a text holds in its messages; data that is not such a text is returned as it is.

    Args:
        data: an input of a program that reads .mcm files.
        allow_truncated: give the beginning of the file if messages are missing.

    Raises:
        FormatError: messages are missing, or they hold no .mcm file.
        ModelError: the file's model is not installed.
    """
    text = None if data.startswith(MAGIC) else armor.read_text(data)
    if text is None or not armor.begins_in(text):
        return data
    failure: McmError | None = None
    for stream in gather(armor.find(text)):
        try:
            return file_of(stream, allow_truncated=allow_truncated)
        except McmError as error:
            failure = failure or error
    raise failure or FormatError("a text without a whole message in it", "copy it again, from hyphen to hyphen")


def file_of(stream: Stream, *, allow_truncated: bool = False) -> bytes:
    """The file of a stream, or its beginning if that is allowed and messages are missing.

    Raises:
        FormatError: messages are missing, do not belong together, or hold no .mcm file.
        ModelError: the file's model is not installed.
    """
    if allow_truncated and not stream.complete:
        return restore_beginning(stream)
    return restore(stream.content(), stream.stream)


def _from_frames(data: bytes) -> Iterator[bytes]:
    """The data frames of port 0; a damaged frame gives nothing."""
    for frame in data.split(_END):
        if frame[:1] == _DATA and not re.search(rb"\xdb(?![\xdc\xdd])", frame):
            yield re.sub(rb"\xdb([\xdc\xdd])", lambda match: _END if match[1] == b"\xdc" else _ESCAPE, frame[1:])
