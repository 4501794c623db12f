"""A stand-in for the codec that benchmarks can measure without weights, pictures for it, and what comes of both."""

import io
from types import SimpleNamespace

import numpy as np
from PIL import Image

from mcmcodec.bitstream.container import Header, pack, parse_header
from mcmcodec.cli.bench import ours, run
from mcmcodec.metrics import judge


class WebP:
    """A codec with mcmcodec's interface and a header that can be read, whose payload is WebP."""

    weights = SimpleNamespace(name="toy", analysis_for=lambda decoder: "one for all")

    def encode(self, image, *, quality=50, keep=None, mask="rd"):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=round(quality * (1 if mask == "none" else 0.9)))
        share = round(255 * (keep or 1))
        header = Header(image.width, image.height, 0, 0, quality, share, all_visible=share == 255)
        return pack(header, buffer.getvalue(), bytes(32))

    def decode(self, data, decoder=None):
        image = Image.open(io.BytesIO(data[parse_header(data)[1] : -4])).convert("RGB")
        return image if decoder == "fidelity" else image.point(lambda v: min(255, v + 3))


def make_pictures(path):
    """A folder of two pictures."""
    rng = np.random.default_rng(3)
    for index in range(2):
        small = Image.fromarray(rng.integers(0, 255, (24, 28, 3), dtype=np.uint8))
        (path / "set").mkdir(exist_ok=True)
        small.resize((192 + 16 * index, 168), Image.Resampling.BICUBIC).save(path / f"set/p{index}.png")
    return path / "set"


def references(folder, metrics="psnr,msssim"):
    return list(run.references(sorted(folder.glob("*.png")), judge.Judge(judge.parse(metrics))))


def brighter_and_not(qualities=(10, 50, 90)):
    return ours.candidate(WebP(), "toy", ["fidelity", "brighter"], qualities)


def make_results(folder):
    """The content of a results file of rates and distortions."""
    candidate = brighter_and_not()
    rows, points = run.sweep([candidate], references(folder), run.Journal(None, {}))
    facts = {
        "set": "kodak", "images": 24, "metrics": ["psnr", "msssim"],
        "model": {"name": "toy", "fingerprint": "00" * 32},
        "machine": {"cpu": "a cpu", "system": "Linux", "threads": 1}, "device": "cpu", "versions": {"python": "3"},
        "commit": None, "seconds": "CPU",
    }  # fmt: skip
    facts["curves"] = {name: dict(candidate.facts) for name in candidate.decoders}
    return facts | {"points": points, "rows": rows}
