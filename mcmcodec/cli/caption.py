"""``codec caption``: prints a file's caption, or changes it and nothing else. Never imports torch."""

import json
from dataclasses import dataclass

import click

from ..errors import UsageError
from . import shared_options
from .batch import FAILED, OK
from .console import complain, explain, printable
from .files import STREAM, Job, find, guard_terminal, read
from .output import write


@dataclass(frozen=True, slots=True)
class _Edit:
    """How a caption changes: it is replaced, lengthened or removed, or stays if all are unset."""

    new: str | None
    more: str | None
    remove: bool

    def __bool__(self) -> bool:
        return self.new is not None or self.more is not None or self.remove

    def __call__(self, old: str) -> str:
        if self.more is not None:
            return f"{old} {self.more}" if old else self.more
        return self.new or ""


@click.command(short_help="Show or change the captions of .mcm files.")
@click.argument("inputs", metavar="FILES|FOLDERS|-", nargs=-1, required=True)
@click.option("--set", "new", metavar="TEXT", help="Replace the caption by this one.")
@click.option("--append", "more", metavar="TEXT", help="Add text to the caption, after a space.")
@click.option("--remove", is_flag=True, help="Remove the caption.")
@shared_options.recursive
@shared_options.dry_run
@click.option("--quiet", is_flag=True, help="Print errors only when changing captions.")
@shared_options.as_json
def caption(
    inputs: tuple[str, ...], new: str | None, more: str | None, remove: bool, recursive: bool, dry_run: bool,
    quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """Show or change the captions of .mcm files.

    A change touches the caption and the checksum only: the picture stays the
    same, bit for bit. Files are changed in place, each whole or not at all;
    what comes from stdin goes to stdout.

    \b
    Examples:
      codec caption photo.mcm
      codec caption photo.mcm --set "a dog on the beach"
      codec caption -r album --append "Summer 1999."
      codec caption - --remove < photo.mcm > bare.mcm
    """
    if (new is not None) + (more is not None) + remove > 1:
        raise UsageError("--set, --append and --remove contradict each other", "give one of them")
    if "" in (new, more):
        raise UsageError("the text is empty", "give --remove to remove a caption")
    edit = _Edit(new, more, remove)
    found = find(inputs, recursive=recursive, accept=frozenset((".mcm",)))
    if edit and not dry_run:
        guard_terminal([Job(one.path, one.path) for one in found])
        if as_json and any(one.path == STREAM for one in found):
            raise UsageError("--json and the data cannot both go to stdout", "give a file")
    code, changed, same = OK, 0, 0
    for one in found:
        try:
            before, after, sizes = _edit_file(one.path, edit, dry_run=dry_run)
        # As in batch: one bad file must not cost the others.
        except Exception as error:
            # A closed pipe, or a caption that is too long, is the same for all files.
            if isinstance(error, BrokenPipeError) or (isinstance(error, UsageError) and new is not None):
                raise
            code = FAILED
            complain(explain(error, one.path), one.name)
            if as_json:
                click.echo(json.dumps({"file": one.name, "status": "failed", "error": explain(error, one.path)}))
            continue
        changed, same = changed + (before != after), same + (before == after)
        if as_json:
            status = "planned" if dry_run else "ok"
            facts = {"file": one.name, "status": status, "caption": after, "bytes": sizes[1]}
            click.echo(json.dumps(facts | ({"before": before, "bytes_before": sizes[0]} if edit else {})))
        elif not edit:
            click.echo(printable(after if len(found) == 1 else f"{one.name}: {after}"))
        elif dry_run:
            click.echo(printable(f'{one.name}: "{before}" -> "{after}", {sizes[0]} -> {sizes[1]} bytes'))
    if edit and not dry_run and not quiet:
        click.echo(f"{changed} caption{'' if changed == 1 else 's'} changed, {same} already so", err=True)
    return code


def _edit_file(path: str, edit: _Edit, *, dry_run: bool) -> tuple[str, str, tuple[int, int]]:
    """Read, and perhaps change, one file; return its caption before and after, and its sizes likewise."""
    from ..bitstream.file import open_file, with_caption

    data = read(path)
    before = open_file(data).caption
    after = edit(before) if edit else before
    changed = data if after == before else with_caption(data, after)
    if edit and not dry_run and (changed is not data or path == STREAM):
        write(path, changed)
    return before, after, (len(data), len(changed))
