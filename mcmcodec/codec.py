"""The data path, both ways: a picture to the bytes of an .mcm file, and back. Every other module is a room off it.

encode: picture -> prepare -> analyse (g_a, h_a) -> plan (DA-Mask, RDOQ) -> code (range coder) -> pack (container)
decode: open (container) -> symbols (range decoder) -> synthesise (g_s) -> restore -> picture
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .bitstream import container
from .bitstream.container import PATCH, REDUCED, Header, as_bytes
from .bitstream.extras import Extras
from .bitstream.extras import pack as pack_extras
from .bitstream.extras import unpack as unpack_extras
from .bitstream.file import OpenedFile, encode_caption_only, open_file
from .bitstream.inspect import Info, info
from .bitstream.limits import check_pixels
from .bitstream.structure import STRUCTURE, Structure
from .bitstream.structure import encode as encode_structure
from .bitstream.structure import of as structure_of
from .caption import coder
from .encoder.da_mask import patch_roi
from .encoder.planning import Analysis, Plan, first_mask, plan_picture
from .entropy.latent_coder import Decoded
from .entropy.rangecoder import RangeEncoder
from .errors import FormatError, McmError, UsageError
from .image import resample, tiling
from .image.bands import Bands
from .image.io import from_rgb
from .image.prepare import Source, prepare, restore
from .model.weights import Weights, find, find_number
from .options import DecodeKeywords, DecodeOptions, EncodeKeywords, EncodeOptions

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from typing_extensions import Unpack

    from .image.prepare import ImageLike
    from .model.transforms import Transforms

__all__ = ["Codec", "Info", "decode", "encode", "info", "symbols"]

COARSE_FROM = 8
"""Reduction from which on the last slice of the latents is not even read: it holds finer detail than is shown."""


class Codec:
    """A model, loaded once, for many pictures. It can be pickled, and used by several threads.

    Args:
        model: name of a model (``codec models`` lists them); the default one if None. Decoding uses whichever model
            the file names.
        device: ``auto`` (CUDA when there is one), ``cpu`` or ``cuda``; for the float transforms only.
        max_pixels: larger pictures are refused, coming or going; 2**27 if None.

    Raises:
        ModelError: weights missing or not those that the model's card names.
    """

    def __init__(self, model: str | None = None, device: str = "auto", max_pixels: int | None = None) -> None:
        self.weights = find(model)
        self.device = device
        self.max_pixels = max_pixels

    def __reduce__(self) -> tuple[type[Codec], tuple[str, str, int | None]]:
        """Weights are not pickled: they are found again by name."""
        return Codec, (self.weights.name, self.device, self.max_pixels)

    def encode(
        self, image: ImageLike, options: EncodeOptions | None = None, **keywords: Unpack[EncodeKeywords]
    ) -> bytes:
        """Encode a picture.

        Args:
            image: a Pillow image of any mode; an array of uint8 in sRGB, (H, W), (H, W, 3) or (H, W, 4) with alpha; or
                the path of a picture.
            options: all options together; the default ones if None.
            keywords: single options instead, or beside: ``quality=30``. See :class:`mcmcodec.EncodeOptions`.

        Returns:
            The bytes of an .mcm file.

        Raises:
            InputError: the picture is unreadable or too large; or mode ``caption`` has no caption.
            ModelError: the effort refines latents, and torch is not installed.
            UsageError: an option has another type or is out of range, two contradict each other, or there is no such
                device.
        """
        settings = EncodeOptions.of(options, keywords)
        source = prepare(image, max_pixels=self.max_pixels)
        return self.encode_source(source if settings.extras is None else source.carrying(settings.extras), settings)

    def encode_source(self, source: Source, options: EncodeOptions, analysis: Analysis | None = None) -> bytes:
        """As :meth:`encode`, of a prepared picture; ``analysis`` with every patch visible, if it is there already."""
        height, width = source.rgb.shape[:2]
        structure = None
        if options.structure is not None:
            from .encoder.edges import structure_for  # with OpenCV, which is slow to load

            structure = structure_for(source.rgb, options)
        if not options.keeps_picture:
            return encode_caption_only(self.weights, width, height, options.words, structure)
        padded = tiling.pad(resample.shrink(source.rgb, options.reduce))
        roi = None if options.roi is None else patch_roi(options.roi, (height, width), options.reduce)

        transforms = self.transforms()
        visible = first_mask(padded, options, roi)
        if analysis is None or not visible.all():
            analysis = transforms.analyse(padded, visible, options.quality, options.tune)
        plan = plan_picture(transforms, padded, visible, analysis, options, roi)
        header = self._header(source, options, plan, structure)
        payload = _code(header, options, plan)
        return container.pack(header, payload, self.weights.fingerprint)

    def _header(self, source: Source, options: EncodeOptions, plan: Plan, structure: Structure | None) -> Header:
        """What the file says before its payload."""
        edges = () if structure is None else ((STRUCTURE, encode_structure(structure)),)
        reduced = ((REDUCED, bytes((options.reduce,))),) if options.reduce > 1 else ()
        return Header(
            source.rgb.shape[1], source.rgb.shape[0], self.weights.number, 0, options.quality, plan.keep,
            caption=bool(options.words), all_visible=bool(plan.visible.all()), none_visible=not plan.visible.any(),
            extensions=(*pack_extras(source.extras, options.quality), *edges, *reduced),
        )  # fmt: skip

    def decode(
        self, data: bytes, options: DecodeOptions | None = None, **keywords: Unpack[DecodeKeywords]
    ) -> Image:
        """Decode a file.

        Args:
            data: the bytes of an .mcm file.
            options: all options together; the default ones if None.
            keywords: single options instead, or beside: ``scale=1/2``. See :class:`mcmcodec.DecodeOptions`.

        Returns:
            A picture of the size that the file states, or of the part and size that was asked for: RGB or, as it was
            encoded, L, LA or RGBA. Metadata is in its ``info``, as Pillow keeps it.

        Raises:
            FormatError: not an .mcm file, or damaged; or it holds a caption only, and there is no painter.
            InputError: the picture is over the limit of pixels, or the crop not inside it.
            ModelError: the file's model, or the decoder, is not installed.
            UsageError: an option has another type or is out of range, or there is no such device.
        """
        return self.decode_bands(data, options, **keywords).whole()

    def open(self, options: DecodeOptions) -> None:
        """Load what decodes a file of the codec's own model, which the first of them would have to wait for.

        Raises:
            ModelError: the weights are damaged, or the model has no such decoder.
            UsageError: there is no such device.
        """
        self.transforms().open(_decoder(options, self.weights), options.factor)
        _ = self.weights.entropy

    def decode_bands(
        self, data: bytes, options: DecodeOptions | None = None, **keywords: Unpack[DecodeKeywords]
    ) -> Bands:
        """Decode a file from the top, a row of tiles at a time: a huge picture need not be in memory whole.

        Arguments and errors as :meth:`decode`; errors come at once, not while the bands are painted.
        """
        settings = DecodeOptions.of(options, keywords)
        file = open_file(as_bytes(data), allow_truncated=settings.allow_truncated)
        header = file.header
        view = tiling.View.of((header.height, header.width), settings.crop, settings.factor)
        check_pixels(header.width, header.height, self.max_pixels)
        extras, edges = unpack_extras(header), structure_of(header)  # both checked, though only painters need edges
        if not header.caption_only and settings.painter is None:
            return self._synthesised(file, extras, settings, view)
        painted, note = self._painted(file, 8 * len(data) / header.pixels, extras, edges, settings)
        box = (view.cols.start, view.rows.start, view.cols.stop, view.rows.stop)
        return Bands.of(restore(painted.reduce(settings.factor).crop(box), extras, view), header.pixels, note)

    def _synthesised(self, file: OpenedFile, extras: Extras, settings: DecodeOptions, view: tiling.View) -> Bands:
        """A view of the picture that a file holds, by a decoder."""
        header = file.header
        # a picture that was coded smaller is painted no larger than need be, and then scaled
        factor = max(1, view.factor // header.reduction)
        decoded, _ = file.symbols(self.max_pixels, coarse=factor >= COARSE_FROM)
        transforms = self.transforms(file.weights)
        decoder = _decoder(settings, file.weights)
        transforms.open(decoder, factor)  # raises now what is wrong with it

        def pieces() -> Iterator[tuple[tiling.View, Image]]:
            if header.reduction > 1:
                small = tiling.View.of(header.coded, factor=factor)
                picture = from_rgb(transforms.synthesise(decoded, header.quality, decoder, small))
                yield from resample.enlarge(picture, header.reduction * factor, view)
                return
            for part in view.bands(header.grid[0]):
                yield part, from_rgb(transforms.synthesise(decoded, header.quality, decoder, part))

        bands = (restore(picture, extras, part) for part, picture in pieces())
        return Bands(view.size[::-1], bands, header.pixels)

    def _painted(
        self, file: OpenedFile, bpp: float, extras: Extras, edges: Structure | None, settings: DecodeOptions
    ) -> tuple[Image, str]:
        """The whole picture, RGB, by a painter or, of a sketch without one, its lines; and what to know about it."""
        from .image import lines, painting  # few files need them

        header, size = file.header, (file.header.width, file.header.height)
        if settings.painter is None:
            if edges is None:
                raise FormatError(
                    "the file holds a caption and no picture",
                    "give --painter and a text-to-image model, or read the words with codec caption",
                )
            return lines.draw(edges, size), lines.NOTE
        picture = None
        if not header.caption_only:
            picture = self._synthesised(file, extras, settings, tiling.View.of(size[::-1])).whole().convert("RGB")
        strength = painting.strength_of(bpp) if settings.strength is None else settings.strength
        request = painting.PaintRequest(
            file.caption, tuple((one.box(PATCH, size), one.text) for one in file.words.regions), picture,
            None if edges is None else lines.draw(edges, size, negative=True).convert("L"), size,
            1.0 if picture is None else strength, settings.seed,
        )  # fmt: skip
        block = PATCH * header.reduction if settings.correct_colours else None
        return painting.paint(settings.painter, request, block=block), ""

    def encode_batch(
        self, images: Tensor, options: EncodeOptions | Sequence[EncodeOptions] | None = None,
        **keywords: Unpack[EncodeKeywords],
    ) -> list[bytes]:  # fmt: skip
        """Encode B pictures of one shape. On a GPU they share the runs of the transforms.

        On a CPU, where a larger batch is hardly faster, each file is exactly that of :meth:`encode`. What shares a run
        may be rounded another way now and then: files are as valid, and pixels agree within 1 of 255.

        Args:
            images: (B, 3, H, W) in sRGB, uint8 or floating point in [0, 1], which is rounded to 1/255; on any device.
            options: for all pictures, or one for each.
            keywords: single options instead, or beside, for all pictures.

        Returns:
            The bytes of B files.

        Raises:
            InputError: the pictures are too large, or a caption is missing in mode ``caption``; names the picture.
            UsageError: another shape or type, values out of range, or not as many options as pictures.
        """
        from .model import batches

        batches.check(images)
        given = [options] * len(images) if options is None or isinstance(options, EncodeOptions) else list(options)
        if len(given) != len(images):
            raise UsageError(f"{len(given)} options for {len(images)} pictures", "give one for each, or one for all")
        every = [EncodeOptions.of(one, keywords) for one in given]
        files = []
        for part in batches.spans(len(images), images.shape[2] * images.shape[3]):
            rgb = batches.pixels(images[part])
            analyses: list[Analysis | None] = [None] * len(rgb)
            alike = len({one.tune for one in every[part]}) == 1
            alike = alike and all(one.mode == "full" and one.reduce == 1 for one in every[part])
            if alike and batches.shares_runs(self.device):
                qualities = [one.quality for one in every[part]]
                analyses = [*batches.analyse(self.transforms(), rgb, qualities, every[part][0].tune)]
            for i, picture, analysis in zip(range(len(images))[part], rgb, analyses, strict=True):
                with _naming(i):
                    source = prepare(picture, max_pixels=self.max_pixels)
                    files.append(self.encode_source(source, every[i], analysis))
        return files

    def decode_batch(
        self, files: Sequence[bytes], options: DecodeOptions | None = None, **keywords: Unpack[DecodeKeywords]
    ) -> list[Tensor]:
        """Decode files, of any models and sizes. On a GPU neighbours of one shape share the runs of the transforms.

        Args:
            files: the bytes of each.
            options: ``decoder`` or ``realism``; the others are for single files.
            keywords: these instead.

        Returns:
            A picture (3, H, W) uint8 in sRGB for each file, on the codec's device. Grey is the same in all three
            channels, transparency is left out. Pictures of one shape can be stacked.

        Raises:
            FormatError: a file is not an .mcm file, or damaged, or holds a caption only; names it by its number.
            InputError: a picture is over the limit of pixels.
            ModelError: a file's model, or the decoder, is not installed.
            UsageError: an option is out of range, or not for batches.
        """
        from .model import batches

        settings = DecodeOptions.of(options, keywords)
        if settings != DecodeOptions(settings.decoder, settings.realism):
            raise UsageError("batches are of whole pictures", "give decoder or realism alone")
        pictures: list[Tensor] = []
        waiting: list[tuple[OpenedFile, Decoded]] = []

        def paint_waiting() -> None:
            if waiting:
                file = waiting[0][0]
                transforms, decoded = self.transforms(file.weights), [one for _, one in waiting]
                qualities = [one.header.quality for one, _ in waiting]
                decoder = _decoder(settings, file.weights)
                pictures.extend(batches.paint(transforms, decoded, qualities, decoder, file.header))
                waiting.clear()

        for i, data in enumerate(files):
            with _naming(i):
                file = open_file(as_bytes(data))
                if file.header.caption_only:
                    raise FormatError("the file holds a caption and no picture", "decode it with a painter")
                decoded, _ = file.symbols(self.max_pixels)
            if waiting and not (
                batches.shares_runs(self.device) and batches.alike(waiting[0][0], file)
                and (len(waiting) + 1) * file.header.pixels <= batches.SHARED
            ):  # fmt: skip
                paint_waiting()
            waiting.append((file, decoded))
        paint_waiting()
        return pictures

    def transforms(self, weights: Weights | None = None) -> Transforms:
        """The float half of a model, by default the codec's own, on its device; loaded on first use and kept."""
        from .model.transforms import load

        return load(weights or self.weights, self.device)


