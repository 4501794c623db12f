"""Raw photographs of cameras: rawpy (LibRaw) develops them. Pillow would take their thumbnail for the picture."""

from __future__ import annotations

import os
from typing import IO, Final

from PIL import Image

from ..bitstream.limits import check_size
from ..errors import InputError
from . import metadata, optional_formats

# Canon CR2 and CR3, Fujifilm, Panasonic, Olympus, Sigma, Minolta, Canon CRW
_STARTS: Final = ((8, b"CR\2\0"), (4, b"ftypcrx "), (0, b"FUJIFILMCCD-RAW"), (0, b"IIU\0"), (0, b"IIRO"), (0, b"IIRS"),
                  (0, b"MMOR"), (0, b"FOVb"), (0, b"\0MRM"), (6, b"HEAPCCDR"))  # fmt: skip
_SUBFILE_TYPE, _PHOTOMETRIC, _DNG_VERSION, _CFA_PATTERN = 254, 262, 50706, 33422
_CFA, _LINEAR_RAW = 32803, 34892


def is_raw(file: IO[bytes], name: str) -> bool:
    """Whether a file is a raw photograph.

    Its first bytes tell; for those made like TIFF the tags of DNG (1.7, chapter 4) in the first directory, or, because
    cameras put the thumbnail there, the extension of ``name``.
    """
    file.seek(0)
    start = file.read(64)
    if any(start[at : at + len(mark)] == mark for at, mark in _STARTS):
        return True
    if not metadata.byte_order(start):
        return False
    tags = metadata.first_directory(file)
    raw_samples = tags.get(_PHOTOMETRIC) in (_CFA, _LINEAR_RAW)
    named = os.path.splitext(name)[1].lower() in optional_formats.RAW.extensions
    return named or raw_samples or _DNG_VERSION in tags or _CFA_PATTERN in tags


def choose_page(image: Image.Image) -> None:
    """Go to the first page of a TIFF that is no reduced copy of another (TIFF 6.0, NewSubfileType).

    Raises:
        InputError: there is none.
    """
    page = 0
    while int(getattr(image, "tag_v2", {}).get(_SUBFILE_TYPE, 0)) & 1:
        page += 1
        try:
            image.seek(page)
        except EOFError:
            raise InputError(
                "the file holds only a thumbnail of a picture", "give the file that holds the picture itself"
            ) from None


def develop(source: str | os.PathLike[str] | IO[bytes], limit: int) -> Image.Image:
    """Develop a raw photograph: 8 bits a channel in sRGB, upright, with the camera's white balance.

    Args:
        source: a path, or a binary file that can seek.
        limit: largest number of pixels.

    Raises:
        InputError: rawpy is not installed, cannot read the file, or the picture is over the limit.
    """
    try:
        import rawpy
    except ImportError:
        raise InputError(
            "a raw photograph, of which only the thumbnail could be read without rawpy",
            "install rawpy (pip install rawpy), or develop it to PNG, JPEG or TIFF",
        ) from None
    if not isinstance(source, (str, os.PathLike)):
        source.seek(0)
    try:
        with rawpy.imread(os.fspath(source) if isinstance(source, os.PathLike) else source) as photograph:
            check_size(photograph.sizes.width, photograph.sizes.height, limit)
            # IEC 61966-2-1: the curve of sRGB, as LibRaw takes it
            pixels = photograph.postprocess(use_camera_wb=True, output_bps=8, gamma=(2.4, 12.92))
    except rawpy.LibRawError as error:
        cause = error.args[0].decode(errors="replace") if error.args and isinstance(error.args[0], bytes) else error
        raise InputError(
            f"a raw photograph that rawpy cannot read ({cause})", "develop it to PNG, JPEG or TIFF"
        ) from error
    return Image.fromarray(pixels)
