"""Speed by the size of the picture: whole processes as in a shell, and warm ones, ours beside other codecs.

Processes read and write files: PNG in, and out what takes little time to write (PPM, Y4M). Encoders stand at their
usual speed and at low rates. All that is compared takes turns in one run, on as many cores as it has threads. Seconds
are CPU time for one thread, which hardly depends on what else the machine does, and wall clock for more.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from mcmcodec import Codec
from mcmcodec.cli.bench import peers, speed
from mcmcodec.cli.bench.run import Clock
from mcmcodec.cli.bench.suite import Watch
from mcmcodec.image.io import open_image, to_rgb
from mcmcodec.model.weights import Weights

from .cells import DASH
from .work import Work

Command = Callable[[Path, Path, int], list[str]]
Row = dict[str, Any]
OURS, LIGHT = "mcmcodec", "light"
OURS_LIGHT = f"{OURS}, `{LIGHT}`"
ROUNDS = ((0.5, 3), (2.0, 2))
"""Up to so many megapixels, so many turns; one above."""
PATIENCE, WARM_PATIENCE = 25.0, 5.0
"""CPU seconds that another codec may take for a picture, as processes and warm: one that would take longer, by its rate
at the size before, is left out, and so is what is larger."""

# A small process that starts another, so that the memory of this one does not count as the other's peak.
_LAUNCHER = """
import json, os, sys, time
threads, *command = sys.argv[1:]
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
nothing = os.open(os.devnull, os.O_RDWR)
actions = [(os.POSIX_SPAWN_DUP2, nothing, 0), (os.POSIX_SPAWN_DUP2, nothing, 1)]
start = time.perf_counter()
pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
_, status, usage = os.wait4(pid, 0)
print(json.dumps({"code": os.waitstatus_to_exitcode(status), "wall": time.perf_counter() - start,
                  "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss}))
"""


@dataclass(frozen=True)
class Program:
    """Commands that encode and decode: from input, output and threads to arguments.

    Attributes:
        name: of the codec, with what is special about it.
        version: of the programs.
        suffix: of its files.
        decoded: suffix of what it decodes to.
        encode: None where it only decodes files of the program before it.
        decode: the command.
        ours: it is not limited by `PATIENCE`.
    """

    name: str
    version: str
    suffix: str
    decoded: str
    encode: Command | None
    decode: Command
    ours: bool = field(default=False)


def programs(weights: Weights) -> list[Program]:
    """Ours, by the default decoder and by a light one, and what is installed of the others."""
    codec = [sys.executable, "-m", "mcmcodec"]
    chosen = ["--model", weights.name]

    def encode(source: Path, target: Path, threads: int) -> list[str]:
        return [*codec, "encode", "-f", "--quiet", *chosen, "-q", str(speed.QUALITY), str(source), "-o", str(target)]

    def decode(*options: str) -> Command:
        return lambda source, target, threads: [
            *codec, "decode", "-f", "--quiet", *options, str(source), "-o", str(target)
        ]  # fmt: skip

    found = [Program(OURS, "", ".mcm", ".ppm", encode, decode(), True)]
    if LIGHT in weights.decoders:
        found.append(Program(OURS_LIGHT, "", ".mcm", ".ppm", None, decode("--decoder", LIGHT), True))
    return [*found, *filter(None, (webp(), avif(), jpeg_xl(), heic(), vvc()))]


def webp() -> Program:
    """The programs of libwebp, or Pillow."""
    if not (shutil.which("cwebp") and shutil.which("dwebp")):
        return by_library("WebP", ".webp")
    return Program(
        "cwebp, dwebp", _first("cwebp", "-version"), ".webp", ".ppm",
        lambda a, b, n: ["cwebp", "-quiet", "-q", "5", *["-mt"] * (n > 1), str(a), "-o", str(b)],
        lambda a, b, n: ["dwebp", "-quiet", *["-mt"] * (n > 1), "-ppm", str(a), "-o", str(b)],
    )  # fmt: skip


def avif() -> Program:
    """The programs of libavif, or Pillow."""
    if not (shutil.which("avifenc") and shutil.which("avifdec")):
        return by_library("AVIF", ".avif")
    return Program(
        "avifenc, avifdec", f"libavif {_first('avifenc', '--version').removeprefix('Version: ')}", ".avif", ".y4m",
        lambda a, b, n: ["avifenc", "-j", str(n), "--min", "56", "--max", "60", str(a), str(b)],
        lambda a, b, n: ["avifdec", "-j", str(n), str(a), str(b)],
    )  # fmt: skip


def jpeg_xl() -> Program:
    """The programs of libjxl, or imagecodecs."""
    if not (shutil.which("cjxl") and shutil.which("djxl")):
        return by_library("JPEG XL", ".jxl")
    return Program(
        "cjxl, djxl", _first("cjxl", "--version"), ".jxl", ".ppm",
        lambda a, b, n: ["cjxl", "--quiet", "-d", "12", f"--num_threads={n - 1}", str(a), str(b)],
        lambda a, b, n: ["djxl", "--quiet", f"--num_threads={n - 1}", str(a), str(b)],
    )  # fmt: skip


def heic() -> Program:
    """The programs of libheif, or pillow-heif."""
    if not (shutil.which("heif-enc") and shutil.which("heif-convert")):
        return by_library("HEIC", ".heic")
    return Program(
        "heif-enc, heif-convert", _first("heif-enc").replace("heif-enc  ", ""), ".heic", ".y4m",
        lambda a, b, n: ["heif-enc", "-q", "10", str(a), "-o", str(b)],
        lambda a, b, n: ["heif-convert", str(a), str(b)],
    )  # fmt: skip


def vvc() -> Program | None:
    """VVC by an ffmpeg with vvenc; None where there is none."""
    program = peers.ffmpeg()
    if program is None:
        return None
    flags = ["-preset", "medium", "-qp", "50", "-qpa", "0", "-g", "1"]
    return Program(
        "ffmpeg with vvenc", _first(program, "-version").partition(" Copyright")[0], ".266", ".ppm",
        lambda a, b, n: [program, "-v", "error", "-y", "-i", str(a), "-vf", peers._TO_YUV, "-c:v", "libvvenc", *flags,
                         "-threads", str(n), "-vvenc-params", peers._ONE_FRAME, "-f", "vvc", str(b)],
        lambda a, b, n: [program, "-v", "error", "-y", "-threads", str(n), "-i", str(a), "-vf", peers._TO_RGB, str(b)],
    )  # fmt: skip


def by_library(name: str, suffix: str) -> Program | None:
    """A Python process that uses the peer of that name; None where that is missing, too."""
    known = {one.name: one for one in peers.find()[0]}
    if name not in known:
        return None
    encode = "one.encode(Image.open(sys.argv[1]).convert('RGB'), one.ladder[1][2], int(sys.argv[3]))"
    start = "import sys; from pathlib import Path; from PIL import Image; from mcmcodec.cli.bench import peers; "
    start += f"one = next(p for p in peers.find()[0] if p.name == {name!r}); "
    writes = f"{start} Path(sys.argv[2]).write_bytes({encode})"
    reads = f"{start} one.decode(Path(sys.argv[1]).read_bytes()).save(sys.argv[2])"
    return Program(
        f"{name}, Python", known[name].version, suffix, ".ppm",
        lambda a, b, n: [sys.executable, "-c", writes, str(a), str(b), str(n)],
        lambda a, b, n: [sys.executable, "-c", reads, str(a), str(b), str(n)],
    )  # fmt: skip


def _first(*command: str) -> str:
    """The first line that a program says of itself, without a list in brackets."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return "?"
    text = (done.stdout + done.stderr).strip() or "?"
    return re.sub(r" [\[(].*", "", text.splitlines()[0]).strip()


def timed(command: Sequence[str], threads: int) -> dict[str, float] | None:
    """Seconds (``wall``, ``cpu``) and ``peak`` in MB of a process on so many cores; None where it failed."""
    number = str(threads)
    environment = os.environ | {"OMP_NUM_THREADS": number, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-S", "-c", _LAUNCHER, number, *command], capture_output=True, text=True,
                          check=False, env=environment)  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout) if done.returncode == 0 else {"code": 1}
    if found.pop("code"):
        return None
    found["peak"] /= 1024 if sys.platform != "darwin" else 1 << 20
    return found


def measure(
    work: Work, *, folder: str, megapixels: Sequence[float], warm: Sequence[float], threads: Sequence[int],
    one_core_up_to: float, counts: Sequence[int],
) -> dict[str, Any]:  # fmt: skip
    """Whole processes, warm codecs, and folders of ours; of the first picture of a set, mirrored to the sizes.

    Args:
        work: the run.
        folder: name of the set.
        megapixels: sizes of whole processes, rising.
        warm: sizes of warm codecs, rising.
        threads: numbers of threads, each on as many cores.
        one_core_up_to: so many megapixels; larger pictures are coded with the most threads only.
        counts: how often ours codes the picture in one process, for what a folder takes.
    """
    work.threads = max(threads)
    facts, path = work.facts(), work.pictures(folder)[0]
    found = programs(work.codec.weights)
    content: dict[str, Any] = {"picture": path.name, "quality": speed.QUALITY}
    content |= {"patience_s": PATIENCE, "warm_patience_s": WARM_PATIENCE}
    content["programs"] = {one.name: one.version for one in found if one.version}
    content["processes"] = whole(path, found, megapixels, threads, one_core_up_to, work.watch)
    content["warm"] = loaded(path, work.codec, warm, threads, work.watch)
    work.watch.start("folders", len(counts))
    alone = (path, OURS, work.model or "", work.device, 0)
    content["folders"] = [{"pictures": count} | speed.fresh(*alone, count, work.watch) for count in counts]
    work.threads = 1
    return facts | content


def whole(
    path: Path, every: Sequence[Program], megapixels: Sequence[float], threads: Sequence[int], one_core_up_to: float,
    watch: Watch,
) -> list[Row]:  # fmt: skip
    """Rows: codec, threads, megapixels, bytes, seconds and peak memory of processes that encode and decode.

    Arguments are as those of :func:`measure`; `path` is the picture.
    """
    with open_image(path) as opened:
        picture = to_rgb(opened)
    runs = [(size, n) for size in megapixels for n in threads if size <= one_core_up_to or n == max(threads)]
    watch.start("processes", sum(_rounds(size) * len(every) for size, _ in runs))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for size, n in runs:
            source = Path(folder) / "source.png"
            image = Image.fromarray(speed.enlarge(picture, size))
            # some write 4:2:0 only, which has no odd sides
            image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2)).save(source, compress_level=1)
            here = [one for one in every if one.ours or _predicted(rows, one.name, size) <= PATIENCE]
            found: dict[str, list[Row]] = {one.name: [] for one in here}
            for _ in range(_rounds(size)):
                coded = source
                for one in here:
                    target = Path(folder) / f"coded{one.suffix}"
                    row = _once(one, source, target if one.encode else coded, n)
                    coded = target if one.encode else coded
                    watch.advance(f"{one.name}, {size:g} megapixels")
                    if row is None:
                        watch.warn(f"{one.name} failed at {size:g} megapixels")
                    else:
                        found[one.name].append(row)
            rows += _rows(found, n, size)
    return rows


