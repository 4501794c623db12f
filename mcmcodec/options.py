"""What can be asked of the encoder and of the decoder: two frozen classes that check their values once.

The command line, the Python interface and the Pillow plugin all make one of these, so there is one place that knows
which values are valid. Nothing heavy is imported.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar

from .errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from .bitstream.extras import Extras
    from .bitstream.structure import Structure
    from .caption import Region, Words
    from .image.painting import Painter

QUALITIES: Final = range(101)
MASKS: Final = ("rd", "dual", "texture", "structure", "random", "none")
"""How visible patches are chosen: by rate and distortion, by a score of the picture, at random, or not at all."""
MODES: Final = ("full", "base", "sketch", "caption")
"""What a file holds: everything; the base layer and the caption; caption and edges; the caption alone."""
PICTURES: Final = ("full", "base")
"""Modes whose files hold a picture, be it only its base layer."""
STRUCTURE_BYTES: Final = 320
"""What the edge map of a sketch takes at most, unless told otherwise."""
EFFORTS: Final = range(1, 6)
STEPS: Final = {4: 30, 5: 240}
"""Steps of the refinement of latents, by effort."""
TUNES: Final = ("perceptual", "fidelity")
"""Decoders whose pictures a file can be encoded for."""
REDUCTIONS: Final = (1, 2, 4, 8)
SCALES: Final = (1.0, 1 / 2, 1 / 4, 1 / 8)
_OF_A_PICTURE: Final = ("quality", "effort", "reduce", "rdoq_strength", "tune", "max_time", "extras")
"""Fields that say how a picture is coded and what goes along with it: nothing where a file holds no picture."""
_OF_A_PAINTER: Final = ("strength", "seed", "correct_colours")
"""Fields that are for painters."""

O = TypeVar("O", "EncodeOptions", "DecodeOptions")  # noqa: E741


class EncodeKeywords(TypedDict, total=False):
    """The fields of :class:`EncodeOptions` as keyword arguments."""

    quality: int
    keep: float | None
    mask: str | None
    roi: NDArray[Any] | None
    caption: str
    regions: Iterable[Region]
    effort: int
    mode: str
    reduce: int
    rdoq_strength: float | None
    structure: int | Structure | None
    tune: str | None
    max_time: float | None
    extras: Extras | None


class DecodeKeywords(TypedDict, total=False):
    """The fields of :class:`DecodeOptions` as keyword arguments."""

    decoder: str | None
    realism: float | None
    painter: Painter | None
    strength: float | None
    seed: int
    correct_colours: bool
    crop: tuple[int, int, int, int] | None
    scale: float
    allow_truncated: bool


@dataclass(frozen=True)
class EncodeOptions:
    """How to encode a picture.

    Attributes:
        quality: 0 (smallest) to 100 (best); one ladder for all rates.
        keep: share of visible patches, above 0 up to 1; None lets ``rd`` decide, keeps all patches with ``none``
            and half of them with other masks.
        mask: how visible patches are chosen, one of :data:`MASKS`; None is ``rd`` where ``keep`` or ``roi`` is given
            and from effort 4 on, and otherwise ``none``: hiding patches takes time and saves hardly any bytes.
        roi: region of interest, (H, W) of numbers of 0 and up that multiply the patches' scores, or None.
        caption: text to carry along, at most 4096 bytes of UTF-8.
        regions: phrases about boxes on the grid of 16x16 patches.
        effort: 1 rounds symbols to nearest, 2 quantises by rate and distortion (RDOQ), 3 also chooses the hyper-latent
            by what it predicts, 4 and 5 also weigh hiding patches and refine the latents by gradients, which takes
            a hundred times as long and more.
        mode: one of :data:`MODES`.
        reduce: 2, 4 or 8 code the picture at a half, a quarter or an eighth of its size, for the lowest rates; decoded,
            it has its size again.
        rdoq_strength: share of the squared error that a bit is worth, which RDOQ spends to save one: 0 (rounds latents
            to nearest) to 100; None takes the model's own. Somewhat more or less moves the bytes between two qualities.
        structure: bytes that an edge map for painters may take, or a map of the picture's own; None for none, and for
            :data:`STRUCTURE_BYTES` in mode ``sketch``.
        tune: the decoder whose pictures the file is encoded for, one of :data:`TUNES`; None takes the model's default
            one. Any decoder reads it.
        max_time: seconds that refining the latents, at efforts 4 and 5, may take, and seeing whether it helped; None
            takes as long as it takes. One step is always taken: seconds, of a large picture.
        extras: alpha, grey marker and metadata that go along; None takes those that the picture has, metadata apart.

    Raises:
        UsageError: a value has another type or is out of range, or two contradict each other.
    """

    quality: int = 50
    keep: float | None = None
    mask: str | None = None
    roi: NDArray[Any] | None = field(default=None, compare=False)
    caption: str = ""
    regions: tuple[Region, ...] = ()
    effort: int = 3
    mode: str = "full"
    reduce: int = 1
    rdoq_strength: float | None = None
    structure: int | Structure | None = None
    tune: str | None = None
    max_time: float | None = None
    extras: Extras | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        self._put("quality", _whole("quality", self.quality, QUALITIES, "50 is the default, higher is better"))
        self._put("effort", _whole("effort", self.effort, EFFORTS, "3 is the default, 4 and 5 refine slowly"))
        self._put("reduce", _whole("reduce", self.reduce, REDUCTIONS, "2 codes at half the size"))
        if self.mask is not None:
            _choice("mask", self.mask, MASKS)
        _choice("mode", self.mode, MODES)
        if self.keep is not None:
            keep = _number("keep", self.keep, "0.5 keeps half of the patches")
            if not 0 < keep <= 1:
                raise UsageError(f"keep {self.keep} is not above 0 and up to 1", "0.5 keeps half of the patches")
            self._put("keep", keep)
        if self.rdoq_strength is not None:
            strength = _number("rdoq_strength", self.rdoq_strength, "leave it to the model")
            if not 0 <= strength <= 100:
                raise UsageError(f"rdoq_strength {strength} is not 0 to 100", "leave it to the model")
            self._put("rdoq_strength", strength)
        if self.tune is not None:
            _choice("tune", self.tune, TUNES)
        if self.max_time is not None:
            seconds = _number("max_time", self.max_time, "60 is a minute")
            if not seconds > 0:
                raise UsageError(f"max_time {self.max_time} is not above 0", "60 is a minute")
            self._put("max_time", seconds)
        if not isinstance(self.caption, str):
            raise UsageError(f"the caption is {_kind(self.caption)}, not text", "give a str")
        self._put("regions", _regions(self.regions))
        if self.roi is not None:
            self._put("roi", _region_map(self.roi))
        self._put("structure", _structure(self.structure, self.mode))
        if self.extras is not None:
            from .bitstream.extras import Extras

            if not isinstance(self.extras, Extras):
                raise UsageError(f"extras are {_kind(self.extras)}", "give mcmcodec.Extras")
        self.check_together(roi=self.roi is not None)

    def check_together(self, *, roi: bool) -> None:
        """Check that no two values contradict each other.

        Args:
            roi: whether there is a region map, or will be one when the picture is known.

        Raises:
            UsageError: two of them do.
        """
        if self.mode != "full" and (self.keep is not None or roi or self.mask is not None):
            raise UsageError(f"mode {self.mode} shows no patch", "leave out keep, mask and roi")
        if self.mask == "none" and (roi or (self.keep is not None and self.keep < 1)):
            raise UsageError("mask none keeps every patch", "leave out keep and roi, or choose another mask")
        if self.reduce > 1 and self.regions:
            raise UsageError(f"reduce {self.reduce} is not possible with regions", "leave out the reduction")
        idle = [name for name in _OF_A_PICTURE if getattr(self, name) != getattr(EncodeOptions, name)]
        if idle and not self.keeps_picture:
            raise UsageError(f"mode {self.mode} keeps no picture, so {idle[0]} says nothing", "leave one out")
        if self.max_time is not None and not self.steps:
            raise UsageError(f"max_time limits the refining of efforts 4 and 5, not of {self.effort}", "leave one out")
        if self.structure is not None and self.mode == "caption":
            raise UsageError("mode caption keeps no structure", "choose mode sketch")

    def _put(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def keeps_picture(self) -> bool:
        """Whether the file holds a picture, be it only its base layer."""
        return self.mode in PICTURES

    @property
    def words(self) -> Words:
        """Caption and regions together."""
        from .caption import Words

        return Words(self.caption, self.regions)

    @property
    def steps(self) -> int:
        """Steps of the refinement of latents; 0 for none."""
        return STEPS.get(self.effort, 0)

    @property
    def weighs_masks(self) -> bool:
        """Whether the encoder may hide patches where that lowers rate and distortion together."""
        if self.mode != "full" or self.keep == 1:
            return False
        asked = self.keep is not None or self.roi is not None or self.effort >= 4
        return self.mask == "rd" or (self.mask is None and asked)

    @classmethod
    def of(cls, options: EncodeOptions | None, keywords: Mapping[str, Any]) -> EncodeOptions:
        """``options`` (the default ones if None) with the fields that ``keywords`` name exchanged."""
        return _of(cls, options, keywords)


@dataclass(frozen=True)
class DecodeOptions:
    """How to decode a file.

    Attributes:
        decoder: a decoder of the file's model (``perceptual``, ``fidelity``, ``light``); its default one if None.
        realism: 0 (``fidelity``) to 1 (``perceptual``), or what lies between them; instead of ``decoder``.
        painter: makes a picture of all that the file says; without one, a file must hold a picture or edges.
        strength: how much of the decoded picture the painter does anew, 0 to 1; None takes more at lower rates.
        seed: of the painter's random numbers, 0 to 2**32 - 1.
        correct_colours: whether a painted picture gets the low frequencies of the decoded one.
        crop: (x, y, width, height) in pixels of the whole picture; only the tiles that it touches are painted.
        scale: 1, 1/2, 1/4 or 1/8: a reduced picture, sides rounded up, sooner than the whole one; 1/4 and 1/8 are
            painted from the low frequencies alone.
        allow_truncated: show what arrived of a file that was cut short, rather than refuse it. A file that is damaged
            elsewhere is then not always recognised as such.

    Raises:
        UsageError: a value has another type or is out of range, or two contradict each other.
    """

    decoder: str | None = None
    realism: float | None = None
    painter: Painter | None = None
    strength: float | None = None
    seed: int = 0
    correct_colours: bool = True
    crop: tuple[int, int, int, int] | None = None
    scale: float = 1.0
    allow_truncated: bool = False

    def __post_init__(self) -> None:
        if self.decoder is not None and not isinstance(self.decoder, str):
            raise UsageError(f"the decoder is {_kind(self.decoder)}, not a name", "give perceptual, say")
        if self.realism is not None:
            realism = _number("realism", self.realism, "0 is fidelity, 1 is perceptual")
            if not 0 <= realism <= 1:
                raise UsageError(f"realism {self.realism} is not 0 to 1", "0 is fidelity, 1 is perceptual")
            if self.decoder is not None:
                raise UsageError("decoder and realism both choose a decoder", "give one of them")
            object.__setattr__(self, "realism", realism)
        if self.painter is not None and not callable(self.painter):
            raise UsageError(f"the painter is {_kind(self.painter)}", "give a function of a mcmcodec.PaintRequest")
        if self.strength is not None:
            strength = _number("strength", self.strength, "0 keeps the decoded picture, 1 paints all of it anew")
            if not 0 <= strength <= 1:
                raise UsageError(f"strength {self.strength} is not 0 to 1", "0 keeps the decoded picture")
            object.__setattr__(self, "strength", strength)
        object.__setattr__(self, "seed", _whole("seed", self.seed, range(2**32), "0 is the default"))
        if self.crop is not None:
            object.__setattr__(self, "crop", _rectangle(self.crop))
        if isinstance(self.scale, bool) or not isinstance(self.scale, (int, float)) or self.scale not in SCALES:
            raise UsageError(f"scale {self.scale} is not 1, 1/2, 1/4 or 1/8", "choose one of them")
        idle = [name for name in _OF_A_PAINTER if getattr(self, name) != getattr(DecodeOptions, name)]
        if idle and self.painter is None:
            raise UsageError(f"{idle[0]} is for painters, and there is none", "give a painter, or leave it out")

    @property
    def factor(self) -> int:
        """Pixels of the picture, along a side, that a pixel of the reduced one stands for."""
        return round(1 / self.scale)

    @classmethod
    def of(cls, options: DecodeOptions | None, keywords: Mapping[str, Any]) -> DecodeOptions:
        """``options`` (the default ones if None) with the fields that ``keywords`` name exchanged."""
        return _of(cls, options, keywords)


def _of(cls: type[O], options: O | None, keywords: Mapping[str, Any]) -> O:
    if options is None:
        return cls(**keywords)
    if not isinstance(options, cls):
        raise UsageError(f"options are {_kind(options)}", f"give {cls.__name__}, or keywords such as quality=30")
    return replace(options, **keywords) if keywords else options


def _whole(name: str, value: Any, allowed: range | tuple[int, ...], remedy: str) -> int:
    """A whole number among the allowed ones."""
    if isinstance(allowed, range):
        span = f"{allowed[0]} to {allowed[-1]}"
    else:
        span = f"{', '.join(map(str, allowed[:-1]))} or {allowed[-1]}"
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} {value!r} is not a whole number", f"give {span}") from None
    if isinstance(value, bool) or number not in allowed:
        raise UsageError(f"{name} {value} is not {span}", remedy)
    return number


def _number(name: str, value: Any, remedy: str) -> float:
    """A finite number."""
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{name} {value!r} is not a number", remedy) from None
    if not math.isfinite(number):
        raise UsageError(f"{name} {value} is not a number", remedy)
    return number


def _choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise UsageError(f"there is no {name} {value}", f"choose from {', '.join(allowed)}")


def _regions(regions: Any) -> tuple[Region, ...]:
    from .caption import Region

    try:
        found = tuple(regions)
    except TypeError:
        found = (regions,)
    for region in found:
        if not isinstance(region, Region):
            raise UsageError(f"a region is {_kind(region)}", "give mcmcodec.Region(x, y, w, h, text)")
        sides = (region.x, region.y, region.w, region.h)
        if not all(isinstance(side, int) for side in sides) or not isinstance(region.text, str):
            raise UsageError(f"{region} is not four whole numbers and text", "give x, y, w, h in patches")
    return found


def _region_map(roi: Any) -> NDArray[Any]:
    import numpy as np

    try:
        values = np.asarray(roi)
    except ValueError:
        raise UsageError("the region map is not an array", "give (H, W) numbers of 0 and up") from None
    if values.ndim != 2 or values.dtype.kind not in "buif":
        raise UsageError(
            f"the region map is {values.dtype} of shape {values.shape}", "give (H, W) numbers of 0 and up"
        )
    return values


def _structure(value: Any, mode: str) -> Any:
    """Bytes for an edge map, or the map."""
    if value is None:
        return STRUCTURE_BYTES if mode == "sketch" else None
    from .bitstream.structure import Structure

    if isinstance(value, Structure):
        return value
    return _whole("structure", value, range(16, 2**20), f"{STRUCTURE_BYTES} bytes show the outlines of a picture")


def _rectangle(crop: Any) -> tuple[int, int, int, int]:
    try:
        x, y, width, height = (operator.index(side) for side in crop)
    except (TypeError, ValueError):
        raise UsageError(f"crop {crop!r} is not x, y, width, height", "give four whole numbers") from None
    return x, y, width, height


def _kind(value: object) -> str:
    """What a value of a wrong type is, for a message: ``None``, or ``of type list``."""
    return "None" if value is None else f"of type {type(value).__name__}"
