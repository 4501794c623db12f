"""Sentences and tables with measured numbers, for the pages that answer questions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import safe_open

from mcmcodec.encoder.hyper_latent import CHOSEN_UP_TO
from mcmcodec.metrics.judge import METRICS
from mcmcodec.options import EncodeOptions

from . import processes
from .cells import grid, number

if TYPE_CHECKING:
    from .pages import Results

Row = Mapping[str, Any]
ROOT = Path(__file__).parents[1]
SHOWN_RATES = (0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15)
USUAL = 0.4
"""Megapixels of 768x512 pixels, about."""
RECEIVERS = {
    "--mode caption": ("words, phrases about boxes", "this package to read it; a painter to see anything"),
    "--mode sketch --structure 100": (
        "words and the strongest edges",
        "this package: the edges are drawn; a painter with a ControlNet to see a picture",
    ),
    "--mode sketch": ("words and edges", "the same"),
    "--mode base -q 0 --reduce 4": ("words, colours of large areas", "this package; a painter may start from it"),
    "--mode base -q 0 --reduce 2": ("the same, twice as fine", "the same"),
    "--mode base -q 0": ("the base layer of every patch", "the same"),
    "-q 0": ("everything", "the same"),
}


def percent(value: float) -> str:
    """Part of one as whole per cent, or with a digit below two."""
    return f"{100 * value:.{1 if abs(value) < 0.02 else 0}f} %"


def change(value: float) -> str:
    """``0.3 % more`` or ``0.3 % fewer`` of a ratio less one."""
    text = percent(abs(value))
    return f"{text} fewer" if value < 0 and text != percent(0) else f"{text} more"


def usual_effort(results: Results, decoder: str) -> list[Row]:
    """The curve of the usual effort for a decoder, at several qualities."""
    rows = results.need("effort")["rows"]
    return [row for row in rows if (row["effort"], row["decoder"]) == (EncodeOptions.effort, decoder)]


def effort_row(results: Results, level: int, decoder: str) -> Row:
    """One level at the quality at which all were measured."""
    content = results.need("effort")
    wanted = (level, decoder, content["quality"])
    return next(row for row in content["rows"] if (row["effort"], row["decoder"], row["quality"]) == wanted)


def bytes_beside(curve: Sequence[Row], row: Row, metric: str) -> float | None:
    """How many more bytes a row takes, in parts, than a curve where it is as good by a metric; None if unknown."""
    if row[metric] is None:
        return None
    ordered = sorted(curve, key=lambda one: one[metric])
    values = [one[metric] for one in ordered]
    if not values[0] <= row[metric] <= values[-1]:
        return None
    log = np.interp(row[metric], values, [math.log(one["bpp"]) for one in ordered])
    return float(row["bpp"] / math.exp(float(log)) - 1)


def beside_at_equal_bytes(curve: Sequence[Row], row: Row, metric: str) -> float:
    """By what part a metric of a row is more than that of a curve at the same bytes."""
    ordered = sorted(curve, key=lambda one: one["bpp"])
    logs = [math.log(one["bpp"]) for one in ordered]
    there = float(np.interp(math.log(row["bpp"]), logs, [one[metric] for one in ordered]))
    return float(row[metric] / there - 1)


def refining(results: Results) -> list[str]:
    """What the efforts that refine latents take and give."""
    curve, times, larger, lpips, dists = usual_effort(results, "perceptual"), [], [], [], []
    usual = effort_row(results, EncodeOptions.effort, "perceptual")
    for level in (4, 5):
        row = effort_row(results, level, "perceptual")
        times.append(row["seconds"] / usual["seconds"])
        larger.append(row["bpp"] / usual["bpp"] - 1)
        lpips.append(beside_at_equal_bytes(curve, row, "lpips"))
        dists.append(beside_at_equal_bytes(curve, row, "dists"))
    return [
        f"`-e 4` and `-e 5` took {_two(times, '{:.0f}')} times as long as `-e 3`. Refined for `perceptual`, files were "
        f"{_two(larger, '{:.0%}')} larger at the same quality. At equal bytes LPIPS changed by "
        f"{_two(lpips, '{:+.0%}')}, and DISTS, which refining ignores, by {_two(dists, '{:+.0%}')}: part of it is "
        "LPIPS's own taste."
    ]


def _two(values: Sequence[float], form: str) -> str:
    return " and ".join(form.format(value).replace("%", " %") for value in values)


def hyper(results: Results) -> list[str]:
    """What the choice of the hyper-latent is worth, as an answer."""
    usual, rounded = (effort_row(results, level, "perceptual") for level in (EncodeOptions.effort, 2))
    time = 1 - rounded["seconds"] / usual["seconds"]
    variants = results.need("choices")["variants"]
    more = next(one["bytes"] for one in variants if one["options"] == {"effort": 2})
    psnr, lpips = (change(more[metric]["low"] / 100) for metric in ("psnr", "lpips"))
    half = variants[0]["rows"][len(variants[0]["rows"]) // 2]["bpp_lpips"]
    return [
        f"`-e 2` rounds the hyper-latent, which saves {percent(max(time, 0))} of the time of encoding at quality "
        f"{results.need('effort')['quality']}. Up to {half:.2f} bpp it takes {psnr} bytes at equal PSNR "
        f"of `fidelity` and {lpips} at equal LPIPS of `perceptual` "
        f"([measured](results.md#masks-and-quantisation)). Above quality {CHOSEN_UP_TO} it is the same as `-e 3`."
    ]


def speeds(results: Results) -> list[str]:
    """Seconds of usual pictures, warm and as commands."""
    content = results.need("speed")
    warm = process(content["warm"], processes.OURS, USUAL)
    whole = process(content["processes"], processes.OURS, USUAL)
    start = min(whole[f"{what}_cpu"] - warm[f"{what}_cpu"] for what in ("encode", "decode"))
    return [
        f"A picture of {USUAL:g} megapixels (768x512) takes {_s(warm['encode_cpu'])} to encode and "
        f"{_s(warm['decode_cpu'])} to decode on a core ([measured](results.md#speed-and-memory)), and "
        f"{_s(start)} goes to Python and the weights when `codec` starts. So a folder or many files at once are "
        "quicker than a call for each."
    ]


def process(rows: Sequence[Row], codec: str, megapixels: float, threads: int = 1) -> Row:
    """The row of a codec whose name begins so."""
    return next(
        row
        for row in rows
        if row["codec"].casefold().startswith(codec.casefold())
        and (row["megapixels"], row["threads"]) == (megapixels, threads)
    )


def _s(seconds: float) -> str:
    """Seconds in one significant digit, or two from one on."""
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds:.1g} s"


def large(results: Results) -> list[str]:
    """What a megapixel takes."""
    rows = [row for row in results.need("speed")["processes"] if row["codec"] == processes.OURS and row["threads"] == 1]
    row = max(rows, key=lambda one: float(one["megapixels"]))
    each = [row[f"{what}_cpu"] / row["megapixels"] for what in ("encode", "decode")]
    return [
        f"- A megapixel of a large picture takes {_s(each[0])} to encode and {_s(each[1])} to decode on a core. It is "
        "not made for video."
    ]


def light(results: Results) -> list[str]:
    """What the light decoder takes, beside the default one."""
    rows = {row["name"]: row for row in results.need("decoders")["decoders"]}
    first = next(iter(rows.values()))
    parts = [rows["light"][key] / first[key] for key in ("operations", "seconds")]
    return [
        f"`light` takes {percent(parts[0])} of the operations and {percent(parts[1])} of the time of "
        f"`{first['name']}`. [Measured](results.md#decoders)."
    ]


def reduced(results: Results) -> list[str]:
    """Where coding at a part of the size helps."""
    lowest = results.need("kodak")["points"][0]
    helped = reduction_helps(results)
    return [
        f"Below the lowest quality, {lowest['bpp']:.4f} bits per pixel (mean of Kodak), the picture is coded at a "
        "half, a quarter or an eighth of its size, and comes back at its own: `--bpp 0.003` makes files of 150 bytes "
        "of 768x512 pixels. `--reduce 2` asks for that at any quality; `--reduce 1` forbids it. "
        "At the rates of [the tables](results.md#psnr-db-higher-is-better), a smaller size raises PSNR of `fidelity` "
        f"{helped['psnr']}, and lowers LPIPS of `perceptual` {helped['lpips']}."
    ]


def reduction_helps(results: Results) -> dict[str, str]:
    """Up to which of the tables' rates a part of the size is better than all of it, by metric, in words."""
    said = {}
    for metric, decoder in (("psnr", "fidelity"), ("msssim", "fidelity"), ("lpips", "perceptual")):
        whole = next(one for one in results.ours if one.name.split()[2] == decoder)
        best = next((one for one in results.variants if one.name.startswith(whole.name)), whole)
        score = METRICS[metric].score
        pairs = {rate: (whole.at(metric, rate), best.at(metric, rate)) for rate in SHOWN_RATES}
        won = [rate for rate, (a, b) in pairs.items() if a is not None and b is not None and score(b) > score(a)]
        said[metric] = f"up to {won[-1]:g} bpp" if won else "nowhere"
    return said


