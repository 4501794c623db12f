"""Puts measured numbers where people read them: docs/results.md, README.md, the model's card, and the plots.

What stands between ``<!-- numbers: NAME -->`` and ``<!-- end -->`` is written anew from the results files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from mcmcodec.cli.bench import curves
from mcmcodec.cli.bench.curves import Curve, metric_bd_rate
from mcmcodec.cli.bench.table import CONSISTENCY, PERCEPTION, markdown
from mcmcodec.metrics.judge import METRICS, QUICK, RECOGNITION
from mcmcodec.options import EncodeOptions

from . import answers, claims, paired, plots, processes
from .cells import MCM, grid, number, title, triple
from .intervals import Bootstrap

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- numbers: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
RATES = (0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15)
SHORT_RATES = (0.01, 0.02, 0.03, 0.05, 0.1)
COMPARED = ("VVC", "AVIF", "JPEG XL", "WebP")
ANCHORS = ("VVC", "AVIF")
LINE_RATE = 0.03
"""The rate of the first page's line, in bits per pixel."""
AEIC = {0.0041: 0.342, 0.0079: 0.273}
"""LPIPS of AEIC-SE by bits per pixel, on pictures of Kodak, as its authors give it: Zhang et al., "AEIC" (2025)."""
MODES = {"caption": "caption only", "sketch": "caption and edges, as drawn", "base": "base layer only", "full": "full"}
NOTHING = ["Not measured."]


class Results:
    """The results files of a folder, and the curves in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, dict[str, Any] | None] = {}

    def __getitem__(self, name: str) -> dict[str, Any] | None:
        """The content of ``NAME.json``; None if there is none."""
        if name not in self._read:
            path = self.folder / f"{name}.json"
            self._read[name] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        return self._read[name]

    def need(self, name: str) -> dict[str, Any]:
        """As ``[]``; raises Missing where there is none."""
        content = self[name]
        if content is None:
            raise Missing(name)
        return content

    @cached_property
    def ours(self) -> list[Curve]:
        """Our curves on Kodak, whole pictures."""
        return _curves(self.need("kodak"))

    @cached_property
    def variants(self) -> list[Curve]:
        """The best of our whole and reduced pictures, for each decoder; nothing if none were reduced."""
        smaller = [content for name in ("kodak_half", "kodak_quarter") if (content := self[name])]
        parts = [*self.ours, *(curve for content in smaller for curve in _curves(content))]
        found = {one.name: [curve for curve in parts if curve.name.split(",")[0] == one.name] for one in self.ours}
        return [curves.best(name, some) for name, some in found.items() if len(some) > 1]

    @cached_property
    def peers(self) -> list[Curve]:
        """Other codecs on Kodak."""
        return peers_of(self.need("kodak_peers"))

    @cached_property
    def published(self) -> list[Curve]:
        """What authors of other codecs published of the Kodak pictures; nothing where there is no such file."""
        content = self["published"]
        if content is None:
            return []
        curves = content["curves"].items()
        return [Curve(name, {content["metric"]: [tuple(pair) for pair in one["points"]]}) for name, one in curves]

    @cached_property
    def draws(self) -> Bootstrap | None:
        """Draws of the Kodak pictures; None unless all results are of the same ones."""
        return self._draws("kodak", "kodak_half", "kodak_quarter", "kodak_peers")

    @cached_property
    def small_draws(self) -> Bootstrap | None:
        """The same of the pictures of 256x256."""
        return self._draws("small", "small_peers")

    def _draws(self, first: str, *others: str) -> Bootstrap | None:
        try:
            return Bootstrap([self.need(first), *(content for name in others if (content := self[name]))])
        except ValueError:
            return None

    @cached_property
    def model(self) -> dict[str, Any]:
        """Name and hashes of the model that was measured."""
        model: dict[str, Any] = self.need("kodak")["model"]
        return model


class Missing(Exception):
    """There is no results file of that name."""


def _curves(content: Mapping[str, Any]) -> list[Curve]:
    return [curve for family in curves.of(content).values() for curve in family]


def peers_of(content: Mapping[str, Any]) -> list[Curve]:
    """Every codec's full-size curve and, if it has scaled variants, the best variant at every rate."""
    found = []
    for family, variants in curves.of(content).items():
        found += [one for one in variants if content["curves"][one.name]["scale"] == 1]
        if len(variants) > 1:
            found.append(curves.best(family, variants))
    return found


