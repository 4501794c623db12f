"""Pillow <-> arrays: picture files are read and written here, and brought to sRGB.

Whatever Pillow can open becomes plain sRGB, eight bits, upright. Limits are checked on the picture's header,
before a pixel is decoded.
"""

import os
import struct
from io import BytesIO
from typing import IO, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from ..bitstream.limits import check_size, max_pixels
from ..errors import InputError, UsageError

Pixels: TypeAlias = npt.NDArray[np.uint8]

# EPS would run Ghostscript on a stranger's program; MCM is our own (plugins/pillow.py), and coding twice helps nobody;
# the others only name a format that Pillow cannot decode.
_REFUSED: Final = frozenset({"BUFR", "EPS", "FPX", "GRIB", "HDF5", "MCM", "MIC", "MPEG", "WMF"})
_MAX_BY_FORMAT: Final = {"JPEG": 65535, "WEBP": 16383}
_QUALITY: Final[dict[str, dict[str, Any]]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90},
}
_HOLDS_ALPHA: Final = frozenset({"AVIF", "DDS", "ICNS", "ICO", "JPEG2000", "PNG", "QOI", "SGI", "TGA", "TIFF", "WEBP"})
_CARRIES: Final = frozenset({"AVIF", "JPEG", "PNG", "WEBP"})
_JPEG_SEGMENT: Final = 65000
"""Bytes of metadata that are sure to fit into one marker segment of JPEG."""
# EXIF 2.32, tag 0x0112: what has to be done to the stored picture to see it upright.
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def readable_formats() -> list[str]:
    """Names of the formats that ``open_image`` accepts, as Pillow spells them."""
    Image.init()
    return [name for name in Image.ID if name not in _REFUSED]


def readable_extensions() -> frozenset[str]:
    """File name extensions, in lower case with their dot, of the pictures that ``open_image`` accepts."""
    known = frozenset(readable_formats())
    return frozenset(ext.lower() for ext, name in Image.registered_extensions().items() if name in known)


def writable_format(name: str) -> str:
    """Return Pillow's format for a file name to write.

    Raises:
        UsageError: Its extension names no picture format that can be written.
    """
    ext = os.path.splitext(name)[1].lower()
    known = Image.registered_extensions()
    if ext not in known or known[ext] not in {*Image.SAVE} - _REFUSED:
        raise UsageError(f"cannot write a picture with the extension {ext!r}", "use .png, .jpg or .webp")
    return known[ext]


def open_image(source: str | os.PathLike[str] | IO[bytes], limit: int | None = None) -> Image.Image:
    """Open a picture without decoding its pixels.

    Args:
        source: A path, or a binary file that can seek.
        limit: Largest number of pixels; see ``limits.max_pixels``.

    Returns:
        The picture, at its first frame, within the limits.

    Raises:
        InputError: It is not a picture, is damaged, or is larger than the limits.
        OSError: The file is missing or cannot be read.
    """
    limit = max_pixels(limit)
    try:
        image = _identify(source)
    # Pillow's parsers raise whatever a hostile header makes them trip over.
    except Exception as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise InputError(f"damaged picture ({_brief(error)})", "get a whole copy of the file") from error
    if image is None:
        raise InputError("not a picture in a format that can be read", "convert it to PNG first")
    try:
        check_size(*image.size, limit)
    except InputError:
        image.close()
        raise
    return image


def to_rgb(image: Image.Image, limit: int | None = None) -> Pixels:
    """Decode a picture to plain sRGB on white: as ``to_srgb``, without transparency.

    Returns:
        uint8 array of shape (height, width, 3), C-contiguous.
    """
    picture = to_srgb(image, limit)
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return np.array(picture)


def to_srgb(image: Image.Image, limit: int | None = None) -> Image.Image:
    """Decode a picture to sRGB.

    Orientation (EXIF) is applied, an ICC profile converted to sRGB, 16 bits scaled to 8. Of an animation the
    current frame is taken, which is the first one after ``open_image``.

    Args:
        image: Any Pillow picture.
        limit: Largest number of pixels; see ``limits.max_pixels``.

    Returns:
        An RGB picture, or RGBA if the picture has transparency; the given one if there is nothing to do.

    Raises:
        InputError: The picture is damaged or outside the limits.
    """
    check_size(*image.size, limit)
    try:
        image.load()
        picture = _eight_bit_srgb(image)
        turn = _UPRIGHT.get(_orientation(image))
        return picture.transpose(turn) if turn is not None else picture
    except MemoryError:
        raise
    # As above: a damaged file raises OSError, SyntaxError, ValueError, EOFError, struct.error and more.
    except Exception as error:
        raise InputError(f"truncated or damaged picture ({_brief(error)})", "get a whole copy of the file") from error


