"""Decoded pictures of any mode, range and colour space become sRGB of 8 bits (IEC 61966-2-1), and what is lost is said.

Which description of colours counts follows PNG, Third Edition, section 4.3: cICP, then an ICC profile, then sRGB, then
gAMA and cHRM. A picture without any is taken as sRGB. ICC profiles are for littlecms (Pillow's ImageCms); the rest is
linear algebra, in the notation of the standards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ..errors import InputError

Floats: TypeAlias = NDArray[np.float32]
Curve: TypeAlias = Callable[[Floats], Floats]
Primaries: TypeAlias = tuple[float, float, float, float, float, float, float, float]
"""x, y of white, red, green and blue (CIE 1931), in the order of cHRM."""

_D65: Final = (0.3127, 0.3290)
_SRGB: Final[Primaries] = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_UNSPECIFIED, _PQ, _HLG = 2, 16, 18
# ITU-T H.273, table 2
_PRIMARIES: Final[dict[int, Primaries]] = {
    1: _SRGB,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""Cone responses of the chromatic adaptation that ICC.1:2022, annex E, recommends."""
_WHITE: Final = 203.0
"""cd/m2 of the diffuse white of PQ and HLG pictures (ITU-R BT.2408): white of sRGB."""
_HLG_PEAK: Final = 1000.0
"""cd/m2 of the nominal display of HLG, whose system gamma is 1.2 (ITU-R BT.2100)."""
_KNEE: Final = 0.75
"""Share of white, linear, up to which HDR pictures are kept as they are; brighter light is compressed."""
_ROWS: Final = 256
_ALIKE: Final = 0.05
"""How far an exponent may be from that of sRGB and be taken as its curve, as libpng does (PNG_GAMMA_THRESHOLD)."""
_OUTSIDE: Final = 0.001
"""Share of the pixels from which on clipped colours are worth a word."""
_OVERSHOOT: Final = 0.25
"""How far floating-point values may leave their range, as a share of it, and be clipped."""


class _Description(NamedTuple):
    """What a file says of its colours in numbers.

    Attributes:
        curve: from samples of 0..1 to linear light, 1 for white; that of sRGB if None.
        matrix: from linear light to that of sRGB, (3, 3); None if the primaries are those of sRGB.
        hdr: whether light above 1 is to be compressed.
        hlg: whether the light is that of a scene, which the system gamma of HLG brings to a display.
    """

    curve: Curve | None = None
    matrix: NDArray[np.float64] | None = None
    hdr: bool = False
    hlg: bool = False


def to_srgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Bring a decoded picture of any mode to sRGB.

    Args:
        image: a loaded picture; its ``info`` may hold ``icc_profile``, ``srgb``, ``gamma`` and ``chromaticity`` as
            Pillow reads them, and ``cicp``, four numbers of ITU-T H.273.

    Returns:
        An RGB picture, or RGBA if the picture has transparency, of 8 bits a channel, and notes in words for people.

    Raises:
        InputError: it holds NaN or infinite values, or only a tone mapping could show it.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _from_wide(image)
    if not image.has_transparency_data:
        return _standard(image, image.info)
    colours, alpha = _apart(image)
    picture, notes = _standard(colours, image.info)
    picture = picture.copy() if picture is image else picture
    picture.putalpha(alpha)
    return picture, notes


def is_grey(image: Image.Image) -> bool:
    """Whether a picture that is not decoded yet has no colours, by its mode and the layout of its samples."""
    grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
    # Pillow has no mode for grey with alpha of 16 bits, and widens it to RGBA
    return grey or any("LA;16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _apart(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Colours (L or RGB) and alpha (L) of a picture with transparency."""
    if image.mode in ("La", "RGBa"):  # premultiplied
        image = image.convert(image.mode.upper())
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        # PNG, section 11.3.1.1: the key has the depth of the samples, of which Pillow keeps the upper byte
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in key)
    rgba = image.convert("RGBA")
    grey = image.mode in ("1", "L", "LA")
    return image.convert("L") if grey else rgba.convert("RGB"), rgba.getchannel("A")


