"""A face turned upright and to one size, as face restorers were trained on it, and back.

The five points are those of the FFHQ data set at 512 pixels a side, which GFPGAN, RestoreFormer and
CodeFormer share. Points are (x, y) in pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from .crop import FaceBox

ALIGNED_SIDE = 512
# The eyes, the tip of the nose and the corners of the mouth, from the left of the picture.
TEMPLATE = np.array(
    [
        (192.98138, 239.94708),
        (318.90277, 240.1936),
        (256.63416, 314.01935),
        (201.26117, 371.41043),
        (313.08905, 371.15118),
    ]
)
# Where a box by landmarks lies there: 1.07 eye distances to the sides of the mouth's middle, 2.11
# above it and 0.75 below, as in face/detect.
BOX_THERE = (121.0, 105.0, 391.0, 466.0)
LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)  # of the usual 68 points
NOSE_TIP, MOUTH_CORNERS = 30, (48, 54)


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Return float64 (5, 2) of 68 landmarks: eyes, nose, corners of the mouth."""
    eyes = [landmarks[eye].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE)]
    return np.array([*eyes, landmarks[NOSE_TIP], *landmarks[list(MOUTH_CORNERS)]], np.float64)


def points_in_box(box: FaceBox) -> np.ndarray:
    """Return about where the five points of an upright face lie that has this box."""
    left, top, right, bottom = BOX_THERE
    shares = (TEMPLATE - (left, top)) / (right - left, bottom - top)
    return shares * (box.width, box.height) + (box.x0, box.y0)


def alignment(points: np.ndarray) -> np.ndarray:
    """Return float64 (2, 3): the turn, scale and shift that bring the points nearest to FFHQ's."""
    center, there = points.mean(axis=0), TEMPLATE.mean(axis=0)
    source, target = points - center, TEMPLATE - there
    # Of complex numbers a turn with a scale is one product; the best one is a quotient.
    z = source[:, 0] + 1j * source[:, 1]
    w = target[:, 0] + 1j * target[:, 1]
    turn = (z.conj() @ w) / max(float((z.conj() @ z).real), 1e-9)
    linear = np.array([(turn.real, -turn.imag), (turn.imag, turn.real)])
    return np.column_stack([linear, there - linear @ center])


def aligned_face(frame: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return uint8 RGB (512, 512, 3): the frame through ``alignment``."""
    size = (ALIGNED_SIDE, ALIGNED_SIDE)
    how = cv2.INTER_LINEAR
    return cv2.warpAffine(frame, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)


def put_back(face: np.ndarray, matrix: np.ndarray, box: FaceBox) -> np.ndarray:
    """Return what an aligned face shows in a box of its frame, uint8 RGB (h, w, 3).

    face: uint8 RGB, square, of any number of pixels for the 512.
    """
    scale = face.shape[0] / ALIGNED_SIDE * np.hypot(matrix[0, 0], matrix[1, 0])
    if scale > 1:  # it is made smaller: each pixel is the mean of those it stands for
        side = max(1, round(face.shape[0] / scale))
        face = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    # From the middle of a pixel of the box to the middle of one of the face.
    zoom = face.shape[0] / ALIGNED_SIDE
    there = matrix * zoom
    there[:, 2] += matrix[:, :2] @ (box.x0, box.y0) * zoom + (zoom - 1) / 2
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (box.width, box.height)
    return cv2.warpAffine(face, there, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