def from_rgb(array: Pixels) -> Image.Image:
    """Make a Pillow picture of a uint8 array of shape (height, width, 3).

    Raises:
        InputError: The array has another type or shape.
    """
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise InputError(
            f"array of type {array.dtype} and shape {array.shape} is no picture",
            "give uint8 of shape (H, W, 3)",
        )
    return Image.fromarray(np.ascontiguousarray(array))


def save_bytes(image: Image.Image, name: str) -> bytes:
    """Encode a picture in a classical format, with the EXIF and XMP of its ``info`` where the format takes them.

    Args:
        image: The picture.
        name: Pillow's name of the format, as ``writable_format`` gives it.

    Returns:
        The bytes of the file.

    Raises:
        InputError: The format cannot hold the picture.
    """
    out = BytesIO()
    limit = _MAX_BY_FORMAT.get(name)
    if limit is not None and max(image.size) > limit:
        raise InputError(f"{name} holds at most {limit} pixels a side", "write .png instead")
    options = dict(_QUALITY.get(name, {}))
    for key in ("exif", "xmp"):
        data = image.info.get(key)
        if data and name in _CARRIES and (name != "JPEG" or len(data) <= _JPEG_SEGMENT):
            options[key] = data
    if name == "PNG" and "xmp" in options:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode(errors="replace"), zip=True)
    try:
        image.save(out, format=name, **options)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"cannot be written as {name} ({_brief(error)})", "write .png instead") from error
    return out.getvalue()


def holds_alpha(name: str) -> bool:
    """Whether a format, by Pillow's name, can hold transparency of 256 steps."""
    return name in _HOLDS_ALPHA


def _identify(source: str | os.PathLike[str] | IO[bytes]) -> Image.Image | None:
    """Open with the first of our formats that knows the file, as ``Image.open`` does; None if none does.

    ``Image.open`` itself refuses by limits that are settings of the whole process, and cannot be told ours.
    """
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            start = file.read(16)
    else:
        source.seek(0)
        start = source.read(16)
    for name in readable_formats():
        opener, accept = Image.OPEN[name]
        try:
            known = accept is None or accept(start)
            if not known or isinstance(known, str):  # a text says why the format is not to be had
                continue
            if isinstance(source, (str, os.PathLike)):
                return opener(os.fspath(source), "")  # type: ignore[arg-type]
            source.seek(0)
            return opener(source, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue
    return None


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; broken metadata does not make a picture unreadable."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _eight_bit_srgb(image: Image.Image) -> Image.Image:
    """Bring a decoded picture of any mode to RGB or RGBA."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_eight_bits(image))
    if not image.has_transparency_data:
        return _from_profile(image, profile)
    rgba = image.convert("RGBA")
    picture = _from_profile(rgba.convert("RGB"), profile)
    picture.putalpha(rgba.getchannel("A"))
    return picture


def _from_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an opaque picture to sRGB by its ICC profile; without a usable one, by Pillow's formulas."""
    if image.mode == "LAB":
        return _transform(image, ImageCms.createProfile("LAB"))
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            wanted = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space, "")
            if wanted == "RGB" and image.mode != "CMYK":
                image = image.convert("RGB")
            if image.mode == wanted:
                return _transform(image, source)
        # A broken profile is common and harmless: viewers ignore it as well.
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image if image.mode == "RGB" else image.convert("RGB")


def _transform(image: Image.Image, source: Any) -> Image.Image:
    """Colour conversion from a profile to sRGB."""
    target = ImageCms.createProfile("sRGB")
    result = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    if result is None:
        raise ImageCms.PyCMSError("no conversion")
    return result


def _to_eight_bits(image: Image.Image) -> Pixels:
    """Scale a grey picture of 16 or 32 bits, integer or float, to 8 bits; shape (height, width).

    Pillow carries 16-bit greys in 32-bit integers too, and floats on [0, 1] or [0, 255]: the largest value
    tells which.
    """
    values = np.asarray(image)
    if np.issubdtype(values.dtype, np.floating):
        values = np.nan_to_num(values, nan=0.0, posinf=255.0, neginf=0.0)
        top = 1.0 if values.max() <= 1.0 else 255.0
    else:
        top = 65535.0 if values.max() <= 65535 else 2.0**31 - 1
    return np.clip(np.floor(values.astype(np.float64) * (255.0 / top) + 0.5), 0, 255).astype(np.uint8)


def _brief(error: BaseException) -> str:
    """One short line about an error of Pillow's."""
    lines = str(error).splitlines()
    return lines[0][:120] if lines else type(error).__name__
