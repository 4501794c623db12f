"""Encoding for the command line: one picture to its goal, or all of them to one budget."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ..errors import UsageError
from .batch import Result
from .files import STREAM, Job

if TYPE_CHECKING:
    from ..codec import Codec
    from ..encoder.rate_allocation import Point
    from ..image.prepare import Source
    from ..options import EncodeOptions
    from .rate_options import Wish


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to encode: as the codec takes it, its file's bytes, and its options, all but the quality."""

    source: "Source"
    size: int
    options: "EncodeOptions"

    def weigh(self) -> int:
        """Bytes of memory."""
        alpha = self.source.extras.alpha
        return self.source.rgb.nbytes + (alpha.nbytes if alpha is not None else 0)


def encode_one(codec: "Codec", picture: Picture, wish: "Wish") -> Result:
    """Encode a picture to its goal; errors as :func:`mcmcodec.encoder.rate_control.fit`."""
    from ..encoder.rate_control import fit

    found = fit(codec, picture.source, wish.goal, picture.options, reductions=wish.reductions)
    height, width = picture.source.rgb.shape[:2]
    facts = {"quality": found.quality, "encodes": found.encodes}
    if found.reduce > 1:
        facts["reduce"] = found.reduce
    return Result(found.data, picture.size, width, height, facts, picture.source.lost)


def spread(
    jobs: Sequence[Job],
    load: Callable[[Job], Picture],
    codec: "Codec",
    wish: "Wish",
    say: Callable[[str], None],
) -> Generator[tuple[Job, Callable[[], Result]], None, None]:
    """Choose every picture's file within one budget.

    Args:
        jobs: those that need work.
        load: reads a picture.
        codec: the model.
        wish: with the budget, and an effort if one was asked for.
        say: told what is being worked on.

    Yields:
        Each job, and a function that hands out its file, or raises what went wrong with its picture.

    Raises:
        UsageError: The budget is too small, or a picture comes from stdin.
    """
    import numpy as np

    from ..encoder import rate_allocation
    from ..encoder.rate_control import ladder

    if any(job.source == STREAM for job in jobs):
        raise UsageError("--total-bytes reads a picture more than once", "give files, or --max-bytes with stdin")
    made: dict[Job, Result | Exception] = {}
    sizes: list[tuple[int, int, int]] = []
    lost: list[tuple[str, ...]] = []
    good: list[Job] = []
    for job in jobs:
        say(job.name)
        try:
            picture = load(job)
        # A bad picture is reported when its turn comes; the others share the budget.
        except Exception as error:
            made[job] = error
            continue
        good.append(job)
        sizes.append((picture.size, picture.source.rgb.shape[1], picture.source.rgb.shape[0]))
        lost.append(picture.source.lost)
    decoders = codec.weights.card["decoders"]
    judge = "fidelity" if "fidelity" in decoders else None
    encodes = [0] * len(good)
    (reduce,) = wish.reductions or (1,)

    def measure(i: int, quality: int, effort: int) -> "Point":
        say(f"{good[i].name} at quality {quality}")
        encodes[i] += 1
        try:
            picture = load(good[i])
            options = replace(picture.options, quality=quality, effort=effort, reduce=reduce)
            data = codec.encode_source(picture.source, options)
            error = np.asarray(codec.decode(data, decoder=judge).convert("RGB"), np.float64) - picture.source.rgb
        except UsageError:
            raise
        except Exception as error_:
            made[good[i]] = error_
            return rate_allocation.Point(quality, 1, 0.0)
        return rate_allocation.Point(quality, len(data), float((error**2).sum()), data, effort)

    if good:
        assert wish.total is not None
        card = codec.weights.card
        pixels = [width * height for _, width, height in sizes]
        curves = ladder(card, "bpp"), ladder(card, "psnr")
        chosen, _ = rate_allocation.spread(
            pixels, measure, wish.total, curves, effort=wish.effort, seconds=wish.seconds
        )
        for job, point, size, count, losses in zip(good, chosen, sizes, encodes, lost, strict=True):
            facts = {"quality": point.quality, "encodes": count}
            facts |= {"effort": point.effort} if wish.seconds is not None else {}
            made.setdefault(job, Result(point.data, *size, facts, losses))

    for job in jobs:
        yield job, partial(_hand_out, made[job])


def _hand_out(result: Result | Exception) -> Result:
    if isinstance(result, Exception):
        raise result
    return result
