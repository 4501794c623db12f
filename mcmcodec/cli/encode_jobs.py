"""The work of ``codec encode``: reads pictures and encodes each to its own target, or all to one budget."""

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ..errors import InputError, UsageError
from ..options import EncodeOptions
from .batch import Result
from .files import STREAM, Job, seekable

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..encoder.rate_allocation import Point
    from ..encoder.rate_control import Goal
    from ..image.io import Pixels
    from ..image.prepare import Source

DETECTORS = ("faces", "bodies", "cats")
"""What ``--roi`` finds by itself: the kinds of :mod:`mcmcodec.encoder.roi`, which is slow to import."""


@dataclass(frozen=True)
class RateTarget:
    """What the files may cost, or how good they have to be.

    Attributes:
        goal: for each picture by itself, unless there is a budget for all.
        total_bytes: the budget of all files together, or None.
        seconds: time for spending the budget, or None for as long as it takes.
        reductions: sizes to try, as of :func:`mcmcodec.encoder.rate_control.fit`; None leaves them to the search.
        effort: the level that was asked for; None lets the time for the budget decide.
    """

    goal: "Goal"
    total_bytes: int | None = None
    seconds: float | None = None
    reductions: tuple[int, ...] | None = None
    effort: int | None = None


@dataclass(frozen=True)
class CaptionSettings:
    """Where captions come from.

    Attributes:
        texts: captions given as such; the cheapest of them is used for every picture.
        sources: names of sources, see :func:`mcmcodec.caption.sources.source`.
        captioner: the model that is asked where no source knows anything, ``NAME:FOLDER``, or None.
        max_bytes: bytes that a caption may take when coded, or None.
        painter: the model that tries captions, ``NAME:FOLDER``, or None to choose them by their words.
    """

    texts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    captioner: str | None = None
    max_bytes: int | None = None
    painter: str | None = None

    def __bool__(self) -> bool:
        return bool(self.texts or self.sources or self.captioner)


@dataclass(frozen=True)
class EncodeSettings:
    """What ``codec encode`` was asked for, checked; it can be sent to another process.

    Attributes:
        options: of the encoder; caption, region map and what the target decides are added for each picture.
        target: the rate.
        captions: where captions come from.
        model: name of a model, or None for the default one.
        device: where to compute.
        max_pixels: larger pictures are refused.
        background: colour to lay transparent pictures over, or None.
        keep_metadata: whether EXIF and XMP go along.
        allow_damaged: whether to take what there is of a damaged picture.
        roi: path of a region map, one of :data:`DETECTORS`, or None.
    """

    options: EncodeOptions
    target: RateTarget
    captions: CaptionSettings
    model: str | None
    device: str
    max_pixels: int
    background: str | None
    keep_metadata: bool
    allow_damaged: bool
    roi: str | None


@dataclass(frozen=True, slots=True)
class LoadedPicture:
    """A picture to encode: as the codec takes it, the size of its file in bytes, and its options."""

    source: "Source"
    size: int
    options: EncodeOptions

    def memory(self) -> int:
        """Bytes of memory that the pixels take."""
        alpha = self.source.extras.alpha
        return self.source.rgb.nbytes + (alpha.nbytes if alpha is not None else 0)


