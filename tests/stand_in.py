"""The codec that stands in for the real one where the command line is tested: no networks, no weights, no torch."""

import json
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from PIL import Image

from mcmcodec.errors import FormatError, McmError, UsageError
from mcmcodec.image.bands import Bands
from mcmcodec.image.prepare import Source
from mcmcodec.options import DecodeOptions, EncodeOptions

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

    weights = SimpleNamespace(card={"decoders": {"fidelity": {}}, "tuning": {"rdoq_strength": 0.05}})

    def __init__(self, model: str | None = None, device: str = "auto", max_pixels: int | None = None) -> None:
        self.model, self.device = model, device

    def encode_source(self, source: Source, options: EncodeOptions, analysis: Any = None) -> bytes:
        height, width = source.rgb.shape[:2]
        if width in FAILURES:
            raise FAILURES[width]
        settings = {"quality": options.quality, "keep": options.keep, "mask": options.mask}
        settings |= {"caption": options.caption, "model": self.model}
        settings |= {"effort": options.effort} if options.effort != 3 else {}
        settings |= {"mode": options.mode} if options.mode != "full" else {}
        settings |= {"reduce": options.reduce} if options.reduce != 1 else {}
        extras = source.extras
        settings |= {"grey": True} if extras.grey else {}
        settings |= {"alpha": int(extras.alpha.sum())} if extras.alpha is not None else {}
        settings |= {"exif": len(extras.exif)} if extras.exif else {}
        roi_sum = None if options.roi is None else int(options.roi.sum())
        return json.dumps({"size": [width, height], **settings, "roi": roi_sum}).encode() + b" " * options.quality

    def open(self, options: DecodeOptions) -> None:
        pass

    def decode(self, data: bytes, options: DecodeOptions | None = None, **keywords: Any) -> Image.Image:
        return self.decode_bands(data, options, **keywords).whole()

    def decode_bands(self, data: bytes, options: DecodeOptions | None = None, **keywords: Any) -> Bands:
        given = DecodeOptions.of(options, keywords)
        decoder, realism, crop = given.decoder, given.realism, given.crop
        scale, allow_truncated = given.scale, given.allow_truncated
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
    edges: tuple[int, int] | None = None


def fake_info(data: bytes, max_pixels: int | None = None) -> FakeInfo:
    if data.startswith(b"bad"):
        raise FormatError("not an .mcm file", "give a file that codec encode wrote")
    return FakeInfo()


def modules() -> dict[str, ModuleType]:
    """What takes the place of modules of the package, by their names."""
    codec, inspect = (ModuleType(f"mcmcodec.{name}") for name in ("codec", "bitstream.inspect"))
    codec.__dict__.update(Codec=FakeCodec, info=fake_info)
    inspect.__dict__.update(info=fake_info)
    return {one.__name__: one for one in (codec, inspect)}
