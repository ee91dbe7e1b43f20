"""Where a face sits in a picture: the upright coordinate system that every later step shares.

Lengths are eye distances (e): the origin lies between the eyes, x runs along the eye line to the
right of the picture, y down towards the chin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ...media import Box

# An upright face box in eye distances, as OpenCV's frontal cascade draws it.
BOX_PER_EYE = 1 / 0.378
BOX_EYE_LINE = 0.384  # of the box height


@dataclass(frozen=True)
class FaceFrame:
    """The eyes of one face.

    x, y: the point between them, pixels. eye_distance: pixels.
    tilt: of the eye line, radians, positive clockwise as seen.
    """

    x: float
    y: float
    eye_distance: float
    tilt: float = 0.0

    @property
    def box(self) -> Box:
        """The face box that belongs to these eyes, pixels."""
        side = self.eye_distance * BOX_PER_EYE
        centre_y = (0.5 - BOX_EYE_LINE) * side
        x, y = self.to_picture(np.array([[0.0, centre_y / self.eye_distance]]))[0]
        return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)

    def axes(self) -> np.ndarray:
        """Return the 2x2 matrix whose columns are x and y of the face, pixels per e."""
        c, s = math.cos(self.tilt) * self.eye_distance, math.sin(self.tilt) * self.eye_distance
        return np.array([[c, -s], [s, c]])

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Turn face points (..., 2) in e into picture points in pixels."""
        return points @ self.axes().T + (self.x, self.y)

    def to_face(self, points: np.ndarray) -> np.ndarray:
        """Turn picture points (..., 2) in pixels into face points in e."""
        return (points - (self.x, self.y)) @ np.linalg.inv(self.axes()).T

    def moved(self, dx: float, dy: float, scale: float = 1.0) -> FaceFrame:
        """Return the frame shifted by (dx, dy) e and scaled."""
        x, y = self.to_picture(np.array([dx, dy]))
        return FaceFrame(float(x), float(y), self.eye_distance * scale, self.tilt)

    def scaled(self, scale: float) -> FaceFrame:
        """Return the frame in a picture enlarged by ``scale``."""
        return FaceFrame(self.x * scale, self.y * scale, self.eye_distance * scale, self.tilt)

    def distance_to(self, other: FaceFrame) -> float:
        """Return how far two faces are apart, in eye distances of the larger one."""
        apart = math.hypot(self.x - other.x, self.y - other.y)
        return apart / max(self.eye_distance, other.eye_distance)


def upright_patch(
    picture: np.ndarray, frame: FaceFrame, *, region: Box, pixels_per_eye: float
) -> np.ndarray:
    """Resample a part of the face upright.

    picture: uint8 (H, W, 3) or (H, W). region: in e. Returns the picture's dtype; what lies
    outside the picture repeats its border.
    """
    width = round(region.width * pixels_per_eye)
    height = round(region.height * pixels_per_eye)
    columns = frame.axes() / pixels_per_eye
    corner = frame.to_picture(np.array([region.x0, region.y0]) + 0.5 / pixels_per_eye) - 0.5
    matrix = np.column_stack([columns, corner])
    picture, matrix = _reduced(picture, matrix, (width, height))
    return cv2.warpAffine(
        picture,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _reduced(
    picture: np.ndarray, matrix: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Cut out what the warp reads and shrink it first where the warp would skip pixels."""
    corners = np.array([[0, 0], [size[0], 0], [0, size[1]], size], float)
    read = corners @ matrix[:, :2].T + matrix[:, 2]
    height, width = picture.shape[:2]
    x0, y0 = np.clip(np.floor(read.min(0)) - 4, 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(read.max(0)) + 4, (x0 + 1, y0 + 1), (width, height)).astype(int)
    picture = picture[y0:y1, x0:x1]
    matrix = matrix - np.array([[0, 0, x0], [0, 0, y0]])
    step = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if step <= 1.3:
        return picture, matrix
    shrunk = (max(1, round((x1 - x0) / step)), max(1, round((y1 - y0) / step)))
    scale = np.array([shrunk[0] / (x1 - x0), shrunk[1] / (y1 - y0)])[:, None]
    matrix = matrix * scale
    matrix[:, 2] += (scale[:, 0] - 1) / 2  # pixel centres, not corners, are the coordinates
    return cv2.resize(picture, shrunk, interpolation=cv2.INTER_AREA), matrix