def _from_wide(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """A grey picture of more than 8 bits."""
    values = np.asarray(image)
    unit, notes = _to_unit(values, image)
    described, more = _described(image.info)
    # a curve is undone before 8 bits are left; profiles are for littlecms, which takes 8 bits of grey from Pillow
    if described.curve is not None:
        light = _displayed(described.curve(unit), described)
        picture = Image.fromarray(_samples(light)).convert("RGB")
    else:
        picture, more = _standard(Image.fromarray(_bytes(unit)), image.info)
    key = image.info.get("transparency")
    if isinstance(key, int):
        picture.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return picture, notes + more


def _to_unit(values: NDArray[Any], image: Image.Image) -> tuple[Floats, list[str]]:
    """Values of a wide grey picture as 0..1, and what was assumed about their range.

    Integers of 16 bits, and PGM, have the range of their type. Pillow's modes I and F have none: 0..1 (floating point
    only), 0..255, 0..65535 and 0..2**31-1 are recognised by a largest value between a quarter of the range and all of
    it; floating-point values may overshoot by a quarter, and are clipped. Other values are stretched to the range of
    the data. Each assumption but those of the file format is said.
    """
    floating = image.mode == "F"
    if floating and not np.isfinite(values).all():
        raise InputError("the picture holds NaN or infinite values", "replace them by finite ones first")
    low, high = float(values.min()), float(values.max())
    kind = "floating-point values" if floating else "32-bit integers"
    if image.mode.startswith("I;16") or image.format == "PPM" and not floating:
        top = 4095.0 if _is_twelve_bits(image) else 65535.0
        dark = 0 < high < top / 16
        notes = [] if image.format else ["16-bit integers are taken as 0 to 65535"]
        if dark:
            notes.append(f"the largest of the values is {high:.0f} of {top:.0f}, so the picture is dark")
        return (values / np.float32(top)).astype(np.float32), notes
    over = 1 + _OVERSHOOT if floating else 1.0
    tops = (255.0, 65535.0) if floating else (255.0, 65535.0, 2.0**31 - 1)
    known = (one for one in tops if one / 4 <= high <= one * over)
    top = 1.0 if floating and high <= over else next(known, 0.0)
    if high <= 0 <= low:  # all is zero, in any range
        return np.zeros(values.shape, np.float32), []
    if top and low >= -_OVERSHOOT * top:
        notes = []
        if top > 1:
            notes.append(f"{kind} are taken as 0 to {top:.0f}")
        if high > top:
            notes.append(f"values above {top:.0f} are clipped (up to {high:.4g})")
        if low < 0:
            notes.append(f"values below 0 are clipped (down to {low:.4g})")
        if high < top / 64:
            notes.append(f"the largest of the values is {high:.3g} of {top:.0f}, so the picture is dark")
        unit = np.clip(values / top, 0, 1).astype(np.float32)
    else:
        bottom = min(low, 0.0)
        unit = ((values.astype(np.float64) - bottom) / max(high - bottom, 1e-30)).astype(np.float32)
        notes = [f"{kind} from {bottom:.4g} to {high:.4g} are scaled to black and white"]
    if top != 1 and unit.mean() < 1 / 255:
        raise InputError(
            f"the picture has values up to {high:.4g} and would turn black when scaled", "map its tones to 0..1 first"
        )
    return unit, notes


def _is_twelve_bits(image: Image.Image) -> bool:
    """Whether a TIFF has samples of 12 bits, which Pillow leaves as they are in 16."""
    return getattr(image, "tag_v2", {}).get(258) == (12,)  # BitsPerSample


def _standard(image: Image.Image, info: dict[Any, Any]) -> tuple[Image.Image, list[str]]:
    """Convert an opaque picture of 8 bits to an RGB one in sRGB by what its ``info`` says of colours."""
    if image.mode == "LAB":
        return _transform(image, ImageCms.createProfile("LAB")), []
    if image.mode == "CMYK" or "cicp" not in info:
        converted = _from_profile(image, info.get("icc_profile"))
        if converted is not None:
            return converted
    if image.mode == "CMYK":
        return image.convert("RGB"), []
    described, notes = _described(info)
    grey = image.mode in ("1", "L")
    if described.curve is None and (grey or described.matrix is None):
        return image if image.mode == "RGB" else image.convert("RGB"), notes
    found, outside = _by_numbers(np.asarray(image.convert("L" if grey else "RGB")), described)
    return Image.fromarray(found).convert("RGB"), notes + _clipped(outside)


def _from_profile(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, list[str]] | None:
    """As :func:`_standard`, by an ICC profile; None without a usable one."""
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        wanted = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space, "")
        if wanted == "RGB" and image.mode != "CMYK":
            image = image.convert("RGB")
        elif wanted == "L" and (image.mode == "1" or _has_equal_channels(image)):
            image = image.convert("L")
        if image.mode != wanted:
            return None
        converted = _transform(image, source)
        return converted, _clipped(_share_outside(image, converted, source)) if wanted == "RGB" else []
    # A broken profile is common and harmless: viewers ignore it as well.
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _has_equal_channels(image: Image.Image) -> bool:
    """Whether an RGB picture is grey: grey of 16 bits with alpha comes from Pillow like that."""
    if image.mode != "RGB":
        return False
    red, green, blue = image.split()
    return bool(red.tobytes() == green.tobytes() == blue.tobytes())


