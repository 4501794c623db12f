"""A contact sheet: original, ours and AVIF side by side at equal bytes; docs/comparison.png is one.

A row per picture and crop: the original, every decoder on the same .mcm file, and the AVIF file whose size comes
closest, at full size or scaled down, whichever has the better PSNR. Whole pictures are encoded, whole files counted;
the crop is only what is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from PIL import Image, ImageDraw, ImageFont

from mcmcodec import Codec
from mcmcodec.cli.bench import equal_bytes, peers, run, suite
from mcmcodec.cli.bench.ours import Coder, candidates
from mcmcodec.encoder.best_within import best_within
from mcmcodec.errors import UsageError
from mcmcodec.image.prepare import prepare
from mcmcodec.metrics.judge import Judge, Reference
from mcmcodec.options import EncodeOptions

GAP, CAPTION = 6, 34
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Cell:
    """A whole picture and the two lines below it."""

    image: Image.Image
    title: str
    detail: str


def row(coder: Coder, reference: Reference, quality: int, decoders: Sequence[str]) -> list[Cell]:
    """The cells of one picture, each of a file that is encoded for its decoder."""
    mine = candidates(coder, decoders, (quality,))
    shown = [cell for one in mine for cell in equal_bytes.ours(one, reference, quality)]
    encoder = peers.avif()
    if isinstance(encoder, peers.Missing):
        raise UsageError("the sheet needs AVIF", encoder.remedy)
    avif = suite.peer_candidates([encoder], peers.SCALES)
    rows, _ = run.sweep(avif, [reference], run.Journal(None, {}))
    other = equal_bytes.closest(avif, rows, reference, shown[0].size)
    cells = [Cell(reference.image, "original", f"{reference.image.width} x {reference.image.height}")]
    for one in [*shown, *([other] if other else [])]:
        name = one.title if one is other else f"mcm {one.title.split()[-1]}"
        cells.append(Cell(one.image, name, f"{one.size} bytes, {reference.bpp(one.size):.4f} bpp"))
    return cells


def draw(rows: Sequence[Sequence[Cell]], boxes: Sequence[Box], zoom: int) -> Image.Image:
    """All rows as one picture; `boxes` (left, top, width, height) are what is shown of every row."""
    font = ImageFont.load_default(13)
    columns = max(len(cells) for cells in rows)
    width = max(box[2] for box in boxes) * zoom + GAP
    heights = [box[3] * zoom + CAPTION + GAP for box in boxes]
    canvas = Image.new("RGB", (columns * width + GAP, sum(heights) + GAP), "white")
    pen = ImageDraw.Draw(canvas)
    top = GAP
    for cells, (x, y, w, h), height in zip(rows, boxes, heights, strict=True):
        for column, cell in enumerate(cells):
            left = GAP + column * width
            shown = cell.image.crop((x, y, x + w, y + h)).resize((w * zoom, h * zoom), Image.Resampling.NEAREST)
            canvas.paste(shown, (left, top))
            pen.text((left, top + h * zoom + 2), cell.title, "black", font)
            pen.text((left, top + h * zoom + 17), cell.detail, "dimgrey", font)
        top += height
    return canvas


def box_of(crop: str | None, image: Image.Image) -> Box:
    """The crop named by "left,top,width,height", inside the picture; by default 256x256 from its middle."""
    if crop is None:
        w, h = min(256, image.width), min(256, image.height)
        return (image.width - w) // 2, (image.height - h) // 2, w, h
    try:
        x, y, w, h = (int(number) for number in crop.split(","))
    except ValueError:
        raise click.BadParameter(f"{crop} is not LEFT,TOP,WIDTH,HEIGHT", param_hint="--crop") from None
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > image.width or y + h > image.height:
        raise click.BadParameter(f"{crop} is outside the picture of {image.width}x{image.height}", param_hint="--crop")
    return x, y, w, h


@click.command("sheet")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="PNG.")
@click.option("--quality", type=click.IntRange(0, 100), default=30, show_default=True)
@click.option("--decoder", default="fidelity,perceptual", show_default=True, help="One or several.")
@click.option("--crop", multiple=True, help="LEFT,TOP,WIDTH,HEIGHT; once, or once per picture.  [default: the middle]")
@click.option("--zoom", type=click.IntRange(1), default=1, show_default=True, help="Pixels are so many times larger.")
@click.option("--model", metavar="NAME", help="Which weights.")
def command(
    pictures: Sequence[Path], out: Path, quality: int, decoder: str, crop: Sequence[str], zoom: int, model: str | None
) -> None:
    """Draw original, ours and AVIF at equal bytes."""
    crops = crop or (None,)
    if len(crops) not in (1, len(pictures)):
        raise click.UsageError(f"{len(crops)} crops for {len(pictures)} pictures; give one, or one per picture")
    coder, judge = Codec(model, "cpu"), Judge(("psnr",))
    rows, boxes = [], []
    for index, reference in enumerate(run.references(pictures, judge)):
        boxes.append(box_of(crops[index % len(crops)], reference.image))
        rows.append(row(coder, reference, quality, decoder.split(",")))
    out.parent.mkdir(parents=True, exist_ok=True)
    draw(rows, boxes, zoom).save(out)


@click.command("message-sheet")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JPEG or PNG.")
@click.option("--side", type=click.IntRange(16), default=256, show_default=True, help="Of the middle square.")
@click.option("--size", "sizes", type=click.IntRange(1), multiple=True, default=(100, 160, 250, 400), show_default=True,
              help="Bytes; may be given again.")  # fmt: skip
@click.option("--model", metavar="NAME", help="Which weights.")
def message_command(pictures: Sequence[Path], out: Path, side: int, sizes: Sequence[int], model: str | None) -> None:
    """Draw photographs as messages of few bytes carry them; docs/messages.jpg is one."""
    codec = Codec(model, "cpu")
    rows = []
    for reference in run.references(pictures, Judge(()), side):
        cells = [Cell(reference.image, "original", f"{side} x {side}")]
        for size in sizes:
            found = best_within(codec, prepare(reference.picture), size, EncodeOptions()).found
            smaller = f", at 1/{found.reduce} of the size" if found.reduce > 1 else ""
            cells.append(Cell(codec.decode(found.data), f"at most {size} bytes", f"{len(found.data)} bytes{smaller}"))
        rows.append(cells)
    out.parent.mkdir(parents=True, exist_ok=True)
    draw(rows, [(0, 0, side, side)] * len(rows), 1).save(out, quality=88)