def _rounds(size: float) -> int:
    return next((turns for most, turns in ROUNDS if size <= most), 1)


def _predicted(rows: Sequence[Row], name: str, size: float) -> float:
    """CPU seconds that a codec would take, by what it took at the size before; endless where it stopped there."""
    smaller = {row["megapixels"] for row in rows if row["megapixels"] < size}
    last = [row for row in rows if row["codec"] == name and row["megapixels"] == max(smaller, default=0)]
    if not last:
        return float("inf") if smaller else 0.0
    return max((row.get("encode_cpu", 0.0) + row["decode_cpu"]) * size / row["megapixels"] for row in last)


def _once(one: Program, source: Path, coded: Path, threads: int) -> Row | None:
    """One encode, if it encodes, and one decode."""
    row: Row = {}
    if one.encode:
        done = timed(one.encode(source, coded, threads), threads)
        if done is None:
            return None
        row |= {f"encode_{key}": value for key, value in done.items()}
    decoded = coded.with_name(f"decoded{one.decoded}")
    done = timed(one.decode(coded, decoded, threads), threads)
    decoded.unlink(missing_ok=True)
    if done is None:
        return None
    return row | {f"decode_{key}": value for key, value in done.items()} | {"bytes": coded.stat().st_size}


def _rows(found: Mapping[str, Sequence[Row]], threads: int, size: float) -> list[Row]:
    """Medians of every codec's turns."""
    return [
        {"codec": name, "threads": threads, "megapixels": size}
        | {key: round(statistics.median(row[key] for row in some), 4) for key in some[0]}
        for name, some in found.items()
        if some
    ]


