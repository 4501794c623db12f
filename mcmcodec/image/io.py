"""Picture files are opened and written here, by Pillow and, where they are installed, by packages beside it.

Whatever can be opened becomes plain sRGB, eight bits, upright. Limits are checked on the picture's header, before a
pixel is decoded.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import IO, Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, PngImagePlugin

from ..bitstream.limits import check_size, max_pixels
from ..errors import InputError, UsageError
from . import metadata, optional_formats, png_chunks, raw, srgb
from .spliced import splice

Pixels: TypeAlias = npt.NDArray[np.uint8]

NOTES: Final = "mcmcodec notes"
"""Key of a picture's ``info`` under which ``open_image`` leaves what was lost, in words for people."""
# EPS would run Ghostscript on a stranger's program; MCM is our own (plugins/pillow.py), and coding twice helps nobody;
# the others only name a format that Pillow cannot decode.
_REFUSED: Final = frozenset({"BUFR", "EPS", "FPX", "GRIB", "HDF5", "MCM", "MIC", "MPEG", "WMF"})
_MAX_BY_FORMAT: Final = {"JPEG": 65535, "WEBP": 16383}
_QUALITY: Final[dict[str, dict[str, Any]]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90},
    # as small as the default on decoded pictures, within a percent, in a third of the time
    "PNG": {"compress_level": 1, "compress_type": zlib.Z_RLE},
}
_HOLDS_ALPHA: Final = frozenset({"AVIF", "DDS", "ICNS", "ICO", "JPEG2000", "PNG", "QOI", "SGI", "TGA", "TIFF", "WEBP"})
_CARRIES: Final = frozenset({"AVIF", "JPEG", "PNG", "WEBP"})
# First bytes that no other format shares: a file that starts so and cannot be read is damaged, and not of another kind.
_SIGNATURES: Final = {
    "PNG": png_chunks.SIGNATURE, "JPEG": b"\xff\xd8\xff", "GIF": b"GIF8", "PSD": b"8BPS", "QOI": b"qoif",
}  # fmt: skip
_END_OF_JPEG: Final = b"\xff\xd9"
_START: Final = 64
_RAW_NOTE: Final = "a raw photograph is developed by rawpy: white balance of the camera, automatic brightness"
_DAMAGED: Final = "the file is damaged ({}): what is missing is black or grey"
_WHOLE: Final = "get a whole copy of the file"
_OR_ALLOW: Final = f"{_WHOLE}, or take what is there with --allow-damaged (allow_damaged in Python)"
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
    """File name extensions, in lower case with their dot, of the pictures that ``open_image`` accepts.

    Those that other packages read are among them where these are installed (``optional_formats.package_for``).
    """
    known = frozenset(readable_formats())
    by_pillow = frozenset(ext.lower() for ext, name in Image.registered_extensions().items() if name in known)
    return by_pillow | optional_formats.installed_extensions()


def writable_format(name: str) -> str:
    """Return Pillow's format for a file name to write.

    Raises:
        UsageError: Its extension names no picture format that can be written.
    """
    ext = os.path.splitext(name)[1].lower()
    Image.preinit()  # the few formats that most files have; all of them take a while
    known = Image.EXTENSION if ext in Image.EXTENSION else Image.registered_extensions()
    if ext not in known or known[ext] not in {*Image.SAVE} - _REFUSED:
        raise UsageError(f"cannot write a picture with the extension {ext!r}", "use .png, .jpg or .webp")
    return known[ext]


def open_image(
    source: str | os.PathLike[str] | IO[bytes], limit: int | None = None, *, allow_damaged: bool = False
) -> Image.Image:
    """Open a picture without decoding its pixels.

    Args:
        source: A path, or a binary file that can seek.
        limit: Largest number of pixels; see ``limits.max_pixels``.
        allow_damaged: Whether to go on where a file is damaged; :func:`develop` has to be told too. JPEG files are
            then decoded at once.

    Returns:
        The picture, at its first frame, within the limits. Raw photographs are developed already. What is lost so far
        is in ``info[NOTES]``.

    Raises:
        InputError: It is not a picture, is damaged, needs a package that is not installed, or is larger than the
            limits.
        OSError: The file is missing or cannot be read.
    """
    limit = max_pixels(limit)
    try:
        image = _identify(source, limit, allow_damaged)
    except InputError:
        raise
    # Pillow's parsers raise whatever a hostile header makes them trip over.
    except Exception as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise InputError(f"damaged picture ({_brief(error)})", _WHOLE) from error
    try:
        check_size(*image.size, limit)
    except InputError:
        _let_go(image)
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
    """The picture of :func:`develop` alone; the given one if there is nothing to do."""
    return develop(image, limit).picture


