"""Regions of interest: finds what people look at, with the detectors that OpenCV ships. Encoder only.

Cascades of boosted Haar features: Viola, Jones: "Rapid object detection using a boosted cascade of simple features",
CVPR 2001. OpenCV's wheels up to version 4 bring the classifier and its trained data; later ones do not.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

KINDS = {
    "faces": ("haarcascade_frontalface_default.xml", "haarcascade_profileface.xml"),
    "bodies": ("haarcascade_fullbody.xml", "haarcascade_upperbody.xml"),
    "cats": ("haarcascade_frontalcatface_extended.xml",),
}
"""What can be found, and the trained cascades that find it."""
ELSEWHERE = 0.25
"""Weight of everything else, where what was looked for weighs 1."""
MARGIN = 0.25
"""Share of a box's side by which it grows on every side: a face has hair and a chin."""
LONGEST = 1000
"""Side in pixels to which larger pictures are scaled for the search: what matters in one is not small."""

Map = NDArray[np.uint8]


def finder(kind: str) -> Callable[[Map], Map | None]:
    """What makes region-of-interest maps of one kind.

    Args:
        kind: a key of ``KINDS``.

    Returns:
        A function of a picture (H, W, 3) uint8: a map (H, W) uint8 for :meth:`mcmcodec.Codec.encode`, or None when
        nothing of the kind is seen.

    Raises:
        UsageError: the installed OpenCV has no such detector.
    """
    classifier = getattr(cv2, "CascadeClassifier", None)
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    paths = [os.path.join(folder, name) for name in KINDS[kind]]
    if classifier is None or not all(map(os.path.isfile, paths)):
        raise UsageError(
            f"--roi {kind} needs a detector that OpenCV {cv2.__version__} does not ship",
            "pip install 'opencv-python<5', or draw the map and give --roi its file",
        )
    cascades = [classifier(path) for path in paths]

    def find(rgb: Map) -> Map | None:
        shrink = min(1.0, LONGEST / max(rgb.shape[:2]))
        small = cv2.resize(rgb, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else rgb
        grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        boxes = [box for cascade in cascades for box in cascade.detectMultiScale(grey, 1.1, 5)]
        return draw([[float(side) / shrink for side in box] for box in boxes], rgb.shape[:2]) if boxes else None

    return find


def draw(boxes: list[list[float]], size: tuple[int, int]) -> Map:
    """A map (H, W) uint8 of boxes (x, y, width, height) in pixels, grown by the margin, on a darker ground."""
    weight = np.full(size, round(255 * ELSEWHERE), np.uint8)
    for x, y, width, height in boxes:
        left, top = max(0, round(x - MARGIN * width)), max(0, round(y - MARGIN * height))
        weight[top : round(y + (1 + MARGIN) * height), left : round(x + (1 + MARGIN) * width)] = 255
    return weight
