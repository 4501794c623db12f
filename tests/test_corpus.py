"""Files over format, mode, depth, profile, orientation and damage, encoded, decoded and compared with Pillow's reading.

No kind of file can turn black, sideways or grey unnoticed: size, transparency and the mean colour of each quarter are
those that Pillow finds.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from made_files import ADOBE, P3, chunk, icc, raw_png, saved
from models import smooth_noise
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps

from mcmcodec.codec import Codec
from mcmcodec.image.io import open_image
from mcmcodec.image.prepare import prepare

WIDTH, HEIGHT = 96, 64
TAKEN, DECODED = 1.0, 24.0
"""Levels of 255 by which the mean of a quarter may differ: as the codec takes a picture, and after the tiny model."""
FEWEST = 200

Floats = NDArray[np.float64]


class File(NamedTuple):
    name: str
    data: bytes
    damaged: bool = False


def scene() -> NDArray[np.uint8]:
    """Four quarters of different hue and lightness, so that no rotation or reflection looks like another."""
    x = smooth_noise(HEIGHT, WIDTH).astype(float) - 120
    x = x * 0.3 + np.array((120, 120, 120))
    for rows, cols, colour in (
        (0, 0, (60, -30, -50)),
        (0, 1, (90, 80, -30)),
        (1, 0, (-70, -50, 40)),
        (1, 1, (20, 60, 50)),
    ):
        x[rows * 32 : rows * 32 + 32, cols * 48 : cols * 48 + 48] += colour
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


SCENE = Image.fromarray(scene())
HOLE = Image.new("L", SCENE.size, 255)
HOLE.paste(0, (0, 0, 16, 16))


def picture(mode: str) -> Image.Image:
    """The scene in a mode of Pillow's."""
    grey = np.asarray(SCENE.convert("L"))
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257)
    if mode == "I":
        return Image.fromarray(grey.astype(np.int32) * 257)
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255)
    if mode in ("LA", "RGBA"):
        out = SCENE.convert(mode[:-1])
        out.putalpha(HOLE)
        return out
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(SCENE, srgb, lab, outputMode="LAB")
        assert converted is not None
        return converted
    return SCENE.quantize(64) if mode == "P" else SCENE.convert(mode)


OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95}, "WEBP": {"lossless": True}, "AVIF": {"quality": 95}, "JPEG2000": {"irreversible": False},
}  # fmt: skip
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "LAB"),
    "JPEG": ("L", "RGB", "CMYK"), "WEBP": ("L", "RGB", "RGBA"), "AVIF": ("L", "RGB", "RGBA"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA", "I;16"), "BMP": ("1", "L", "P", "RGB"), "GIF": ("L", "P", "RGBA"),
    "PPM": ("1", "L", "RGB", "I;16", "F"), "TGA": ("L", "LA", "P", "RGB", "RGBA"), "SGI": ("L", "RGB", "RGBA"),
    "PCX": ("1", "L", "P", "RGB"), "QOI": ("RGB", "RGBA"), "MPO": ("RGB",), "ICO": ("RGB", "RGBA"),
    "IM": ("L", "RGB", "CMYK"), "DDS": ("L", "RGB", "RGBA"),
}  # fmt: skip
CARRY_EXIF = ("PNG", "TIFF", "JPEG", "WEBP", "AVIF")
PROFILES = {
    "GRAY": {"linear": icc(b"GRAY", 1.0), "1.8": icc(b"GRAY", 1.8)},
    "RGB": {"P3": icc(b"RGB ", 2.2, P3), "Adobe": icc(b"RGB ", 2.2, ADOBE), "1.8": icc(b"RGB ", 1.8, P3)},
}


