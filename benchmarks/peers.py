"""Turns a table of measured competitors (CSV, one row per file) into the compact, committed peers/NAME.json.

    python benchmarks/peers.py MEASURED.csv --name kodak

Kept are the means over the pictures of every codec and setting that was measured on all 24 of them, so that
every point is a whole set at fixed quality. The columns read: codec, settings, image, bytes, bpp, psnr,
msssim, lpips_alex, enc_s, dec_s.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import common

Row = dict[str, str]
IMAGES = 24

# Column "codec" up to the suffix of its scale: family and name to print.
CODECS = {
    "vvenc_slow": ("VVC", "VVC (vvenc slow)"),
    "avif_s2_ssim_444": ("AVIF", "AVIF (aom speed 2, 4:4:4)"),
    "avif_s6_def": ("AVIF", "AVIF (Pillow defaults)"),
    "bpg_hm": ("BPG", "BPG (HM)"),
    "heic_x265": ("HEIC", "HEIC (x265)"),
    "jxl_e9": ("JPEG XL", "JPEG XL (effort 9)"),
    "webp_m6": ("WebP", "WebP (method 6)"),
    "j2k": ("JPEG 2000", "JPEG 2000 (openjpeg)"),
    "mozjpeg_psnr": ("JPEG", "JPEG (mozjpeg)"),
}
SCALES = {"": 1, "_h": 2, "_q": 4, "_e": 8}

ABOUT = [
    "bytes are whole files as written, headers and container included",
    "a point is one setting (fixed quality): rate and metrics averaged over all 24 pictures separately",
    "scale 2, 4, 8: Lanczos down, encode, decode, Lanczos up; one byte more for the scale",
    "kodak: the 24 pictures as shipped, 768x512 or 512x768",
    "kodak256: the centre square, scaled to 256x256 with Lanczos",
    "PSNR: RGB, 8 bit, mean squared error over three channels, dB averaged over pictures",
    "MS-SSIM: RGB, data range 255, the definition of pytorch_msssim",
    "LPIPS: AlexNet, version 0.1; null where it was not measured for all 24 pictures",
    "seconds: CPU time on one thread of a shared machine, good to 30 %; in-process, but the whole process "
    "for vvenc, vvdec, bpg and mozjpeg's encoder",
    "vvenc: preset slow, perceptual tuning off, 4:2:0, 10 bit, BT.709 full range, raw stream",
    "AVIF: speed 2, 4:4:4, tune=ssim, 8 bit; and Pillow's defaults (speed 6, 4:2:0)",
    "BPG: HM encoder, 4:2:0, 10 bit; HEIC: placebo, tune=psnr, 4:2:0",
    "mozjpeg: tuned for PSNR, progressive, 4:2:0",
    "JPEG XL (effort 9) and JPEG 2000: bare codestreams",
    "measured in November 2026",
]
VERSIONS = {
    "vvenc": "1.15.0-dev (0a41b119)",
    "vvdec": "3.3.0-dev (e493ce5)",
    "libbpg": "0.9.8 (0e2aadb, JCTVC-HM encoder)",
    "mozjpeg": "5.0.0 (0826579)",
    "pillow": "13.0.0 (libavif 1.4.2, aom 3.14.1, dav1d 1.5.3, libwebp 1.6.0, openjpeg 2.5.4)",
    "imagecodecs": "2026.3.6 (libjxl 0.11.2)",
    "pillow-heif": "1.8.1 (libheif 1.23.6, x265 4.3, libde265 1.1.3)",
}


def curves(rows: list[Row]) -> list[dict[str, Any]]:
    """One curve per codec and scale, its points by rising rate; settings that lack pictures are left out."""
    groups: dict[tuple[str, int], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        base, suffix = re.fullmatch(r"(.+?)(_h|_q|_e)?", row["codec"]).groups("")  # type: ignore[union-attr]
        if base in CODECS:
            groups[base, SCALES[suffix]][row["settings"]].append(row)
    result = []
    for (base, scale), settings in groups.items():
        points = [point(name, members) for name, members in settings.items() if complete(members)]
        if points:
            family, name = CODECS[base]
            points.sort(key=lambda p: p["bpp"])
            result.append({"family": family, "name": name, "scale": scale, "points": points})
    order = [name for _, name in CODECS.values()]
    return sorted(result, key=lambda curve: (order.index(curve["name"]), curve["scale"]))


def complete(rows: list[Row]) -> bool:
    """Whether the rows are all pictures, each once."""
    return len(rows) == IMAGES == len({row["image"] for row in rows})


def point(settings: str, rows: list[Row]) -> dict[str, Any]:
    """Means of one setting over all pictures."""
    columns = {"bytes": "bytes", "bpp": "bpp", "psnr": "psnr", "msssim": "msssim", "lpips": "lpips_alex",
               "encode_s": "enc_s", "decode_s": "dec_s"}  # fmt: skip
    values = [{to: float(row[of]) if row[of] else None for to, of in columns.items()} for row in rows]
    # What is left of the settings beside the versions is the one value that was swept.
    match = re.search(r"(quality|qp|distance|target bpp) ([\d.]+)", settings)
    return {"setting": match[0] if match else settings} | common.mean(values)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path, help="CSV of measured files")
    parser.add_argument("--name", default="kodak", help="of the set, and of the file in benchmarks/peers [kodak]")
    options = parser.parse_args()
    with options.measured.open(newline="") as file:
        found = curves(list(csv.DictReader(file)))
    out = Path(__file__).parent / "peers" / f"{options.name}.json"
    common.write_json(out, {"set": options.name, "about": ABOUT, "versions": VERSIONS, "curves": found})


if __name__ == "__main__":
    main()