def line(results: Results) -> list[str]:
    """Both sides of the comparison in two sentences, for the first page."""
    ours = {curve.name.split()[2]: curve for curve in results.ours}
    others = {name: next(one for one in results.peers if one.name == f"{name}, best variant") for name in ANCHORS}
    full = next(one for one in results.peers if one.name == ANCHORS[0])

    def beside(metric: str, decoder: str) -> str:
        them = ", ".join(f"{name} {number(metric, one.at(metric, LINE_RATE))}" for name, one in others.items())
        return f"{number(metric, ours[decoder].at(metric, LINE_RATE))} ({them})"

    def change(metric: str, decoder: str) -> str:
        rate = ours[decoder].bd_rate(metric, full)
        return "–" if rate is None else f"{abs(rate):.0f} % {'fewer' if rate < 0 else 'more'}"

    return [
        f"At {LINE_RATE} bits per pixel, mean of the {results.need('kodak')['images']} Kodak pictures, LPIPS is "
        f"{beside('lpips', 'perceptual')}, lower is better; PSNR is {beside('psnr', 'fidelity')} dB, higher is better. "
        f"At equal LPIPS a file takes {change('lpips', 'perceptual')} bytes than VVC's, at equal PSNR "
        f"{change('psnr', 'fidelity')}."
    ]


def model(results: Results) -> list[str]:
    """Which model was measured."""
    return [f"Model `{results.model['name']}`, fingerprint `{results.model['fingerprint'][:16]}`."]


def reach(results: Results) -> list[str]:
    """Ours beside the best variants of others, three metrics a cell."""
    others = [one for name in COMPARED for one in results.peers if one.name == f"{name}, best variant"]
    rows = [
        [title(curve), *(triple([curve.at(metric, rate) for metric in QUICK]) for rate in SHORT_RATES)]
        for curve in [*results.ours, *results.variants, *others]
    ]
    return grid(["bpp", *(f"{rate:g}" for rate in SHORT_RATES)], rows)


def on_kodak(metric: str) -> Callable[[Results], list[str]]:
    """The block of one metric on Kodak."""
    return lambda results: paired.metric_table(
        metric, [*results.ours, *results.variants, *results.peers], RATES, results.draws
    )


def points(results: Results) -> list[str]:
    """All points of our curves on Kodak, a row per quality."""
    content = results.need("kodak")
    names = list(content["curves"])
    rows = []
    for setting in dict.fromkeys(row["setting"] for row in content["points"]):
        some = [next(r for r in content["points"] if (r["curve"], r["setting"]) == (name, setting)) for name in names]
        cells = [
            cell
            for row in some
            for cell in (f"{row['bytes']:.0f}", f"{row['bpp']:.4f}", triple([row[metric] for metric in QUICK]))
        ]
        rows.append([f"{setting:g}", *cells])
    head = [part for n in names for part in (f"`{n.split()[2]}`: bytes", "bpp", "PSNR / MS-SSIM / LPIPS")]
    return grid(["quality", *head], rows)


def small(results: Results) -> list[str]:
    """LPIPS of pictures of 256x256 at the published rates of MCM."""
    lines = [*_curves(results.need("small")), *peers_of(results.need("small_peers"))]
    rows = [["MCM-base, published", *(f"{value:.3f}" for value in MCM.values())]]
    rows += [[title(curve), *(number("lpips", curve.at("lpips", rate)) for rate in MCM)] for curve in lines]
    return grid(["LPIPS at bpp", *(f"{rate:g}" for rate in MCM)], rows)