class Developed(NamedTuple):
    """A picture in sRGB, RGB or RGBA, and what was lost or assumed on the way, in words for people."""

    picture: Image.Image
    notes: tuple[str, ...]


def develop(image: Image.Image, limit: int | None = None, *, allow_damaged: bool = False) -> Developed:
    """Decode a picture to sRGB.

    Orientation (EXIF) is applied, colours are converted to sRGB by what the file says of them, more than 8 bits scaled
    to 8: see :func:`mcmcodec.image.srgb.to_srgb`. Of an animation the current frame is taken, which is the first one
    after ``open_image``.

    Args:
        image: Any Pillow picture.
        limit: Largest number of pixels; see ``limits.max_pixels``.
        allow_damaged: Whether to take what could be decoded of a damaged file; the rest is black or grey.

    Returns:
        An RGB picture, or RGBA if the picture has transparency.

    Raises:
        InputError: The picture is damaged, outside the limits, or has values that are no picture.
    """
    check_size(*image.size, limit)
    try:
        _note_colour_code(image)
        damage = _load(image, allow_damaged)
        picture, notes = srgb.to_srgb(image)
        turn = _UPRIGHT.get(_orientation(image))
        if turn is not None:
            picture = picture.transpose(turn)
        return Developed(picture, (*damage, *notes))
    except (MemoryError, InputError):
        raise
    # As above: a damaged file raises OSError, SyntaxError, ValueError, EOFError, struct.error and more.
    except Exception as error:
        raise InputError(f"truncated or damaged picture ({_damage(image, error)})", _OR_ALLOW) from error


def _load(image: Image.Image, allow_damaged: bool) -> tuple[str, ...]:
    """Decode the pixels; or what there is of them, and say so."""
    try:
        image.load()
    except Exception as error:
        # Pillow keeps the rows that it has decoded; where there is none, or nothing in them, there is no picture
        if isinstance(error, MemoryError) or not allow_damaged or image._im is None or image.im.getbbox() is None:
            raise
        damage = _damage(image, error)
        image.tile = []  # type: ignore[attr-defined]
        return (_DAMAGED.format(damage),)
    return ()


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
    if name == "AVIF" and "exif" in options:
        exif = options["exif"].removeprefix(metadata.EXIF_START)
        options["exif"] = metadata.EXIF_START + metadata.without_orientation(exif)
    if name == "PNG" and "xmp" in options:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp"), zip=True)
    try:
        image.save(out, format=name, **options)
    except (OSError, ValueError, KeyError) as error:
        remedy = "" if name == "PNG" else "write .png instead"
        raise InputError(f"cannot be written as {name} ({_brief(error)})", remedy) from error
    return out.getvalue()


def holds_alpha(name: str) -> bool:
    """Whether a format, by Pillow's name, can hold transparency of 256 steps."""
    return name in _HOLDS_ALPHA


def _identify(source: str | os.PathLike[str] | IO[bytes], limit: int, allow_damaged: bool) -> Image.Image:
    """Open with the first of our formats that knows the file. InputError if none does.

    ``Image.open`` itself refuses by limits that are settings of the whole process, and cannot be told ours.
    """
    path = os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""
    start = _start(source)
    if _is_raw(source, path):
        image = raw.develop(source, limit)
        image.info[NOTES] = (_RAW_NOTE,)
        return image
    if start.startswith(png_chunks.SIGNATURE):
        return _open_png(source, allow_damaged)
    if allow_damaged and start.startswith(_SIGNATURES["JPEG"]):
        return _open_damaged_jpeg(source, start, limit)
    package = optional_formats.package_of(start)
    if package is not None:
        optional_formats.register(package)
    image = _first(source, start)
    if image.format == "TIFF":
        try:
            raw.choose_page(image)
        except BaseException:
            _let_go(image)
            raise
    elif image.format in ("AVIF", "HEIF") and not image.info.get("icc_profile"):
        code = _colour_code(source)
        if code:
            image.info["cicp"] = code
    return image