def loaded(path: Path, codec: Codec, megapixels: Sequence[float], threads: Sequence[int], watch: Watch) -> list[Row]:
    """The same rows, without memory, of codecs that are loaded: ours, and others at the settings of their curves."""
    with open_image(path) as opened:
        whole = to_rgb(opened)
    found, _ = peers.find()
    rows: list[Row] = []
    watch.start("warm", len(threads) * sum(_rounds(size) for size in megapixels))
    for size in megapixels:
        picture = speed.enlarge(whole, size)
        for n in threads:
            ours = speed.doer(OURS, codec.weights.name, "cpu", n)
            doers: dict[str, speed.Doer] = {OURS: ours}
            if LIGHT in codec.weights.decoders:
                doers[OURS_LIGHT] = (ours[0], partial(codec.decode, decoder=LIGHT))
            few = [one for one in found if _predicted(rows, one.name, size) <= WARM_PATIENCE]
            doers |= {one.name: speed.peer_doer(one, n) for one in few}
            times: dict[str, list[Row]] = {name: [] for name in doers}
            for encode, decode in doers.values():
                decode(encode(picture[:64, :64]))  # pays for kernels and tables being set up
            for _ in range(_rounds(size)):
                data = b""
                for name, (encode, decode) in doers.items():
                    row: Row = {}
                    if name != OURS_LIGHT:  # it reads the file before
                        row, data = _clocked("encode", encode, picture)
                    times[name].append(row | _clocked("decode", decode, data)[0])
                watch.advance(f"{size:g} megapixels, {n} threads, warm")
            rows += _rows(times, n, size)
    return rows