def files(results: Results) -> list[str]:
    """The files of the model, by their contents and sizes."""
    name, folder, card = results.model["name"], ROOT / "weights", _card(results)
    first = card["default_decoder"]
    about = {
        "perceptual": "decoder for the best look: squared error, LPIPS and an adversary",
        "fidelity": "decoder for least squared error and best MS-SSIM",
        "light": "decoder of the fewest operations",
    }
    rows = [_file(folder / f"{name}.safetensors", "the stream model: integer networks, tables, gains")]
    for one in card["analyses"]:
        text = f"analysis of pictures for `{one}`" + (" (default)" if one == first else "")
        rows.append(_file(folder / f"{name}-for-{one}.safetensors", text))
    for one in card["decoders"]:
        text = about.get(one, "decoder") + (" (default)" if one == first else "")
        rows.append(_file(folder / f"{name}-{one}.safetensors", text))
    graphs = sum(path.stat().st_size for path in folder.glob(f"{name}*.onnx"))
    rows.append([f"`{name}-for-{first}.onnx`, `{name}-{first}.onnx`, ...", "", f"{graphs / 1e6:.1f}",
                 "the networks as graphs without weights, by which they run without torch"])  # fmt: skip
    rows.append([f"`{name}.json`", "", "", "identity, sizes, hashes, the encoder's settings, the typical ladder of "
                 "qualities, the settings of every training run"])  # fmt: skip
    return grid(["file", "parameters", "MB", "what"], rows)


