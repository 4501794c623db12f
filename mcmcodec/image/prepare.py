"""A picture of any kind becomes plain sRGB and its extras (alpha, grey marker, metadata); decoded, they come together.

Grey pictures stay grey and transparent ones transparent; metadata goes along when asked for. What is lost is said.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageColor

from ..bitstream.extras import MAX_METADATA, Extras
from ..bitstream.limits import check_size
from ..errors import UsageError
from .bands import array
from .io import Pixels, open_image, to_srgb
from .tiling import View

_EXIF_START: Final = b"Exif\0\0"
_GREY_MODES: Final = ("1", "L", "LA", "La", "F", "I")
# TIFF 6.0, section 8, and DNG: tags about how the old file stored its pixels.
_STORAGE: Final = frozenset(
    (254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 288, 289, 317, 320, 322, 323, 324, 325)
    + (330, 338, 339, 347, 530, 531, 532, 700, 33723, 34377, 34675)
)
_XMP_ORIENTATION: Final = (
    (re.compile(rb"""(tiff:Orientation\s*=\s*["'])[2-8](["'])"""), rb"\g<1>1\g<2>"),
    (re.compile(rb"(<tiff:Orientation>)\s*[2-8]\s*(</tiff:Orientation>)"), rb"\g<1>1\g<2>"),
)


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
    image: ImageLike, *, background: str | None = None, keep_metadata: bool = False, max_pixels: int | None = None
) -> Source:
    """Bring a picture to plain sRGB, and take its extras apart.

    Args:
        image: a Pillow picture of any mode (of an animation the current frame, the first one after ``open_image``); an
            array of uint8 in sRGB, (H, W), (H, W, 3), or (H, W, 4) with alpha; or the path of a picture.
        background: a colour as CSS writes it, to lay transparent pictures over; None keeps them transparent.
        keep_metadata: whether EXIF and XMP go along. Their orientation is the one that the picture has then: upright.
        max_pixels: pixels that it may have; see :func:`mcmcodec.bitstream.limits.max_pixels`.

    Raises:
        InputError: the picture is damaged, closed or outside the limits.
        OSError: the path names no file that can be read.
        UsageError: there is no such colour, or this is no picture.
    """
    if isinstance(image, (str, os.PathLike)):
        with open_image(image, max_pixels) as opened:
            return prepare(opened, background=background, keep_metadata=keep_metadata, max_pixels=max_pixels)
    if isinstance(image, np.ndarray):
        image = _from_array(image, max_pixels)
        if isinstance(image, np.ndarray):
            return Source(image, Extras())
    if not isinstance(image, Image.Image):
        raise UsageError(f"{type(image).__name__} is no picture", "give a Pillow image, an array, or a path")
    return _prepare_pillow(image, background, keep_metadata, max_pixels)


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
    image: Image.Image, background: str | None, keep_metadata: bool, max_pixels: int | None
) -> Source:
    lost = [*_lost(image)]
    grey = image.mode.startswith(_GREY_MODES) and image.mode != "LAB"
    picture = to_srgb(image, max_pixels)
    alpha: Pixels | None = None
    if picture.mode == "RGBA":
        if background is not None:
            picture = over(picture, background)
            grey = grey and len(set(colour(background))) == 1
        else:
            alpha = np.array(picture.getchannel("A"))
            alpha = None if alpha.min() == 255 else alpha
            picture = picture.convert("RGB") if alpha is None else _fill(picture)
    exif, xmp = _metadata(image, picture.size) if keep_metadata else (b"", b"")
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
        picture.info["exif"] = _EXIF_START + extras.exif
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
    try:
        several = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    # Pillow looks for a second frame here, and raises whatever a broken one makes it trip over.
    except Exception:
        several = False
    if several:
        lost.append("only the first frame is kept")
    if image.mode == "F":
        lost.append("floating-point values are reduced to 8 bits")
    elif image.mode.startswith("I") or any(_is_deep(tile) for tile in getattr(image, "tile", ())):
        lost.append("16 bits a channel are reduced to 8")
    return lost


def _is_deep(tile: Any) -> bool:
    """Whether a tile of Pillow's names a raw mode of 16 bits, such as ``RGB;16B``, or a highest value over 255."""
    codec, *_, args = tile
    args = args if isinstance(args, tuple) else (args,)
    deep = any(isinstance(arg, str) and ";16" in arg for arg in args)
    return deep or (codec.startswith("ppm") and any(isinstance(arg, int) and arg > 255 for arg in args))


def _metadata(image: Image.Image, size: tuple[int, int]) -> tuple[bytes, bytes]:
    """EXIF and XMP of a picture that has been turned upright; broken ones are no loss, thumbnails stay behind."""
    try:
        exif = image.getexif()
        for tag in (*_STORAGE, ExifTags.Base.Orientation):
            if tag in exif:
                del exif[tag]
        details = exif.get_ifd(ExifTags.IFD.Exif)
        for tag, side in zip((ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight), size, strict=True):
            if tag in details:
                details[tag] = side
        data = exif.tobytes().removeprefix(_EXIF_START) if len(exif) else b""
    except MemoryError:
        raise
    # As in image.py: Pillow raises whatever strangers' metadata makes it trip over.
    except Exception:
        data = b""
    xmp = image.info.get("xmp", b"")
    xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    for pattern, upright in _XMP_ORIENTATION:
        xmp = pattern.sub(upright, xmp)
    return data, xmp.strip(b"\0")