def _clocked(what: str, work: Callable[[Any], Any], argument: Any) -> tuple[Row, Any]:
    wall, cpu = time.perf_counter(), Clock.cpu()
    result = work(argument)
    return {f"{what}_wall": time.perf_counter() - wall, f"{what}_cpu": Clock.cpu() - cpu}, result


def texts(content: dict[str, Any]) -> list[speed.Text]:
    """Titles, heads and rows of the tables: seconds and, in parentheses, their ratio to ours; then memory."""
    found: list[speed.Text] = []
    for key, about in (("processes", "whole processes"), ("warm", "loaded and warm")):
        rows = content[key]
        sizes = sorted({row["megapixels"] for row in rows})
        head = ["codec", "threads", *(f"{size:g} MP" for size in sizes)]
        for what in ("encode", "decode"):
            lines = _lines(rows, what)
            cells = [[name, str(n), *(_beside(rows, name, n, size, what) for size in sizes)] for name, n in lines]
            found.append((f"{what.capitalize()}, {about}: seconds (ratio to ours)", head, cells))
    rows = content["processes"]
    sizes = sorted({row["megapixels"] for row in rows})
    cells = []
    for name, n in _lines(rows, "decode"):
        peaks = [_find(rows, name, n, size) for size in sizes]
        cells.append([name, str(n), *(_peaks(row) for row in peaks)])
    head = ["codec", "threads", *(f"{size:g} MP" for size in sizes)]
    found.append(("Peak memory of a process in MB: encode / decode", head, cells))
    return [*found, *speed.texts({"side_by_side": [], "alone": [], "growth": [], "folders": content["folders"]})]


def _lines(rows: Sequence[Row], what: str) -> list[tuple[str, int]]:
    """Codecs and threads, a line each, by threads."""
    lines = dict.fromkeys((row["codec"], row["threads"]) for row in rows if f"{what}_cpu" in row)
    return sorted(lines, key=lambda line: line[1])


def _find(rows: Sequence[Row], name: str, threads: int, size: float) -> Row:
    wanted = (name, threads, size)
    return next((row for row in rows if (row["codec"], row["threads"], row["megapixels"]) == wanted), {})


def seconds(row: Row, what: str) -> float | None:
    """Seconds of encoding or decoding: CPU time of one thread, wall clock of more."""
    value: float | None = row.get(f"{what}_{'cpu' if row.get('threads') == 1 else 'wall'}")
    return value


def _beside(rows: Sequence[Row], name: str, threads: int, size: float, what: str) -> str:
    mine, ours = (seconds(_find(rows, one, threads, size), what) for one in (name, OURS))
    if mine is None:
        return DASH
    digits = 3 if mine < 1 else 2 if mine < 10 else 1
    return f"{mine:.{digits}f}" + (f" ({mine / ours:.2g})" if ours else "")


def _peaks(row: Row) -> str:
    values = [row.get(f"{what}_peak") for what in ("encode", "decode")]
    return " / ".join(DASH if value is None else f"{value:.0f}" for value in values) if row else DASH
