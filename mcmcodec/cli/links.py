"""What links carry in a message, by name, and the options about messages that encode and split share.

``docs/messages.md`` has the sources of the numbers.
"""

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import click

from ..bitstream import armor
from ..bitstream.container import CRC_SIZE, MAGIC
from ..bitstream.messages import MAX_NEEDED, OVERHEAD, split
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


@dataclass(frozen=True, slots=True)
class Messages:
    """So many messages of a link, spare ones not counted."""

    link: str
    count: int

    def largest_file(self) -> int:
        """Most bytes of an .mcm file that fits into them."""
        link = LINKS[self.link]
        return self.count * (armor.room(link.size, link.alphabet) - OVERHEAD) + len(MAGIC) + CRC_SIZE


def _messages(context: click.Context, option: click.Parameter, text: str | None) -> Messages | None:
    """``sms`` or ``sms:3``. BadParameter when it is something else."""
    if text is None:
        return None
    link, _, count = text.partition(":")
    if link not in LINKS or not re.fullmatch("(?:[1-9][0-9]{0,2})?", count) or int(count or 1) > MAX_NEEDED:
        known = ", ".join(LINKS)
        raise click.BadParameter(f"{text!r} is not a link ({known}), with up to :{MAX_NEEDED} behind it for messages.")
    return Messages(link, int(count or 1))


for_link = click.option(
    "--for", "link", metavar="LINK", type=click.Choice([*LINKS]), help=f"What fits into a message: {', '.join(LINKS)}."
)
for_messages = click.option(
    "--for", "messages", metavar="LINK[:N]", callback=_messages, help="What fits into N messages: sms, meshtastic, ..."
)


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
