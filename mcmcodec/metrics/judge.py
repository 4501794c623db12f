"""Every metric of decoded pictures against their originals; what only the original needs is computed once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from ..errors import McmError, ModelError, UsageError
from . import psnr
from .colour_difference import colour
from .psnr import Picture

if TYPE_CHECKING:
    from torch import Tensor

    from .brisque import Brisque
    from .dists import DISTS
    from .lpips import LPIPS
    from .recognition import Recognition


Value = TypeVar("Value", float, np.ndarray)


@dataclass(frozen=True)
class Metric:
    """How a metric is printed: name, which values are better (``higher``, ``lower`` or ``near 1``), and digits."""

    title: str
    better: str
    digits: int

    def score(self, value: Value) -> Value:
        """The value, or an array of values, on a scale where higher is better."""
        return {"higher": value, "lower": -value}.get(self.better, -abs(value - 1))


METRICS = {
    "psnr": Metric("PSNR (dB)", "higher", 2),
    "msssim": Metric("MS-SSIM", "higher", 3),
    "lpips": Metric("LPIPS (AlexNet)", "lower", 3),
    "lpips_vgg": Metric("LPIPS-VGG (VGG16)", "lower", 3),
    "dists": Metric("DISTS", "lower", 3),
    "ciede": Metric("CIEDE2000 (16x16 means)", "lower", 2),
    "chroma": Metric("chroma (of the original's)", "near 1", 3),
    "fd": Metric("Frechet distance of patches (VGG16 relu4_3, not FID)", "lower", 1),
    "brisque": Metric("BRISQUE (without the original)", "lower", 1),
    "top1": Metric("same class (EfficientNet-Lite0)", "higher", 3),
    "top5": Metric("its class among five", "higher", 3),
    "features": Metric("cosine of its features", "higher", 3),
}
QUICK = ("psnr", "msssim", "lpips")
COLOUR = ("ciede", "chroma")
PERCEPTION = ("fd", "brisque")
"""Those of the pictures by themselves: how natural they are, not how like their originals."""
LPIPS_NETWORKS = {"lpips": "alex", "lpips_vgg": "vgg"}
RECOGNITION = ("top1", "top5", "features")
ALL = tuple(name for name in METRICS if name not in (*RECOGNITION, "brisque"))
"""Those that compare looks. Whether a class is still seen says something of many pictures, little of one."""
GROUPS = {"quick": QUICK, "colour": COLOUR, "perception": PERCEPTION, "recognition": RECOGNITION, "all": ALL}
Row = dict[str, Any]


def parse(names: str) -> tuple[str, ...]:
    """The metrics of a list with commas of their names and those of ``GROUPS``; UsageError for others."""
    chosen: list[str] = []
    for name in names.split(","):
        name = name.strip()
        if name not in METRICS and name not in GROUPS:
            raise UsageError(f"there is no metric {name!r}", f"choose from {', '.join([*METRICS, *GROUPS])}")
        chosen += GROUPS.get(name, (name,))
    return tuple(dict.fromkeys(chosen))


def device_of(asked: str) -> str:
    """``cuda`` or ``cpu`` for ``auto``, ``cuda`` or ``cpu``; UsageError when CUDA is asked for and not there."""
    if asked == "cpu":
        return asked
    import torch

    if asked == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda is not there", "choose auto or cpu")
    return "cuda" if torch.cuda.is_available() else "cpu"


class Judge:
    """The networks that the wanted metrics need, loaded once.

    A network whose weights are not installed is left out; ``notes`` holds a line about it, and its metrics are None.
    ``fd`` is of whole sets; here its features are collected, by `Reference.judge`.
    """

    def __init__(self, wanted: Iterable[str] = QUICK, device: str = "cpu") -> None:
        self.wanted, self.device = tuple(wanted), device
        self.lpips: dict[str, LPIPS] = {}
        self.dists: DISTS | None = None
        self.brisque: Brisque | None = None
        self.recognition: Recognition | None = None
        self.notes: list[str] = []
        for name, network in LPIPS_NETWORKS.items():
            if name not in self.wanted:
                continue
            try:
                from .lpips import LPIPS

                self.lpips[name] = LPIPS(network).to(device)
            except ModelError as error:
                self.notes.append(f"without {METRICS[name].title}: {error}")
        if {"dists", "fd"} & set(self.wanted):
            try:
                from .dists import DISTS

                self.dists = DISTS(device)
            except ModelError as error:
                self.notes.append(f"without DISTS and Frechet distance: {error}")
        if "brisque" in self.wanted:
            try:
                from .brisque import Brisque

                self.brisque = Brisque()
            except ModelError as error:
                self.notes.append(f"without BRISQUE: {error}")
        if set(RECOGNITION) & set(self.wanted):
            try:
                from .recognition import Recognition

                self.recognition = Recognition(device)
            except ModelError as error:
                self.notes.append(f"without recognition: {error}")

    def tensor(self, picture: Picture) -> Tensor:
        """(1, 3, H, W) float tensor in [0, 1] of a picture (H, W, 3) uint8."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].to(self.device).float() / 255