def _card(results: Results) -> dict[str, Any]:
    """The card of the model that was measured, as it is in the tree."""
    path = ROOT / f"weights/{results.model['name']}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _file(path: Path, what: str) -> list[str]:
    counts = {"integers": 0, "float16": 0, "float32": 0}
    with safe_open(path, framework="numpy") as tensors:
        for name in tensors.keys():  # noqa: SIM118
            part = tensors.get_slice(name)
            kind = {"F16": "float16", "F32": "float32"}.get(part.get_dtype(), "integers")
            counts[kind] += math.prod(part.get_shape())
    # few tensors in float32, the gains of a stream model, are left out
    said = {"M integers": counts["integers"], "M in float16": counts["float16"]}
    text = ", ".join(f"{count / 1e6:.2f} {kind}" for kind, count in said.items() if count)
    return [f"`{path.name}`", text, f"{path.stat().st_size / 1e6:.1f}", what]


def card_head(results: Results) -> list[str]:
    """Who the model is for, and what it takes."""
    rows = results.need("operations")["rows"]
    found = ", ".join(f"`{row['what']}` {row['operations']:,.0f}" for row in rows if row["part"] == "decoder")
    return [
        f"The default model, number {_card(results)['id']}, variant 0. It is made for CPUs. Multiplications that "
        "decoders take for a pixel: "
        f"{found} ([all parts](../docs/results.md#operations))."
    ]


def card_flat(results: Results) -> list[str]:
    """What flat pictures take, what masks could save, what was seen in training."""
    flat = results.need("facts")["flat"]
    sizes = " and ".join(f"{row['bytes']} bytes at quality {row['quality']}" for row in flat)
    means = " and ".join(f"{max(row['mean_off'].values()):.1f} at quality {row['quality']}" for row in flat)
    single = max(row["pixel_off"]["perceptual"] for row in flat)
    most = max(row["bits"] for row in results.need("choices")["empty"])
    seen = _card(results)["training"]["stream"]["seen"]
    return [
        "- The mask is of little use: patches that could be hidden without any loss take at most "
        f"{percent(most)} of the bits ([measured](../docs/results.md#masks-and-quantisation)).",
        f"- Flat pictures: a mid grey of 768x512 takes {sizes}. Its mean is off by up to {means}, of 255 levels, "
        f"single pixels of `perceptual` by up to {single}.",
        f"- The stream model has seen {seen:,} crops. A larger model, trained longer, is the next step.",
    ]


def card_reduced(results: Results) -> list[str]:
    """Where pictures of smaller sizes end, and what they help."""
    helped = reduction_helps(results)
    least = {part: results.need(f"kodak_{part}")["points"][0]["bpp"] for part in ("half", "quarter")}
    return [
        f"- Coded at half their size, pictures reach {least['half']:.4f} bpp, at a quarter {least['quarter']:.4f}. At "
        f"the rates of the tables that helps PSNR {helped['psnr']}, MS-SSIM {helped['msssim']}, and LPIPS "
        f"{helped['lpips']}."
    ]


