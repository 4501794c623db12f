"""The data path, both ways: a picture to the bytes of an .mcm file, and back. Every other module is a room off it.

picture -> rgb -> padded -> analysis (g_a, h_a) -> mask -> integer symbols -> range coder -> container
container -> range decoder -> integer symbols -> synthesis (g_s) -> cropped -> picture
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .bitstream import container
from .bitstream.container import REDUCED, Header
from .bitstream.extras import Extras, pack, unpack
from .bitstream.file import Painter, encode_caption_only, open_file, paint
from .bitstream.inspect import Info as Info
from .bitstream.inspect import info as info
from .caption import Region, Words, coder
from .entropy.latent_coder import Decoded
from .entropy.rangecoder import RangeEncoder
from .errors import FormatError, UsageError
from .image import prepare, resample, tiling
from .image.bands import Bands
from .image.io import from_rgb
from .model.weights import Weights, find, find_number

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from .encoder.planning import Analysed, Plan
    from .encoder.rdoq import RdoqQuantizer
    from .image.prepare import Taken
    from .model.transforms import Transforms

Picture = NDArray[np.uint8]
DEFAULT_QUALITY = 50
DEFAULT_EFFORT = 3
SCALES = (1, 1 / 2, 1 / 4, 1 / 8)
COARSE_FROM = 8
"""Reduction from which on the last slice of the latents is not even read: it holds finer detail than is shown."""


class Codec:
    """A model, loaded once, for many pictures.

    Args:
        model: name of a model (``mcmcodec.model.weights.available``); the default one if None. Decoding uses whichever
            model the file names.
        device: ``auto`` (CUDA when there is one), ``cpu`` or ``cuda``; for the float transforms only.
        max_pixels: larger pictures are refused, coming or going; see :func:`mcmcodec.image.limits.max_pixels`.

    Raises:
        ModelError: weights missing or not those that the model's card names.
        UsageError: no such device.
    """

    def __init__(self, model: str | None = None, device: str = "auto", max_pixels: int | None = None) -> None:
        self.weights = find(model)
        self.device = device
        self.max_pixels = max_pixels

    def encode(
        self, image: Image | Picture, *, quality: int = DEFAULT_QUALITY, keep: float | None = None, mask: str = "rd",
        roi: NDArray[Any] | None = None, caption: str = "", regions: Sequence[Region] = (),
        effort: int = DEFAULT_EFFORT, mode: str = "full", extras: Extras | None = None, reduce: int = 1,
    ) -> bytes:  # fmt: skip
        """Encode a picture.

        Args:
            image: a Pillow image of any mode, or (H, W, 3) uint8 in sRGB.
            quality: 0 (smallest) to 100 (best); one ladder for all rates.
            keep: share of visible patches, above 0 up to 1; None lets ``rd`` decide by what pays, keeps all
                patches with ``none`` and half of them otherwise.
            mask: how visible patches are chosen: ``rd``, ``dual``, ``texture``, ``structure``, ``random``, ``none``.
            roi: (H, W) map of non-negative numbers that multiply the patches' scores.
            caption: text to carry along.
            regions: phrases about boxes on the grid of 16x16 patches.
            effort: 1 (fastest) to 9 (smallest at equal quality); see :mod:`mcmcodec.encoder.refinement`.
            mode: ``full``; ``base``, the base layer (and the caption) only; ``caption``, the caption only.
            extras: what goes along with an array, see :func:`mcmcodec.image.prepare.take`; those of a Pillow image,
                metadata apart, are found by themselves.
            reduce: 2, 4 or 8 code the picture at a half, a quarter or an eighth of its size, for the lowest rates;
                decoded, it has its size again. Regions are not for such pictures.

        Returns:
            The bytes of an .mcm file.

        Raises:
            InputError: the picture is unreadable or too large; or mode ``caption`` has no caption.
            UsageError: an argument is out of range, or two contradict each other.
        """
        # here, because it brings OpenCV, which is slow to load and of no use to decode or info
        from .encoder import planning
        from .encoder.refinement import settings

        settings(effort)
        planning.check(quality, keep, mask, roi, mode)
        resample.check(reduce)
        if reduce > 1 and (regions or mode == "caption"):
            raise UsageError("regions are boxes on the whole picture, and words need none", "leave out the reduction")
        taken = prepare.taken(image, extras, self.max_pixels)
        return self.encode_taken(taken, Words(caption, tuple(regions)), quality, keep, mask, roi, effort, mode, reduce)

    def encode_taken(
        self, taken: Taken, words: Words, quality: int, keep: float | None, mask: str, roi: NDArray[Any] | None,
        effort: int, mode: str, reduce: int = 1, known: Analysed | None = None,
    ) -> bytes:  # fmt: skip
        """As :meth:`encode`, once the picture is taken in; ``known``: see :func:`mcmcodec.encoder.planning.best`."""
        from .encoder import planning
        from .encoder.refinement import refine, settings

        how, rgb = settings(effort), taken.rgb
        planning.check_picture(rgb, self.max_pixels)
        if mode == "caption":
            return encode_caption_only(self.weights, rgb.shape[1], rgb.shape[0], words)
        padded = tiling.pad(resample.shrink(rgb, reduce))
        region = None if roi is None else planning.patch_roi(roi, rgb.shape[:2], tiling.PATCH * reduce)

        transforms = self.transforms()
        price = planning.bit_weight(self.weights, transforms, quality) * how.thrift
        ways = "none" if mask == "rd" and keep is None and roi is None and not how.mask else mask
        code = partial(self._code, rgb.shape, reduce, quality, words, price)
        coded = planning.best(self.weights, transforms, padded, quality, keep, ways, region, code, mode, known)
        if how.rounds:
            plan = refine(self.weights, transforms, coded.plan, padded, quality, price, how.rounds)
            header, payload, _ = code(plan)
        else:
            header, payload = coded.header, coded.payload
        header = replace(header, extensions=(*pack(taken.extras, quality), *header.extensions))
        return container.pack(header, payload, self.weights.fingerprint)

    def _code(
        self, shape: tuple[int, ...], reduce: int, quality: int, words: Words, price: NDArray[np.float64], plan: Plan
    ) -> tuple[Header, bytes, RdoqQuantizer]:
        """The exact half of encoding: a plan's header and payload, and the account of its patches."""
        header = Header(
            shape[1], shape[0], self.weights.number, 0, quality, plan.keep,
            caption=bool(words), all_visible=plan.all_visible, none_visible=plan.none_visible,
            extensions=((REDUCED, bytes((reduce,))),) if reduce > 1 else (),
        )  # fmt: skip
        encoder = RangeEncoder()
        if words:
            coder.encode(encoder, words, header.grid)
        from .encoder.rdoq import RdoqQuantizer

        quantizer = RdoqQuantizer(plan.v, plan.z, plan.visible, self.weights.entropy.tables, price)
        plan.through(self.weights.entropy, quantizer, quality)
        quantizer.encode(encoder)
        payload = encoder.finish()
        return header, payload, quantizer

    def decode(
        self, data: bytes, decoder: str | None = None, realism: float | None = None, painter: Painter | None = None, *,
        crop: tuple[int, int, int, int] | None = None, scale: float = 1, allow_truncated: bool = False,
    ) -> Image:  # fmt: skip
        """Decode a file.

        Args:
            data: the bytes of an .mcm file.
            decoder: a decoder of the file's model (``fidelity``, ``perceptual``, ``light``); its default one if None.
            realism: 0 (``fidelity``) to 1 (``perceptual``), or what lies between them; instead of ``decoder``.
            painter: makes the picture of a file that holds a caption only.
            crop: (x, y, width, height) in pixels of the whole picture; only the tiles that it touches are painted.
            scale: 1, 1/2, 1/4 or 1/8: a reduced picture, sides rounded up, sooner than the whole one; 1/4 and 1/8 are
                painted from the low frequencies alone.
            allow_truncated: show of a file that was cut short what arrived, rather than to refuse it. A file that is
                damaged elsewhere is then not always recognised as such.

        Returns:
            A picture of the size that the file states, or of the part and size that was asked for: RGB or, as it was
            encoded, L, LA or RGBA. Metadata is in its ``info``, as Pillow keeps it.

        Raises:
            FormatError: not an .mcm file, or damaged; or it holds a caption only, and there is no painter.
            InputError: the picture is over the limit of pixels, or the crop not inside it.
            ModelError: the file's model, or the decoder, is not installed.
            UsageError: both a decoder and a realism, or a realism out of range, or another scale.
        """
        return self.bands(
            data, decoder, realism, painter, crop=crop, scale=scale, allow_truncated=allow_truncated
        ).whole()

    def bands(
        self, data: bytes, decoder: str | None = None, realism: float | None = None, painter: Painter | None = None, *,
        crop: tuple[int, int, int, int] | None = None, scale: float = 1, allow_truncated: bool = False,
    ) -> Bands:  # fmt: skip
        """Decode a file from the top, a row of tiles at a time: a huge picture need not be in memory whole.

        Arguments and errors as :meth:`decode`; errors come at once, not while the bands are painted.
        """
        if scale not in SCALES:
            raise UsageError(f"scale {scale} is not 1, 1/2, 1/4 or 1/8", "choose one of them")
        factor = round(1 / scale)
        check_way(decoder, realism)
        file = open_file(data, allow_truncated=allow_truncated)
        header, weights = file.header, file.weights
        view = tiling.View.of((header.height, header.width), crop, factor)
        if header.caption_only:
            painted = paint(file, painter, self.max_pixels).reduce(factor)
            part = painted.crop((view.cols.start, view.rows.start, view.cols.stop, view.rows.stop))
            return Bands.of(part, header.pixels)
        # a picture that was coded smaller is painted no larger than need be, and then scaled
        inner = max(1, factor // header.reduction)
        decoded, _ = file.symbols(self.max_pixels, coarse=inner >= COARSE_FROM)
        transforms, extras = self.transforms(weights), unpack(header)
        way = float(realism) if realism is not None else decoder or weights.decoders[0]
        transforms.synthesis(way)

        def piece(part: tiling.View) -> Image:
            return from_rgb(transforms.synthesise(decoded, header.quality, way, part))

        def pieces() -> Iterator[tuple[tiling.View, Image]]:
            if header.reduction == 1:
                yield from ((part, piece(part)) for part in view.bands(header.grid[0]))
            else:
                small = piece(tiling.View.of(header.coded, factor=inner))
                yield from resample.enlarge(small, header.reduction * inner, view)

        bands = (prepare.put(picture, extras, part) for part, picture in pieces())
        return Bands(view.size[::-1], bands, header.pixels)

    def encode_batch(
        self, images: Tensor, *, quality: int | Sequence[int] = DEFAULT_QUALITY, captions: Sequence[str] = (),
        keep: float | None = None, mask: str = "rd", effort: int = DEFAULT_EFFORT, mode: str = "full",
    ) -> list[bytes]:  # fmt: skip
        """Encode pictures (B, 3, H, W), uint8 or floating point in [0, 1], on any device, to B files.

        See :func:`mcmcodec.model.batches.encode` for arguments and errors.
        """
        from .model import batches

        return batches.encode(self, images, quality, captions, keep, mask, effort, mode)

    def decode_batch(
        self, files: Sequence[bytes], decoder: str | None = None, realism: float | None = None
    ) -> list[Tensor]:
        """Decode files to pictures (3, H, W) uint8 on the codec's device; see :func:`mcmcodec.model.batches.decode`."""
        from .model import batches

        check_way(decoder, realism)
        return batches.decode(self, files, decoder, realism)

    def transforms(self, weights: Weights | None = None) -> Transforms:
        """The float half of a model, by default the codec's own, on its device; loaded on first use and kept."""
        return _transforms(weights or self.weights, self.device)


def check_way(decoder: str | None, realism: float | None) -> None:
    """UsageError when a decoder and a realism are given, or a realism out of range."""
    if realism is not None and (decoder or not 0 <= realism <= 1):
        raise UsageError("realism is 0 to 1 and stands for a decoder", "give either of them")


def encode(image: Image | Picture, *, model: str | None = None, device: str = "auto", max_pixels: int | None = None,
           **options: Any) -> bytes:  # fmt: skip
    """Encode one picture; options and errors as :meth:`Codec.encode`."""
    return Codec(model, device, max_pixels).encode(image, **options)


def decode(data: bytes, *, device: str = "auto", max_pixels: int | None = None, **options: Any) -> Image:
    """Decode one file, with whichever model it names; options and errors as :meth:`Codec.decode`."""
    header, _ = container.parse_header(data)
    return Codec(find_number(header.model, header.variant).name, device, max_pixels).decode(data, **options)


def symbols(data: bytes, max_pixels: int | None = None) -> Decoded:
    """The exact half of decoding alone: what every machine must agree on.

    Raises:
        FormatError: not an .mcm file, damaged, or of words alone.
        InputError: the picture is over the limit of pixels.
        ModelError: the file's model is not installed.
    """
    file = open_file(data)
    if file.header.caption_only:
        raise FormatError("the file holds a caption and no picture")
    return file.symbols(max_pixels)[0]


@lru_cache(maxsize=4)
def _transforms_of(name: str, fingerprint: bytes, device: str) -> Transforms:
    from .model.transforms import Transforms

    return Transforms(find(name), device)


def _transforms(weights: Weights, device: str) -> Transforms:
    """The float half of a model, loaded on first use and kept."""
    return _transforms_of(weights.name, weights.fingerprint, device)
