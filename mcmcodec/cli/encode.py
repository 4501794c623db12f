"""``codec encode``: pictures to .mcm files."""

import os
from collections.abc import Callable
from typing import Any

import click

from ..errors import InputError
from . import caption_options, mask_options, options, rate_options
from .batch import Result, run
from .files import Job, plan, seekable
from .limit_options import limits


@click.command(short_help="Turn pictures into .mcm files.")
@click.argument("inputs", metavar="FILES|FOLDERS|-", nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="PATH", help="File, folder, or - for stdout.  [default: beside input]"
)
@rate_options.rate
@mask_options.mask
@caption_options.words
@click.option("--model", metavar="NAME", help="Which weights to use.  [default: small]")
@options.device
@limits
@options.common
def encode(inputs: tuple[str, ...], output: str | None, recursive: bool, **settings: Any) -> int:
    """Turn pictures into .mcm files.

    Of a folder, all pictures are taken; with -o its tree is mirrored.

    \b
    Examples:
      codec encode photo.jpg                       writes photo.mcm
      codec encode -q 20 photo.png -o small.mcm
      codec encode -r album -o packed              mirrors the folder
      curl -s ADDRESS | codec encode - > photo.mcm
    """
    from ..image import readable_extensions

    manners = options.manners(settings)
    mask_options.check_mask(settings)
    caption_options.check_words(settings)
    jobs = plan(inputs, output, recursive=recursive, accept=readable_extensions(), suffix=".mcm")
    return run(jobs, lambda: _prepare(**settings), manners, compressed="out")


def _prepare(*, model: str | None, device: str, roi: str | None, **settings: Any) -> Callable[[Job], Result]:
    """Load the model once; return what encodes one picture."""
    weight_map = mask_options.load_roi(roi) if roi else None
    from ..codec import Codec
    from ..image import open_image, to_rgb

    codec = Codec(model=model, device=device)

    def work(job: Job) -> Result:
        source = seekable(job.source)
        with open_image(source) as image:
            pixels = to_rgb(image)
        height, width = pixels.shape[:2]
        if weight_map is not None and weight_map.shape != (height, width):
            raise InputError(
                f"{width} x {height} pixels, but --roi has {weight_map.shape[1]} x {weight_map.shape[0]}",
                "make the map of the picture's size",
            )
        data = codec.encode(pixels, roi=weight_map, **settings)
        size = os.path.getsize(source) if isinstance(source, str) else len(source.getvalue())
        return Result(data, size, width, height)

    return work
