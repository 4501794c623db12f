"""``codec split``: .mcm files to numbered messages for links that carry few bytes and lose some of them."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import click

from ..bitstream import armor
from ..bitstream.messages import MAX_REDUNDANCY, Message
from ..bitstream.messages import split as cut
from ..errors import UsageError
from . import shared_options
from .batch import ALL_SKIPPED, FAILED, OK, OutputPolicy, decide_action
from .console import complain, explain, printable
from .files import STREAM, Job, Plan, guard_stdin, guard_terminal, plan, read
from .links import LINKS, for_link
from .output import OutputExists, write

FOLDER: Final = ".messages"
"""Extension of a folder of numbered messages."""
BINARY, TEXT = ".msg", ".txt"
_NUMBERED: Final = re.compile(rf"\d{{3}}(?:{re.escape(BINARY)}|{re.escape(TEXT)})")


def _share(context: click.Context, option: click.Parameter, text: str) -> float:
    """``30%`` or ``30`` as 0.3. BadParameter when it is something else."""
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?) ?%?", text, re.ASCII)
    if match is None or float(match[1]) > 100 * MAX_REDUNDANCY:
        raise click.BadParameter(f"{text!r} is not from 0% to {100 * MAX_REDUNDANCY}%; 30% is a usual redundancy.")
    return float(match[1]) / 100


@click.command(name="split", short_help="Cut .mcm files into messages for radio links.")
@shared_options.inputs
@shared_options.output(f"a folder beside it, {FOLDER}")
@for_link
@click.option("--size", metavar="N", type=click.IntRange(1, 65535), help="Most bytes of a message, or characters.")
@click.option(
    "--redundancy", metavar="SHARE", default="0%", callback=_share, show_default=True,
    help="Spare messages: 30% replace any 3 of 10 that get lost.",
)  # fmt: skip
@click.option("--armor", "as_text", is_flag=True, help="Printable text, in Base91 unless --for or --alphabet says.")
@click.option("--alphabet", type=click.Choice([*armor.ALPHABETS]), help="The text's characters; implies --armor.")
@shared_options.files_and_messages
def split(
    inputs: tuple[str, ...], output: str | None, recursive: bool, link: str | None, size: int | None, redundancy: float,
    as_text: bool, alphabet: str | None, **given: Any,
) -> int:  # fmt: skip
    """Cut .mcm files into messages; codec join puts them together again.

    With spare messages, any that arrive bring the whole picture back if
    they are as many as there would be without spare ones. The overhead is
    4 bytes a message. --for gives text of the link's alphabet; --size
    counts characters of text, else bytes.

    Messages are written as files 001, 002, ... into a folder. With -o FILE
    or -o - they follow each other: text line by line, bytes in KISS frames.

    \b
    Examples:
      codec split --for meshtastic --redundancy 30% photo.mcm
      codec split --size 233 photo.mcm
      codec split --for sms photo.mcm -o - | while read -r line; do
        send "$line"; done
    """
    policy = shared_options.output_policy(given)
    preset = LINKS[link] if link else None
    if size is None and preset is None:
        raise UsageError("nothing says how much a message may hold", f"give --size, or --for {', '.join(LINKS)}")
    if preset or as_text:
        alphabet = alphabet or (preset.alphabet if preset else "base91")
    limit = size or (preset.size if preset else 0)
    room = armor.room(limit, alphabet) if alphabet else limit
    planned = plan(inputs, output, recursive=recursive, accept=frozenset((".mcm",)), suffix=FOLDER)
    return _run(planned, _Splitter(room, redundancy, alphabet), policy)


class _Splitter:
    """Cuts files into messages, and messages into outputs."""

    def __init__(self, room: int, redundancy: float, alphabet: str | None) -> None:
        self._room, self._redundancy, self.alphabet = room, redundancy, alphabet

    def messages(self, data: bytes) -> list[bytes]:
        """The messages of a file; errors as of :func:`strip` and :func:`cut`."""
        from ..bitstream.stripped import strip

        content, stream = strip(data)
        return cut(content, stream, self._room, self._redundancy)

    def outputs(self, target: str, messages: list[bytes]) -> Iterator[tuple[str, bytes]]:
        """Paths, and what to write there: one for each message if the target is a folder of them."""
        from ..bitstream.envelope import to_frames

        lines = [f"{armor.armor(one, self.alphabet)}\n".encode() for one in messages] if self.alphabet else []
        if not target.endswith(FOLDER):
            yield target, b"".join(lines) or to_frames(messages)
            return
        for number, data in enumerate(lines or messages, start=1):
            yield os.path.join(target, f"{number:03d}{TEXT if lines else BINARY}"), data


def _run(plan: Plan, splitter: _Splitter, policy: OutputPolicy) -> int:
    """Do every job; return the exit code."""
    jobs = plan.jobs
    to_stdout = any(job.target == STREAM for job in jobs)
    if policy.json and to_stdout:
        raise UsageError("--json and the data cannot both go to stdout", "give a file with -o")
    if splitter.alphabet:
        guard_stdin(job.source for job in jobs)
    else:
        guard_terminal(jobs)
    if len(jobs) == 1 and not policy.quiet:
        policy = replace(policy, verbose=True)
    if (collisions := plan.collisions()) and not policy.dry_run:
        complain(collisions)
    statuses, counts = zip(*(_do(job, splitter, policy) for job in jobs), strict=True)
    if len(jobs) > 1 and not policy.quiet and not policy.dry_run:
        done = statuses.count("ok")
        parts = [f"{done} file{'' if done == 1 else 's'}, {sum(counts)} message{'' if sum(counts) == 1 else 's'}"]
        parts += [f"{statuses.count(what)} {what}" for what in ("skipped", "failed") if what in statuses]
        click.echo(", ".join(parts), err=True)
    if "failed" in statuses:
        return FAILED
    return ALL_SKIPPED if set(statuses) == {"skipped"} else OK


def _do(job: Job, splitter: _Splitter, policy: OutputPolicy) -> tuple[str, int]:
    """Do a job and report it; return what became of it, and how many messages it gave."""
    facts: dict[str, object] = {}
    try:
        action = decide_action(job, policy)
        if action == "skip":
            status = "skipped"
        elif action != "do":
            status, facts = "refused" if policy.dry_run else "failed", {"error": action}
        else:
            facts = _split_file(job, splitter, policy)
            status = "planned" if policy.dry_run else "ok"
    except (BrokenPipeError, UsageError):
        # A closed pipe, or an option that is wrong, is the same for all files.
        raise
    # As in batch: one bad file must not cost the others.
    except Exception as error:
        status, facts = "failed", {"error": explain(error, job.source)}
    _report(job, status, facts, policy)
    return status, int(str(facts.get("messages", 0)))


def _split_file(job: Job, splitter: _Splitter, policy: OutputPolicy) -> dict[str, object]:
    """Cut one file and write its messages; return what there is to say about them."""
    data = read(job.source)
    messages = splitter.messages(data)
    first = Message.unpack(messages[0])
    assert first is not None
    outputs = list(splitter.outputs(job.target, messages))
    facts: dict[str, object] = {
        "stream": f"{first.stream:04x}", "needed": first.needed, "messages": len(messages), "bytes_in": len(data),
        "bytes_out": sum(len(out) for _, out in outputs),
        "largest": max(len(armor.armor(one, splitter.alphabet) if splitter.alphabet else one) for one in messages),
        "unit": "characters" if splitter.alphabet else "bytes",
    }  # fmt: skip
    if policy.dry_run:
        return facts
    if job.target.endswith(FOLDER) and policy.force:
        _remove_messages(job.target)
    for path, out in outputs:
        try:
            write(path, out, replace=policy.force, made_of=(job.source,))
        except OutputExists:
            raise OutputExists.of(job.target) from None
    return facts


def _remove_messages(folder: str) -> None:
    """Remove the numbered messages of an older set, which might be more than the new ones."""
    if os.path.isdir(folder):
        for name in os.listdir(folder):
            if _NUMBERED.fullmatch(name):
                os.unlink(os.path.join(folder, name))


def _report(job: Job, status: str, facts: dict[str, object], policy: OutputPolicy) -> None:
    if status == "failed" and not job.collision:
        complain(str(facts["error"]), job.name)
    if policy.json:
        click.echo(json.dumps({**job.names(), "status": status, **facts}))
        return
    line = f"{job.name} -> {job.target_name}"
    if policy.dry_run:
        note = {"skipped": " (skipped: it exists)", "refused": f" (refused: {facts.get('error')})"}.get(status, "")
        if status != "failed":
            click.echo(printable(line + note))
    elif status == "ok" and policy.verbose:
        count = f"{facts['messages']} message{'' if facts['messages'] == 1 else 's'} of up to {facts['largest']}"
        spare = "" if facts["messages"] == facts["needed"] else f", any {facts['needed']} of them enough"
        click.echo(printable(f"{line}: {count} {facts['unit']}{spare}"), err=True)