def on_small(metric: str) -> Callable[[Results], list[str]]:
    """The block of one metric on pictures of 256x256."""
    return lambda results: paired.metric_table(
        metric, [*_curves(results.need("small")), *peers_of(results.need("small_peers"))], RATES, results.small_draws
    )


def perception(results: Results) -> list[str]:
    """All points of the benchmark of that name."""
    content = results.need("perception")
    return [*markdown(content["curves"], content["points"]), "", f"Means over {content['images']} pictures."]


def decoders(results: Results) -> list[str]:
    """Cost, then metrics at every quality."""
    content = results.need("decoders")
    qualities = list(content["decoders"][0]["metrics"])
    head = ["decoder", "operations per pixel", "seconds, 768x512"]
    head += [f"quality {q}: PSNR / MS-SSIM / LPIPS (off the grid), CIEDE2000, chroma" for q in qualities]
    rows = []
    for one in content["decoders"]:
        cells = [
            f"{triple([found[m] for m in QUICK])} ({number('lpips', found['off_grid']).removeprefix('0')}), "
            f"{number('ciede', found['ciede'])}, {number('chroma', found['chroma'])}"
            for found in one["metrics"].values()
        ]
        seconds = f"{one['seconds']:.3f}" if "seconds" in one else None
        rows.append([one["name"], one.get("operations"), seconds, *cells])
    return [*grid(head, rows), "", f"Means over {content['pictures']} pictures of 256x256, one stream for all."]


def effort(results: Results) -> list[str]:
    """Bytes at equal quality and time of every level, against the usual one's curve."""
    content = results.need("effort")
    usual = [row for row in content["rows"] if row["effort"] == EncodeOptions.effort]
    lines: dict[int, list[str]] = {}
    for row in content["rows"]:
        if row["quality"] != content["quality"]:
            continue
        curve = [one for one in usual if one["decoder"] == row["decoder"]]
        metric = "psnr" if row["decoder"] == "fidelity" else "lpips"
        time = row["seconds"] / next(one["seconds"] for one in curve if one["quality"] == row["quality"])
        cells = [_bytes_beside(curve, row, name) for name in (metric, "dists")]
        cells.append(f"{time:.0f} x" if time >= 10 else f"{time:.2g} x")
        lines.setdefault(row["effort"], [str(row["effort"])]).extend(cells)
    order = list(dict.fromkeys(row["decoder"] for row in content["rows"]))
    head = ["effort"]
    for decoder in order:
        metric = "PSNR" if decoder == "fidelity" else "LPIPS"
        head += [f"`{decoder}`: bytes at equal {metric}", "at equal DISTS", "time of encoding"]
    return [
        *grid(head, list(lines.values())), "",
        f"{content['pictures']} pictures of 256x256 at quality {content['quality']}, refined for the decoder that is "
        f"measured; bytes and time against effort {EncodeOptions.effort}.",
    ]  # fmt: skip


