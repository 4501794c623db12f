"""``codec join``: .mcm files out of whatever messages have arrived."""

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import FormatError, InputError, McmError, UsageError
from . import shared_options
from .batch import FAILED, JobRunner, Result, run
from .console import complain, explain, printable
from .files import STREAM, Found, Job, Plan, find, guard_stdin, read
from .split import BINARY, TEXT

if TYPE_CHECKING:
    from ..bitstream.messages import Stream

MAX_INPUT: Final = 2**26
"""Bytes of an input, so that looking for messages in it takes no more than a minute."""
_ACCEPTED: Final = frozenset((BINARY, TEXT, ".kiss"))


def _stream_name(context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    """Four hexadecimal digits. BadParameter when it is something else."""
    if name is not None and (len(name) != 4 or not set(name.lower()) <= set("0123456789abcdef")):
        raise click.BadParameter(f"{name!r} is not four hexadecimal digits, as codec split prints them.")
    return name and name.lower()


@click.command(short_help="Put messages together to .mcm files.")
@shared_options.inputs
@shared_options.output("by the input, or by the stream")
@click.option("--allow-truncated", is_flag=True, help="Write what the first messages say if others are missing.")
@click.option("--stream", metavar="ID", callback=_stream_name, help="Of several pictures, only this one.")
@shared_options.files_and_messages
def join(
    inputs: tuple[str, ...], output: str | None, recursive: bool, allow_truncated: bool, stream: str | None,
    **given: Any,
) -> int:  # fmt: skip
    """Put the messages of codec split together again, whatever has arrived.

    Takes folders of messages, texts with messages in them (logs of chats,
    e-mail, other people's words around), and KISS frames; in any order,
    with repeated, damaged and other senders' messages among them.

    Exit code 0: at least one picture is whole. 1: none is.

    \b
    Examples:
      codec join photo.messages
      codec join log.txt -o photo.mcm
      codec join --allow-truncated log.txt && codec decode --allow-truncated log.mcm
      receive | codec join - -o photo.mcm
    """
    policy = shared_options.output_policy(given)
    found = find(inputs, recursive=recursive, accept=_ACCEPTED)
    guard_stdin(one.path for one in found)
    messages, unreadable = _collect(found)
    if unreadable and not messages:
        return FAILED
    pictures = _pictures(messages, allow_truncated=allow_truncated, only=stream, quiet=policy.quiet)
    jobs = _jobs(pictures, inputs, output)
    paths = tuple(one.path for one in found)
    code = run(Plan([*jobs]), lambda show: _job_runner(jobs, paths), policy, compressed="out")
    return FAILED if unreadable else code


@dataclass(frozen=True, slots=True)
class _Picture:
    """A file that messages hold, whole or its beginning."""

    stream: "Stream"
    data: bytes

    def result(self, made_of: tuple[str, ...]) -> Result:
        """What to write and to report."""
        from ..bitstream.container import parse_header

        stream = self.stream
        header, _ = parse_header(self.data + bytes(4))
        arrived = sum(map(len, stream.payloads.values()))
        lost = () if stream.complete else (f"only its beginning: {_missing(stream)}",)
        details = {"stream": stream.name, "arrived": len(stream.payloads), "needed": stream.needed}
        return Result(self.data, arrived, header.width, header.height, details, lost, made_of=made_of)


def _collect(found: Sequence[Found]) -> tuple[list[bytes], bool]:
    """Everything in the inputs that may be a message, each once; and whether an input could not be read."""
    from ..bitstream.envelope import messages_in

    messages: dict[bytes, None] = {}
    unreadable = False
    for one in found:
        try:
            data = read(one.path)
            if len(data) > MAX_INPUT:
                raise InputError(f"larger than {MAX_INPUT} bytes", "give the part with the messages in it")
            messages.update(dict.fromkeys(messages_in(data)))
        # One bad file must not cost the others.
        except (OSError, McmError) as error:
            unreadable = True
            complain(explain(error, one.path), one.name)
    return [*messages], unreadable


def _pictures(messages: Sequence[bytes], *, allow_truncated: bool, only: str | None, quiet: bool) -> list[_Picture]:
    """The pictures that messages hold; others that have begun to arrive are told of.

    Raises:
        FormatError: there are none.
        ModelError: those that are there need a model that is not installed.
    """
    from ..bitstream.envelope import file_of
    from ..bitstream.messages import gather

    streams = [one for one in gather(messages) if only in (None, one.name)]
    pictures: list[_Picture] = []
    failure: McmError | None = None
    for stream in streams:
        # with whole pictures there, beginnings of others are not what was meant, unless asked for by name
        if not stream.complete and not (allow_truncated and (only or not pictures)):
            continue
        try:
            pictures.append(_Picture(stream, file_of(stream, allow_truncated=allow_truncated)))
        except McmError as error:
            # a text that is no message, or a damaged one, makes a stream of its own: the fullest one's error counts
            failure = failure or (error if len(stream.payloads) > 1 or stream.needed == 1 else None)
    whole = [one for one in pictures if one.stream.complete]
    joined = {id(one.stream) for one in whole or pictures}
    begun = [one for one in streams if id(one) not in joined and not one.complete and len(one.payloads) > 1]
    if not pictures:
        raise _nothing(streams, begun, failure, allow_truncated, only)
    for stream in () if quiet else begun:
        click.echo(printable(f"also there: {stream.name}, {_missing(stream)}"), err=True)
    return whole or pictures


def _nothing(
    streams: Sequence["Stream"], begun: Sequence["Stream"], failure: McmError | None, allow_truncated: bool,
    only: str | None,
) -> McmError:  # fmt: skip
    """The error to raise where no picture is whole."""
    if begun and not allow_truncated:
        remedy = "get more of them, or give --allow-truncated for what the first ones say"
        return FormatError(f"{begun[0].name}: {_missing(begun[0])}", remedy)
    if failure:
        return failure
    if not streams:
        remedy = "copy texts whole, from the digit in front of the first hyphen to the last hyphen"
        return FormatError(f"no messages of {only} in it" if only else "no messages in it", remedy)
    return FormatError("no two messages belong together", "get more of them; damaged ones look like other senders'")


def _missing(stream: "Stream") -> str:
    """What has arrived of a stream, in words."""
    return f"{len(stream.payloads)} of {stream.needed} messages that are needed have arrived"


def _jobs(pictures: Sequence[_Picture], inputs: Sequence[str], output: str | None) -> dict[Job, _Picture]:
    """Decide where each picture goes.

    Raises:
        UsageError: several pictures would go to one place.
    """
    folder = output is not None and output != STREAM and (os.path.isdir(output) or output.endswith(os.sep))
    names = ", ".join(one.stream.name for one in pictures)
    if len(pictures) > 1 and not folder and (output is not None or inputs == (STREAM,)):
        raise UsageError(
            f"{len(pictures)} pictures are there: {names}", "choose with --stream, or give a folder with -o"
        )
    jobs = {}
    for picture in pictures:
        target = f"{picture.stream.name}.mcm"
        if folder:
            target = os.path.join(str(output), target)
        elif output is not None:
            target = output
        elif len(inputs) == 1 and len(pictures) == 1:
            bare = inputs[0].rstrip(os.sep)
            target = STREAM if bare == STREAM else os.path.splitext(bare)[0] + ".mcm"
        jobs[Job(inputs[0] if len(inputs) == 1 else picture.stream.name, target)] = picture
    return jobs


def _job_runner(pictures: dict[Job, _Picture], made_of: tuple[str, ...]) -> JobRunner:
    def run_jobs(jobs: Sequence[Job]) -> Generator[tuple[Job, Callable[[], Result]], None, None]:
        for job in jobs:
            yield job, partial(pictures[job].result, made_of)

    return run_jobs
