"""A rate-distortion run: every picture through every codec at every setting, by real files; resumable.

A *candidate* writes files; a *curve* is one way to decode them: one file of ours gives a point for each decoder.
A run's rows go to a journal as they are measured: the same run, started again, goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import McmError
from ...metrics.dists import frechet
from ...metrics.judge import Judge, Reference, Row
from .peers import Peer

# Digits that are worth keeping; seconds are not more exact than this either.
DIGITS = {"bytes": 1, "bpp": 6, "psnr": 4, "msssim": 6, "lpips": 5, "lpips_vgg": 5, "dists": 5, "ciede": 4,
          "chroma": 4, "fd": 3, "brisque": 3, "top1": 4, "top5": 4, "features": 5, "encode_s": 4,
          "decode_s": 4}  # fmt: skip
LANCZOS = Image.Resampling.LANCZOS


class Clock:
    """Seconds of work: CPU time of this process and the programs it ran, or wall time where threads work together."""

    read: Callable[[], float] = staticmethod(time.perf_counter)

    @staticmethod
    def cpu() -> float:
        """CPU seconds of this process and of the programs that it has run."""
        times = os.times()
        return time.process_time() + times.children_user + times.children_system


Decode = Callable[[bytes, tuple[int, int]], Image.Image | None]
Key = tuple[str, float, str]


@dataclass(frozen=True)
class Candidate:
    """Something that writes files of a picture at settings, and the curves that reading them gives.

    ``encode(image, setting)`` returns a file's bytes; ``decoders`` maps a curve's name to ``decode(data, size)``, the
    picture at the original's size (width, height), or None when the file is too little for one. ``extra`` bytes are
    counted beside every file.
    """

    settings: tuple[float, ...]
    encode: Callable[[Image.Image, float], bytes]
    decoders: Mapping[str, Decode]
    facts: Mapping[str, Any] = field(default_factory=dict)
    extra: int = 0


def peer(one: Peer, scale: int, threads: int = 1) -> Candidate:
    """A peer with sides divided by `scale` (Lanczos) before encoding; stating the scale costs one byte per file."""

    def encode(image: Image.Image, setting: float) -> bytes:
        if scale > 1:
            image = image.resize((max(1, image.width // scale), max(1, image.height // scale)), LANCZOS)
        return one.encode(image, setting, threads)

    def decode(data: bytes, size: tuple[int, int]) -> Image.Image:
        decoded = one.decode(data)
        return decoded.resize(size, LANCZOS) if scale > 1 else decoded.crop((0, 0, *size))

    name = one.name if scale == 1 else f"{one.name} 1/{scale}"
    facts = {"family": one.name, "scale": scale, "about": one.about, "version": one.version, "setting": one.setting}
    return Candidate(one.ladder[scale], encode, {name: decode}, facts, extra=int(scale > 1))


class Journal:
    """Rows measured so far, in a file of JSON lines that begins with what they were measured on.

    Features of patches, which a Frechet distance needs of all pictures at once, lie in a folder beside it.
    """

    def __init__(self, path: Path | None, key: Mapping[str, Any]) -> None:
        self.path = path
        self.rows: dict[Key, Row] = {}
        head = json.dumps({"run": key}, sort_keys=True)
        if path is None:
            return
        lines = path.read_text().splitlines() if path.exists() else []
        if lines[:1] == [head]:
            for line in lines[1:]:
                try:
                    row = json.loads(line)
                except ValueError:
                    break  # a line that was cut off when the run was stopped
                self.rows[_key(row)] = row
        else:
            remove(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [head, *(json.dumps(row) for row in self.rows.values())]
        path.write_text("\n".join(kept) + "\n")

    def add(self, row: Row, features: np.ndarray | None = None) -> None:
        """Keep a row, on disk too."""
        if features is not None:
            self.keep(_key(row), features)
        self.rows[_key(row)] = row
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")

    def keep(self, key: Key, features: np.ndarray) -> None:
        """Keep features of a picture's patches."""
        if self.path is not None:
            path = self._place(key)
            path.parent.mkdir(exist_ok=True)
            np.save(path.with_suffix(".new.npy"), features)
            path.with_suffix(".new.npy").replace(path)

    def features(self, key: Key) -> np.ndarray | None:
        """What `keep` kept; None if there is nothing."""
        if self.path is None or not self._place(key).exists():
            return None
        found: np.ndarray = np.load(self._place(key))
        return found

    def _place(self, key: Key) -> Path:
        assert self.path is not None
        return _features(self.path) / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.npy"


def remove(path: Path) -> None:
    """Remove a journal and what lies beside it: the run is complete and stored elsewhere, or was another one."""
    path.unlink(missing_ok=True)
    shutil.rmtree(_features(path), ignore_errors=True)


def _features(path: Path) -> Path:
    return path.with_name(path.name + ".features")


def _key(row: Row) -> Key:
    return row["curve"], float(row["setting"]), row["image"]


