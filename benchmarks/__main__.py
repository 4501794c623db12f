"""Command line of the benchmarks: ``python -m benchmarks all --data DIR``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click
import torch

from mcmcodec.cli.bench import provenance
from mcmcodec.errors import McmError

from . import pages, sheet, sliders
from .registry import BENCHMARKS, Benchmark
from .work import RESULTS, Work, installed

NAMES = [one.name for one in BENCHMARKS]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure the codec and write the results and the pages that show them."""


@main.command("all")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True,
              help="Folder with kodak/, val/, captions/ and pairs.csv.")  # fmt: skip
@click.option("--only", metavar="NAME", multiple=True, type=click.Choice(NAMES), help="These; may be given again.")
@click.option("--anew", is_flag=True, help="Also what is up to date.")
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@click.option("--model", metavar="NAME", help="Which weights.  [default: the default model]")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or auto.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the results files.")
@click.option("--pages/--no-pages", "write", default=True, help="Write docs/results.md and the other pages after it.")
def everything(
    data: Path, only: Sequence[str], anew: bool, dry_run: bool, model: str | None, device: str, results: Path,
    write: bool,
) -> None:  # fmt: skip
    """Make every file in results/ and the pages anew.

    Results that are up to date by the content of the weights and the settings are left alone. A stopped run goes on
    where it was. Kodak is for reporting: nothing is to be tuned on it.
    """
    chosen = [one for one in BENCHMARKS if not only or one.name in only]
    identity = installed(model)
    todo = plan(chosen, results, identity, anew=anew)
    if dry_run:
        return
    work = Work(data, model, device, results=results, anew=anew)
    for number, one in enumerate(todo, 1):
        for need in one.needs:
            if not (data / need).exists():
                raise click.ClickException(f"{one.name} needs {need} in {data}; leave it out with --only")
        click.echo(f"{number} of {len(todo)}: {one.name}", err=True)
        begin = time.monotonic()
        work.name = one.name
        with work.progress():
            content = one.measure(work, **one.settings)
        path = results / f"{one.name}.json"
        provenance.write_json(path, {"key": one.key(identity)} | {k: v for k, v in content.items() if k != "key"})
        discard(work)
        click.echo(f"{one.name}: {(time.monotonic() - begin) / 60:.1f} minutes, {path}", err=True)
    if write:
        pages.write(results)


@main.command("pages")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the results files.")
def rewrite(results: Path) -> None:
    """Write the tables of docs/results.md, README.md and the model's card, and the plots, from the results files."""
    pages.write(results)


main.add_command(sheet.command)
main.add_command(sliders.command)
main.add_command(sheet.message_command)


def plan(chosen: Sequence[Benchmark], results: Path, identity: dict[str, object], *, anew: bool) -> list[Benchmark]:
    """Print what there is to do, and return it."""
    todo = []
    for one in chosen:
        state = one.state(results, identity)
        if state != "current" or anew:
            todo.append(one)
        about = f"{one.minutes:4} min" if one in todo else " " * 8
        click.echo(f"{one.name:14} {state:9} {about}  {one.question}")
    total = sum(one.minutes for one in todo)
    click.echo(f"{len(todo)} to do, about {total} minutes on one core" if todo else "everything is up to date")
    return todo


def discard(work: Work) -> None:
    """Remove the journal of a measurement that is complete."""
    from mcmcodec.cli.bench import run

    run.remove(work.journal)


if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        main(standalone_mode=False)
    except (McmError, OSError) as error:
        raise SystemExit(f"benchmarks: {error}") from error
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from error
