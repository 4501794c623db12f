"""A file without what its messages say already: the magic, and the checksum but for 16 bits. No torch.

A reader of messages knows that they hold an .mcm file, and can compute the checksum again from the content and the
weights that the header names. Two of its four bytes are the identifier of the messages' stream, which tells whether
all is right. So a file travels in seven bytes fewer (``formats/messages.md``, section 3).
"""

from __future__ import annotations

from ..errors import FormatError
from ..model.weights import find_number
from . import container
from .container import CRC_SIZE, MAGIC, Header
from .messages import Stream


def strip(data: bytes) -> tuple[bytes, int]:
    """What to send of a file.

    Returns:
        The content, and the identifier of its stream.

    Raises:
        FormatError: not an .mcm file, or damaged.
        ModelError: the file's model is not installed, so that nobody can tell whether the file is damaged.
    """
    header, _ = container.parse_header(data)
    container.unpack(data, find_number(header.model, header.variant).fingerprint)
    return data[len(MAGIC) : -CRC_SIZE], container.crc_of(data) & 0xFFFF


def restore(content: bytes, stream: int) -> bytes:
    """The file that a content was taken from.

    Raises:
        FormatError: the content is not that of a file, or the messages do not belong together.
        ModelError: the file's model is not installed.
    """
    body = MAGIC + content
    header = _header(body)
    data = container.seal(body, find_number(header.model, header.variant).fingerprint)
    if container.crc_of(data) & 0xFFFF != stream:
        raise FormatError(
            "checksum is wrong: the messages do not belong together, or the model's weights are not the sender's",
            "get the messages once more, or the weights that the picture was made with",
        )
    return data


def restore_beginning(received: Stream) -> bytes:
    """The beginning of a file, as far as the first messages say it, to be decoded as one that was cut short.

    Raises:
        FormatError: not even the header has arrived, or it is not that of a file.
    """
    content = received.beginning()
    if not content:
        raise FormatError("the first message is missing, and nothing can be read without it", "get it once more")
    # Whoever reads a file that was cut short leaves its last three bytes alone, which may be the checksum's. No
    # checksum has arrived: three bytes that say nothing save those of the content.
    body = MAGIC + content
    _header(body)
    return body + bytes(CRC_SIZE - 1)


def _header(body: bytes) -> Header:
    """The header of a file without its checksum; nothing has checked it yet, so its errors would mean little."""
    try:
        return container.parse_header(body + bytes(CRC_SIZE))[0]
    except FormatError:
        raise FormatError(
            "the messages hold no .mcm file that this version can read", "get them once more, or update mcmcodec"
        ) from None
