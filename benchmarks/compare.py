"""A contact sheet: original, ours and AVIF side by side at equal bytes.

    python benchmarks/compare.py PICTURE... --quality 20 --crop 256,128,256,256 --out sheet.png

One row per picture and crop: the original, every decoder on the same .mcm file, and the AVIF file (Pillow,
speed 2, 4:4:4, tune=ssim) whose size comes closest. Where AVIF at full size cannot be that small, the picture
is scaled down by 2, 4 or 8 with Lanczos before encoding and up again after decoding. Whole pictures are
encoded, whole files counted; the crop is only what is shown.
"""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from pathlib import Path

import common
from PIL import Image, ImageDraw, ImageFont

from mcmcodec.cli.bench.ours import Coder
from mcmcodec.metrics import pixel_metrics

LANCZOS = Image.Resampling.LANCZOS
GAP, CAPTION = 6, 34
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Cell:
    """A whole picture and the two lines below it."""

    image: Image.Image
    title: str
    detail: str


def avif(image: Image.Image, quality: int, scale: int) -> tuple[int, Image.Image]:
    """File size and decoded picture (at full size) of an AVIF of the picture scaled down by `scale`."""
    small = image
    if scale > 1:
        small = image.resize((max(1, image.width // scale), max(1, image.height // scale)), LANCZOS)
    buffer = io.BytesIO()
    small.save(
        buffer,
        "AVIF",
        quality=quality,
        speed=2,
        subsampling="4:4:4",
        advanced={"tune": "ssim"},
        max_threads=1,
    )
    with Image.open(io.BytesIO(buffer.getvalue())) as opened:
        decoded = opened.convert("RGB")
    return len(buffer.getvalue()), decoded if scale == 1 else decoded.resize(image.size, LANCZOS)


def closest_avif(image: Image.Image, target: int) -> tuple[int, Image.Image, str]:
    """Size, picture and settings of the AVIF closest to `target` bytes, scaled no more than it takes."""
    scale = next((s for s in (1, 2, 4, 8) if avif(image, 0, s)[0] <= target), 8)
    low, high = 0, 100
    while high - low > 1:
        middle = (low + high) // 2
        if avif(image, middle, scale)[0] <= target:
            low = middle
        else:
            high = middle
    found = [(*avif(image, quality, scale), quality) for quality in (low, high)]
    size, decoded, quality = min(found, key=lambda one: abs(one[0] - target))
    return size, decoded, f"AVIF q{quality}" + (f", 1/{scale} size" if scale > 1 else "")


def row(coder: Coder, image: Image.Image, quality: int, decoders: list[str]) -> list[Cell]:
    """The cells of one picture."""
    data = coder.encode(image, quality=quality, keep=None, mask="rd")

    def detail(size: int) -> str:
        return f"{size} bytes, {pixel_metrics.bpp(size, *image.size):.4f} bpp"

    cells = [Cell(image, "original", f"{image.width} x {image.height}")]
    for decoder in decoders:
        decoded = coder.decode(data, decoder=decoder)
        cells.append(Cell(decoded, f"mcm {decoder}", detail(len(data))))
    size, decoded, title = closest_avif(image, len(data))
    return [*cells, Cell(decoded, title, detail(size))]


def sheet(rows: list[list[Cell]], boxes: list[Box], zoom: int) -> Image.Image:
    """All rows as one picture; `boxes` (left, top, width, height) are what is shown of every row."""
    font = ImageFont.load_default(13)
    columns = max(len(cells) for cells in rows)
    width = max(box[2] for box in boxes) * zoom + GAP
    heights = [box[3] * zoom + CAPTION + GAP for box in boxes]
    canvas = Image.new("RGB", (columns * width + GAP, sum(heights) + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    top = GAP
    for cells, (x, y, w, h), height in zip(rows, boxes, heights, strict=True):
        for column, cell in enumerate(cells):
            left = GAP + column * width
            shown = cell.image.crop((x, y, x + w, y + h)).resize((w * zoom, h * zoom), Image.Resampling.NEAREST)
            canvas.paste(shown, (left, top))
            draw.text((left, top + h * zoom + 2), cell.title, "black", font)
            draw.text((left, top + h * zoom + 17), cell.detail, "dimgrey", font)
        top += height
    return canvas


def box_of(crop: str | None, image: Image.Image) -> Box:
    """The crop named by "left,top,width,height", inside the picture; by default 256x256 from its middle."""
    if crop is None:
        w, h = min(256, image.width), min(256, image.height)
        return (image.width - w) // 2, (image.height - h) // 2, w, h
    numbers = [int(number) for number in crop.split(",")]
    if len(numbers) != 4:
        raise SystemExit(f"--crop {crop} is not LEFT,TOP,WIDTH,HEIGHT")
    x, y, w, h = numbers
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > image.width or y + h > image.height:
        raise SystemExit(f"--crop {crop} is outside the picture of {image.width}x{image.height}")
    return x, y, w, h


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--quality", type=int, default=30)
    parser.add_argument("--decoder", default="fidelity,perceptual", help="one or several, separated by commas")
    parser.add_argument("--crop", action="append", help="LEFT,TOP,WIDTH,HEIGHT; once, or once per picture [the middle]")
    parser.add_argument("--zoom", type=int, default=1, help="times that every pixel is enlarged [1]")
    parser.add_argument("--out", type=Path, required=True, help="PNG")
    parser.add_argument("--model", help="which weights [the default model]")
    common.add_options(parser)
    options = parser.parse_args()
    coder, _ = common.start(options)
    paths = options.pictures[: options.limit]
    crops = options.crop or [None]
    if len(crops) not in (1, len(paths)):
        raise SystemExit(f"{len(crops)} crops for {len(paths)} pictures; give one, or one per picture")
    rows, boxes = [], []
    with common.progress() as progress:
        for index, path in enumerate(progress.track(paths, description="pictures")):
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            boxes.append(box_of(crops[index % len(crops)], image))
            rows.append(row(coder, image, options.quality, options.decoder.split(",")))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(rows, boxes, options.zoom).save(options.out)


if __name__ == "__main__":
    common.run(main)
