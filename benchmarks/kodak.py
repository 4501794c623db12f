"""Rate and distortion of mcmcodec over a folder of pictures.

    python benchmarks/kodak.py FOLDER --model NAME --out benchmarks/results/kodak_NAME.json

Every picture becomes an .mcm file at every quality; the whole file's size counts. The file is decoded with every
decoder named, and the 8-bit result compared with the original. A run that was stopped goes on where it was.
``report.py`` sets the results beside the peers'.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import common

from mcmcodec.cli.bench import ours, suite

QUALITIES = "5,15,25,35,45,55,65,75,85,95"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--qualities", default=QUALITIES, help=f"separated by commas [{QUALITIES}]")
    parser.add_argument("--decoder", help="one or several, separated by commas [all of the model's]")
    parser.add_argument("--modes", default="full", help="of full, base, caption, separated by commas [full]")
    parser.add_argument("--out", type=Path, required=True, help="results file, JSON")
    parser.add_argument("--mask", default="rd", help="which mask [rd]")
    parser.add_argument("--keep", type=float, help="share of visible patches [the codec decides]")
    parser.add_argument("--effort", type=int, help="of encoding [the codec's default]")
    parser.add_argument("--reduce", type=int, default=1, help="code at 1/2, 1/4, 1/8 of the size: 2, 4, 8 [1]")
    parser.add_argument("--square", type=int, default=0, help="centre square, scaled to this side")
    parser.add_argument("--model", help="which weights [the default model]")
    common.add_options(parser)
    options = parser.parse_args()
    coder, about = common.start(options)
    model = about["model"]
    decoders = options.decoder.split(",") if options.decoder else list(coder.weights.decoders)
    qualities = [int(quality) for quality in options.qualities.split(",")]
    settings = {"mask": options.mask} | ({} if options.keep is None else {"keep": options.keep})
    settings |= {} if options.effort is None else {"effort": options.effort}
    settings |= {} if options.reduce == 1 else {"reduce": options.reduce}
    candidates = [
        ours.candidate(coder, model["name"], decoders, qualities, mode, **settings) for mode in options.modes.split(",")
    ]
    paths = common.pictures(options.folder)[: options.limit]
    referee = common.referee(options)
    journal = options.out.with_suffix(".partial")
    with common.watch() as watch:
        content = suite.rate_distortion(
            options.folder.name, paths, candidates, referee, about, journal, watch, options.square
        )
    suite.finish(content, options.out, journal)


if __name__ == "__main__":
    common.run(main)
