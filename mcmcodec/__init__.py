"""mcmcodec, an image codec for extremely low rates: the public interface, light to import.

>>> import mcmcodec, PIL.Image
>>> data = mcmcodec.encode(PIL.Image.open("photo.png"), quality=30)
>>> mcmcodec.decode(data).save("photo.out.png")
"""

from typing import TYPE_CHECKING, Any

from .errors import FormatError, InputError, McmError, ModelError, UsageError

if TYPE_CHECKING:
    from .codec import Codec, decode, encode, info

__version__ = "0.1.0"

__all__ = [
    "Codec",
    "FormatError",
    "InputError",
    "McmError",
    "ModelError",
    "UsageError",
    "__version__",
    "decode",
    "encode",
    "info",
]


def __getattr__(name: str) -> Any:
    """Import the codec when it is first asked for: numpy and the networks take their time."""
    if name in ("Codec", "decode", "encode", "info"):
        from . import codec

        return getattr(codec, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
