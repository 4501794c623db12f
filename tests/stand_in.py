"""The codec that stands in for the real one where the command line is tested: no networks, no weights, no torch."""

import json
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from PIL import Image

from mcmcodec.errors import FormatError, McmError, UsageError
from mcmcodec.image.bands import Bands

# Pictures of these widths make the codec that stands in fail, each in its own way.
FAILURES: dict[int, BaseException] = {
    101: McmError("the picture is odd", "take another"),
    102: MemoryError(),
    103: RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    104: ZeroDivisionError("division by zero"),
    105: KeyboardInterrupt(),
    106: OSError(28, "No space left on device"),
    107: UsageError("device cuda is not there", "choose auto or cpu"),
}


class FakeCodec:
    """Writes a line of JSON instead of an .mcm file, longer by a space for every step of quality."""

    weights = SimpleNamespace(card={"decoders": {"fidelity": {}}})

    def __init__(self, model: str | None = None, device: str = "auto", max_pixels: int | None = None) -> None:
        self.model, self.device = model, device

    def encode(
        self,
        image: Any,
        *,
        quality: int = 50,
        keep: float | None = None,
        mask: str = "rd",
        roi: Any = None,
        caption: str = "",
        regions: Any = (),
        effort: int = 3,
        mode: str = "full",
        extras: Any = None,
        reduce: int = 1,
    ) -> bytes:
        height, width = image.shape[:2]
        if width in FAILURES:
            raise FAILURES[width]
        settings = {"quality": quality, "keep": keep, "mask": mask, "caption": caption, "model": self.model}
        settings |= {"effort": effort} if effort != 3 else {}
        settings |= {"mode": mode} if mode != "full" else {}
        settings |= {"reduce": reduce} if reduce != 1 else {}
        settings |= {"grey": True} if extras and extras.grey else {}
        settings |= {"alpha": int(extras.alpha.sum())} if extras and extras.alpha is not None else {}
        settings |= {"exif": len(extras.exif)} if extras and extras.exif else {}
        roi_sum = None if roi is None else int(roi.sum())
        return json.dumps({"size": [width, height], **settings, "roi": roi_sum}).encode() + b" " * quality

    def decode(self, data: bytes, *arguments: Any, **options: Any) -> Image.Image:
        return self.bands(data, *arguments, **options).whole()

    def bands(
        self, data: bytes, decoder: str | None = None, realism: float | None = None, painter: Any = None, *,
        crop: tuple[int, int, int, int] | None = None, scale: float = 1, allow_truncated: bool = False,
    ) -> Bands:  # fmt: skip
        try:
            size = json.loads(data.rstrip(b"~") if allow_truncated else data)["size"]
        except ValueError as error:
            raise FormatError("not an .mcm file", "give a file that codec encode wrote") from error
        pixels = size[0] * size[1]
        size = [max(1, round(side * scale)) for side in (crop[2:] if crop else size)]
        return Bands.of(Image.new("RGB", size, "red" if decoder == "perceptual" or realism == 1 else "blue"), pixels)


@dataclass
class FakeInfo:
    width: int = 100
    height: int = 50
    version: int = 1
    model: str = "small"
    variant: int = 0
    quality: int = 50
    keep: float = 0.5
    visible: int = 14
    patches: int = 28
    caption: str = "a \x1b[31mred\u202e house"
    bytes: dict[str, float] = field(
        default_factory=lambda: dict(header=11, caption=5.5, base=20.25, mask=3.25, latents=55, tail=1, crc=4)
    )
    total: int = 100
    bpp: float = 0.16
    crc: int = 0xABC
    fingerprint: str = "0123456789abcdef" * 4
    mode: str = "full"
    regions: tuple[Any, ...] = ()
    reduction: int = 1


def fake_info(data: bytes) -> FakeInfo:
    if data == b"bad":
        raise FormatError("not an .mcm file", "give a file that codec encode wrote")
    return FakeInfo()


def fake_symbols(data: bytes) -> None:
    if data.startswith(b"bad"):
        raise FormatError("checksum does not match", "get a whole copy of the file")


def module() -> ModuleType:
    """What takes the place of mcmcodec.codec."""
    stand_in = ModuleType("mcmcodec.codec")
    stand_in.__dict__.update(Codec=FakeCodec, info=fake_info, symbols=fake_symbols)
    return stand_in
