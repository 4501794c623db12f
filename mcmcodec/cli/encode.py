"""``codec encode``: its options, and how they become :class:`EncodeOptions` and a target for the rate."""

import math
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import McmError, UsageError
from ..options import EFFORTS, MASKS, MODES, PICTURES, REDUCTIONS, STRUCTURE_BYTES, TUNES, EncodeOptions
from . import cluster, links, shared_options
from .batch import JobRunner, run
from .encode_jobs import (
    DETECTORS,
    CaptionSettings,
    EncodeSettings,
    LoadedPicture,
    PictureEncoder,
    RateTarget,
    worker,
)
from .files import STREAM, is_tree, plan
from .pipeline import in_this_process

if TYPE_CHECKING:
    from ..caption import Region

UNITS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
SECONDS: Final = {"": 1, "s": 1, "min": 60, "h": 3600}
_MEASURE: Final = r"(\d+(?:\.\d+)?) ?({})"
_NEVER_READ: Final = frozenset((
    ".ai", ".bpg", ".emf", ".eps", ".flif", ".jxr", ".kra", ".svg", ".svgz", ".wdp", ".wmf", ".xcf",
))  # fmt: skip
"""Extensions of pictures that neither Pillow nor a package beside it reads safely."""
METRICS: Final = ("psnr", "msssim", "lpips")
"""What ``--target`` takes: the metrics of :mod:`mcmcodec.encoder.rate_control`, which imports numpy."""
_OF_A_PICTURE: Final = {
    "quality": "-q", "bpp": "-b", "max_bytes": "--max-bytes", "messages": "--for", "metric": "--target",
    "total_bytes": "--total-bytes", "max_time": "--max-time", "reduce": "--reduce", "effort": "-e", "tune": "--tune",
    "keep_metadata": "--keep-metadata",
}  # fmt: skip
"""Options that say nothing of a file without a picture, whatever their value."""
SECTIONS: Final = {
    "output": "Output and rate",
    "keep": "Patches, metadata and captions",
    "model": "How to run",
}
"""Sections of the help, each by the name of its first option."""


