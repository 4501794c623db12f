"""``codec export``: writes a model's networks in a form that other languages and devices run. Never imports torch."""

import os

import click

from ..errors import InputError
from .console import size
from .output import OutputExists, write


@click.command(short_help="Write a model's networks as ONNX files.")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--format", "_format", type=click.Choice(("onnx",)), default="onnx", show_default=True, help="Of files.")
@click.option("--model", help="Name of a model.  [default: the one that encodes]")
@click.option("-f", "--force", is_flag=True, help="Overwrite files that exist.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def export(folder: str, _format: str, model: str | None, force: bool, quiet: bool) -> None:
    """Write analysis and decoders as self-contained .onnx files, with a README of inputs, outputs and units.

    What stands between them, the exact coding of latents, is specified with the format.

    \b
    Examples:
      codec export --format onnx networks
    """
    from ..model import onnx_files, weights

    count = 0
    for name, data in onnx_files.files(weights.find(model)):
        try:
            count += write(os.path.join(folder, name), data, replace=force)
        except OutputExists as error:
            raise InputError(error.cause, "give -f to overwrite it") from None
    if not quiet:
        click.echo(f"{folder}, {size(count)}", err=True)
