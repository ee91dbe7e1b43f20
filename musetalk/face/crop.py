"""Where MuseTalk cuts the face out of a frame, and the cutting and putting back.

The rule is that of TMElyralab/MuseTalk (MIT). Changed against it: a box never leaves the frame,
so that what is cut out and what is pasted are the same rectangle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

CROP_SIZE = 256  # pixels on each side of what the networks see
SPLIT_LANDMARK = 29  # lower nose bridge: the middle of the box, so the border of the masked half
SMALLEST_SIDE = 8  # pixels; below it there is no mouth to move


class FaceBox(NamedTuple):
    """A rectangle of whole pixels, end exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def area(self) -> tuple[slice, slice]:
        """The rows and columns of a picture that lie in the box."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


def face_box(
    landmarks: np.ndarray, detected: Sequence[float], *, bbox_shift: int = 0
) -> tuple[FaceBox, bool]:
    """Return the box of one face, and whether its landmarks gave it.

    landmarks: (68, 2) of the usual face scheme, pixels; cut to whole pixels here.
    detected: the detector's box, taken where the landmarks give none.
    bbox_shift: pixels the middle moves down; less of the face is then generated.
    The box may reach beyond the frame: see ``fit_to_frame``.
    """
    points = landmarks.astype(np.int32)  # truncates towards zero, as the reference does
    points[SPLIT_LANDMARK, 1] += bbox_shift
    left, right = int(points[:, 0].min()), int(points[:, 0].max())
    bottom = int(points[:, 1].max())  # of the shifted points too: also the reference's way
    top = max(0, 2 * int(points[SPLIT_LANDMARK, 1]) - bottom)
    if bottom <= top or right <= left or left < 0:
        x0, y0, x1, y1 = (int(max(edge, 0)) for edge in detected)
        return FaceBox(x0, y0, x1, y1), False
    return FaceBox(left, top, right, bottom), True


def fit_to_frame(box: FaceBox, width: int, height: int, *, extra_margin: int = 0) -> FaceBox | None:
    """Return the part of the box inside a frame of that size, grown downwards by the margin.

    extra_margin: pixels; 0 for MuseTalk 1.0. None when under 8 pixels of a side are left.
    """
    x0, x1 = (min(max(x, 0), width) for x in (box.x0, box.x1))
    y0, y1 = (min(max(y, 0), height) for y in (box.y0, box.y1 + extra_margin))
    fitted = FaceBox(x0, y0, x1, y1)
    return fitted if min(fitted.width, fitted.height) >= SMALLEST_SIDE else None


def cut_face(frame: np.ndarray, box: FaceBox, exact: np.ndarray | None = None) -> np.ndarray:
    """Return the box of a frame stretched to uint8 RGB (256, 256, 3).

    exact: float64 (4,), the same box to parts of a pixel; it is cut by a warp then.
    """
    if exact is not None:
        x0, y0, x1, y1 = exact
        scales = (x1 - x0) / CROP_SIZE, (y1 - y0) / CROP_SIZE
        # Between the middles of pixels; the crop's first one lies half a pixel inside the box.
        matrix = _scaling(*scales, x0 + scales[0] / 2 - 0.5, y0 + scales[1] / 2 - 0.5)
        how = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
        size = (CROP_SIZE, CROP_SIZE)
        return cv2.warpAffine(frame, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    part = np.ascontiguousarray(frame[box.area])
    return cv2.resize(part, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LANCZOS4)


def stretch_face(crop: np.ndarray, box: FaceBox, exact: np.ndarray | None = None) -> np.ndarray:
    """Return a generated crop, uint8 RGB (256, 256, 3) or more pixels, at the size of the box.

    exact: float64 (4,), where to parts of a pixel ``cut_face`` cut it out.
    """
    rows, columns = crop.shape[:2]
    if exact is not None:
        x0, y0, x1, y1 = exact
        scales = columns / (x1 - x0), rows / (y1 - y0)
        offsets = ((box.x0 + 0.5 - x0) * scales[0] - 0.5, (box.y0 + 0.5 - y0) * scales[1] - 0.5)
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (box.width, box.height)
        matrix = _scaling(*scales, *offsets)
        return cv2.warpAffine(crop, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(crop, (box.width, box.height), interpolation=cv2.INTER_LINEAR)


def fit_face(crop: np.ndarray, box: FaceBox, exact: np.ndarray | None = None) -> np.ndarray:
    """Return a sharpened crop, uint8 RGB (S, S, 3), at the size of the box.

    exact: as in ``stretch_face``. Where the crop has more pixels, each of the box's is the mean of
    those it stands for.
    """
    rows, columns = min(crop.shape[0], box.height), min(crop.shape[1], box.width)
    if (rows, columns) != crop.shape[:2]:
        crop = cv2.resize(crop, (columns, rows), interpolation=cv2.INTER_AREA)
    return stretch_face(crop, box, exact)


def _scaling(across: float, down: float, right: float, below: float) -> np.ndarray:
    return np.array([[across, 0, right], [0, down, below]], np.float64)