def _decoder(options: DecodeOptions, weights: Weights) -> str | float:
    """The decoder that is asked for, by its name or a realism of 0 to 1; the default one if none is."""
    return options.realism if options.realism is not None else options.decoder or weights.decoders[0]


def _code(header: Header, options: EncodeOptions, plan: Plan) -> bytes:
    """The payload: the caption, then the symbols."""
    encoder = RangeEncoder()
    if options.words:
        coder.encode(encoder, options.words, header.grid)
    plan.symbols.encode(encoder)
    return encoder.finish()


def encode(
    image: ImageLike, *, model: str | None = None, device: str = "auto", max_pixels: int | None = None,
    **keywords: Unpack[EncodeKeywords],
) -> bytes:  # fmt: skip
    """Encode one picture; arguments and errors as :class:`Codec` and :meth:`Codec.encode`."""
    return Codec(model, device, max_pixels).encode(image, **keywords)


def decode(
    data: bytes, *, device: str = "auto", max_pixels: int | None = None, **keywords: Unpack[DecodeKeywords]
) -> Image:
    """Decode one file, with whichever model it names; arguments and errors as :meth:`Codec.decode`."""
    header, _ = container.parse_header(as_bytes(data))
    return Codec(find_number(header.model, header.variant).name, device, max_pixels).decode(data, **keywords)


def symbols(data: bytes, max_pixels: int | None = None) -> Decoded:
    """The exact half of decoding alone: what every machine must agree on.

    Raises:
        FormatError: not an .mcm file, damaged, or of a caption alone.
        InputError: the picture is over the limit of pixels.
        ModelError: the file's model is not installed.
    """
    file = open_file(as_bytes(data))
    if file.header.caption_only:
        raise FormatError("the file holds a caption and no picture")
    return file.symbols(max_pixels)[0]


@contextmanager
def _naming(number: int) -> Iterator[None]:
    """Say of an error which picture of a batch it is about."""
    try:
        yield
    except McmError as error:
        raise type(error)(f"picture {number}: {error.cause}", error.remedy) from error
