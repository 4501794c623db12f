"""Stage: training, one command per stage: ``python -m mcmcodec.training {pca,run,export} --help``."""

from __future__ import annotations

import os
from pathlib import Path

import click
import torch
import torch.multiprocessing as mp

from ..model.config import PRESETS
from .data import Crops
from .export import beyond, thaw, write
from .grow import adopt, carry
from .loop import LoopConfig, save
from .network import Network
from .work import load, work


@click.group()
def main() -> None:
    """Train mcmcodec, stage by stage. Each stage resumes from the checkpoint that it is given."""


@main.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--preset", type=click.Choice(list(PRESETS)), default="small")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the checkpoint.")
@click.option("--cache", type=click.Path(path_type=Path), required=True, help="Where decoded pictures are kept.")
@click.option("--seed", default=1)
def pca(data: Path, preset: str, out: Path, cache: Path, seed: int) -> None:
    """Stage 0: a PCA basis makes step 0 a working transform codec."""
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    network = Network(PRESETS[preset])
    torch.set_num_threads(1)
    network.pca_start(Crops(data, cache, 256, seed).batch(400, "cpu"))
    save(out / "last.pt", network, {"seen": 0}, LoopConfig("pca", 0, seed=seed))


@main.command()
@click.argument("stage", type=click.Choice(["mim", "joint", "duet", "decoder", "light"]))
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--init",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Checkpoint to go on from, or a frozen model's NAME.json.",
)
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Grow the network to these sizes first.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--cache", type=click.Path(path_type=Path), required=True)
@click.option("--val", type=click.Path(exists=True, path_type=Path), required=True, help="Validation pictures.")
@click.option("--minutes", type=float, required=True, help="Time budget; the learning rate ends at zero then.")
@click.option("--batch", default=8, help="Pictures per process and step.")
@click.option("--size", default=256)
@click.option("--peak", default=1e-3, help="Highest learning rate.")
@click.option("--average", default=0.998, help="Decay of the averaged weights.")
@click.option("--workers", default=1, help="Single-threaded CPU processes; gradients are averaged.")
@click.option("--device", default="cpu")
@click.option("--half", is_flag=True, help="bfloat16 in the float transforms: for GPUs and CPUs that have it.")
@click.option("--seed", default=1)
@click.option("--lpips", default=0.0, help="decoder, duet: 0 for squared error alone, else weight of MSE beside LPIPS.")
@click.option("--companion", type=click.Path(exists=True, path_type=Path),
              help="duet: where the second decoder comes from, --init if not given; a NAME.json gives its default one.")
@click.option("--liking", default=0.02, help="duet: weight of the second decoder's loss.")
@click.option("--second", default=0, help="duet: pictures of a batch that the second decoder paints; 0 for half.")
@click.option("--error", default=1.0, help="joint, duet: what squared error keeps of its weight beside MS-SSIM.")
@click.option("--msssim", default=0.0, help="joint, duet, decoder: weight of 1 - MS-SSIM.")
@click.option("--muon", is_flag=True, help="Muon for matrices instead of AdamW.")
@click.option("--reach", default=1, help="decoder, duet: LPIPS at random offsets below this; 16 stops grain.")
@click.option("--lattice", default=0.0, help="decoder, duet: weight of error that repeats from patch to patch.")
@click.option("--grain", default=0, help="decoder: channels of frozen noise that the head may shape into texture.")
@click.option("--adversary", default=0.0, help="decoder: pull of a patch discriminator, in that of LPIPS.")
@click.option("--compile", "compiled", is_flag=True, help="torch.compile the float transforms; pays on GPUs.")
def run(**options: object) -> None:
    """Train one stage: masked image modelling, joint rate-distortion, a decoder, or a light one out of that."""
    workers = int(options["workers"])  # type: ignore[call-overload]
    if workers == 1:
        work(0, options)
    else:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(20000 + os.getpid() % 20000)}
        mp.spawn(work, args=(options,), nprocs=workers)


@main.command("carry")
@click.option("--init", type=click.Path(exists=True, path_type=Path), required=True, help="Checkpoint to change.")
@click.option(
    "--model", type=click.Path(exists=True, path_type=Path), required=True, help="NAME.json of a frozen model."
)
@click.option("--before", default="fidelity", help="Its decoder that the checkpoint's grew out of.")
@click.option("--after", default="perceptual", help="Its decoder that has learnt more.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the checkpoint.")
def carry_(init: Path, model: Path, before: str, after: str, out: Path) -> None:
    """Give a checkpoint's decoder what another model's decoder learnt."""
    network, history = load(init)
    ends = [thaw(model, name)[0].synthesis for name in (before, after)]
    out.mkdir(parents=True, exist_ok=True)
    save(out / "last.pt", carry(network, *ends), history, LoopConfig("carry", 0))


@main.command("adopt")
@click.option("--init", type=click.Path(exists=True, path_type=Path), required=True, help="Checkpoint to change.")
@click.option(
    "--model", type=click.Path(exists=True, path_type=Path), required=True, help="NAME.json of a frozen model."
)
@click.option("--decoder", default="light", show_default=True, help="Its decoder that the checkpoint gets.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the checkpoint.")
def adopt_(init: Path, model: Path, decoder: str, out: Path) -> None:
    """Give a checkpoint a decoder of another model, to be trained on."""
    network, history = load(init)
    out.mkdir(parents=True, exist_ok=True)
    save(out / "last.pt", adopt(network, thaw(model, decoder)[0].synthesis), history, LoopConfig("adopt", 0))


@main.command()
@click.option(
    "--stream",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Checkpoint of the stream model.",
)
@click.option(
    "--decoder",
    "decoders",
    multiple=True,
    metavar="NAME=CHECKPOINT",
    help="A decoder; the first is the default.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of frozen models.")
@click.option("--name", default="small")
@click.option("--number", default=1, help="Model id in the file header.")
@click.option("--rdoq-strength", default=0.5, help="Share of the theoretical price of a bit in choosing symbols.")
@click.option("--mask-lambda", default=1.0, help="Bits that a patch must save for each bit it costs.")
def export(stream: Path, decoders: tuple[str, ...], out: Path, name: str, number: int, rdoq_strength: float,
           mask_lambda: float) -> None:  # fmt: skip
    """Freeze a stream model and its decoders: integers, tables, hashes, card."""
    torch.set_num_threads(1)
    network, history = load(stream)
    named = dict(pair.split("=", 1) for pair in decoders) or {"fidelity": str(stream)}
    loaded = {key: load(Path(path)) for key, path in named.items()}
    runs = {
        "stream": history,
        **{key: beyond(value[1], history) for key, value in loaded.items() if named[key] != str(stream)},
    }
    write(out, name, number, network, {key: value[0] for key, value in loaded.items()}, next(iter(named)),
          {"rdoq_strength": rdoq_strength, "mask_lambda": mask_lambda}, runs)  # fmt: skip


@main.command("tune")
@click.argument("pictures", type=click.Path(exists=True, path_type=Path))
@click.option("--name", default="small")
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
@click.option("--name", default="small")
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
    """Language model of the caption coder words-2, from captions, one a line."""
    from . import caption_model as stage

    lines = stage.without(stage.read(captions), stage.read(exclude))
    data = stage.train(lines, least, parts, order, saving)
    out.write_bytes(data)
    click.echo(f"{len(lines)} captions, {len(data)} bytes, sha256 {stage.digest(data)}")