def measure(candidate: Candidate, setting: float, reference: Reference) -> Iterator[tuple[Row, np.ndarray | None]]:
    """One row per curve, with features of the decoded picture's patches where they are wanted."""
    start = Clock.read()
    data = candidate.encode(reference.image, setting)
    encode_s = Clock.read() - start
    size = len(data) + candidate.extra
    for curve, decode in candidate.decoders.items():
        start = Clock.read()
        decoded = decode(data, reference.image.size)
        decode_s = Clock.read() - start
        judged, features = reference.judge(decoded) if decoded else (dict.fromkeys(reference.judge_.wanted), None)
        row = {"curve": curve, "setting": setting, "image": reference.name, "bytes": size, "bpp": reference.bpp(size)}
        yield rounded(row | judged | {"encode_s": encode_s, "decode_s": decode_s}), features


def sweep(
    candidates: Sequence[Candidate], references: Iterable[Reference], journal: Journal,
    advance: Callable[[str], None] = lambda text: None, complain: Callable[[str], None] = print,
) -> tuple[list[Row], list[Row]]:  # fmt: skip
    """Rows of all pictures at all settings of all candidates, and their points.

    `advance` is called after each file with its name; what a codec refuses goes to `complain` and is left out.
    """
    originals: list[np.ndarray] = []
    patches: dict[tuple[str, float], list[np.ndarray]] = {}
    warm: set[int] = set()
    rows: list[Row] = []
    for reference in references:
        judges_fd = "fd" in reference.judge_.wanted and reference.judge_.dists is not None
        original = _original(reference, journal) if judges_fd else None
        if original is not None:
            originals.append(original)
        for candidate in candidates:
            for setting in candidate.settings:
                keys = [(curve, float(setting), reference.name) for curve in candidate.decoders]
                known = [found for key in keys if judges_fd and (found := journal.features(key)) is not None]
                if all(key in journal.rows for key in keys) and len(known) == len(keys) * judges_fd:
                    rows += [journal.rows[key] for key in keys]
                    for key, found in zip(keys, known, strict=False):
                        patches.setdefault(key[:2], []).append(found)
                    advance(f"{reference.name}, {keys[0][0]}")
                    continue
                try:
                    if id(candidate) not in warm:
                        # The first file pays for memory, kernels and tables being set up; it is not timed.
                        _, decode = next(iter(candidate.decoders.items()))
                        decode(candidate.encode(reference.image, setting), reference.image.size)
                        warm.add(id(candidate))
                    for row, features in measure(candidate, setting, reference):
                        journal.add(row, features)
                        rows.append(row)
                        if features is not None:
                            patches.setdefault((row["curve"], float(setting)), []).append(features)
                except (McmError, OSError, ValueError, RuntimeError) as error:
                    complain(f"{reference.name}: {keys[0][0]} at {setting:g} failed ({error})")
                advance(f"{reference.name}, {keys[0][0]}")
        reference.release()
    distances = {}
    if originals:
        all_originals = np.concatenate(originals)
        distances = {key: frechet(all_originals, np.concatenate(found)) for key, found in patches.items()}
    return rows, points(rows, distances)


def _original(reference: Reference, journal: Journal) -> np.ndarray | None:
    """Features of the original's patches; None for a picture that is too small or too large."""
    key = ("", 0.0, reference.name)
    found = journal.features(key)
    if found is None:
        found = reference.patches()
        if found is not None:
            journal.keep(key, found)
    return found


def points(rows: Sequence[Row], distances: Mapping[tuple[str, float], float | None] | None = None) -> list[Row]:
    """Means over the pictures for every curve and setting, as papers draw curves at fixed quality."""
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["curve"], float(row["setting"])), []).append(row)
    found = []
    for (curve, setting), members in groups.items():
        point: Row = {"curve": curve, "setting": setting, "images": len(members)}
        for key in DIGITS:
            values = [row[key] for row in members if key in row]
            if values:
                point[key] = None if None in values else sum(values) / len(values)
        if distances and (curve, setting) in distances:
            point["fd"] = distances[curve, setting]
        found.append(rounded(point))
    return found


def references(paths: Sequence[Path], judge: Judge, square: int = 0) -> Iterator[Reference]:
    """The pictures as the codec sees them: upright, sRGB, on white; with captions from text files beside them.

    `square` > 0 takes the centre square and scales it to that side with Lanczos.
    """
    from ...image.io import open_image, to_rgb

    for path in paths:
        with open_image(path) as opened:
            picture = to_rgb(opened)
        if square:
            image = Image.fromarray(picture)
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side)).resize((square, square), LANCZOS)
            picture = np.asarray(image)
        reference = Reference(path.stem, picture, judge)
        words = path.with_suffix(".txt")
        if words.is_file():
            reference.image.info["caption"] = words.read_text(encoding="utf-8").strip()
        yield reference


def rounded(row: Row) -> Row:
    """The row with its measured columns rounded to DIGITS; infinite PSNR (equal pictures) becomes None."""
    out: Row = {}
    for key, value in row.items():
        if isinstance(value, float) and not np.isfinite(value):
            value = None
        out[key] = round(value, DIGITS[key]) if key in DIGITS and value is not None else value
    return out
