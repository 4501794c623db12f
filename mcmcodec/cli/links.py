"""What links carry in a message, by name, and the options about messages that encode and split share.

``docs/messages.md`` has the sources of the numbers.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import click

from ..bitstream import armor
from ..bitstream.container import CRC_SIZE, MAGIC
from ..bitstream.messages import OVERHEAD, split
from .batch import JobRunner, Result
from .files import Job


@dataclass(frozen=True, slots=True)
class Link:
    """A kind of link.

    Attributes:
        size: most characters of a message.
        alphabet: whose characters all arrive, each counted as one.
    """

    size: int
    alphabet: str


LINKS: Final = {
    "meshtastic": Link(200, "base91"),
    "meshcore": Link(127, "base91"),
    "aprs": Link(67, "base64"),
    "inreach": Link(160, "base64"),
    "sms": Link(160, "base64"),
}

for_link = click.option(
    "--for", "link", metavar="LINK", type=click.Choice([*LINKS]), help=f"What fits into a message: {', '.join(LINKS)}."
)


def largest_file(link: str, messages: int) -> int:
    """Most bytes of an .mcm file that fits into so many messages of a link, spare ones not counted."""
    chosen = LINKS[link]
    return messages * (armor.room(chosen.size, chosen.alphabet) - OVERHEAD) + len(MAGIC) + CRC_SIZE


def armored(runner: JobRunner, alphabet: str) -> JobRunner:
    """Let what encodes pictures give text instead of files: one message without spare ones, in one line."""

    def as_text(get: Callable[[], Result]) -> Result:
        from ..bitstream.stripped import strip

        result = get()
        assert isinstance(result.data, bytes)
        content, stream = strip(result.data)
        (message,) = split(content, stream, len(content) + OVERHEAD)
        return replace(result, data=f"{armor.armor(message, alphabet)}\n".encode())

    def run(jobs: Sequence[Job]) -> Generator[tuple[Job, Callable[[], Result]], None, None]:
        for job, get in runner(jobs):
            yield job, partial(as_text, get)

    return run