class Reference:
    """An original picture, with what judging it again and again can share."""

    def __init__(self, name: str, picture: Picture, judge: Judge) -> None:
        self.name, self.picture, self.judge_ = name, picture, judge
        self.image = Image.fromarray(picture)
        height, width = picture.shape[:2]
        self.pixels = int(width * height)
        self._lpips = {name: one for name, one in judge.lpips.items() if one.accepts(height, width)}
        self._dists = judge.dists if judge.dists and judge.dists.accepts(height, width) else None
        self._features: dict[str, list[Tensor]] = {}
        self._maps: list[Tensor] | None = None
        self._seen: tuple[Tensor, Tensor] | None = None

    def patches(self) -> np.ndarray | None:
        """(n, 512) features of the original's patches; None without the network."""
        return self._dists.patches(self._original_maps()) if self._dists and "fd" in self.judge_.wanted else None

    def judge(self, decoded: Image.Image) -> tuple[Row, np.ndarray | None]:
        """The wanted metrics of the decoded picture (None: cannot be measured), and features of its patches.

        Raises McmError when the decoded picture has another size.
        """
        picture = np.asarray(decoded.convert("RGB"))
        if picture.shape != self.picture.shape:
            a, b = picture.shape, self.picture.shape
            raise McmError(f"{a[1]} x {a[0]} pixels cannot be compared with {b[1]} x {b[0]}", "scale one of them")
        row: Row = {}
        features = None
        wanted = self.judge_.wanted
        if "psnr" in wanted:
            row["psnr"] = psnr.psnr(self.picture, picture)
        if "msssim" in wanted:
            row["msssim"] = self._ms_ssim_of(picture)
        row |= {name: self._lpips_of(name, picture) for name in LPIPS_NETWORKS if name in wanted}
        if {"dists", "fd"} & set(wanted):
            row["dists"] = None
            if self._dists:
                maps = self._dists.maps(self.judge_.tensor(picture))
                row["dists"] = self._dists.distance(maps, self._original_maps())
                features = self._dists.patches(maps) if "fd" in wanted else None
        if set(COLOUR) & set(wanted):
            found = dict(zip(COLOUR, colour(self.picture, picture), strict=True))
            row |= {name: value for name, value in found.items() if name in wanted}
        if "brisque" in wanted:
            row["brisque"] = self.judge_.brisque.score(picture) if self.judge_.brisque else None
        if set(RECOGNITION) & set(wanted):
            seen = dict.fromkeys(RECOGNITION) | self._recognised(picture)
            row |= {name: value for name, value in seen.items() if name in wanted}
        return row, features

    def release(self) -> None:
        """Forget the networks' features, which take much memory."""
        self._features, self._maps, self._seen = {}, None, None

    def bpp(self, size: int) -> float:
        """Bits per pixel of a file of `size` bytes."""
        return 8 * size / self.pixels

    def _ms_ssim_of(self, picture: Picture) -> float | None:
        from .ms_ssim import MINIMUM_SIDE, ms_ssim

        if min(picture.shape[:2]) < MINIMUM_SIDE:
            return None
        import torch

        with torch.no_grad():
            return float(ms_ssim(self.judge_.tensor(self.picture), self.judge_.tensor(picture)))

    def _lpips_of(self, name: str, picture: Picture) -> float | None:
        network = self._lpips.get(name)
        if network is None:
            return None
        import torch

        with torch.no_grad():
            if name not in self._features:
                self._features[name] = network.features(self.judge_.tensor(self.picture))
            features = network.features(self.judge_.tensor(picture))
            distance: float = network.distance(features, self._features[name]).item()
        return distance

    def _recognised(self, picture: Picture) -> Row:
        network = self.judge_.recognition
        if network is None:
            return {}
        from .recognition import agreement

        if self._seen is None:
            self._seen = network.look(self.judge_.tensor(self.picture))
        return agreement(self._seen, network.look(self.judge_.tensor(picture)))

    def _original_maps(self) -> list[Tensor]:
        if self._maps is None:
            assert self._dists is not None
            self._maps = self._dists.maps(self.judge_.tensor(self.picture))
        return self._maps


def compare(
    x: Picture, y: Picture, wanted: Sequence[str] = ALL, device: str = "cpu"
) -> tuple[Row, list[str]]:
    """All `wanted` metrics of picture y against its original x, and notes on those that cannot be had.

    The Frechet distance needs two whole patches of 64x64 pixels. Raises McmError for pictures of different sizes.
    """
    from .dists import frechet

    judge = Judge(wanted, device)
    reference = Reference("", x, judge)
    row, features = reference.judge(Image.fromarray(y))
    if "fd" in wanted:
        patches = reference.patches()
        row["fd"] = None if patches is None or features is None else frechet(patches, features)
    return {name: row.get(name) for name in METRICS if name in wanted}, judge.notes
