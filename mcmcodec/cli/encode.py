"""``codec encode``: pictures to .mcm files."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from . import caption_options, cluster, mask_options, options, picture_options, rate_options, total
from .batch import Outcomes, Result, run
from .files import STREAM, Job, plan, seekable
from .limit_options import limits
from .pipeline import local
from .region_options import regions
from .sections import Sections
from .total import Picture, encode_one

if TYPE_CHECKING:
    from ..codec import Codec
    from .rate_options import Wish


@click.command(cls=Sections, short_help="Turn pictures into .mcm files.")
@options.inputs
@options.output("beside input")
@rate_options.rate
@mask_options.mask
@picture_options.picture
@caption_options.words
@regions
@click.option("--model", metavar="NAME", help="Which weights to use: see codec models.")
@options.device
@click.option("--engine", type=click.Choice(("local", "ray")), default="local", help="ray: many processes.")
@limits
@options.common
def encode(inputs: tuple[str, ...], output: str | None, recursive: bool, engine: str, **settings: Any) -> int:
    """Turn pictures into .mcm files; of a folder, all pictures in it.

    \b
    Examples:
      codec encode photo.jpg                       writes photo.mcm
      codec encode -q 20 photo.png -o small.mcm
      codec encode --max-bytes 900 photo.png
      codec encode -r album -o packed              mirrors the folder
      curl -s ADDRESS | codec encode - > photo.mcm
    """
    from ..image.io import readable_extensions

    manners = options.manners(settings)
    mask_options.check_mask(settings)
    caption_options.check_words(settings)
    picture_options.check(settings)
    wish = rate_options.wish(settings)
    jobs = plan(inputs, output, recursive=recursive, accept=readable_extensions(), suffix=".mcm")
    if engine == "ray" and (wish.total is not None or any(job.source == STREAM for job in jobs)):
        raise UsageError("--engine ray takes files, each with a rate of its own", "leave out --total-bytes and -")

    def prepare(say: Callable[[str], None]) -> Outcomes:
        if engine == "ray":
            return lambda waiting: cluster.outcomes(waiting, settings, partial(_worker, wish))
        load, codec = _prepare(settings)
        if wish.total is None:
            return local(load, lambda job, picture: encode_one(codec, picture, wish), Picture.weigh)
        return lambda waiting: total.spread(waiting, load, codec, wish, say)

    return run(jobs, prepare, manners, compressed="out")


def _worker(wish: "Wish", settings: dict[str, Any]) -> Callable[[Job], Result]:
    """What does a job in another process."""
    load, codec = _prepare(settings)
    return lambda job: encode_one(codec, load(job), wish)


def _prepare(settings: dict[str, Any]) -> tuple[Callable[[Job], Picture], "Codec"]:
    """Load the model once; return what reads a picture, and the model."""
    region = mask_options.region(settings["roi"])
    from ..caption import Region
    from ..codec import Codec
    from ..image.io import open_image
    from ..image.prepare import prepare
    from ..options import EncodeOptions

    codec = Codec(model=settings["model"], device=settings["device"])
    words = caption_options.prepare(settings, settings["device"])
    options = EncodeOptions(
        keep=settings["keep"], mask=settings["mask"], mode=settings["mode"],
        effort=settings["effort"] or EncodeOptions.effort, regions=tuple(Region(*box) for box in settings["regions"]),
    )  # fmt: skip

    def load(job: Job) -> Picture:
        file = seekable(job.source)
        with open_image(file) as image:
            caption = words(job.source, image)
            source = prepare(image, background=settings["background"], keep_metadata=settings["keep_metadata"])
        size = os.path.getsize(file) if isinstance(file, str) else len(file.getvalue())
        return Picture(source, size, replace(options, roi=region(source.rgb), caption=caption))

    return load, codec
