"""A page to publish: pictures at three rates, original, AVIF or WebP on the left of a line, ours on its right.

One HTML file that needs nothing else. Ours is encoded to the rate, the others to ours in bytes, at full, half or
quarter size, whichever has the best PSNR there.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from PIL import Image

from mcmcodec import Codec
from mcmcodec.cli.bench import equal_bytes, peers, provenance, run, suite
from mcmcodec.encoder.rate_control import Goal, fit
from mcmcodec.errors import UsageError
from mcmcodec.image.prepare import prepare
from mcmcodec.metrics.judge import METRICS, Reference, Row

from .work import RESULTS, Work, identity

TEMPLATE = Path(__file__).with_name("sliders.html")
RATES = (0.01, 0.03, 0.07)
COUNT = 10
SHOWN = ("psnr", "lpips")
OTHERS = (peers.avif, peers.webp)
"""Their names begin with different letters, which are keys of the page."""
QUALITY, SIDE, THUMBNAIL = 90, 1600, 112
"""Of the copies for the screen, as WebP; their largest side, and the height of small ones, in pixels."""
KODAK = "The pictures are from the Kodak Lossless True Color Image Suite, which Kodak released for unrestricted use."


def source(image: Image.Image, side: int = SIDE) -> str:
    """A data address of a copy for the screen."""
    copy = image.convert("RGB")
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    copy.save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def item(title: str, image: Image.Image, size: int, reference: Reference, values: Row) -> dict[str, str]:
    """A coded picture as the page takes it."""
    said = [
        f"{METRICS[name].title.partition(' (')[0]} {values[name]:.{METRICS[name].digits}f}"
        for name in SHOWN
        if values.get(name) is not None
    ]
    text = f"{size:,} bytes, {reference.bpp(size):.4f} bpp" + "".join(f", {one}" for one in said)
    return {"title": title, "text": text, "src": source(image)}


def picture(
    codec: Codec, decoder: str | None, reference: Reference, others: Mapping[str, Sequence[run.Candidate]],
    rows: Sequence[Row], rates: Sequence[float],
) -> dict[str, Any]:  # fmt: skip
    """One picture as the page takes it; `rows` are known points of the others, measured here where there are none."""
    image, known = reference.image, list(rows)
    for some in others.values():
        names = {name for candidate in some for name in candidate.decoders}
        if not any(row["image"] == reference.name and row["curve"] in names for row in rows):
            known += run.sweep(some, [reference], run.Journal(None, {}))[0]
    title = f"original, {image.width} x {image.height}"
    found: list[dict[str, Any]] = []
    for rate in rates:
        data = fit(codec, prepare(image), Goal("bpp", rate)).data
        decoded = codec.decode(data, decoder=decoder)
        ours = item("mcmcodec", decoded, len(data), reference, reference.judge(decoded)[0])
        theirs = {
            name: item(other.title, other.image, other.size, reference, other.values)
            for name, some in others.items()
            if (other := equal_bytes.closest(some, known, reference, len(data)))
        }
        found.append({"ours": ours, "others": theirs})
    reference.release()
    return {
        "name": reference.name, "width": image.width, "height": image.height,
        "thumbnail": source(image, THUMBNAIL * 3 // 2),
        "original": {"title": "original", "text": title.partition(", ")[2], "src": source(image)}, "rates": found,
    }  # fmt: skip


def render(pictures: Sequence[dict[str, Any]], rates: Sequence[float], others: Sequence[str], about: str) -> str:
    """The page."""
    data = {"rates": [f"{rate:g}" for rate in rates], "others": others, "pictures": pictures, "about": about}
    # "</" would end the element that holds the data
    return TEMPLATE.read_text(encoding="utf-8").replace("/*DATA*/", json.dumps(data).replace("</", "<\\/"), 1)


class Kept:
    """The pictures that are done, a file of JSON each beside the page, for a run that goes on after being stopped."""

    def __init__(self, folder: Path, key: object) -> None:
        self.folder = folder
        self._key = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]

    def path(self, name: str) -> Path:
        """Where a picture is kept."""
        return self.folder / f"{name}.{self._key}.partial"

    def get(self, name: str) -> dict[str, Any] | None:
        """What was kept of a picture; None if nothing was."""
        path = self.path(name)
        found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        return found


@click.command("sliders")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True,
              help="Folder with the folder of pictures.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Gets index.html.")
@click.option("--folder", default="kodak", show_default=True, help="Of the pictures.")
@click.option("--count", type=click.IntRange(1), default=COUNT, show_default=True, help="So many, evenly spread.")
@click.option("--decoder", metavar="NAME", help="Of ours.  [default: the model's first]")
@click.option("--model", metavar="NAME", help="Which weights.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the results files.")
def command(
    data: Path, out: Path, folder: str, count: int, decoder: str | None, model: str | None, results: Path
) -> None:
    """Write a page of pictures to compare, original, AVIF or WebP against ours, that can be published as it is.

    About 25 seconds a picture on one core. A stopped run goes on where it was.
    """
    encoders = []
    for make in OTHERS:
        encoder = make()
        if isinstance(encoder, peers.Missing):
            raise UsageError(f"the page needs {encoder.name}", encoder.remedy)
        encoders.append(encoder)
    work = Work(data, model, results=results)
    others, judge = {one.name: suite.peer_candidates([one], peers.SCALES) for one in encoders}, work.judge(SHOWN)
    measured = results / "kodak_peers.json"
    known = json.loads(measured.read_text(encoding="utf-8"))["rows"] if measured.exists() else []
    names = {name for some in others.values() for candidate in some for name in candidate.decoders}
    rows = [row for row in known if row["curve"] in names]
    out.mkdir(parents=True, exist_ok=True)
    kept = Kept(out, [identity(work.codec.weights), decoder, RATES, [one.version for one in encoders]])
    paths, pictures = work.pictures(folder, count), []
    for number, path in enumerate(paths, 1):
        found = kept.get(path.stem)
        if found is None:
            (reference,) = run.references([path], judge)
            found = picture(work.codec, decoder, reference, others, rows, RATES)
            provenance.write_json(kept.path(path.stem), found)
        pictures.append(found)
        click.echo(f"{number} of {len(paths)}: {path.stem}", err=True)
    weights = work.codec.weights
    about = (
        f"mcmcodec: model {weights.name}, fingerprint {weights.fingerprint.hex()[:16]}, decoder "
        f"{decoder or weights.decoders[0]}. "
        + " ".join(f"{one.name}: {one.about}, {one.version}." for one in encoders)
        + " Both at full, half or quarter size, whichever has the best PSNR; where their bytes differ "
        "from ours, no setting of that size comes nearer. Bytes are those of whole files. LPIPS "
        "(AlexNet) is lower where pictures look "
        "more alike; what was decoded is shown in copies for the screen (WebP, quality 90)."
    ) + (f" {KODAK}" if folder == "kodak" else "")
    target = out / "index.html"
    target.write_text(render(pictures, RATES, list(others), about), encoding="utf-8")
    for path in paths:
        kept.path(path.stem).unlink()
    click.echo(f"{target}: {len(pictures)} pictures, {target.stat().st_size / 1e6:.1f} MB", err=True)