def corpus() -> Iterator[File]:
    for name, modes in MODES.items():
        for mode in modes:
            options = OPTIONS.get(name, {})
            yield File(f"{name} {mode}", saved(picture(mode), name, **options))
            if name not in CARRY_EXIF:
                continue
            for turn in (2, 3, 5, 6, 8):
                exif = Image.Exif()
                exif[0x0112] = turn
                yield File(f"{name} {mode} turned {turn}", saved(picture(mode), name, exif=exif, **options))
            space = "GRAY" if mode in ("L", "LA", "I;16") and name in ("PNG", "TIFF", "JPEG") else "RGB"
            if mode in ("1", "CMYK", "I", "F", "LAB"):
                continue
            for profile, data in PROFILES[space].items():
                yield File(f"{name} {mode} {profile}", saved(picture(mode), name, icc_profile=data, **options))
    yield from deep()
    yield from damaged()


def deep() -> Iterator[File]:
    """PNG of 16 bits, and of 1, 2 and 4, which Pillow reads but cannot write; greymaps and ASCII."""
    rgb = scene().astype(np.uint16) * 257
    grey = np.asarray(SCENE.convert("L")).astype(np.uint16)[..., None] * 257
    hole = np.asarray(HOLE).astype(np.uint16)[..., None] * 257
    for name, samples, kind in (
        ("RGB", rgb, 2), ("RGBA", np.concatenate([rgb, hole], 2), 6), ("LA", np.concatenate([grey, hole], 2), 4),
        ("L", grey, 0),
    ):  # fmt: skip
        yield File(f"PNG {name} 16 bits", raw_png(samples, kind))
    yield File("PPM 16 bits", b"P6 %d %d 65535\n" % (WIDTH, HEIGHT) + rgb.astype(">u2").tobytes())
    yield File("PGM 10 bits", b"P5 %d %d 1023\n" % (WIDTH, HEIGHT) + (grey // 64).astype(">u2").tobytes())
    yield File("PGM ASCII", b"P2 %d %d 255\n" % (WIDTH, HEIGHT) + " ".join(map(str, (grey // 257).ravel())).encode())
    for colours in (2, 4, 16):
        yield File(f"PNG P {colours} colours", saved(SCENE.quantize(colours), "PNG"))
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        yield File(f"TIFF RGB {compression}", saved(SCENE, "TIFF", compression=compression))
    for name in ("progressive", "optimize"):
        yield File(f"JPEG RGB {name}", saved(SCENE, "JPEG", quality=95, **{name: True}))


def damaged() -> Iterator[File]:
    """What real files have: something behind the end, chunks that are damaged or large, and an end that is missing."""
    for name in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "JPEG2000", "QOI", "AVIF"):
        yield File(f"{name} with more behind", saved(SCENE, name, **OPTIONS.get(name, {})) + bytes(5000))
    png = saved(SCENE, "PNG")
    wrong = bytearray(png[:33] + chunk(b"tEXt", b"Comment\0hello") + png[33:])
    wrong[33 + 11] ^= 1
    yield File("PNG damaged text", bytes(wrong))
    yield File("PNG large text", png[:33] + chunk(b"tEXt", b"a\0" + bytes(2**21)) + png[33:])
    yield File("PNG without end", png[:-12])
    for mode in ("L", "RGB", "CMYK"):
        jpeg, progressive = (saved(picture(mode), "JPEG", quality=95, progressive=many) for many in (False, True))
        for cut in (2, 40):
            yield File(f"JPEG {mode} without its last {cut}", jpeg[:-cut], True)
            yield File(f"JPEG {mode} progressive without its last {cut}", progressive[:-cut], True)
    yield File("JPEG progressive, half", progressive_half(), True)
    yield File("PNG without its last tenth", png[: len(png) * 9 // 10], True)


def progressive_half() -> bytes:
    data = saved(SCENE, "JPEG", quality=95, progressive=True)
    return data[: len(data) // 2]


def reading(file: File) -> tuple[Floats, Floats]:
    """What Pillow reads: sRGB (H, W, 3) and alpha (H, W), of 0..255. Profiles are applied to the colours alone."""
    with pytest.MonkeyPatch.context() as patch:
        # only here: the codec reads damaged files without that setting of the whole process
        patch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(file.data)))
    profile = image.info.get("icc_profile")
    if image.mode in ("I;16", "I", "F"):
        values = np.asarray(image, np.float64)
        image = Image.fromarray(np.rint(values * (255 if image.mode == "F" else 1 / 257)).astype(np.uint8))
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else Image.new("L", image.size, 255)
    if image.mode == "LAB":
        source: Any = ImageCms.createProfile("LAB")
    else:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else None
        space = source.profile.xcolor_space.strip() if source else "RGB"
        image = image.convert("RGBA").convert("RGB") if space == "RGB" and image.mode != "CMYK" else image
        if space == "GRAY":
            image = image.convert("L")
    if source is not None:
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert converted is not None
        image = converted
    return np.asarray(image.convert("RGB"), np.float64), np.asarray(alpha, np.float64)


def quarters(rgb: Any, alpha: Floats) -> Floats:
    """Mean colour of what is visible of each quarter, and its mean alpha: (4, 4)."""
    rows, cols = (side // 2 for side in alpha.shape)
    means = []
    for part in np.ndindex(2, 2):
        span = tuple(slice(at * half, (at + 1) * half) for at, half in zip(part, (rows, cols), strict=True))
        seen = alpha[span] > 128
        means.append((*np.asarray(rgb, np.float64)[span][seen].mean(0), alpha[span].mean()))
    return np.array(means)


def apart(codec: Codec, file: File) -> tuple[float, float]:
    """Largest difference of a quarter's mean to Pillow's reading, as the codec takes the file and as it decodes it."""
    with open_image(io.BytesIO(file.data), allow_damaged=file.damaged) as image:
        source = prepare(image, allow_damaged=file.damaged)
    rgb, alpha = reading(file)
    expected = quarters(rgb, alpha)
    ours = np.full(alpha.shape, 255.0) if source.extras.alpha is None else source.extras.alpha.astype(float)
    assert source.rgb.shape == rgb.shape, "another size"
    taken = float(np.abs(quarters(source.rgb, ours) - expected).max())
    decoded = codec.decode(codec.encode(source.rgb, quality=100, effort=1, extras=source.extras)).convert("RGBA")
    pixels = np.asarray(decoded, np.float64)
    assert pixels.shape[:2] == rgb.shape[:2], "another size when decoded"
    return taken, float(np.abs(quarters(pixels[..., :3], pixels[..., 3]) - expected).max())


def test_corpus(tiny_codec: Codec, capsys: pytest.CaptureFixture[str]) -> None:
    found, wrong = [], []
    for file in corpus():
        try:
            taken, decoded = apart(tiny_codec, file)
        except Exception as error:
            wrong.append(f"{file.name}: {error!r}")
            continue
        found.append((decoded, taken, file.name))
        if taken > TAKEN or decoded > DECODED:
            wrong.append(f"{file.name}: {taken:.1f} as taken, {decoded:.1f} as decoded")
    with capsys.disabled():
        for what, column in (("as taken", 1), ("decoded", 0)):
            far = sorted(found, key=lambda one: -one[column])[:3]
            names = ", ".join(f"{one[2]} {one[column]:.1f}" for one in far)
            print(f"\n{len(found)} files, farthest {what}: {names}", end="")
    assert not wrong, "\n".join(wrong)
    assert len(found) >= FEWEST


@pytest.mark.parametrize(
    "harm",
    [
        lambda rgb: rgb[:, ::-1], lambda rgb: rgb[::-1], lambda rgb: rgb[::-1, ::-1],
        lambda rgb: np.zeros_like(rgb), lambda rgb: np.full_like(rgb, 255), lambda rgb: rgb[..., ::-1],
        lambda rgb: np.repeat(rgb.mean(2, keepdims=True), 3, 2),
    ],
)  # fmt: skip
def test_the_comparison_sees_what_matters(harm: Callable[[Any], Any]) -> None:
    """A picture that is turned, black, white, grey or has its colours exchanged is far beyond both distances."""
    opaque = np.full((HEIGHT, WIDTH), 255.0)
    assert np.abs(quarters(harm(scene()), opaque) - quarters(scene(), opaque)).max() > 2 * DECODED