class _SectionedCommand(click.Command):
    """A command whose help has a heading over every section of options, and ``--structure`` with or without a size."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give a bare ``--structure`` an empty value: click would take the name of a picture for it."""
        end = args.index("--") if "--" in args else len(args)
        for at, (one, after) in enumerate(zip(args[:end], [*args[1:end], ""], strict=False)):
            if one == "--structure" and not re.fullmatch(_MEASURE.format("|".join(UNITS)) + "B?", after):
                args[at] = "--structure="
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in order, each under its section's heading."""
        sections: list[tuple[str, list[tuple[str, str]]]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is None or "--help" in parameter.opts:  # who reads this knows that one
                continue
            if parameter.name in SECTIONS:
                sections.append((SECTIONS[parameter.name], []))
            sections[-1][1].append(record)
        widest = max(len(name) for _, records in sections for name, _ in records)
        for head, records in sections:
            with formatter.section(head):
                # padded, so that the texts of all sections begin in one column
                formatter.write_dl([(name.ljust(widest), text) for name, text in records])


def _measure(text: str, units: dict[str, int], suffix: str, example: str) -> float:
    match = re.fullmatch(_MEASURE.format("|".join(units)) + suffix, text)
    number = float(match[1]) * units[match[2]] if match else 0.0
    if not 1 <= number < math.inf:
        raise click.BadParameter(f"{text!r} is not {example}")
    return number


def _size(text: str) -> int:
    """Bytes: ``800``, ``12kB``, ``2MiB``. BadParameter when it is something else."""
    return int(_measure(text, UNITS, "B?", "a number of bytes, 800, 12kB or 2MB for instance"))


def _structure_size(text: str) -> int:
    """As :func:`_size`, or the default for no size."""
    return STRUCTURE_BYTES if not text else _size(text)


def _seconds(text: str) -> float:
    """A time: ``90``, ``90s``, ``5min``, ``1h``. BadParameter when it is something else."""
    return _measure(text, SECONDS, "", "a time, 90s or 5min for instance")


def _metric(text: str) -> tuple[str, float]:
    """``METRIC=NUMBER`` as a pair. BadParameter when it is something else."""
    name, _, number = text.partition("=")
    if name not in METRICS or not re.fullmatch(r"-?\d*\.?\d+", number):
        raise click.BadParameter(f"{text!r} is not psnr=26, msssim=0.9 or lpips=0.2, for instance")
    return name, float(number)


def _regions(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> "tuple[Region, ...]":
    """``x,y,w,h=TEXT`` as regions. BadParameter when it is something else."""
    if not values:
        return ()
    # not for every command: it brings numpy
    from ..caption import Region

    found = []
    for value in values:
        match = re.fullmatch(r"\s*(\d{1,4}),(\d{1,4}),(\d{1,4}),(\d{1,4})=(.+)", value, re.DOTALL)
        if match is None:
            raise click.BadParameter(f"{value!r} is not x,y,w,h=TEXT in patches of 16 pixels", context, option)
        x, y, width, height = map(int, match.groups()[:4])
        found.append(Region(x, y, width, height, match[5]))
    return tuple(found)


class _RegionMap(click.Path):
    """The path of a picture, or what is to be found."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word or the path."""
        return value if value in DETECTORS else super().convert(value, param, ctx)


@click.command(cls=_SectionedCommand, short_help="Turn pictures into .mcm files.")
@shared_options.inputs
@shared_options.output("beside input")
@click.option("--full-name", is_flag=True, help="Keep the extension: photo.jpg.mcm.")
@click.option("-q", "--quality", metavar="0..100", help=f"0 smallest, 100 best.  [default: {EncodeOptions.quality}]")
@click.option("-b", "--bpp", metavar="BPP", type=float, help="Aim at these bits per pixel, within 1 %.")
@click.option("--max-bytes", metavar="SIZE", type=_size, help="The best that fits into 800, 12kB, ...")
@links.for_messages
@click.option("--armor", is_flag=True, help="Write printable text; codec decode reads it.")
@click.option("--target", "metric", metavar="METRIC=X", type=_metric, help="psnr=26, msssim=0.9 or lpips=0.2.")
@click.option("--total-bytes", metavar="SIZE", type=_size, help="One budget for all pictures together.")
@click.option("--max-time", metavar="TIME", type=_seconds, help="Time for that, or to refine: 90s, 5min.")
@click.option("--reduce", type=click.Choice([*map(str, REDUCTIONS)]), help="Code at 1/N of the size.  [default: auto]")
@click.option(
    "-e", "--effort", metavar=f"{EFFORTS[0]}..{EFFORTS[-1]}", type=int,
    help=f"{EFFORTS[0]} fastest, {EFFORTS[-1]} best.  [default: {EncodeOptions.effort}]",
)
@click.option("--tune", metavar="DECODER", type=click.Choice(TUNES), help=f"Encode for {' or '.join(TUNES)}.")
@click.option("--keep", metavar="SHARE", type=float, help="Share of patches to show, above 0 up to 1.")
@click.option(
    "--mask", metavar="WAY", type=click.Choice(MASKS), default=EncodeOptions.mask,
    help=f"{', '.join(MASKS[:-1])} or {MASKS[-1]}.  [default: rd from -e 4 on]",
)
@click.option(
    "--roi", metavar="PICTURE", type=_RegionMap(exists=True, dir_okay=False),
    help="Map (white matters), faces, bodies or cats.",
)
@shared_options.background
@click.option("--keep-metadata", is_flag=True, help="Carry EXIF and XMP along (compressed).")
@click.option("--allow-damaged", is_flag=True, help="Encode what is there of a damaged picture.")
@click.option("--caption", "captions", metavar="TEXT", multiple=True, help="Caption to keep; of several, the cheapest.")
@click.option(
    "--caption-from", metavar="SOURCE", multiple=True, help="sidecar (photo.txt), metadata, FILE.csv or none."
)
@click.option("--captioner", metavar="NAME:FOLDER", help="Model to ask where no source has a caption.")
@click.option("--caption-bytes", metavar="N", type=click.IntRange(1), help="Most bytes that the caption may take.")
@click.option("--mode", metavar="WHAT", type=click.Choice(MODES), default=EncodeOptions.mode,
              help="full, base, sketch (edges) or caption (words).")
@click.option("--structure", metavar="[BYTES]", type=_structure_size, help="Keep an edge map, for painters.")
@click.option("--painter", metavar="NAME:FOLDER", help="Keep the caption from which it paints best.")
@click.option("--region", "regions", metavar="X,Y,W,H=TEXT", multiple=True, callback=_regions,
              help="Caption of a box, in patches; may be repeated.")
@click.option("--model", metavar="NAME", help="Which weights to use: see codec models.")
@shared_options.device
@click.option("--engine", type=click.Choice(("local", "ray")), default="local", hidden=True)
@shared_options.max_pixels
@shared_options.preserve
@shared_options.files_and_messages
def encode(
    inputs: tuple[str, ...], output: str | None, recursive: bool, engine: str, full_name: bool, **given: Any
) -> int:
    """Turn pictures into .mcm files; of a folder, all pictures in it.

    \b
    Examples: codec encode -q 20 photo.png -o small.mcm
    """
    policy = shared_options.output_policy(given)
    settings = _settings(given)
    alphabet = links.LINKS[given["messages"].link].alphabet if given["messages"] else "base91"
    suffix = ".txt" if given["armor"] else ".mcm"
    readable, unreadable = _extensions() if any(map(is_tree, inputs)) else (frozenset(), frozenset())
    planned = plan(
        inputs, output, recursive=recursive, accept=readable, suffix=suffix, full_name=full_name, unreadable=unreadable
    )
    jobs = planned.jobs
    budget = settings.target.total_bytes is not None
    if engine == "ray" and (budget or any(job.source == STREAM for job in jobs)):
        raise UsageError("--engine ray takes files, each with a rate of its own", "leave out --total-bytes and -")

    def prepare(show: Callable[[str], None]) -> JobRunner:
        runner = binary(show)
        return links.armored(runner, alphabet) if given["armor"] else runner

    def binary(show: Callable[[str], None]) -> JobRunner:
        if engine == "ray":
            return partial(cluster.run_jobs, device=settings.device, make_worker=partial(worker, settings))
        encoder = PictureEncoder(settings)
        if budget:
            return partial(encoder.encode_to_budget, show=show)
        return in_this_process(encoder.load, encoder.encode, LoadedPicture.memory)

    return run(planned, prepare, policy, compressed="out", text=given["armor"])


def _extensions() -> tuple[frozenset[str], frozenset[str]]:
    """Extensions of pictures that can be read here, and of those that cannot.

    They choose among the files of folders. Files that are named need none of it, nor wait until Pillow has loaded all.
    """
    from ..image.io import readable_extensions
    from ..image.optional_formats import PACKAGES

    readable = readable_extensions()
    return readable, _NEVER_READ.union(*(package.extensions for package in PACKAGES)) - readable


def _settings(given: dict[str, Any]) -> EncodeSettings:
    """Check the options, all but those about files and messages, and bring them together.

    Raises:
        UsageError: a value is out of range, or two options contradict each other.
    """
    options = _encode_options(given)
    origins = given["caption_from"]
    if "none" in origins and len(origins) > 1:
        raise UsageError("--caption-from none and another source contradict each other", "give one of them")
    captions = CaptionSettings(
        tuple(text for text in given["captions"] if text),
        tuple(name for name in origins if name != "none"),
        given["captioner"], given["caption_bytes"], given["painter"],
    )  # fmt: skip
    if captions.painter and (options.mode == "full" or not captions or given["total_bytes"] is not None):
        raise UsageError(
            "--painter chooses captions of single files without detail",
            "give --mode base, sketch or caption, and captions, but no --total-bytes",
        )
    if options.mode == "caption" and not (captions or options.regions):
        raise UsageError(
            "--mode caption keeps nothing but a caption, and there is none", "give --caption or --caption-from"
        )
    rest = ("model", "device", "max_pixels", "background", "keep_metadata", "allow_damaged", "roi")
    return EncodeSettings(options, _rate_target(given, options), captions, **{name: given[name] for name in rest})


def _encode_options(given: dict[str, Any]) -> EncodeOptions:
    """The encoder's options, all but caption and region map, which differ from picture to picture.

    Raises:
        UsageError: a value is out of range, or two contradict each other.
    """
    idle = [option for name, option in _OF_A_PICTURE.items() if given[name]]
    if idle and given["mode"] not in PICTURES:
        raise UsageError(f"--mode {given['mode']} keeps no picture, so {idle[0]} says nothing", "leave one out")
    seconds, effort = None if given["total_bytes"] else given["max_time"], given["effort"]
    if effort is None:
        # time that is not for a budget is for refining
        effort = EFFORTS[-1] if seconds else EncodeOptions.effort
    with shared_options.naming_options():
        options = EncodeOptions(
            quality=_quality(given["quality"], given["model"]), keep=given["keep"], mask=given["mask"],
            regions=given["regions"], effort=effort, mode=given["mode"], structure=given["structure"],
            tune=given["tune"], max_time=seconds, reduce=int(given["reduce"] or EncodeOptions.reduce),
        )  # fmt: skip
        options.check_together(roi=given["roi"] is not None)
    return options


def _quality(text: str | None, model: str | None) -> int:
    """The quality; a wrong one is answered with what the model's qualities cost."""
    if text is None:
        return EncodeOptions.quality
    try:
        return EncodeOptions(quality=int(text) if text.isdecimal() else text).quality  # type: ignore[arg-type]
    except UsageError as error:
        raise UsageError(error.cause, _typical_rates(model) or error.remedy) from None


def _typical_rates(model: str | None) -> str:
    """What the qualities of a model typically cost, as a remedy; empty where that is not known."""
    from ..encoder.rate_control import rungs
    from ..model import weights

    try:
        rates = rungs(weights.find(model).card)
    except McmError:
        return ""
    return f"typical bits per pixel: {rates}" if rates else ""


def _rate_target(given: dict[str, Any], options: EncodeOptions) -> RateTarget:
    """What the options about the rate ask for.

    Raises:
        UsageError: they contradict each other, or the bits per pixel are out of range.
    """
    from ..encoder.rate_control import Goal

    targets = {
        "-q": None if given["quality"] is None else Goal("quality", options.quality),
        "-b": None if given["bpp"] is None else Goal("bpp", given["bpp"]),
        "--max-bytes": None if given["max_bytes"] is None else Goal("bytes", given["max_bytes"]),
        "--for": None if given["messages"] is None else Goal("bytes", given["messages"].largest_file()),
        "--target": None if given["metric"] is None else Goal(*given["metric"]),
        "--total-bytes": given["total_bytes"],
    }
    names = [name for name, value in targets.items() if value is not None]
    if len(names) > 1:
        raise UsageError(f"{names[0]} and {names[1]} both set the rate", "give one of them")
    if given["bpp"] is not None and not 0 < given["bpp"] <= 24:
        raise UsageError(f"-b {given['bpp']:g} is not above 0 and up to 24", "0.03 is a usual rate")
    reductions = None if given["reduce"] is None else (options.reduce,)
    goal = next((one for one in targets.values() if isinstance(one, Goal)), Goal("quality", options.quality))
    return RateTarget(goal, given["total_bytes"], given["max_time"], reductions, given["effort"])
