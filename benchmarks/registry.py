"""All benchmarks: what each asks, what it needs, its settings, and whether its results file is up to date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import (
    ablations,
    choices,
    decoders,
    edge_maps,
    effort,
    exactness,
    facts,
    fuzz,
    messages,
    modes,
    operations,
    perception,
    processes,
    rate_distortion,
    recognition,
    search,
)
from .work import Work

QUICK = ("psnr", "msssim", "lpips")
BOTH = ("fidelity", "perceptual")


@dataclass(frozen=True)
class Benchmark:
    """One results file, ``results/NAME.json``.

    Attributes:
        name: of the file.
        question: what it answers, in a line.
        minutes: about how long it takes on one core, all anew.
        needs: files and folders of the data.
        settings: all that ``measure`` is told; the results file is out of date when they change.
        measure: returns the content of the file.
        model: whether the results depend on the model's weights.
        decoders: whether they depend on what its decoders paint, too.
    """

    name: str
    question: str
    minutes: int
    needs: tuple[str, ...]
    settings: Mapping[str, Any]
    measure: Callable[..., dict[str, Any]] = field(repr=False)
    model: bool = True
    decoders: bool = True

    def key(self, model: Mapping[str, Any]) -> str:
        """Hash of what results depend on: the settings and, by content, the weights.

        Args:
            model: name and hashes, see :func:`benchmarks.work.identity`.
        """
        parts = {name: value for name, value in model.items() if self.decoders or name != "decoders"}
        content = {"settings": self.settings, "model": parts if self.model else None}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    def state(self, results: Path, model: Mapping[str, Any]) -> str:
        """``current``, ``outdated``, ``missing``, or ``stopped`` where a measurement can go on."""
        path = results / f"{self.name}.json"
        if path.exists() and json.loads(path.read_text(encoding="utf-8")).get("key") == self.key(model):
            return "current"
        if path.with_suffix(".partial").exists():
            return "stopped"
        return "outdated" if path.exists() else "missing"


def measure_captions(work: Work, **settings: Any) -> dict[str, Any]:
    """See :mod:`benchmarks.captions`, which needs compressors that nothing else does."""
    from . import captions

    return captions.measure(work, **settings)


def _kodak(qualities: Sequence[int], reduce: int = 1) -> dict[str, Any]:
    return {"folder": "kodak", "qualities": qualities, "decoders": BOTH, "metrics": QUICK, "reduce": reduce}


BENCHMARKS = (
    Benchmark(
        "kodak_peers", "Rate and distortion of other codecs on the 24 Kodak pictures", 120, ("kodak",),
        {"folder": "kodak", "names": ("JPEG", "JPEG (mozjpeg)", "WebP", "AVIF", "JPEG XL", "HEIC", "VVC"),
         "scales": (1, 2, 4), "metrics": QUICK},
        rate_distortion.measure_peers, model=False,
    ),
    Benchmark(
        "kodak", "Rate and distortion of ours on the 24 Kodak pictures", 12, ("kodak",),
        _kodak((0, 5, 20, 30, 40, 50, 60, 70, 80)), rate_distortion.measure_ours,
    ),
    Benchmark(
        "kodak_half", "The same, coded at half their size", 8, ("kodak",),
        _kodak((0, 5, 20, 30, 40, 50, 60, 70), 2), rate_distortion.measure_ours,
    ),
    Benchmark(
        "kodak_quarter", "The same, coded at a quarter of their size", 3, ("kodak",),
        _kodak((0, 20, 40), 4), rate_distortion.measure_ours,
    ),
    Benchmark(
        "small_peers", "Rate and distortion of other codecs on pictures of 256x256", 10, ("val",),
        {"folder": "val", "names": ("WebP", "AVIF", "JPEG XL", "VVC"), "scales": (1, 2), "metrics": QUICK, "count": 24,
         "square": 256},
        rate_distortion.measure_peers, model=False,
    ),
    Benchmark(
        "small", "Rate and distortion of ours on pictures of 256x256", 2, ("val",),
        {"folder": "val", "qualities": (5, 15, 25, 35, 45, 55, 65, 75), "decoders": ("perceptual", "fidelity"),
         "metrics": QUICK, "count": 24, "square": 256},
        rate_distortion.measure_ours,
    ),
    Benchmark(
        "perception", "LPIPS by two networks, DISTS, colour, Frechet distance, at nearly equal rates", 8, ("kodak",),
        {"folder": "kodak", "count": 4, "qualities": (20, 40, 50), "decoders": ("perceptual", "fidelity"),
         "names": ("VVC", "AVIF", "JPEG XL", "WebP"), "rates": (0.03, 0.1),
         "metrics": ("psnr", "lpips", "lpips_vgg", "dists", "ciede", "chroma", "fd")},
        perception.measure,
    ),
    Benchmark(
        "decoders", "What the decoders of one model make of the same files", 2, ("val",),
        {"folder": "val", "count": 16, "qualities": (40, 60), "realism": (0.0, 0.25, 0.5, 0.75, 1.0),
         "metrics": (*QUICK, "ciede", "chroma"), "turns": 5},
        decoders.measure,
    ),
    Benchmark(
        "operations", "Multiplications per pixel of each part, computed from the networks", 1, (), {},
        operations.measure,
    ),
    Benchmark(
        "effort", "What the encoder's effort buys", 10, ("val",),
        {"folder": "val", "count": 3, "qualities": (20, 25, 30, 35, 40, 50), "quality": 30, "levels": (1, 2, 3, 4, 5),
         "tunes": ("fidelity", "perceptual")},
        effort.measure,
    ),
    Benchmark(
        "choices", "What masks, RDOQ and the choice of the hyper-latent are worth", 7, ("val",),
        {"folder": "val", "count": 24, "qualities": (0, 5, 15, 30, 60)}, choices.measure,
    ),
    Benchmark(
        "modes", "Caption only, caption and edges, base layer only, whole files", 2, ("val", "pairs.csv"),
        {"folder": "val", "captions": "pairs.csv", "count": 16, "qualities": (30, 50),
         "decoders": ("perceptual", "fidelity"),
         "metrics": ("psnr", "lpips", "dists", "ciede", "chroma", "fd", "brisque")},
        modes.measure,
    ),
    Benchmark(
        "recognition", "Does a classifier see the same in decoded pictures, and are they natural?", 8, ("val",),
        {"folder": "val", "count": 200, "qualities": (10, 30, 50), "decoders": ("perceptual", "fidelity"),
         "names": ("AVIF", "WebP", "VVC"), "rates": (0.05, 0.15)},
        recognition.measure,
    ),
    Benchmark(
        "edge_maps", "What an edge map costs, in a file and by formats for bilevel pictures", 2, ("val",),
        {"folder": "val", "count": 50, "sizes": (100, 200, 320, 600)}, edge_maps.measure, model=False,
    ),
    Benchmark(
        "messages", "Pictures of so few bytes that a message carries them", 6, ("val", "kodak"),
        {"sets": (("val", 256), ("kodak", 512)), "count": 3, "sizes": (100, 160, 250, 400),
         "names": ("AVIF", "WebP", "JPEG XL"), "scales": (1, 4)},
        messages.measure,
    ),
    Benchmark(
        "link", "Messages lost, repeated, damaged, in any order, among others", 2, (), {"rounds": 1000, "seed": 0},
        messages.measure_link, model=False,
    ),
    Benchmark(
        "captions", "What a caption costs, in a file and by general compressors", 1, ("captions",),
        {"folder": "captions", "heldout": "captions/heldout", "every": 8, "train_every": 16}, measure_captions,
        decoders=False,
    ),
    Benchmark(
        "search", "How often a search finds what was meant, and what it costs", 10, ("val", "pairs.csv", "captions"),
        {"folder": "val", "captions": "pairs.csv", "ways": ("words", "meaning", "both"), "texts": "captions",
         "queries": 40, "quality": 40, "files": 20_000, "distinct": 2_000},
        search.measure, decoders=False,
    ),
    Benchmark(
        "facts", "Flat pictures, bytes of modes, colours after painting, messages, sizes of what is installed", 2,
        ("kodak",),
        {"folder": "kodak", "every": 3, "painted": 6, "caption": "two parrots in front of green leaves",
         "flat": (20, 50), "links": ((16, 200, 8, 8), (128, 200, 100, 100))},
        facts.measure,
    ),
    Benchmark(
        "speed", "Seconds and memory, beside other codecs", 8, ("kodak",),
        {"folder": "kodak", "megapixels": (0.1, 0.4, 1.5, 12.0, 50.0), "warm": (0.1, 0.4, 1.5), "threads": (1, 2),
         "one_core_up_to": 12.0, "counts": (1, 4, 16)},
        processes.measure,
    ),
    Benchmark(
        "exactness", "The same symbols in every environment of this machine", 10, ("kodak",),
        {"folder": "kodak", "count": 2, "qualities": (10, 50, 90)}, exactness.measure,
    ),
    Benchmark(
        "ablations", "What each part of the form is worth in short trainings from the same start", 16, ("train", "val"),
        {"train": "train", "val": "val", "minutes": 1, "pictures": 6}, ablations.measure, model=False,
    ),
    Benchmark(
        "fuzz", "Hostile files, pictures and weights, with the tests' tiny model", 20, (),
        {"runs": (("command", 1, 2000), ("container", 1, 400_000), ("container", 2, 300_000), ("container", 3, 300_000),
                  ("container", 4, 300_000), ("exact", 1, 5000), ("exact", 2, 5000), ("exact", 3, 5000),
                  ("exact", 4, 5000), ("picture", 1, 8000), ("pixel", 1, 1000), ("weights", 1, 2000),
                  ("words", 1, 500))},
        fuzz.measure, model=False,
    ),
)  # fmt: skip
"""In the order in which they run."""
