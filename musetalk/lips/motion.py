"""How a face moved from one video frame to another: points followed, one similarity fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ...media import Box
from .frame import FaceFrame, upright_patch

PIXELS_PER_EYE = 40
REGION = Box(-1.5, -1.1, 1.5, 1.9)  # e, what is compared
# Nose, cheeks and brows move with the skull; the mouth and the chin do not.
RIGID = Box(-0.85, -0.45, 0.85, 0.90)
MOST_POINTS = 60
LEAST_POINTS = 10
POINT_QUALITY = 0.01
POINT_DISTANCE = 4  # pixels
WINDOW = 15  # pixels
FLOW_LEVELS = 3
FORTH_AND_BACK = 0.8  # pixels a point may miss its origin when followed back
INLIER_REACH = 1.0  # pixels
LEAST_INLIERS = 0.5  # of the points
MOST_GROWTH = 1.25  # from one frame to the next


@dataclass(frozen=True, eq=False)
class KeyView:
    """A face as it looked once, uint8 grey upright patch, and points on it worth following."""

    patch: np.ndarray
    points: np.ndarray

    @classmethod
    def of(cls, picture: np.ndarray, face: FaceFrame) -> KeyView:
        """Remember a face in a uint8 RGB picture."""
        patch = _grey_patch(picture, face)
        mask = np.zeros_like(patch)
        x0, x1 = (round((x - REGION.x0) * PIXELS_PER_EYE) for x in (RIGID.x0, RIGID.x1))
        y0, y1 = (round((y - REGION.y0) * PIXELS_PER_EYE) for y in (RIGID.y0, RIGID.y1))
        mask[y0:y1, x0:x1] = 255
        found = _good_points(patch, mask)
        points = np.empty((0, 2), np.float32) if found is None else found.reshape(-1, 2)
        return cls(patch, points)

    def find_again(self, picture: np.ndarray, expected: FaceFrame) -> FaceFrame | None:
        """Return where the face is in another frame, near ``expected``; None if it is lost."""
        if len(self.points) < LEAST_POINTS:
            return None
        patch = _grey_patch(picture, expected)
        moved = _follow(self.patch, patch, self.points)
        back = _follow(patch, self.patch, moved)
        good = np.hypot(*(back - self.points).T) < FORTH_AND_BACK
        if good.sum() < max(LEAST_POINTS, LEAST_INLIERS * len(self.points)):
            return None
        turn, inliers = _turn_between(self.points[good], moved[good])
        if turn is None or inliers.sum() < LEAST_INLIERS * len(self.points):
            return None
        return _turned(expected, turn)


def _grey_patch(picture: np.ndarray, face: FaceFrame) -> np.ndarray:
    patch = upright_patch(picture, face, region=REGION, pixels_per_eye=PIXELS_PER_EYE)
    return cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)


def _turned(expected: FaceFrame, turn: np.ndarray) -> FaceFrame | None:
    """Apply a similarity (2, 3) in patch pixels to the face the patch was cut for."""
    growth = float(np.hypot(turn[0, 0], turn[1, 0]))
    if not 1 / MOST_GROWTH < growth < MOST_GROWTH:
        return None
    corner = np.array([REGION.x0, REGION.y0])
    middle = -corner * PIXELS_PER_EYE - 0.5  # between the eyes, as a pixel of the patch
    moved = turn[:, :2] @ middle + turn[:, 2]
    x, y = expected.to_picture((moved + 0.5) / PIXELS_PER_EYE + corner)
    tilt = expected.tilt + math.atan2(turn[1, 0], turn[0, 0])
    return FaceFrame(float(x), float(y), expected.eye_distance * growth, tilt)


def _good_points(patch: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """Return points (N, 1, 2) that can be followed; None, which OpenCV's types omit, for none."""
    return cv2.goodFeaturesToTrack(patch, MOST_POINTS, POINT_QUALITY, POINT_DISTANCE, mask=mask)


def _turn_between(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the turn that most points agree on, None where they agree on none, and who agrees."""
    return cv2.estimateAffinePartial2D(one, other, ransacReprojThreshold=INLIER_REACH)


def _follow(one: np.ndarray, other: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Follow points (N, 2) from one grey patch to another; a lost one goes far away."""
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        one,
        other,
        points.reshape(-1, 1, 2),
        points.reshape(-1, 1, 2).copy(),
        winSize=(WINDOW, WINDOW),
        maxLevel=FLOW_LEVELS,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    moved = moved.reshape(-1, 2)
    moved[found.ravel() == 0] = -1e4
    return moved
