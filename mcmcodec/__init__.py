"""mcmcodec, an image codec for extremely low rates: the public interface, light to import.

>>> import mcmcodec
>>> data = mcmcodec.encode("photo.jpg", quality=30)
>>> mcmcodec.decode(data).save("photo.out.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import FormatError, InputError, McmError, ModelError, UsageError
from .options import DecodeOptions, EncodeOptions

if TYPE_CHECKING:
    from .bitstream.extras import Extras
    from .bitstream.inspect import Info, info
    from .caption import Region
    from .codec import Codec, decode, encode
    from .image.painting import Painter, PaintRequest

__version__ = "0.1.0"

__all__ = [
    "Codec",
    "DecodeOptions",
    "EncodeOptions",
    "Extras",
    "FormatError",
    "Info",
    "InputError",
    "McmError",
    "ModelError",
    "PaintRequest",
    "Painter",
    "Region",
    "UsageError",
    "__version__",
    "decode",
    "encode",
    "info",
]

_LAZY = {
    "Codec": "codec",
    "Extras": "bitstream.extras",
    "Info": "bitstream.inspect",
    "PaintRequest": "image.painting",
    "Painter": "image.painting",
    "Region": "caption",
    "decode": "codec",
    "encode": "codec",
    "info": "bitstream.inspect",
}
"""Where what is exported stands; imported when first asked for, because numpy and the networks take their time."""


def __getattr__(name: str) -> Any:
    """Import a part of the interface."""
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