def choices(results: Results) -> list[str]:
    """Bytes at equal quality of the encoder's choices, and the share of patches that its masks hide."""
    content = results.need("choices")
    titles = {"psnr": "PSNR of `fidelity`", "lpips": "LPIPS of `perceptual`"}
    known = [metric for metric in titles if metric in content["variants"][0]["bytes"]]
    rows = [
        [one["variant"], *(f"{part[at]:+.1f} %" for m in known for part in [one["bytes"][m]] for at in ("all", "low"))]
        for one in content["variants"][1:]
    ]
    usual = content["variants"][0]["rows"]
    weighed = next(one["rows"] for one in content["variants"] if one["options"] == {"mask": "rd"})
    hidden = ", ".join(f"{100 * (1 - row['visible']):.1f} % at {row['bpp_lpips']:.3f} bpp" for row in weighed)
    bound = ", ".join(
        f"{100 * one['bits']:.1f} % at {row['bpp_lpips']:.3f} bpp ({100 * one['patches']:.0f} % of the patches)"
        for one, row in zip(content["empty"], usual, strict=True)
    )
    half = usual[len(usual) // 2]["bpp_lpips"]
    head = [cell for m in known for cell in (f"bytes at equal {titles[m]}", f"up to {half:.2f} bpp")]
    return [
        *grid(["the encoder", *head], rows), "",
        f"{content['pictures']} pictures; bytes against the usual choices. Masks chosen by rate and distortion hide "
        f"{hidden} of the patches.", "",
        "Patches without a symbol beyond the base could be hidden without any loss. The bits that they take beyond "
        f"the base are the most that such a mask could save if it cost nothing itself: {bound}.",
    ]  # fmt: skip


def ablations(results: Results) -> list[str]:
    """Short trainings, each with one part of the form changed."""
    content = results.need("ablations")
    metrics = {"psnr": "PSNR", "msssim": "MS-SSIM", "lpips": "LPIPS"}
    head = ["what is different", "blocks", "thousand multiplications a pixel: encoder", "decoder", "crops seen"]
    head += [f"bytes at equal {title}" for title in metrics.values()]
    rows = []
    for at, row in enumerate(content["rows"]):
        more = [f"{row[f'bytes_{metric}']:+.1f} %" if at else "–" for metric in metrics]
        plan = f"`{row['plan']}`"
        rows.append([row["variant"], plan, f"{row['encoder']:.1f}", f"{row['decoder']:.1f}", f"{row['seen']:,}", *more])
    return [
        *grid(head, rows), "",
        f"Each: {content['minutes']:g} minutes of CPU time from a PCA start, judged on {content['pictures']} pictures "
        "not seen before, every patch visible, bits estimated. They say what learns most in a short time.",
    ]  # fmt: skip


LOOKS = {
    "lpips": "LPIPS (AlexNet)", "lpips_vgg": "LPIPS-VGG", "dists": "DISTS", "ciede": "CIEDE2000", "psnr": "PSNR",
    "msssim": "MS-SSIM",
}  # fmt: skip


def looks(results: Results) -> list[str]:
    """Bytes at equal quality of weights between those before and those after training for the best look."""
    shares = results.need("looks")["shares"]
    lines = [[share, *_more_bytes(shares["0"], rows)] for share, rows in shares.items() if share != "0"]
    return [*grid(["share", *(f"bytes at equal {title}" for title in LOOKS.values())], lines)]


def trials(results: Results) -> list[str]:
    """The same of trainings of an analysis and its decoder, each against what shipped before."""
    lines = [[one["name"], *_more_bytes(one["before"], one["after"])] for one in results.need("looks")["trials"]]
    return [*grid(["training", *(f"bytes at equal {title}" for title in LOOKS.values())], lines)]


def _more_bytes(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Bytes at equal quality by every metric of ``LOOKS``; None where it was not measured."""
    cells: list[str | None] = []
    for metric in LOOKS:
        if metric not in before[0]:
            cells.append(None)
            continue
        curves = ([(row["bpp"], row[metric]) for row in rows] for rows in (before, after))
        cells.append(f"{metric_bd_rate(metric, *curves):+.1f} %")
    return cells


def learning(results: Results) -> list[str]:
    """Where each training's checks ended."""
    rows = []
    for one in results.need("learning")["lines"]:
        seen, more = one["points"][-1]
        rows.append([one["name"], METRICS[one["metric"]].title, f"{seen:,}", f"{more:+.1f} %"])
    return [*grid(["training", "metric", "crops", "bytes at equal quality"], rows)]


def _bytes_beside(curve: Sequence[Mapping[str, Any]], row: Mapping[str, Any], metric: str) -> str:
    """How many more bytes a row takes than a curve where it is as good by a metric; a dash where that is unknown."""
    more = answers.bytes_beside(curve, row, metric)
    return "–" if more is None else f"{round(100 * more, 1) + 0.0:+.1f} %"


def messages(results: Results) -> list[str]:
    """Metrics of pictures in so few bytes, beside other codecs' smallest files and published points."""
    content = results.need("messages")
    names = ("lpips", "dists", "ciede", "chroma")
    head = ["pixels", "codec", "bytes", *(METRICS[name].title for name in names)]
    rows: list[list[str]] = []
    for row in content["rows"]:
        title = f"mcmcodec, at most {row['limit']}" if row["limit"] else f"{row['codec']}, smallest"
        rows.append([f"{row['side']}x{row['side']}", title, f"{row['bytes']:.0f}", *(number(n, row[n]) for n in names)])
    rows += [
        ["512x512", "AEIC-SE, published", f"{bpp * 512 * 512 / 8:.0f}", number("lpips", value), "–", "–", "–"]
        for bpp, value in AEIC.items()
    ]
    return [*grid(head, rows), "", f"Means over {content['pictures']} pictures of each size, default decoder."]


def link(results: Results) -> list[str]:
    """What came of files over a simulated link."""
    found = results.need("link")["link"]
    return [
        f"In {found['rounds']:,} rounds, {found['recovered']:,} files of which enough arrived came out bit by bit, "
        f"{found['recovered by spare messages']:,} of them with the help of spare messages; {found['refused']:,} were "
        f"refused, or gave their beginning when asked for it; {found['broken promises']} promises were broken."
    ]


def armour(results: Results) -> list[str]:
    """Characters for a byte, with the frame of a text."""
    content = results.need("link")
    rows = [[name, f"{one['mean']:.3f}", f"{one['most']:.3f}"] for name, one in content["characters_per_byte"].items()]
    head = ["alphabet", f"characters a byte, messages of {content['message_bytes']} bytes", "at most"]
    return grid(head, rows)


def modes(results: Results) -> list[str]:
    """A row per mode, quality and decoder, with columns of consistency and of perception."""
    content = results.need("modes")
    groups = {"consistency": CONSISTENCY, "perception": PERCEPTION}
    shown = [(group, name) for group, names in groups.items() for name in names if name in content["metrics"]]
    head = ["mode", "decoder", "quality", "bytes", "bpp"]
    head += [f"{group}: {METRICS[name].title.partition(' (')[0]}" for group, name in shown]
    rows = []
    for mode, words in MODES.items():
        for point in content["points"]:
            if content["curves"][point["curve"]]["mode"] != mode:
                continue
            decoder = "–" if mode in ("caption", "sketch") else f"`{point['curve'].split(',')[0].split()[-1]}`"
            quality = "–" if mode in ("caption", "sketch") else f"{point['setting']:g}"
            row = [words, decoder, quality, f"{point['bytes']:.0f}", f"{point['bpp']:.4f}"]
            rows.append(row + [number(name, point.get(name)) for _, name in shown])
    said = f"Means over {content['images']} pictures that people described.{_originals(content)}"
    return [*grid(head, rows), "", said]


def _originals(content: Mapping[str, Any]) -> str:
    """A sentence about what metrics without an original say of the originals; nothing where none was measured."""
    found = content.get("originals", {}).items()
    return "".join(f" {METRICS[m].title.partition(' (')[0]} of the originals is {number(m, v)}." for m, v in found)


def rows_of(name: str, part: str) -> Callable[[Results], list[str]]:
    """The block of a list of rows with the same keys."""

    def block(results: Results) -> list[str]:
        rows = results.need(name)[part]
        head = list(dict.fromkeys(key for row in rows for key in row))
        return grid([key.replace("_", " ") for key in head], [[row.get(key) for key in head] for row in rows])

    return block


def recognition(results: Results) -> list[str]:
    """A row per codec and setting, by rising rate, and how far pictures of the kind would move the first column."""
    content = results.need("recognition")
    names = [name for name in (*RECOGNITION, "brisque") if any(p.get(name) is not None for p in content["points"])]
    rows = [
        [point["curve"], f"{point['setting']:g}", f"{point['bytes']:.0f}", f"{point['bpp']:.4f}"]
        + [number(name, point.get(name)) for name in names]
        for point in sorted(content["points"], key=lambda one: float(one["bpp"]))
    ]
    head = ["codec", "setting", "bytes", "bpp", *(METRICS[name].title for name in names)]
    images = content["images"]
    shares = [point["top1"] for point in content["points"]]
    # the standard error of a mean of zeros and ones
    widest = 1.96 * max(math.sqrt(share * (1 - share) / images) for share in shares)
    return [
        *grid(head, rows), "",
        f"Means over {images} pictures: one picture is {1 / images:.3f}, and with other pictures of the kind shares of "
        f"the same class would move by up to {widest:.3f} (95 %).{_originals(content)}",
    ]  # fmt: skip


def edge_maps(results: Results) -> list[str]:
    """A row per format, a column per number of bytes that maps were made for."""
    content = results.need("edge_maps")
    found = {(row["format"], row["asked"]): row["bytes"] for row in content["rows"]}
    formats, sizes = (list(dict.fromkeys(key[at] for key in found)) for at in (0, 1))
    rows = [[name, *(f"{found[name, size]:.0f}" for size in sizes)] for name in formats]
    read = content["files_that_jbig2dec_reads_back"]
    return [
        *grid(["format", *(f"asked for {size}" for size in sizes)], rows), "",
        f"Means of {content['pictures']} maps each; jbig2dec reads {read} of the JBIG2 files back to the same maps.",
    ]  # fmt: skip


def search_speed(results: Results) -> list[str]:
    """Seconds of the steps, and of a query."""
    s = results.need("search")["speed"]
    names = {"index": f"index {s['files']:,} files", "index_again": "index again, nothing changed", "search": "search"}
    rows = [[text, s[key]["seconds"], s[key]["cpu"]] for key, text in names.items()]
    query = s["query_ms"]
    return [
        *grid(["command, start included", "seconds", "CPU seconds"], rows), "",
        f"Files hold a caption only, {s['bytes_per_file']} bytes each, {s['distinct']:,} different ones. A further "
        f"query in the same process takes {query['median']} ms of CPU time (median; 95 %: {query['p95']} ms).",
    ]  # fmt: skip


def seconds(results: Results) -> list[str]:
    """All tables of the benchmark of speed, under headings."""
    content = results.need("speed")
    lines = []
    for head, columns, rows in processes.texts(content):
        lines += [f"**{head}**", "", *grid(columns, rows), ""]
    programs = "; ".join(f"{name}: {version}" for name, version in content["programs"].items())
    most, warm = (content.get(key) for key in ("patience_s", "warm_patience_s"))
    said = f" Other codecs are left out where they would take {most:g} s of CPU time, {warm:g} s warm." if most else ""
    return [*lines, f"Programs: {programs}.{said}"]


def parts(results: Results) -> list[str]:
    """Operations of every part."""
    rows = results.need("operations")["rows"]
    sums = {part: sum(row["operations"] for row in rows if row["part"] == part) for part in ("analysis", "entropy")}
    lines = [[row["part"], row["what"], row["side"], f"{row['operations']:,.0f}"] for row in rows]
    for row in rows:
        if row["part"] == "decoder":
            both = sums["entropy"] + row["operations"]
            lines.append(["all", f"decoding by `{row['what']}`", "decoder", f"{both:,.0f}"])
    lines.append(["all", "encoding, without choices", "encoder", f"{sum(sums.values()):,.0f}"])
    return grid(["part", "what", "who needs it", "multiplications per pixel"], lines)


def exactness(results: Results) -> list[str]:
    """How many environments agree."""
    content = results.need("exactness")
    rows, settings = content["rows"], content["settings"]
    other = sum(row["other_symbols"] for row in rows)
    return [
        f"{rows[0]['files']} files ({settings['images']} pictures at qualities "
        f"{', '.join(map(str, settings['qualities']))}) in {len(rows)} environments: {other} files with other symbols, "
        f"pixel values at most {max(row['pixel_difference'] for row in rows)} apart. The largest sum that the model's "
        f"integers allow stays {settings['headroom_bits']} bits below 2^53."
    ]


def fuzz(results: Results) -> list[str]:
    """Sums over all levels."""
    sums = results.need("fuzz")["sums"]
    right = sums["checksum_right"]
    return [f"{sums['files']:,} files, {right:,} of them with a right checksum: {sums['failures']} failures."]


def sources(results: Results) -> list[str]:
    """Machine, versions and commit of every results file, and the settings of other codecs."""
    out = []
    for path in sorted(results.folder.glob("*.json")):
        content = results.need(path.stem)
        if "machine" not in content or "versions" not in content:
            continue
        machine, versions = content["machine"], content["versions"]
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        facts = [f"{machine['cpu']}, {machine['threads']} thread(s)"]
        facts += [f"{content['seconds']} seconds"] if isinstance(content.get("seconds"), str) else []
        facts += [f"commit {content['commit'] or 'unknown'}"] if "commit" in content else []
        out.append(f"- `{path.name}`: {', '.join(facts)}; {listed}.")
    peers = results["kodak_peers"]
    if peers:
        about = {(c["family"], f"{c['about']}; {c['version']}; {c['setting']}") for c in peers["curves"].values()}
        out += [f"- {family}: {text}." for family, text in sorted(about)]
        out += [f"- {note}." for note in peers.get("notes", [])]
    return out


BLOCKS: dict[str, Callable[[Results], list[str]]] = {
    **answers.BLOCKS, "line": line, "limits": claims.limits, "card": claims.card, "card_limits": claims.card_limits,
    "model": model, "reach": reach, "rates": paired.rates, "points": points,
    "differences": paired.differences, "pictures": paired.pictures, "published": paired.published,
    **{f"{metric}_figure": paired.figure(metric) for metric in QUICK},
    **{metric: on_kodak(metric) for metric in QUICK},
    "small": small, **{f"small_{metric}": on_small(metric) for metric in QUICK},
    "perception": perception, "decoders": decoders, "effort": effort, "choices": choices, "ablations": ablations,
    "looks": looks, "learning": learning, "trials": trials, "modes": modes, "recognition": recognition,
    "messages": messages, "link": link, "armour": armour, "edge_maps": edge_maps,
    "captions": rows_of("captions", "coders"), "languages": rows_of("captions", "languages"),
    "search_words": rows_of("search", "words"), "search_likeness": rows_of("search", "likeness"),
    "search_speed": search_speed, "speed": seconds, "operations": parts, "exactness": exactness, "fuzz": fuzz,
    "sources": sources,
}  # fmt: skip


def rendered(text: str, results: Results) -> str:
    """A page's text with its blocks made anew; KeyError for a block of an unknown name."""

    def block(found: re.Match[str]) -> str:
        try:
            lines = BLOCKS[found[2]](results)
        except Missing:
            lines = NOTHING
        return found[1] + "\n".join(lines) + "\n" + found[3]

    return BLOCK.sub(block, text)


def pages(results: Results, root: Path = ROOT) -> list[Path]:
    """The pages that hold blocks."""
    docs = ("generate", "messages", "questions", "results", "training", "viewer")
    names = ("README.md", *(f"docs/{name}.md" for name in docs), f"weights/{results.model['name']}.md")
    return [path for path in (root / name for name in names) if path.exists()]


def write(folder: Path, root: Path = ROOT) -> None:
    """Write the blocks of all pages and the plots anew."""
    results = Results(folder)
    for path in pages(results, root):
        text = path.read_text(encoding="utf-8")
        path.write_text(rendered(text, results), encoding="utf-8")
        click.echo(f"{path.relative_to(root)}: {len(BLOCK.findall(text))} blocks written")
    for metric in QUICK:
        published = [curve for curve in results.published if curve.points.get(metric)]
        plots.plot(metric, results.ours, results.peers, folder / f"kodak_{metric}.png", published)
    seen = results["recognition"]
    if seen:
        families = curves.of(seen)
        others = [curve for name, family in families.items() if name != "mcm" for curve in family]
        plots.plot("top1", families["mcm"], others, folder / "recognition.png")