class PictureEncoder:
    """Loads the model, and what else the settings name, once; then reads and encodes pictures.

    Raises:
        ModelError: the model is not installed.
        UsageError: the region map, a source of captions or a captioner cannot be used.
    """

    def __init__(self, settings: EncodeSettings) -> None:
        self._settings = settings
        self._region_map = _region_mapper(settings.roi, settings.max_pixels)
        from ..codec import Codec

        self._codec = Codec(settings.model, settings.device, settings.max_pixels)
        self._captions = _caption_finder(settings.captions, settings.device)
        self._painter = None
        if settings.captions.painter:
            from ..plugins import load_painter

            self._painter = load_painter(settings.captions.painter, settings.device)

    def load(self, job: Job) -> LoadedPicture:
        """Read a picture and find its caption and region map.

        Raises:
            InputError: it cannot be read or is too large, or its caption or map does not fit it.
            OSError: its file cannot be read.
        """
        from ..image.io import open_image
        from ..image.prepare import prepare

        given = self._settings
        file = seekable(job.source)
        with open_image(file, given.max_pixels, allow_damaged=given.allow_damaged) as image:
            captions = self._captions(job.source, image)
            source = prepare(
                image, background=given.background, keep_metadata=given.keep_metadata, max_pixels=given.max_pixels,
                allow_damaged=given.allow_damaged,
            )  # fmt: skip
        size = os.path.getsize(file) if isinstance(file, str) else len(file.getvalue())
        options = replace(given.options, roi=self._region_map(source.rgb))
        if options.structure is not None:
            from ..encoder.edges import structure_for

            # once, not for each encode of a search
            options = replace(options, structure=structure_for(source.rgb, options))
        options = replace(options, caption=self._choose_caption(source, options, captions))
        return LoadedPicture(source, size, options)

    def _choose_caption(self, source: "Source", options: EncodeOptions, captions: Sequence[str]) -> str:
        """The caption that a painter makes most of, for its bytes; without a painter, the one that says most in few."""
        from ..caption.shortest import choose, versions

        limit = self._settings.captions.max_bytes
        if self._painter is None or not captions:
            return captions[0] if len(captions) == 1 and limit is None else choose(captions, limit)
        from ..encoder.caption_choice import try_captions
        from ..encoder.rate_control import likeness

        distance = likeness("lpips", source.rgb)
        trials = try_captions(self._codec, source, options, versions(captions, limit), self._painter, distance)
        return trials[0].caption if trials else ""

    def encode(self, job: Job, picture: LoadedPicture) -> Result:
        """Encode a picture to its own target; errors as :func:`mcmcodec.encoder.rate_control.fit`."""
        from ..encoder.best_within import best_within
        from ..encoder.rate_control import fit

        target, source = self._settings.target, picture.source
        choices: Mapping[str, object] = {}
        if target.goal.kind == "bytes":
            best = best_within(
                self._codec, source, int(target.goal.value), picture.options, reductions=target.reductions
            )
            found, choices = best.found, best.choices
        else:
            found = fit(self._codec, source, target.goal, picture.options, reductions=target.reductions)
        height, width = source.rgb.shape[:2]
        details = {"quality": found.quality, "encodes": found.encodes}
        reduced = {"reduce": found.reduce} if found.reduce > 1 else {}
        return Result(found.data, picture.size, width, height, {**details, **reduced, **choices}, source.lost)

    def encode_to_budget(
        self, jobs: Sequence[Job], show: Callable[[str], None]
    ) -> Generator[tuple[Job, Callable[[], Result]], None, None]:
        """Encode all pictures so that their files together fit the target's ``total_bytes``.

        Args:
            jobs: the pictures; each is read several times.
            show: called with what is being worked on.

        Yields:
            Each job, and a function that returns its result, or raises what went wrong with its picture.

        Raises:
            UsageError: the budget is too small, or a picture comes from stdin.
        """
        from ..encoder import rate_allocation
        from ..encoder.rate_control import ladder

        target = self._settings.target
        assert target.total_bytes is not None
        if any(job.source == STREAM for job in jobs):
            raise UsageError("--total-bytes reads a picture more than once", "give files, or --max-bytes with stdin")
        errors: dict[Job, Exception] = {}
        sizes: list[tuple[int, int, int]] = []
        lost: list[tuple[str, ...]] = []
        good: list[Job] = []
        for job in jobs:
            show(job.name)
            try:
                picture = self.load(job)
            # A bad picture is reported when its turn comes; the others share the budget.
            except Exception as error:
                errors[job] = error
                continue
            good.append(job)
            sizes.append((picture.size, picture.source.rgb.shape[1], picture.source.rgb.shape[0]))
            lost.append(picture.source.lost)
        encodes = [0] * len(good)

        def measure(i: int, quality: int, effort: int) -> "Point":
            show(f"{good[i].name} at quality {quality}")
            encodes[i] += 1
            try:
                return self._point(good[i], quality, effort)
            except UsageError:
                raise
            except Exception as error:
                errors[good[i]] = error
                return rate_allocation.Point(quality, 1, 0.0)

        results: dict[Job, Result] = {}
        if good:
            card = self._codec.weights.card
            pixels = [width * height for _, width, height in sizes]
            curves = ladder(card, "bpp"), ladder(card, "psnr")
            points, _ = rate_allocation.spread(
                pixels, measure, target.total_bytes, curves, effort=target.effort, seconds=target.seconds
            )
            for job, point, size, count, losses in zip(good, points, sizes, encodes, lost, strict=True):
                details = {"quality": point.quality, "encodes": count}
                if target.seconds is not None:
                    details["effort"] = point.effort
                results[job] = Result(point.data, *size, details, losses)
        for job in jobs:
            yield job, partial(_result_or_error, errors.get(job), results.get(job))

    def _point(self, job: Job, quality: int, effort: int) -> "Point":
        """Encode a picture, decode it, and measure its squared error."""
        import numpy as np

        from ..encoder.rate_allocation import Point

        picture = self.load(job)
        (reduce,) = self._settings.target.reductions or (1,)
        options = replace(picture.options, quality=quality, effort=effort, reduce=reduce)
        data = self._codec.encode_source(picture.source, options)
        decoded = np.asarray(self._codec.decode(data, decoder=options.tune).convert("RGB"), np.float64)
        return Point(quality, len(data), float(((decoded - picture.source.rgb) ** 2).sum()), data, effort)


