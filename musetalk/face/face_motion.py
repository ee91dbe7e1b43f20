"""How a face moved from one video frame to another: points followed, one similarity fitted."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...media import Box
from .face_frame import FaceFrame

TRACKED_EYE_PIXELS = 40  # pictures are reduced to this eye distance before following points
MARGIN = 1.3  # e around the face that is looked at
# Nose, cheeks and brows move with the skull; the mouth and the chin do not.
RIGID = Box(-0.85, -0.45, 0.85, 0.90)
MOST_POINTS = 60
LEAST_POINTS = 10
WINDOW = 15  # pixels
FLOW_LEVELS = 3
FORTH_AND_BACK = 0.8  # pixels a point may miss its origin when followed back
INLIER_REACH = 1.5  # pixels
LEAST_INLIERS = 0.5  # of the points
MOST_GROWTH = 1.25  # between two sightings


@dataclass(frozen=True, eq=False)
class FaceView:
    """A reduced grey cut-out of one video frame around a face.

    grey: uint8. scale: its pixels per picture pixel. origin: its corner in the picture, pixels.
    """

    grey: np.ndarray
    scale: float
    origin: np.ndarray

    @classmethod
    def of(cls, picture: np.ndarray, face: FaceFrame, scale: float) -> FaceView:
        """Cut the surroundings of a face out of a uint8 RGB picture."""
        height, width = picture.shape[:2]
        reach = MARGIN * face.eye_distance
        box = face.box
        around = Box(box.x0 - reach, box.y0 - reach, box.x1 + reach, box.y1 + reach)
        x0, y0, x1, y1 = (int(edge) for edge in around.clamped(width, height))
        part = cv2.cvtColor(picture[y0 : max(y1, y0 + 8), x0 : max(x1, x0 + 8)], cv2.COLOR_RGB2GRAY)
        size = (max(8, round(part.shape[1] * scale)), max(8, round(part.shape[0] * scale)))
        small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        return cls(small, scale, np.array([x0, y0], float))

    def fitted(self, shape: tuple[int, ...]) -> FaceView:
        """Return the view cut or continued at its right and bottom edge to a (height, width).

        Rounding and the picture's edge make views differ by some pixels; following points needs
        two pictures of one size.
        """
        height, width = shape
        grey = self.grey[:height, :width]
        down, right = height - grey.shape[0], width - grey.shape[1]
        if down or right:
            grey = cv2.copyMakeBorder(grey, 0, down, 0, right, cv2.BORDER_REPLICATE)
        return FaceView(np.ascontiguousarray(grey), self.scale, self.origin)

    def points(self, picture_points: np.ndarray) -> np.ndarray:
        """Return picture points (N, 2) as points of this view."""
        return ((picture_points - self.origin) * self.scale).astype(np.float32)


@dataclass(frozen=True, eq=False)
class KeyView:
    """The view that later frames are compared with, and points on it worth following."""

    view: FaceView
    face: FaceFrame
    points: np.ndarray

    @classmethod
    def of(cls, picture: np.ndarray, face: FaceFrame) -> KeyView:
        """Remember a face in a uint8 RGB picture."""
        view = FaceView.of(picture, face, min(1.0, TRACKED_EYE_PIXELS / face.eye_distance))
        mask = np.zeros(view.grey.shape, np.uint8)
        x0, y0, x1, y1 = RIGID
        outline = face.to_picture(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
        cv2.fillConvexPoly(mask, np.rint(view.points(outline)).astype(np.int32), 255)
        found = cv2.goodFeaturesToTrack(view.grey, MOST_POINTS, 0.01, 4, mask=mask)
        points = np.empty((0, 2), np.float32) if found is None else found.reshape(-1, 2)
        return cls(view, face, points)

    def find_again(self, picture: np.ndarray, expected: FaceFrame) -> FaceFrame | None:
        """Return where the face is in another frame, near ``expected``; None if it is lost.

        Points are followed from this view directly, so that errors do not add up over frames.
        """
        if len(self.points) < LEAST_POINTS:
            return None
        view = FaceView.of(picture, expected, self.view.scale).fitted(self.view.grey.shape)
        guess = view.points(expected.to_picture(self.face.to_face(self._in_picture())))
        moved = _follow(self.view.grey, view.grey, self.points, guess)
        back = _follow(view.grey, self.view.grey, moved, self.points)
        good = np.hypot(*(back - self.points).T) < FORTH_AND_BACK
        if good.sum() < max(LEAST_POINTS, LEAST_INLIERS * len(self.points)):
            return None
        turn, inliers = cv2.estimateAffinePartial2D(
            self.points[good], moved[good], ransacReprojThreshold=INLIER_REACH
        )
        if turn is None or inliers.sum() < LEAST_INLIERS * len(self.points):
            return None
        return self._turned(view, turn)

    def _in_picture(self) -> np.ndarray:
        return self.points / self.view.scale + self.view.origin

    def _turned(self, view: FaceView, turn: np.ndarray) -> FaceFrame | None:
        growth = float(np.hypot(turn[0, 0], turn[1, 0]))
        if not 1 / MOST_GROWTH < growth < MOST_GROWTH:
            return None
        middle = self.view.points(np.array([[self.face.x, self.face.y]]))[0]
        x, y = (turn[:, :2] @ middle + turn[:, 2]) / view.scale + view.origin
        tilt = self.face.tilt + float(np.arctan2(turn[1, 0], turn[0, 0]))
        return FaceFrame(float(x), float(y), self.face.eye_distance * growth, tilt)


def _follow(
    one: np.ndarray, other: np.ndarray, points: np.ndarray, guess: np.ndarray
) -> np.ndarray:
    """Follow points (N, 2) from one grey picture to another; a lost one goes far away."""
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        one,
        other,
        points.reshape(-1, 1, 2),
        guess.astype(np.float32).reshape(-1, 1, 2).copy(),
        winSize=(WINDOW, WINDOW),
        maxLevel=FLOW_LEVELS,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    moved = moved.reshape(-1, 2)
    moved[found.ravel() == 0] = -1e4
    return moved
