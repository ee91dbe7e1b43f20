"""A face between the frames in which the detector looks: carried on by its landmarks.

That it still is that face is concluded from how the landmarks moved and from the picture inside of
them, which hardly changes from frame to frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..networks.s3fd import ScoredBox

KEY_DISTANCE = 8  # frames from one look of the detector to the next
LONG_KEY_DISTANCE = 16  # likewise, at quality low
MOST_MOTION = 0.25  # of the face's side, from one frame to the next
MOST_GROWTH = 1.2
LEAST_LIKENESS = 0.9  # correlation with the frame before, landmark box on landmark box
PATCH_SIDE = 32  # pixels on each side of what is compared


@dataclass(frozen=True, eq=False)
class FollowedFace:
    """What is known of a face in the last frame.

    face: the detector's box, or where it would be now. alone: nobody else was seen then.
    bounds: float64 (4,), of the landmarks. patch: float32 (32, 32), grey, what lies inside.
    age: frames since the detector looked.
    """

    face: ScoredBox
    alone: bool
    bounds: np.ndarray
    patch: np.ndarray
    age: int = 0

    @classmethod
    def seen(
        cls, frame: np.ndarray, face: ScoredBox, points: np.ndarray, *, alone: bool
    ) -> FollowedFace | None:
        """Remember a face that was detected; None where its landmarks span nothing."""
        bounds = np.concatenate([points.min(axis=0), points.max(axis=0)])
        patch = _patch(frame, bounds)
        return None if patch is None else cls(face, alone, bounds, patch)

    def is_due(self, distance: int = KEY_DISTANCE) -> bool:
        """Whether the detector has to look at the next frame. distance: frames between looks."""
        return self.age + 1 >= distance

    def moved(self, frame: np.ndarray, points: np.ndarray) -> FollowedFace | None:
        """Return the face in the next frame by its landmarks (68, 2); None if it is in doubt."""
        bounds = np.concatenate([points.min(axis=0), points.max(axis=0)])
        side, now = _side(self.bounds), _side(bounds)
        motion = math.dist(_middle(bounds), _middle(self.bounds))
        if side <= 0 or motion > MOST_MOTION * side:
            return None
        if not 1 / MOST_GROWTH < now / side < MOST_GROWTH:
            return None
        patch = _patch(frame, bounds)
        if patch is None or _likeness(patch, self.patch) < LEAST_LIKENESS:
            return None
        face = _carried(self.face, self.bounds, bounds)
        return FollowedFace(face, self.alone, bounds, patch, self.age + 1)


def _carried(face: ScoredBox, before: np.ndarray, now: np.ndarray) -> ScoredBox:
    """Move and scale a box as the landmarks' bounds did."""
    growth = _side(now) / _side(before)
    (x, y), (to_x, to_y) = _middle(before), _middle(now)
    return ScoredBox(
        to_x + growth * (face.x0 - x),
        to_y + growth * (face.y0 - y),
        to_x + growth * (face.x1 - x),
        to_y + growth * (face.y1 - y),
        face.score,
    )


def _side(bounds: np.ndarray) -> float:
    # The width: the chin, and with it the height, goes up and down with every word.
    return float(bounds[2] - bounds[0])


def _middle(bounds: np.ndarray) -> tuple[float, float]:
    return float(bounds[0] + bounds[2]) / 2, float(bounds[1] + bounds[3]) / 2


def _patch(frame: np.ndarray, bounds: np.ndarray) -> np.ndarray | None:
    height, width = frame.shape[:2]
    x0, y0 = (max(int(edge), 0) for edge in bounds[:2])
    x1, y1 = min(math.ceil(bounds[2]), width), min(math.ceil(bounds[3]), height)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    part = np.ascontiguousarray(frame[y0:y1, x0:x1])
    small = cv2.resize(part, (PATCH_SIDE, PATCH_SIDE), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two patches; 1 where both are of one grey, 0 where one is."""
    a, b = one - one.mean(), other - other.mean()
    flat = (not a.any()) + (not b.any())
    if flat:
        return 1.0 if flat == 2 and abs(float(one.mean() - other.mean())) < 1 else 0.0
    return float((a * b).sum() / math.sqrt(float((a * a).sum()) * float((b * b).sum())))
