"""Stage: training, one command per stage: ``python -m mcmcodec.training {pca,run,export} --help``."""

from __future__ import annotations

import os
from pathlib import Path

import click
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ..model.config import PRESETS, ModelConfig
from .data import Crops, DeviceCrops, ensure_cache
from .export import thaw, write
from .grow import grow
from .loop import LoopConfig, save, train
from .network import Network
from .stages import Check, DecoderOnly, MaskedImageModelling, RateDistortion


def load(path: Path, device: str = "cpu") -> tuple[Network, dict[str, object]]:
    """A network and its history from a checkpoint, or from a frozen model's NAME.json."""
    if path.suffix == ".json":
        network, history = thaw(path)
        return network.to(device), history
    stored = torch.load(path, map_location=device, weights_only=True)
    network = Network(ModelConfig.from_dict(stored["model"])).to(device)
    network.load_state_dict(stored["weights"])
    return network, stored["history"]


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
@click.argument("stage", type=click.Choice(["mim", "joint", "decoder"]))
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
@click.option("--lpips", default=0.0, help="decoder: 0 for squared error alone, else weight of MSE beside LPIPS.")
def run(**options: object) -> None:
    """Train one stage: masked image modelling, joint rate-distortion, or a decoder alone."""
    workers = int(options["workers"])  # type: ignore[call-overload]
    if workers == 1:
        _work(0, options)
    else:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(20000 + os.getpid() % 20000)}
        mp.spawn(_work, args=(options,), nprocs=workers)


def _work(rank: int, o: dict) -> None:
    device = o["device"]
    if o["workers"] > 1:
        dist.init_process_group("gloo", rank=rank, world_size=o["workers"])
    if device == "cpu":
        torch.set_num_threads(1)
    torch.manual_seed(o["seed"] + 1000 * rank)
    network, history = load(o["init"])
    if o["preset"]:
        network = grow(network, PRESETS[o["preset"]])
    network = network.to(device)
    if rank == 0:
        ensure_cache(o["data"], o["cache"])
    if o["workers"] > 1:
        dist.barrier()
    o["out"].mkdir(parents=True, exist_ok=True)
    network.half = o["half"]
    source = o["data"], o["cache"], o["size"], o["seed"] + 1000 * rank
    crops = Crops(*source) if device == "cpu" else DeviceCrops(*source, device)
    perceptual = None
    if o["lpips"]:
        from .perceptual import LPIPS

        perceptual = LPIPS().to(device)
    if o["stage"] == "decoder":
        stage: MaskedImageModelling = DecoderOnly(crops, o["batch"], device, perceptual, o["lpips"])
    else:
        stage = {"mim": MaskedImageModelling, "joint": RateDistortion}[o["stage"]](crops, o["batch"], device)
    trained = stage.trained(network)
    wanted = {id(p) for p in trained}
    for p in network.parameters():
        p.requires_grad_(id(p) in wanted)
    config = LoopConfig(o["stage"], o["minutes"], o["peak"], o["batch"], o["size"], o["seed"], o["average"])
    train(network, trained, stage, Check(o["val"], 16, device, perceptual), config, o["out"], history)
    if dist.is_initialized():
        dist.destroy_process_group()


@main.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
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
@click.option("--cache", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of frozen models.")
@click.option("--name", default="small")
@click.option("--number", default=1, help="Model id in the file header.")
@click.option("--pictures", default=300, help="Training pictures to count symbols on.")
@click.option("--quantise-price", default=0.5, help="Share of the theoretical price of a bit in choosing symbols.")
@click.option("--mask-price", default=1.0, help="Bits that a patch must save for each bit it costs.")
def export(data: Path, stream: Path, decoders: tuple[str, ...], cache: Path, out: Path, name: str, number: int,
           pictures: int, quantise_price: float, mask_price: float) -> None:  # fmt: skip
    """Freeze a stream model and its decoders: integers, tables, hashes, card."""
    torch.set_num_threads(1)
    network, history = load(stream)
    named = dict(pair.split("=", 1) for pair in decoders) or {"fidelity": str(stream)}
    loaded = {key: load(Path(path)) for key, path in named.items()}
    crops = Crops(data, cache, 256, seed=99)
    runs = {
        "stream": history,
        **{key: value[1] for key, value in loaded.items() if named[key] != str(stream)},
    }
    write(out, name, number, network, {key: value[0] for key, value in loaded.items()}, next(iter(named)),
          {"quantise_price": quantise_price, "mask_price": mask_price},
          [crops.one() for _ in range(pictures)], runs)  # fmt: skip


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
