"""The Pillow plugin: after ``import mcmcodec.plugins.pillow``, Pillow and imageio read and write .mcm files.

>>> import mcmcodec.plugins.pillow, PIL.Image
>>> PIL.Image.open("photo.png").save("photo.mcm", quality=30)
>>> PIL.Image.open("photo.mcm").show()

Opening reads the header only (and metadata); pixels are decoded, and the checksum checked, when they are first asked
for. ``draft`` and so ``thumbnail`` decode a reduced picture. ``save`` takes the fields of
:class:`mcmcodec.EncodeOptions` except ``extras``, ``model`` and ``device``, and ``exif`` and ``xmp`` to carry along.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, Final

from PIL import Image, ImageFile

from ..bitstream import container, extras
from ..errors import FormatError, McmError, UsageError
from ..options import EncodeOptions

if TYPE_CHECKING:
    from ..codec import Codec

FORMAT: Final = "MCM"
MIME: Final = "image/x-mcm"
EXTENSION: Final = ".mcm"
MAX_FILE: Final = 2**30
_OPTIONS: Final = tuple(one.name for one in fields(EncodeOptions) if one.name != "extras")
_EXIF_START: Final = b"Exif\0\0"


class McmImageFile(ImageFile.ImageFile):
    """An opened .mcm file; ``info`` has ``quality``, ``model`` (its number) and, if present, ``exif`` and ``xmp``."""

    format = FORMAT
    format_description = "Masked compression model"

    def _open(self) -> None:
        """Read the header. SyntaxError, as Pillow wants it, when this is no .mcm file or its header is damaged."""
        assert self.fp is not None
        self._data: bytes | None = self.fp.read(MAX_FILE)
        self._scale = 1.0
        try:
            header, _ = container.parse_header(self._data)
            found = dict(header.extensions)
            exif, xmp = extras.metadata(found)
        except FormatError as error:
            raise SyntaxError(str(error)) from error
        self._size = (header.width, header.height)
        self._mode = ("L" if extras.GREY in found else "RGB") + ("A" if extras.ALPHA in found else "")
        self.info.update(quality=header.quality, model=header.model)
        if exif:
            self.info["exif"] = _EXIF_START + exif
        if xmp:
            self.info["xmp"] = xmp

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Decode a reduced picture, by 2, 4 or 8 a side, if that is still no smaller than ``size``."""
        if self._data is None or size is None:
            return None
        factor = next((n for n in (8, 4, 2) if all(-(-a // n) >= b for a, b in zip(self.size, size, strict=True))), 1)
        whole = self.size
        self._scale = 1 / factor
        self._size = (-(-whole[0] // factor), -(-whole[1] // factor))
        return self.mode, (0, 0, whole[0] / factor, whole[1] / factor)

    def load(self) -> Any:
        """Decode the pixels. OSError when the file is damaged, or its model is not installed."""
        if self._data is not None:
            try:
                picture = _codec(None, "auto").decode(self._data, scale=self._scale)
            except McmError as error:
                raise OSError(str(error)) from error
            self._data = None
            self.fp = BytesIO(picture.tobytes())
            self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)]
        return super().load()


@lru_cache(maxsize=4)
def _codec(model: str | None, device: str) -> Codec:
    from ..codec import Codec

    return Codec(model, device)


def _accept(start: bytes) -> bool:
    return start.startswith(container.MAGIC)


def _save(image: Image.Image, file: IO[bytes], name: str | bytes) -> None:
    """Encode a picture of any mode. ValueError when an option is wrong, OSError when the picture cannot be encoded."""
    from ..image.prepare import prepare

    given: dict[str, Any] = image.encoderinfo
    exif = given.get("exif")
    exif = _metadata("exif", exif.tobytes() if isinstance(exif, Image.Exif) else exif).removeprefix(_EXIF_START)
    xmp = _metadata("xmp", given.get("xmp"))
    try:
        options = EncodeOptions(**{option: given[option] for option in _OPTIONS if option in given})
        source = prepare(image)
        extras = replace(source.extras, exif=exif, xmp=xmp)
        codec = _codec(given.get("model"), given.get("device", "auto"))
        file.write(codec.encode_source(source.carrying(extras), options))
    except UsageError as error:
        raise ValueError(str(error)) from error
    except McmError as error:
        raise OSError(str(error)) from error


def _metadata(name: str, value: Any) -> bytes:
    """A block of metadata; empty where there is none. ValueError for anything but bytes."""
    if value is None:
        return b""
    if not isinstance(value, bytes):
        raise ValueError(f"{name} is of type {type(value).__name__}; give bytes")
    return value


Image.register_open(FORMAT, McmImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, EXTENSION)
Image.register_mime(FORMAT, MIME)
