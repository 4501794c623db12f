"""Options of encode about the rate: how many bytes a picture may cost, or how good it has to be."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import McmError, UsageError

if TYPE_CHECKING:
    from ..encoder.rate_control import Goal

Command = Callable[..., Any]
UNITS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
SECONDS: Final = {"": 1, "s": 1, "min": 60, "h": 3600}
METRICS: Final = ("psnr", "msssim", "lpips")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options ask for: a goal for each picture, or a budget of bytes and seconds for all of them.

    ``reductions`` are the sizes to try and ``effort`` the level; None where that is left to the search.
    """

    goal: "Goal"
    total: int | None = None
    seconds: float | None = None
    reductions: tuple[int, ...] | None = None
    effort: int | None = None


def size(text: str) -> int:
    """Bytes: ``800``, ``12kB``, ``2MiB``. BadParameter when it is something else."""
    return int(_measure(text, UNITS, "B?", "a number of bytes, 800, 12kB or 2MB for instance"))


def seconds(text: str) -> float:
    """A time: ``90``, ``90s``, ``5min``, ``1h``. BadParameter when it is something else."""
    return _measure(text, SECONDS, "", "a time, 90s or 5min for instance")


def target(text: str) -> tuple[str, float]:
    """``METRIC=NUMBER`` as a pair. BadParameter when it is something else."""
    name, _, number = text.partition("=")
    if name not in METRICS or not re.fullmatch(r"-?\d*\.?\d+", number):
        raise click.BadParameter(f"{text!r} is not psnr=26, msssim=0.9 or lpips=0.2, for instance")
    return name, float(number)


def _measure(text: str, units: dict[str, int], suffix: str, what: str) -> float:
    match = re.fullmatch(rf"(\d+(?:\.\d+)?) ?({'|'.join(units)}){suffix}", text)
    number = float(match[1]) * units[match[2]] if match else 0.0
    if number < 1:
        raise click.BadParameter(f"{text!r} is not {what}")
    return number


def rate(command: Command) -> Command:
    """Add the options about the rate."""
    for option in reversed(
        (
            click.option(
                "-q", "--quality", metavar="0..100", help="0 smallest, 100 best.  [default: 50]"
            ),
            click.option("-b", "--bpp", metavar="BPP", type=float, help="As near to these bits per pixel as can be."),
            click.option("--max-bytes", metavar="SIZE", type=size, help="The best that fits into 800, 12kB, ..."),
            click.option("--target", metavar="METRIC=X", type=target, help="psnr=26, msssim=0.9 or lpips=0.2."),
            click.option("--total-bytes", metavar="SIZE", type=size, help="One budget, spread over all pictures."),
            click.option("--max-time", metavar="TIME", type=seconds, help="Time for it; sets the effort, too: 5min."),
            click.option(
                "--reduce",
                type=click.Choice(("1", "2", "4", "8")),
                help="Code at 1/N of the size.  [default: auto]",
            ),
            click.option(
                "-e",
                "--effort",
                metavar="1..3",
                type=click.IntRange(1, 3),
                help="1 fastest, 3 smallest.  [default: 3]",
            ),
        )
    ):
        command = option(command)
    return command


def wish(settings: dict[str, Any]) -> Wish:
    """The options about the rate, from a command's keyword arguments.

    Raises:
        UsageError: They contradict each other, or the quality is not on the ladder.
    """
    from ..encoder.rate_control import Goal

    quality, bpp, most, metric = (settings[name] for name in ("quality", "bpp", "max_bytes", "target"))
    total, time, effort = settings["total_bytes"], settings["max_time"], settings["effort"]
    reductions = None if settings["reduce"] is None else (int(settings["reduce"]),)
    given = {"-q": quality, "-b": bpp, "--max-bytes": most, "--target": metric, "--total-bytes": total}
    set_ = [name for name, value in given.items() if value is not None]
    if len(set_) > 1:
        raise UsageError(f"{set_[0]} and {set_[1]} both set the rate", "give one of them")
    if set_ and settings["mode"] == "caption":
        raise UsageError(f"--mode caption keeps no picture, so {set_[0]} says nothing", "leave one out")
    if time is not None and total is None:
        raise UsageError("--max-time limits the search of --total-bytes", "give both, or neither")
    if bpp is not None and not 0 < bpp <= 24:
        raise UsageError(f"-b {bpp:g} is not above 0 and up to 24", "0.03 is a usual rate")
    if metric is not None:
        return Wish(Goal(*metric), reductions=reductions)
    if bpp is not None:
        return Wish(Goal("bpp", bpp), reductions=reductions)
    if most is not None:
        return Wish(Goal("bytes", most), reductions=reductions)
    if quality is None:
        return Wish(Goal("quality", 50), total, time, reductions, effort)
    if not re.fullmatch(r"\d{1,2}|100", quality):
        raise UsageError(f"-q {quality} is not a whole number from 0 to 100", _ladder(settings["model"]))
    return Wish(Goal("quality", int(quality)), reductions=reductions)


def _ladder(model: str | None) -> str:
    """What the qualities of a model typically cost, as a remedy."""
    from ..encoder.rate_control import rungs
    from ..model import weights

    try:
        line = rungs(weights.find(model).card)
    except McmError:
        line = ""
    return f"typical bits per pixel: {line}" if line else "50 is the default, higher is better and larger"
