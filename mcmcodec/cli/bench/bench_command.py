"""``codec bench``: mcmcodec and other codecs side by side on one's own pictures."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import UsageError
from ...options import PICTURES
from .. import shared_options
from ..batch import OK
from ..console import complain, printable
from ..files import find

if TYPE_CHECKING:
    from .peers import Peer


@click.command(short_help="Measure codecs on a folder of pictures.")
@click.argument("folder", metavar="FOLDER")
@click.option("-o", "--output", metavar="FOLDER", help="Where results go.  [default: bench-FOLDER]")
@click.option("-r", "--recursive", is_flag=True, help="Enter folders to any depth.")
@click.option("--limit", type=click.IntRange(1), default=12, show_default=True, help="At most so many pictures.")
@click.option("--qualities", metavar="LIST", help="Of ours.  [default: 5,15,25,35,45,55,65,75]")
@click.option("--decoder", "decoders", metavar="LIST", help="Of ours.  [default: all of the model's]")
@click.option("--modes", metavar="LIST", default="full", show_default=True, help="Of full, base, sketch, caption.")
@click.option("--painter", metavar="NAME:FOLDER", help="Paints all modes but full.")
@click.option("--reduce", "factors", metavar="LIST", default="1", show_default=True, help="Of ours: sides divided by.")
@click.option("--effort", type=click.IntRange(1), metavar="N", help="Of ours.  [default: the codec's]")
@click.option("--square", type=click.IntRange(0), default=0, metavar="SIDE", help="Middle square, scaled.")
@click.option("--model", metavar="NAME", help="Which weights to use.")
@click.option("--peers", "names", metavar="LIST", default="all", show_default=True, help="Names, all or none.")
@click.option("--scales", metavar="LIST", default="1,2,4", show_default=True, help="Of peers: sides divided by.")
@click.option(
    "--metrics",
    metavar="LIST",
    default="quick,colour",
    show_default=True,
    help="Of psnr, msssim, lpips, lpips_vgg, dists, ciede, chroma, fd, brisque, top1, top5, features; quick, "
    "colour, perception, recognition, all.",
)
@click.option("--pictures", type=click.IntRange(0), default=4, show_default=True, help="In the page, to compare.")
@click.option("--recognition", is_flag=True, help="Does a classifier see the same? As --metrics recognition.")
@click.option("--speed", is_flag=True, help="Measure speed and memory instead.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of every codec.")
@click.option("--json", "as_json", is_flag=True, help="Print the points as a line of JSON each.")
@shared_options.device
def bench(folder: str, output: str | None, **settings: Any) -> int:
    """Measure mcmcodec and other codecs on a folder of pictures, by real files.

    Writes results.json and report.html, a page with plots and with pictures at equal bytes.
    Codecs that are not installed are skipped. A stopped run goes on where it was.

    \b
    Examples:
      codec bench photos
      codec bench photos --peers none --decoder fidelity
      codec bench photos --peers AVIF,WebP --metrics all
      codec bench photos --reduce 1,2 --effort 1
      codec bench photos --speed
    """
    from ...image.io import readable_extensions

    found = find([folder], recursive=settings.pop("recursive"), accept=readable_extensions())
    paths = [Path(one.path) for one in found]
    target = Path(output or f"bench-{os.path.basename(os.path.abspath(folder)) or 'pictures'}")
    name = os.path.basename(os.path.abspath(folder))
    return _speed(paths, target, settings) if settings.pop("speed") else _quality(name, paths, target, settings)


def _quality(name: str, paths: list[Path], target: Path, settings: dict[str, Any]) -> int:
    """Rate and distortion."""
    from ...codec import Codec
    from ...metrics import judge
    from . import ours, suite
    from .table import table

    about = _begin(settings)
    paths = suite.spread(paths, settings["limit"])
    more = ",recognition" if settings["recognition"] else ""
    metrics = judge.Judge(judge.parse(settings["metrics"] + more), judge.device_of(settings["device"]))
    for note in metrics.notes:
        complain(note)
    others = suite.peer_candidates(
        _peers(settings["names"]), _numbers(settings["scales"], "--scales"), settings["threads"]
    )
    codec = Codec(settings["model"], settings["device"])
    decoders = settings["decoders"].split(",") if settings["decoders"] else list(codec.weights.decoders)
    qualities = _numbers(settings["qualities"], "--qualities") if settings["qualities"] else ours.QUALITIES
    painter = None
    if settings["painter"]:
        from ...plugins import load_painter

        painter = load_painter(settings["painter"], settings["device"])
    mine = []
    for mode in settings["modes"].split(","):
        for factor in _numbers(settings["factors"], "--reduce") if mode == "full" else [1]:
            chosen: dict[str, Any] = {"reduce": factor} if factor > 1 else {}
            if mode in PICTURES and settings["effort"] is not None:
                chosen["effort"] = settings["effort"]
            ladder = qualities if mode in PICTURES else (0,)
            mine += ours.candidates(codec, decoders, ladder, mode, painter, **chosen)
    about["model"] = {
        "name": codec.weights.name, "fingerprint": codec.weights.fingerprint.hex(),
        "networks": [entry["sha256"] for entry in codec.weights.networks],
    }  # fmt: skip
    journal = target / "results.partial"
    with _Bars(quiet=settings["as_json"]) as bars:
        content = suite.rate_distortion(
            name, paths, [*mine, *others], metrics, about, journal, bars.watch, settings["square"]
        )
        full = [one for one in mine if one.facts["mode"] == "full"]
        some = suite.spread(paths, settings["pictures"])
        shown = []
        if some and full:
            rows, square = content["rows"], settings["square"]
            shown = suite.pictures(some, full, others, rows, metrics, bars.watch, square)
    suite.finish(content, target / "results.json", journal)
    suite.write_page(target / "report.html", [content], shown)
    if settings["as_json"]:
        for point in content["points"]:
            click.echo(json.dumps(point))
        return OK
    _print(table(content["curves"], content["points"]))
    for metric, value in content.get("originals", {}).items():
        click.echo(f"{metric.upper()} of the originals: {value:.{judge.METRICS[metric].digits}f}")
    click.echo(printable(f"{len(paths)} pictures; {target / 'results.json'}, {target / 'report.html'}"), err=True)
    return OK


def _speed(paths: list[Path], target: Path, settings: dict[str, Any]) -> int:
    """Seconds and memory."""
    from ...model.weights import find as model
    from . import provenance
    from . import speed as stopwatch

    about = _begin(settings) | {"model": model(settings["model"]).name}
    paths = paths[: settings["limit"]]
    with _Bars(quiet=settings["as_json"]) as bars:
        content = about | stopwatch.measure(paths, _peers(settings["names"]), settings, bars.watch)
    provenance.write_json(target / "speed.json", content)
    (target / "speed.md").write_text(stopwatch.markdown(content), encoding="utf-8")
    if settings["as_json"]:
        click.echo(json.dumps(content))
        return OK
    for one in stopwatch.tables(content):
        _print(one)
    click.echo(printable(f"{target / 'speed.json'}, {target / 'speed.md'}"), err=True)
    return OK


def _begin(settings: dict[str, Any]) -> dict[str, Any]:
    """Set threads and the clock; machine, versions and commit."""
    from . import provenance

    return provenance.begin(settings["device"], settings["threads"])


def _peers(names: str) -> "list[Peer]":
    """The wanted peers that run here; a line for each that does not."""
    from . import peers

    if names == "none":
        return []
    found, missing = peers.find()
    wanted = None if names == "all" else [name.strip() for name in names.split(",")]
    known = {one.name for one in found} | {one.name for one in missing}
    for name in wanted or ():
        if name not in known:
            raise UsageError(f"there is no peer {name!r}", f"choose from {', '.join(sorted(known))}, all, none")
    for one in missing:
        if wanted is None or one.name in wanted:
            complain(f"without {one.name}; {one.remedy}")
    return [one for one in found if wanted is None or one.name in wanted]


def _numbers(text: str, option: str) -> list[int]:
    from ...image.resample import FACTORS
    from .peers import SCALES

    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text} is not a list of numbers", "separate them by commas") from None
    allowed = {"--scales": SCALES, "--reduce": FACTORS}.get(option, range(101))
    for number in numbers:
        if number not in allowed:
            raise UsageError(f"{option} cannot be {number}", "see codec bench --help")
    return numbers


def _print(table: Any) -> None:
    """A table on stdout, as wide as it needs to be when that is no terminal."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)


class _Bars:
    """Progress of the parts of a run, on stderr."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from .suite import Watch

        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet)
        self._tasks: list[Any] = []
        self.watch: Watch = Watch(self._start, self._advance, complain)

    def __enter__(self) -> "_Bars":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _start(self, what: str, total: int) -> None:
        self._tasks.append(self._bar.add_task(what, total=total))

    def _advance(self, what: str) -> None:
        self._bar.update(self._tasks[-1], advance=1, description=printable(what))