def _transform(image: Image.Image, source: Any) -> Image.Image:
    """Colour conversion from a profile to sRGB."""
    target = ImageCms.createProfile("sRGB")
    result = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    if result is None:
        raise ImageCms.PyCMSError("no conversion")
    return result


def _share_outside(image: Image.Image, converted: Image.Image, source: Any) -> float:
    """Share of the colours that sRGB does not hold: those that do not come back, in about 256 x 256 pixels."""
    step = -(-max(image.size) // 256)
    original, small = (np.asarray(one)[::step, ::step] for one in (image, converted))
    try:
        srgb = ImageCms.createProfile("sRGB")
        back = ImageCms.profileToProfile(Image.fromarray(np.ascontiguousarray(small)), srgb, source, outputMode="RGB")
    except ImageCms.PyCMSError:  # a profile of one direction
        return 0.0
    apart = np.abs(np.asarray(back, np.int16) - original).max(2)
    return float((apart > 8).mean())


def _clipped(outside: float) -> list[str]:
    return [f"colours outside sRGB are clipped ({max(outside, 0.01):.0%} of the picture)"] if outside > _OUTSIDE else []


def _described(info: dict[Any, Any]) -> tuple[_Description, list[str]]:
    """What cICP, or gAMA and cHRM, say of a picture; and notes."""
    if "cicp" in info:
        return _by_cicp(*info["cicp"])
    if info.get("icc_profile") or "srgb" in info:
        return _Description(), []
    curve: Curve | None = None
    notes = []
    gamma = info.get("gamma")
    if gamma is not None and not 0.1 <= gamma <= 10:
        notes.append(f"the file's gamma of {gamma:g} makes no sense and is ignored")
    elif gamma is not None and abs(gamma * 2.2 - 1) > _ALIKE:
        curve = _power(1 / gamma)
    primaries = info.get("chromaticity")
    try:
        matrix = None if primaries is None else _to_linear_srgb(primaries)
    except (np.linalg.LinAlgError, ZeroDivisionError):
        matrix = None
        notes.append("the file's primaries make no sense and are ignored")
    return _Description(curve, matrix), notes


def _by_cicp(primaries: int, transfer: int, matrix: int, full_range: int) -> tuple[_Description, list[str]]:
    """As :func:`_described`, by the code points of ITU-T H.273, tables 2 to 4; Pillow has applied ``matrix``."""
    notes = []
    if primaries not in (*_PRIMARIES, _UNSPECIFIED):
        notes.append(f"colour primaries {primaries} (ITU-T H.273) are not known and taken as those of sRGB")
    curve: Curve | None = None
    if transfer in (_PQ, _HLG):
        curve = _pq if transfer == _PQ else _hlg
        name = "PQ" if transfer == _PQ else "HLG"
        notes.append(f"high dynamic range ({name}) is converted: light near and above {_WHITE:.0f} cd/m2 is compressed")
    elif transfer in (4, 5, 8):
        curve = _power({4: 2.2, 5: 2.8, 8: 1.0}[transfer])
    # 1, 6, 14 and 15 are curves of cameras; their pictures are made for displays like those of sRGB
    elif transfer not in (1, _UNSPECIFIED, 6, 13, 14, 15):
        notes.append(f"transfer function {transfer} (ITU-T H.273) is not known and taken as that of sRGB")
    if not full_range:
        curve = _narrow(curve or _decoded)
    to_srgb = _to_linear_srgb(_PRIMARIES.get(primaries, _SRGB))
    return _Description(curve, to_srgb, transfer in (_PQ, _HLG), transfer == _HLG), notes


def _narrow(curve: Curve) -> Curve:
    """A curve for samples whose black is 16 and whose white is 235 of 255 (H.273, section 8.3)."""
    return lambda samples: curve(np.clip((samples * 255 - 16) / 219, 0, 1).astype(np.float32))


def _by_numbers(samples: NDArray[np.uint8], described: _Description) -> tuple[NDArray[np.uint8], float]:
    """Convert (H, W) or (H, W, 3) to sRGB, a band of rows at a time; and the share of colours outside."""
    table = (described.curve or _decoded)(np.linspace(0, 1, 256, dtype=np.float32))
    out, outside = np.empty_like(samples), 0
    for top in range(0, len(samples), _ROWS):
        light = _displayed(table[samples[top : top + _ROWS]], described)
        if described.matrix is not None and light.ndim == 3:
            low, high = _over_channels(np.minimum, light), _over_channels(np.maximum, light)
            outside += int(np.count_nonzero((low < -0.005) | (high > 1.005)))
        out[top : top + _ROWS] = _samples(light)
    return out, outside / (samples.shape[0] * samples.shape[1])


def _displayed(light: Floats, described: _Description) -> Floats:
    """Linear light (H, W) or (H, W, 3) as linear sRGB, high dynamic range compressed."""
    if described.hlg:
        # BT.2100, table 5: the system gamma works on the luminance
        luminance = light if light.ndim == 2 else (light @ np.array((0.2627, 0.6780, 0.0593), np.float32))[..., None]
        light = light * luminance ** np.float32(0.2) * np.float32(_HLG_PEAK / _WHITE)
    if described.matrix is not None and light.ndim == 3:
        light = light @ described.matrix.T.astype(np.float32)
    return _compressed(light) if described.hdr else light


def _samples(light: Floats) -> NDArray[np.uint8]:
    """The sRGB samples of linear light, which is clipped to 0..1, from a table of 65536 steps."""
    steps = np.clip(light, 0, 1) * np.float32(65535) + np.float32(0.5)
    return _sample_table()[steps.astype(np.uint16)]


@lru_cache(maxsize=1)
def _sample_table() -> NDArray[np.uint8]:
    return _bytes(_encoded(np.linspace(0, 1, 65536, dtype=np.float32)))


def _bytes(unit: Floats) -> NDArray[np.uint8]:
    """0..1 to 0..255, to nearest."""
    levels: Floats = np.clip(np.floor(unit * np.float32(255) + np.float32(0.5)), 0, 255)
    return levels.astype(np.uint8)


def _to_linear_srgb(primaries: Primaries) -> NDArray[np.float64] | None:
    """The matrix from linear light of these primaries to that of sRGB; None if they are nearly the same."""
    if np.abs(np.subtract(primaries, _SRGB)).max() < 0.005:
        return None
    # white as each of the two spaces has it, made the same by cone responses
    ours, theirs = (_BRADFORD @ _xyz(*space[:2]) for space in (_SRGB, primaries))
    adapt = np.linalg.inv(_BRADFORD) @ np.diag(ours / theirs) @ _BRADFORD
    return np.asarray(np.linalg.inv(_to_xyz(_SRGB)) @ adapt @ _to_xyz(primaries))


def _to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    """The matrix from linear RGB to CIE XYZ (SMPTE RP 177)."""
    columns = np.stack([_xyz(*primaries[at : at + 2]) for at in (2, 4, 6)], 1)
    return columns * np.linalg.solve(columns, _xyz(*primaries[:2]))


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    """XYZ of a chromaticity at Y = 1."""
    return np.array((x / y, 1.0, (1 - x - y) / y))


def _decoded(samples: Floats) -> Floats:
    """Linear light of sRGB samples (IEC 61966-2-1)."""
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _encoded(light: Floats) -> Floats:
    """Samples of sRGB, 0..1, of linear light (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def _power(exponent: float) -> Curve:
    """The curve of a display with this exponent."""
    return lambda samples: samples ** np.float32(exponent)


def _pq(samples: Floats) -> Floats:
    """Linear light of PQ samples, 1 for ``_WHITE`` (ITU-R BT.2100, table 4)."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = samples.astype(np.float64) ** (1 / m2)
    return (10000 / _WHITE * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)).astype(np.float32)


def _hlg(samples: Floats) -> Floats:
    """Linear light of the scene of HLG samples, 0..1 (ITU-R BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    bright = (np.exp((np.maximum(samples, 0.5) - c) / a) + b) / 12
    return np.where(samples <= 0.5, samples**2 / 3, bright).astype(np.float32)


def _over_channels(choose: np.ufunc, light: Floats) -> Floats:
    """The least or largest of the three channels: numpy's reduction over so short an axis takes five times as long."""
    chosen: Floats = choose(choose(light[..., 0], light[..., 1]), light[..., 2])
    return chosen


def _compressed(light: Floats) -> Floats:
    """Bring bright light below 1: identity up to ``_KNEE``, an exponential above, by the largest channel of a pixel."""
    largest = _over_channels(np.maximum, light)[..., None] if light.ndim == 3 else light
    room = 1 - _KNEE
    shoulder = _KNEE + room * (1 - np.exp(-(np.maximum(largest, _KNEE) - _KNEE) / room))
    return np.where(largest > _KNEE, light * (shoulder / np.maximum(largest, 1e-6)), light).astype(np.float32)