def installing(results: Results) -> list[str]:
    """What installations take up."""
    size = results.need("facts")["installed_mb"]
    return [f"With torch it takes {size['all'] / 1000:.1f} GB, without it and OpenCV {size['without_torch']} MB:"]


def at_once(results: Results) -> str:
    """How long a command takes beside AVIF's."""
    rows = results.need("speed")["processes"]
    ours, avif = (process(rows, name, USUAL)["decode_cpu"] for name in (processes.OURS, "avif"))
    return (
        f"- Where a picture must appear at once: `codec decode` of 768x512 pixels takes {_s(ours)} on one core, "
        f"starting included; AVIF takes {_s(avif)}."
    )


def smallest(results: Results) -> list[str]:
    """The smallest files of AVIF of small pictures."""
    rows = [one for one in results.need("small_peers")["rows"] if one["curve"].startswith("AVIF")]
    least = min(rows, key=lambda one: float(one["bytes"]))
    return [
        "Most of the bytes of a small AVIF file are its container: the smallest file has "
        f"{least['bytes']:.0f} bytes, {least['bpp']:.3f} bpp."
    ]


def mode_bytes(results: Results) -> list[str]:
    """What files hold and take, by mode."""
    content = results.need("facts")
    rows = []
    for row in content["modes"]:
        size = f"{row['least']} to {row['most']}" if row["most"] > row["least"] else f"{row['least']}"
        holds, needs = RECEIVERS[row["mode"]]
        rows.append([f"`{row['mode']}`", holds, size, needs])
    words = len(content["caption"].split())
    return [
        f"Bytes of whole files, for {content['pictures']} pictures of 768x512 (Kodak) with a caption of {words} words:",
        "",
        *grid(["mode", "the file holds", "bytes", "the receiver needs"], rows),
    ]  # fmt: skip


def edge_bytes(results: Results) -> list[str]:
    """What edge maps take beside other formats."""
    content = results.need("edge_maps")
    found = {(row["format"], row["asked"]): row["bytes"] for row in content["rows"]}
    sizes = sorted({size for _, size in found})

    def fewer(name: str) -> str:
        saved = [round(100 * (1 - found["mcmcodec", size] / found[name, size])) for size in sizes]
        return f"{min(saved)} to {max(saved)} %"

    return [
        f"They are coded without loss: {content['pictures']} maps of validation pictures take "
        f"{fewer('JBIG2, coded data alone')} fewer bytes than the coded data of JBIG2 alone, and {fewer('WebP')} fewer "
        "than lossless WebP ([results](results.md#edge-maps))."
    ]


def painted_colours(results: Results) -> list[str]:
    """What the correction of colours does to a picture that is too warm and too saturated."""
    content = results.need("facts")
    said = ", ".join(
        f"{number('ciede', row['before'])} before and {number('ciede', row['after'])} after with `{row['mode']}` "
        f"({number('ciede', row['decoded'])} in the decoded picture itself)"
        for row in content["colours"]
    )
    return [
        "Measured with the original, too warm and too saturated, in the place of a painted picture, on "
        f"{content['painted']} pictures of Kodak: CIEDE2000 of block means {said}."
    ]


def link_times(results: Results) -> list[str]:
    """What spare messages cost in time."""
    said = ", ".join(
        f"{row['needed']} of {row['bytes']} bytes and {row['spare']} spare ones, {row['lost']} lost: "
        f"{row['split_s']:.1f} s to cut, {row['join_s']:.1f} s to put together"
        for row in results.need("facts")["links"]
    )
    return [f"On a core, {said}."]


def viewer_bytes(results: Results) -> list[str]:
    """What the viewer's page takes up and loads."""
    sizes, name = results.need("facts")["viewer_bytes"], results.model["name"]
    parts = [f"weights/{name}.js", f"weights/{name}-{_card(results)['default_decoder']}.js"]
    first = sum(sizes[part] for part in parts)
    return [
        f"The page with `{name}` has {sum(sizes.values()) / 1e6:.0f} MB, of which a visitor loads what the files need: "
        f"{first / 1e6:.0f} MB for the default decoder and {sizes['weights/captions.js'] / 1e6:.0f} MB more for "
        "captions."
    ]


BLOCKS = {
    "refining": refining, "hyper": hyper, "speeds": speeds, "large": large, "light": light, "reduced": reduced,
    "files": files, "card_head": card_head, "card_flat": card_flat, "card_reduced": card_reduced,
    "installing": installing, "smallest": smallest, "mode_bytes": mode_bytes, "edge_bytes": edge_bytes,
    "painted_colours": painted_colours, "link_times": link_times, "viewer_bytes": viewer_bytes,
}  # fmt: skip
