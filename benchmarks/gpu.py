"""What a GPU does: pictures a second at several batches, and whether it agrees with the CPU. Two minutes, one table.

``python -m benchmarks.gpu`` where there is a GPU; ``--device cpu --side 64 --batch 1`` rehearses it anywhere.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from PIL import Image

from mcmcodec.cli.bench.batch_speed import QUALITY, batches
from mcmcodec.codec import Codec, symbols
from mcmcodec.entropy.latent_coder import Decoded
from mcmcodec.model.devices import device_of

PICTURE = Path(__file__).parents[1] / "docs" / "demo.png"


def same(one: Decoded, other: Decoded) -> bool:
    """Whether everything that a decoder must compute exactly is the same."""
    pairs = ((one.psi, other.psi), (one.v_hat, other.v_hat), (one.mask, other.mask))
    return all(np.array_equal(a, b) for a, b in pairs)


def agreement(device: str, picture: Image.Image, count: int = 4) -> list[str]:
    """Lines about how a batch that the device encodes and decodes differs from the CPU's work."""
    pixels = np.asarray(picture)
    turned = [np.ascontiguousarray(np.rot90(pixels, 2 * (i % 2)))[:, :: (-1) ** (i // 2)] for i in range(count)]
    there, here = Codec(device=device), Codec(device="cpu")
    images = torch.from_numpy(np.stack(turned).transpose(0, 3, 1, 2).copy()).to(there.device)
    files = there.encode_batch(images, quality=QUALITY)
    ours = [here.encode(one, quality=QUALITY) for one in turned]
    lines = [f"{'bytes of files, ' + device + ' to CPU':32} {sum(map(len, files)) / sum(map(len, ours)):9.5f}"]
    shared = sum(same(symbols(a), symbols(b)) for a, b in zip(files, ours, strict=True))
    lines.append(f"{'pictures encoded to one file':32} {shared:4} of {count}")
    for name in there.weights.decoders:
        painted = torch.stack(there.decode_batch(files, decoder=name)).cpu().permute(0, 2, 3, 1).numpy().astype(int)
        apart = max(
            int(np.abs(one - np.asarray(here.decode(data, decoder=name), int)).max())
            for one, data in zip(painted, files, strict=True)
        )
        lines.append(f"{'largest difference, ' + name:32} {apart:4} of 255")
        if apart > 1:
            raise SystemExit("\n".join([*lines, "pixels differ by more than 1 of 255"]))
    return lines


@click.command()
@click.option("--device", default="auto", show_default=True)
@click.option("--batch", "sizes", multiple=True, type=click.IntRange(1), default=(1, 16, 64), show_default=True)
@click.option("--side", default=256, show_default=True, help="Of the pictures, in pixels.")
@click.option("--picture", "path", type=click.Path(exists=True, path_type=Path), default=PICTURE)
def main(device: str, sizes: tuple[int, ...], side: int, path: Path) -> None:
    """Measure encoding and decoding of batches on a GPU, exact half and files included, and compare with the CPU."""
    found = device_of(device)
    name = found if found == "cpu" else torch.cuda.get_device_name(found)
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture = picture.resize((side * picture.width // min(picture.size), side * picture.height // min(picture.size)))
    picture = picture.crop((0, 0, side, side))
    with TemporaryDirectory() as folder:
        square = Path(folder) / "square.png"
        picture.save(square)
        rows = batches(square, None, found, sizes, side)
    click.echo(f"{name}, torch {torch.__version__}, pictures of {side} x {side}, quality {QUALITY}\n")
    click.echo("\n".join(agreement(found, picture)))
    click.echo(f"\n{'what':24} {'batch':>6} {'pictures/s':>11} {'ms each':>9}")
    for row in rows:
        click.echo(f"{row['what']:24} {row['batch']:6} {row['pictures_per_s']:11.2f} {row['milliseconds']:9.2f}")


if __name__ == "__main__":
    main()