def _result_or_error(error: Exception | None, result: Result | None) -> Result:
    if error is not None:
        raise error
    assert result is not None
    return result


def worker(settings: EncodeSettings) -> Callable[[Job], Result]:
    """Make what does a job by itself, in another process for instance; errors as of :class:`PictureEncoder`."""
    encoder = PictureEncoder(settings)
    return lambda job: encoder.encode(job, encoder.load(job))


def _caption_finder(captions: CaptionSettings, device: str) -> Callable[[str, "Image"], Sequence[str]]:
    """Make what finds captions of a picture, given its path and the picture.

    Raises:
        UsageError: a source or the captioner cannot be used.
    """
    from ..caption import sources

    known = []
    if not captions.texts:
        known = [sources.source(name) for name in captions.sources]
        if captions.captioner:
            from ..plugins import load_captioner

            known.append(sources.captioned(load_captioner(captions.captioner, device)))

    return lambda path, image: captions.texts or sources.candidates(known, path, image)


def _region_mapper(roi: str | None, max_pixels: int) -> "Callable[[Pixels], Pixels | None]":
    """Make what gives a picture (H, W, 3) its map (H, W) of what matters, larger where it matters more.

    Raises:
        UsageError: the map is not a picture, or the detector is not installed.
    """
    if roi is None:
        return lambda rgb: None
    if roi in DETECTORS:
        from ..encoder.roi import finder

        return finder(roi)
    weights = _load_region_map(roi, max_pixels)

    def map_of(rgb: "Pixels") -> "Pixels":
        height, width = rgb.shape[:2]
        if weights.shape != (height, width):
            raise InputError(
                f"{width} x {height} pixels, but --roi has {weights.shape[1]} x {weights.shape[0]}",
                "make the map of the picture's size",
            )
        return weights

    return map_of


def _load_region_map(path: str, max_pixels: int) -> "Pixels":
    import numpy as np

    from ..image.io import from_rgb, open_image, to_rgb

    try:
        with open_image(path, max_pixels) as image:
            return np.asarray(from_rgb(to_rgb(image, max_pixels)).convert("L"))
    except InputError as error:
        raise UsageError(f"--roi {path}: {error.cause}", error.remedy) from error
