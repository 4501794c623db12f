"""Commands that train and freeze models: ``python -m mcmcodec.training --help``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import torch

from ..model.config import PRESETS
from ..options import TUNES
from .timed import USUAL, Options, run


@click.group()
def main() -> None:
    """Train mcmcodec. Every command goes on from where it was killed."""


@main.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of checkpoints and log.")
@click.option("--cache", type=click.Path(path_type=Path), required=True, help="Where decoded pictures are kept.")
@click.option("--large", type=click.Path(exists=True, path_type=Path), help="Large photographs, mixed in.")
@click.option("--val", type=click.Path(exists=True, path_type=Path), help="Validation pictures of one size.")
@click.option("--init", type=click.Path(exists=True, path_type=Path),
              help="Checkpoint, or NAME.json of a frozen model; a PCA start if not given.")  # fmt: skip
@click.option("--preset", type=click.Choice(list(PRESETS)), default="medium", show_default=True)
@click.option("--minutes", type=float, default=10.0, show_default=True, help="Time budget of all stages together.")
@click.option("--steps", default=0, help="Steps of every stage instead of a time, if above 0: a rehearsal.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--batch", default=8, show_default=True, help="Pictures per step.")
@click.option("--size", default=256, show_default=True,
              help="Side of a crop, a multiple of 64; for MS-SSIM 192 at least.")  # fmt: skip
@click.option("--peak", default=8e-4, show_default=True, help="Highest learning rate.")
@click.option("--rdoq-strength", default=0.15, show_default=True, help="Of optimised quantisation in training.")
@click.option("--perceptual-weight", default=0.04, show_default=True, help="Weight of the second decoder's loss.")
@click.option("--structure", default=0.0, show_default=True, help="Weight of 1 - MS-SSIM in it.")
@click.option("--features", is_flag=True,
              help="Half of its pictures are judged by EfficientNet's features and not by LPIPS.")  # fmt: skip
@click.option("--tune", type=click.Choice(TUNES), default=TUNES[0], show_default=True,
              help="Which decoder the stage `analysis` is for.")  # fmt: skip
@click.option("--entropy-minutes", default=0.0, help="Of them for the entropy networks alone, first.")
@click.option("--low-precision/--full-precision", default=None,
              help="bfloat16 in the float transforms, or not.  [default: what is faster here]")  # fmt: skip
@click.option("--decoder-share", type=click.FloatRange(0, 1), default=0.35, show_default=True,
              help="Share of the time for the perceptual and the light decoder alone, at the end.")  # fmt: skip
@click.option("--stages", default=",".join(USUAL), show_default=True, help="Which stages; analysis is another.",
              callback=lambda *given: tuple(given[2].split(",")))  # fmt: skip
@click.option("--save-every", default=60.0, show_default=True, help="Seconds between checkpoints.")
@click.option("--check-every", default=300.0, show_default=True, help="Seconds between looks at validation pictures.")
@click.option("--check-pictures", default=12, show_default=True, help="How many of them.")
@click.option("--export/--no-export", default=True, help="Frozen files with every checkpoint.")
@click.option("--resident", is_flag=True, help="Pictures on the device even if that is the CPU: rehearses a GPU run.")
@click.option("--compile", "compiled", is_flag=True, help="torch.compile the decoders; eager where that fails.")
@click.option("--seed", default=1)
def timed(**options: Any) -> None:
    """Train a model within a time budget: all stages in one process."""
    run(Options(**options))


@main.command()
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.option("--decoder", "decoders", multiple=True, metavar="NAME=CHECKPOINT",
              help="First decoder of another checkpoint, beside `perceptual` and `fidelity` of this one.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of frozen models.")
@click.option("--name", default="medium", show_default=True)
@click.option("--number", default=7, show_default=True, help="Model id in the file header.")
@click.option("--rdoq-strength", default=0.15, show_default=True,
              help="Share of the theoretical price of a bit in choosing symbols.")  # fmt: skip
@click.option("--mask-lambda", default=0.3, show_default=True,
              help="Bits that a patch must save for each bit it costs.")  # fmt: skip
def export(checkpoint: Path, decoders: tuple[str, ...], out: Path, name: str, number: int, rdoq_strength: float,
           mask_lambda: float) -> None:  # fmt: skip
    """Freeze a stream model and its decoders: integers, tables, hashes, card."""
    from .export import freeze

    torch.set_num_threads(1)
    named = {key: Path(path) for key, path in (pair.split("=", 1) for pair in decoders)}
    freeze(checkpoint, named, out, name, number, {"rdoq_strength": rdoq_strength, "mask_lambda": mask_lambda})


@main.command("graphs")
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--name", default="medium", show_default=True)
def graphs_(folder: Path, name: str) -> None:
    """Write the graphs of a frozen model anew, with which it runs without torch."""
    from .export import add_graphs

    for path in add_graphs(folder, name):
        click.echo(path)


@main.command("blend")
@click.argument("card", type=click.Path(exists=True, path_type=Path))
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.option("--share", type=click.FloatRange(0, 1), default=0.75, show_default=True, help="Of the checkpoint.")
@click.option("--new", type=click.FloatRange(0, 1), default=0.65, show_default=True, help="Of parts that are new.")
@click.option("--tune", type=click.Choice(TUNES), default=TUNES[0], show_default=True,
              help="The decoder whose analysis the checkpoint has.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Another checkpoint.")
def blend_(card: Path, checkpoint: Path, share: float, new: float, tune: str, out: Path) -> None:
    """Weights between a frozen model (its NAME.json) and a checkpoint that grew out of it."""
    from .grow import blend
    from .loop import load, save
    from .timed import thawed

    network, history = load(checkpoint)
    save(out, blend(thawed(card, tune)[0], network, share, new), history)


@main.command("put-decoder")
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.argument("card", type=click.Path(exists=True, path_type=Path))
@click.option("--decoder", default="perceptual", show_default=True, help="What it is called.")
def put_decoder_(checkpoint: Path, card: Path, decoder: str) -> None:
    """Put a decoder of a checkpoint into a frozen model (its NAME.json), whose stream stays as it is.

    `fidelity` is the first decoder of the checkpoint, any other its second one.
    """
    from .export import put_decoder
    from .loop import load

    network, history = load(checkpoint)
    synthesis = network.synthesis if decoder == "fidelity" else network.second_decoder
    if synthesis is None:
        raise click.UsageError(f"{checkpoint} has no second decoder")
    put_decoder(card.parent, card.stem, decoder, synthesis, history)


@main.command("put-analysis")
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.argument("card", type=click.Path(exists=True, path_type=Path))
@click.option("--decoder", type=click.Choice(TUNES), default=TUNES[0], show_default=True,
              help="Which decoder's pictures it is for, among those that the encoder can be asked for.")  # fmt: skip
def put_analysis_(checkpoint: Path, card: Path, decoder: str) -> None:
    """Put the analysis of a checkpoint into a frozen model (its NAME.json), whose stream stays as it is."""
    from .export import put_analysis
    from .loop import load

    network, history = load(checkpoint)
    put_analysis(card.parent, card.stem, decoder, network.analysis, history)


@main.command("join")
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
def join_(folder: Path) -> None:
    """Put frozen files together again that `timed` has cut to pieces."""
    from .export import join

    for path in join(folder):
        click.echo(path)


@main.command("tune")
@click.argument("pictures", type=click.Path(exists=True, path_type=Path))
@click.option("--name", default="medium")
@click.option("--count", default=16, help="Pictures used.")
@click.option("--decoder", default="fidelity")
@click.option("--setting", "settings", type=(str, float, float), multiple=True, metavar="MASK QUANTISE MASK_PRICE")
def tune_(pictures: Path, name: str, count: int, decoder: str, settings: tuple[tuple[str, float, float], ...]) -> None:
    """Compare encoder settings of a frozen model on validation pictures, through real files."""
    from .tune import tune

    torch.set_num_threads(1)
    tune(name, pictures, count, decoder, list(settings))


@main.command("ladder")
@click.argument("pictures", type=click.Path(exists=True, path_type=Path))
@click.option("--name", default="medium")
@click.option("--count", default=24, help="Pictures used, spread evenly over the folder.")
def ladder_(pictures: Path, name: str, count: int) -> None:
    """Measure what each quality of a frozen model costs and reaches, and note it in the model's card."""
    from .ladder import note

    torch.set_num_threads(1)
    note(name, pictures, count)


@main.command("caption-model")
@click.argument("captions", type=click.Path(exists=True, path_type=Path), nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File of the language model.")
@click.option("--exclude", type=click.Path(exists=True, path_type=Path), multiple=True,
              help="Captions to judge by: others that share eight words in a row are left out.")  # fmt: skip
@click.option("--least", default=3, help="How often a word must occur to be a token.")
@click.option("--parts", default=1500, help="Merges that make the word parts of rare words.")
@click.option("--order", default=5, help="Longest n-gram.")
@click.option("--saving", default=1.0, help="Bits that an n-gram must save on texts like these.")
def caption_model(captions: tuple[Path, ...], out: Path, exclude: tuple[Path, ...], least: int, parts: int, order: int,
                  saving: float) -> None:  # fmt: skip
    """Language model of the caption coder, from captions, one a line."""
    from . import caption_model as stage

    lines = stage.without(stage.read(captions), stage.read(exclude))
    data = stage.train(lines, least, parts, order, saving)
    out.write_bytes(data)
    click.echo(f"{len(lines)} captions, {len(data)} bytes, sha256 {stage.digest(data)}")
