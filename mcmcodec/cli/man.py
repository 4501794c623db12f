"""The manual page, from the commands themselves: ``python -m mcmcodec.cli.man > docs/codec.1``."""

import inspect
import re
from collections.abc import Iterator

import click

from .. import __version__
from .main import cli

ENVIRONMENT = {
    "MCMCODEC_WEIGHTS": "A folder of frozen models that are looked for before the installed ones.",
    "MCMCODEC_MAX_PIXELS": "The limit that --max-pixels sets, for all commands.",
    "MCMCODEC_CACHE": "A folder for the indexes of codec index, instead of the user's cache folder.",
    "MCMCODEC_DEBUG": "Show where an error happened.",
    "NO_COLOR": "No colours, in progress bars neither.",
}


def page() -> str:
    """The whole page in roff's man macros, with the texts of ``--help``."""
    context = click.Context(cli, info_name="codec", **cli.context_settings)
    summary, *rest = paragraphs(cli.help or "")
    lines = [
        f'.TH CODEC 1 "" "mcmcodec {__version__}" "User Commands"',
        ".SH NAME",
        rf"codec \- {escape(summary[0].rstrip('.'))}",
        ".SH SYNOPSIS",
        r".B codec",
        r"\fICOMMAND\fR [\fIOPTIONS\fR] ...",
        ".SH DESCRIPTION",
        *body(rest),
        ".SH COMMANDS",
    ]
    for name in sorted(cli.commands):
        lines += list(_command(name, cli.commands[name], context))
    lines.append(".SH ENVIRONMENT")
    for variable, text in ENVIRONMENT.items():
        lines += [".TP", rf"\fB{escape(variable)}\fR", escape(text)]
    lines += [
        ".SH MESSAGES",
        escape("Errors are one line on stderr, codec: FILE: cause; remedy. Data alone goes to stdout."),
    ]
    return "\n".join(lines) + "\n"


def _command(name: str, command: click.Command, above: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=above)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f'.SS "codec {escape(name)} {escape(usage)}"'
    yield from body(paragraphs(command.help or ""))
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and isinstance(parameter, click.Option) and parameter.name != "help":
            yield from (".TP", rf"\fB{escape(record[0])}\fR", escape(" ".join(record[1].split())))


def paragraphs(text: str) -> list[list[str]]:
    """The paragraphs of a help text, each a list of lines; one that is to stay as it is begins with a backspace."""
    return [block.splitlines() for block in re.split(r"\n\s*\n", inspect.cleandoc(text)) if block.strip()]


def body(blocks: list[list[str]]) -> Iterator[str]:
    """Paragraphs in roff, those that begin with a backspace line by line as they stand."""
    for lines in blocks:
        yield ".PP"
        if lines[0] == "\b":
            yield from (".nf", *map(escape, lines[1:]), ".fi")
        else:
            yield escape(" ".join(lines))


def escape(text: str) -> str:
    """Text that roff prints as it stands."""
    text = (
        text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq").replace("'", r"\(aq").replace("`", r"\(ga")
    )
    return r"\&" + text if text.startswith(".") else text


if __name__ == "__main__":
    click.echo(page(), nl=False)