def _first(source: str | os.PathLike[str] | IO[bytes], start: bytes) -> Image.Image:
    """Open with the first of our formats that knows the file, as ``Image.open`` does. InputError if none does."""
    reason = ""
    for name in _formats():
        opener, accept = Image.OPEN[name]
        try:
            known = accept is None or accept(start)
            if not known or isinstance(known, str):  # a text says why the format is not to be had
                continue
            if isinstance(source, (str, os.PathLike)):
                return opener(os.fspath(source), "")  # type: ignore[arg-type]
            source.seek(0)
            return opener(source, "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            if name in _SIGNATURES and start.startswith(_SIGNATURES[name]):
                reason = f"damaged {name} picture ({_brief(error)})"
    if reason:
        raise InputError(reason, _WHOLE)
    package = optional_formats.package_of(start)
    if package is not None and not package.installed:
        raise _missing(package)
    named_png = isinstance(source, (str, os.PathLike)) and os.fspath(source).lower().endswith(".png")
    remedy = _WHOLE if named_png else "convert it to PNG first"
    raise InputError("not a picture in a format that can be read", remedy)


def _formats() -> Iterator[str]:
    """Names as of ``readable_formats``: first those that most files have; the others are loaded if these are not it."""
    Image.preinit()
    common = [name for name in Image.ID if name not in _REFUSED]
    yield from common
    yield from (name for name in readable_formats() if name not in common)


def _open_png(source: str | os.PathLike[str] | IO[bytes], allow_damaged: bool) -> Image.Image:
    """Open a PNG without the chunks that would do harm."""
    file, owned = _file(source)
    try:
        found = png_chunks.screen(file, allow_damaged)
        image = _first(splice(file, found.parts, close=owned), png_chunks.SIGNATURE)
    except BaseException:
        if owned:
            file.close()
        raise
    for key, value in (("icc_profile", found.icc_profile), ("xmp", found.xmp), ("cicp", found.cicp)):
        if value is not None:
            image.info[key] = value
    if found.notes:
        image.info[NOTES] = tuple(found.notes)
    return _opened(image, owned)


def _open_damaged_jpeg(source: str | os.PathLike[str] | IO[bytes], start: bytes, limit: int) -> Image.Image:
    """Open and decode a JPEG; where its data end early, with an end marker, at which libjpeg shows what it has."""
    image = _first(source, start)
    check_size(*image.size, limit)
    try:
        image.load()
        return image
    except OSError as error:
        damage = _damage(image, error)
        _let_go(image)
    file, owned = _file(source)
    end = file.seek(0, os.SEEK_END)
    image = _opened(_first(splice(file, (range(end), _END_OF_JPEG), close=owned), start), owned)
    image.info[NOTES] = (_DAMAGED.format(damage),)
    return image


def _let_go(image: Image.Image) -> None:
    """Close the file of a picture, unless the caller gave it."""
    with image:
        pass


def _opened(image: Image.Image, owned: bool) -> Image.Image:
    """A picture that closes its file as ``Image.open`` has it: only one that was opened for it."""
    image._exclusive_fp = owned  # type: ignore[attr-defined]
    return image


def _file(source: str | os.PathLike[str] | IO[bytes]) -> tuple[IO[bytes], bool]:
    """A binary file, and whether it was opened here."""
    return (open(source, "rb"), True) if isinstance(source, (str, os.PathLike)) else (source, False)


def _start(source: str | os.PathLike[str] | IO[bytes], length: int = _START) -> bytes:
    """The first bytes of a file."""
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return file.read(length)
    source.seek(0)
    return source.read(length)


def _is_raw(source: str | os.PathLike[str] | IO[bytes], path: str) -> bool:
    file, owned = _file(source)
    try:
        return raw.is_raw(file, path)
    finally:
        if owned:
            file.close()


def _missing(package: optional_formats.Package) -> InputError:
    return InputError(
        f"{package.what} need the package {package.name}",
        f"install it (pip install {package.name}), or convert the picture to PNG",
    )


def _colour_code(source: str | os.PathLike[str] | IO[bytes]) -> tuple[int, int, int, int] | None:
    """Primaries and transfer function of an AVIF or HEIF file (ISO/IEC 14496-12, box ``colr`` of type ``nclx``).

    Pillow applies the matrix and the range, and does not tell the rest. The box stands before the pixels.
    """
    start = _start(source, 2**16)
    at = start.find(b"colrnclx") + 8
    if at < 8 or len(start) < at + 4:
        return None
    primaries, transfer = struct.unpack_from(">HH", start, at)
    return primaries, transfer, 0, 1


def _note_colour_code(image: Image.Image) -> None:
    """Read cICP of a PNG that was opened by Pillow, which does not keep it, as long as its file is open."""
    file = getattr(image, "fp", None)
    if image.format == "PNG" and file is not None and "cicp" not in image.info:
        before = file.tell()
        code = png_chunks.screen(file, allow_damaged=True).cicp
        file.seek(before)
        if code is not None:
            image.info["cicp"] = code


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; broken metadata does not make a picture unreadable."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _damage(image: Image.Image, error: BaseException) -> str:
    """What is wrong with a file, from an error of Pillow's decoders."""
    text, name = _brief(error), image.format
    if name and "truncated" in text:
        return f"the {name} data end early"
    return f"the {name} data are broken" if name and "data stream" in text else text


def _brief(error: BaseException) -> str:
    """One short line about an error of Pillow's."""
    lines = str(error).splitlines()
    if lines and lines[0].startswith("unpack"):  # of the module struct, about a buffer
        return "the file ends early"
    return lines[0][:120] if lines else type(error).__name__
