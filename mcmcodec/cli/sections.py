"""Help of a command with many options, in sections that a reader can skip."""

from typing import Final

import click

HEADS: Final = {
    "output": "Options",
    "keep": "What matters in the picture",
    "caption": "Words",
    "model": "How it is done",
}
"""Sections by the option that each begins with."""


class Sections(click.Command):
    """A command whose help has a heading before some of its options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, in order, under their headings."""
        sections: list[tuple[str, list[tuple[str, str]]]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is None:
                continue
            if not sections or parameter.name in HEADS:
                sections.append((HEADS.get(parameter.name or "", "Options"), []))
            sections[-1][1].append(record)
        widest = max(len(name) for _, records in sections for name, _ in records)
        for head, records in sections:
            with formatter.section(head):
                # all in one column, whatever the section
                formatter.write_dl([(name.ljust(widest), text) for name, text in records])
