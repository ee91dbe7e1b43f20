"""Face boxes from OpenCV's frontal cascade, where the installed OpenCV still has one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ...media import Box

CASCADE = "haarcascade_frontalface_alt2.xml"
LEAST_SIDE = 40  # pixels
SEARCH_PIXELS = 640 * 480  # larger pictures are searched reduced


def cascade_file() -> Path | None:
    """Return the cascade's file, or None with an OpenCV (5 and later) that has no cascades."""
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    if not hasattr(cv2, "CascadeClassifier") or not folder:
        return None
    path = Path(folder) / CASCADE
    return path if path.is_file() else None


def find_boxes(grey: np.ndarray) -> list[Box]:
    """Return face boxes of a uint8 (H, W) picture, largest first; [] without a cascade."""
    path = cascade_file()
    cascade = None if path is None else cv2.CascadeClassifier(str(path))
    if cascade is None or cascade.empty():
        return []
    found = cascade.detectMultiScale(
        grey, scaleFactor=1.1, minNeighbors=4, minSize=(LEAST_SIDE, LEAST_SIDE)
    )
    boxes = [Box(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h in found]
    return sorted(boxes, key=lambda box: (-box.width, box.x0, box.y0))
