"""A picture of any kind becomes plain sRGB and its extras (alpha, grey marker, metadata); decoded, they come together.

Grey pictures stay grey and transparent ones transparent; metadata goes along when asked for. What is lost is said.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from ..bitstream.extras import MAX_METADATA, Extras
from ..bitstream.limits import check_size
from ..errors import UsageError
from . import metadata
from .bands import array
from .io import NOTES, Pixels, develop, open_image
from .srgb import is_grey
from .tiling import View

ImageLike: TypeAlias = "Image.Image | NDArray[np.uint8] | str | os.PathLike[str]"
"""What :func:`prepare` takes."""


@dataclass(frozen=True)
class Source:
    """A picture as the codec takes it.

    Attributes:
        rgb: (H, W, 3) uint8 in sRGB, upright.
        extras: what goes along.
        lost: what could not be kept, in words for people, such as ``16 bits a channel are reduced to 8``.
    """

    rgb: Pixels
    extras: Extras
    lost: tuple[str, ...] = ()

    def carrying(self, extras: Extras) -> Source:
        """The same picture with other extras."""
        return replace(self, extras=extras)


def prepare(
    image: ImageLike, *, background: str | None = None, keep_metadata: bool = False, max_pixels: int | None = None,
    allow_damaged: bool = False,
) -> Source:  # fmt: skip
    """Bring a picture to plain sRGB, and take its extras apart.

    Args:
        image: a Pillow picture of any mode (of an animation the current frame, the first one after ``open_image``); an
            array of uint8 in sRGB, (H, W), (H, W, 3), or (H, W, 4) with alpha; or the path of a picture.
        background: a colour as CSS writes it, to lay transparent pictures over; None keeps them transparent.
        keep_metadata: whether EXIF and XMP go along, byte for byte but for orientation and sizes, which become those of
            the upright picture, and the thumbnail, which is left out. The place (GPS) is part of EXIF and XMP.
        max_pixels: pixels that it may have; see :func:`mcmcodec.bitstream.limits.max_pixels`.
        allow_damaged: whether to take what there is of a damaged file, and say so in ``lost``.

    Raises:
        InputError: the picture is damaged, closed or outside the limits.
        OSError: the path names no file that can be read.
        UsageError: there is no such colour, or this is no picture.
    """
    if isinstance(image, (str, os.PathLike)):
        with open_image(image, max_pixels, allow_damaged=allow_damaged) as opened:
            return _prepare_pillow(opened, background, keep_metadata, max_pixels, allow_damaged)
    if isinstance(image, np.ndarray):
        image = _from_array(image, max_pixels)
        if isinstance(image, np.ndarray):
            return Source(image, Extras())
    if not isinstance(image, Image.Image):
        raise UsageError(f"{type(image).__name__} is no picture", "give a Pillow image, an array, or a path")
    return _prepare_pillow(image, background, keep_metadata, max_pixels, allow_damaged)


def _from_array(array: NDArray[Any], max_pixels: int | None) -> Image.Image | Pixels:
    """(H, W, 3) stays as it is, grey and transparent arrays become Pillow pictures."""
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)) or not array.size:
        raise UsageError(
            f"an array of {array.dtype} and shape {array.shape} is no picture",
            "give uint8 of shape (H, W), (H, W, 3) or (H, W, 4), or a Pillow image",
        )
    check_size(array.shape[1], array.shape[0], max_pixels)
    return array if array.shape[2:] == (3,) else Image.fromarray(np.ascontiguousarray(array))


def _prepare_pillow(
    image: Image.Image, background: str | None, keep_metadata: bool, max_pixels: int | None, allow_damaged: bool
) -> Source:
    lost = [*image.info.get(NOTES, ()), *_lost(image)]
    grey = is_grey(image)
    of_tiff = metadata.exif_of_tiff(image) if keep_metadata and image.format == "TIFF" else b""
    picture, notes = develop(image, max_pixels, allow_damaged=allow_damaged)
    lost += notes
    alpha: Pixels | None = None
    if picture.mode == "RGBA":
        if background is not None:
            picture = over(picture, background)
            grey = grey and len(set(colour(background))) == 1
        else:
            alpha = np.array(picture.getchannel("A"))
            alpha = None if alpha.min() == 255 else alpha
            picture = picture.convert("RGB") if alpha is None else _fill(picture)
    exif = xmp = b""
    if keep_metadata:
        exif = metadata.upright(of_tiff or metadata.exif_of(image), picture.size)
        xmp = metadata.upright_xmp(metadata.xmp_of(image), picture.size)
    if len(exif) + len(xmp) > MAX_METADATA - 4:
        exif = xmp = b""
        lost.append("the metadata is too large and is left out")
    return Source(array(picture), Extras(grey, alpha, exif, xmp), tuple(lost))


def restore(picture: Image.Image, extras: Extras, view: View | None = None) -> Image.Image:
    """Give a decoded RGB picture, or a view of one, its extras: L, LA, RGB or RGBA; ``exif``, ``xmp`` in ``info``."""
    if extras.grey:
        picture = picture.convert("L")
    if extras.alpha is not None:
        rows, cols, factor = view or (slice(0, picture.height), slice(0, picture.width), 1)
        spans = tuple(slice(span.start * factor, span.stop * factor) for span in (rows, cols))
        picture.putalpha(Image.fromarray(np.ascontiguousarray(extras.alpha[spans])).reduce(factor))
    if extras.exif:
        picture.info["exif"] = metadata.EXIF_START + extras.exif
    if extras.xmp:
        picture.info["xmp"] = extras.xmp
    return picture


def colour(name: str) -> tuple[int, int, int]:
    """Red, green and blue, 0..255, of a colour as CSS writes it. UsageError if there is none of that name."""
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError:
        raise UsageError(f"there is no colour {name}", "use a name such as white, or #rrggbb") from None
    return red, green, blue


def over(picture: Image.Image, background: str) -> Image.Image:
    """Lay a picture over a colour: an RGB picture, or L if the picture and the colour are grey."""
    behind = colour(background)
    if not picture.has_transparency_data:
        return picture
    grey = picture.mode == "LA" and len(set(behind)) == 1
    sheet = Image.new("RGBA", picture.size, behind)
    return Image.alpha_composite(sheet, picture.convert("RGBA")).convert("L" if grey else "RGB")


def _fill(picture: Image.Image) -> Image.Image:
    """Paint what is wholly invisible in RGBA with the colours around it, which costs least to code; returns RGB."""
    alpha, rgb = picture.getchannel("A"), picture.convert("RGB")
    if picture.size == (1, 1) or alpha.getextrema()[0]:
        return rgb
    small = picture.reduce(2)
    small.putalpha(small.getchannel("A").point(lambda value: 255 * (value > 0)))
    behind = _fill(small).resize(picture.size, Image.Resampling.BILINEAR)
    return Image.composite(rgb, behind, alpha.point(lambda value: 255 * (value > 0)))


def _lost(image: Image.Image) -> list[str]:
    """What an opened picture holds that an .mcm file cannot; to be asked before the pixels are decoded."""
    lost = []
    gain_map = _has_gain_map(image)
    try:
        # those of a PSD are layers, and the picture has them all
        count = 1 if image.format == "PSD" else int(getattr(image, "n_frames", 1))
    # Pillow looks for the other frames here, and raises whatever a broken one makes it trip over.
    except Exception:
        count = 1
    if count > 1 and not (gain_map and count == 2):
        lost.append(f"only one of {count} pictures in the file is kept")
    if gain_map:
        lost.append("the gain map for high dynamic range is left out")
    if image.mode == "F":
        lost.append("floating-point values are reduced to 8 bits")
    elif image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        lost.append("16 bits a channel are reduced to 8")
    elif image.mode == "I":
        lost.append("32-bit integers are reduced to 8 bits")
    elif any(_is_deep(tile) for tile in getattr(image, "tile", ())):
        lost.append("16 bits a channel are reduced to 8")
    return lost


def _has_gain_map(image: Image.Image) -> bool:
    """Whether a file has a gain map beside the picture: Ultra HDR, ISO 21496-1 in JPEG, or Apple's in HEIC."""
    xmp = metadata.xmp_of(image)
    if b"http://ns.adobe.com/hdr-gain-map/" in xmp or b"HDRGainMap" in xmp:
        return True
    if any(content.startswith(b"urn:iso:std:iso:ts:21496") for _, content in getattr(image, "applist", ())):
        return True
    return any("hdrgainmap" in str(kind).lower() for kind in image.info.get("aux", ()))


def _is_deep(tile: Any) -> bool:
    """Whether a tile of Pillow's names a raw mode of 16 bits, such as ``RGB;16B``, or a highest value over 255."""
    codec, *_, args = tile
    args = args if isinstance(args, tuple) else (args,)
    deep = any(isinstance(arg, str) and ";16" in arg for arg in args)
    return deep or (codec.startswith("ppm") and any(isinstance(arg, int) and arg > 255 for arg in args))
