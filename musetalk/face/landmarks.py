"""MuseTalk's own way to its crop: S3FD says that there is a face, RTMPose's landmarks where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from ..interfaces import Landmarks, LandmarksOn
from ..networks.rtmpose import FACE_LANDMARKS, RTMPose, find_landmarks
from ..networks.s3fd import S3FD, ScoredBox, detect_faces
from .aligned import five_points
from .choice import FaceChoice, FaceFollower
from .crop import FaceBox, face_box
from .key_frames import KEY_DISTANCE, FollowedFace
from .reduced import ReducedDetector


@dataclass(frozen=True)
class FoundFace:
    """A face in one frame.

    box: of the crop, before margin and clamping.
    by_landmarks: False where the landmarks gave no usable box and the detector's was taken.
    bridge: pixels from the nose bridge's lower point up to the next and down to the next.
    five: float64 (5, 2), as in ``five_points``, where there are landmarks.
    """

    box: FaceBox
    by_landmarks: bool = True
    bridge: tuple[int, int] = (0, 0)
    five: np.ndarray | None = field(default=None, compare=False)

    @classmethod
    def of(cls, points: np.ndarray, detected: Sequence[float], *, bbox_shift: int) -> FoundFace:
        """Return the face that the reference's rule makes of 68 landmarks; as in ``face_box``."""
        box, by_landmarks = face_box(points, detected, bbox_shift=bbox_shift)
        heights = points[28:31, 1].astype(np.int32)
        bridge = (int(heights[1] - heights[0]), int(heights[2] - heights[1]))
        return cls(box, by_landmarks, bridge, five_points(points))


class CropFinder(Protocol):
    """Finds one person's face; frames come in their order.

    method: who finds it: "landmarks", "face mesh", or the word of a ``FaceLocation``.
    detections: frames so far in which it looked everywhere instead of following.
    without_numbers: frames so far that have a face, but no landmarks that are numbers.
    """

    method: str
    detections: int
    without_numbers: int

    def find(self, frame: np.ndarray) -> FoundFace | None:
        """Return the face in a frame, uint8 RGB (H, W, 3), or None."""
        ...


@dataclass(frozen=True)
class CropRules:
    """Whose crop MuseTalk takes, and how.

    landmarks_on: "whole frame" lets RTMPose look at the whole frame, as the reference does; where
        several faces are seen and its landmarks lie on another one, the detected box is used.
    every_frame: detect in every frame at its full size, as the reference does; False looks at
        few, reduced, and wherever the face that is followed in between is in doubt.
    landmarks: whose; "auto" are the reference networks' where they are there, else the mesh's.
    model_folders: where the mesh's file is looked for.
    mirrored: average landmarks with those of the mirrored picture, as the reference does; False
        does so once, to tell the difference.
    key_distance: frames from one look of S3FD to the next, unless it looks at all.
    """

    choice: FaceChoice = field(default_factory=FaceChoice)
    landmarks_on: LandmarksOn = "whole frame"
    bbox_shift: int = 0
    every_frame: bool = True
    landmarks: Landmarks = "auto"
    model_folders: tuple[Path, ...] = ()
    mirrored: bool = True
    key_distance: int = KEY_DISTANCE


class LandmarkFinder:
    """Follows one person by what S3FD and RTMPose see.

    unmirrored: pixels by which landmarks differ from those averaged with the mirrored picture's, on
        average over the first face; None where they are averaged.
    """

    method = "landmarks"

    def __init__(self, s3fd: S3FD, rtmpose: RTMPose, rules: CropRules) -> None:
        self.detections = self.without_numbers = 0
        self.unmirrored: float | None = None
        self._followed: FollowedFace | None = None
        self._s3fd = s3fd
        self._rtmpose = rtmpose
        self._rules = rules
        self._follower = FaceFollower(rules.choice)
        self._reduced = None if rules.every_frame else ReducedDetector(s3fd, self._follower)

    def find(self, frame: np.ndarray) -> FoundFace | None:
        return self._carried_on(frame) or self._detected(frame)

    def _carried_on(self, frame: np.ndarray) -> FoundFace | None:
        """Return the face by its landmarks alone, or None where the detector has to look."""
        last = self._followed
        if last is None or last.is_due(self._rules.key_distance):
            return None
        points = self._landmarks(frame, last.face, alone=last.alone)
        self._followed = last.moved(frame, points)
        if self._followed is None:
            return None
        self._follower.carry_on(self._followed.face)
        return self._face_of(points, self._followed.face)

    def _detected(self, frame: np.ndarray) -> FoundFace | None:
        # A picture's frame is read-only, and torch warns of tensors that are.
        writable = frame if frame.flags.writeable else frame.copy()
        self.detections += 1
        if self._reduced is not None:
            faces, face = self._reduced.look(writable)
        else:
            faces = detect_faces(self._s3fd, writable)
            face = self._follower.choose(faces)
        self._followed = None
        if face is None:
            return None
        alone = len(faces) == 1
        points = self._landmarks(frame, face, alone=alone)
        if not np.isfinite(points).all():
            self.without_numbers += 1
            return None
        if self._reduced is not None:
            self._followed = FollowedFace.seen(frame, face, points, alone=alone)
        return self._face_of(points, face)

    def _face_of(self, points: np.ndarray, face: ScoredBox) -> FoundFace:
        return FoundFace.of(points, face[:4], bbox_shift=self._rules.bbox_shift)

    def _landmarks(self, frame: np.ndarray, face: ScoredBox, *, alone: bool) -> np.ndarray:
        if self._rules.landmarks_on == "whole frame":
            points = self._points(frame, None)
            x, y = points.mean(axis=0)
            if alone or (face.x0 <= x <= face.x1 and face.y0 <= y <= face.y1):
                return points
        return self._points(frame, face[:4])

    def _points(
        self, frame: np.ndarray, box: tuple[float, float, float, float] | None
    ) -> np.ndarray:
        mirrored = self._rules.mirrored
        points = find_landmarks(self._rtmpose, frame, box, flip_test=mirrored).points
        if not mirrored and self.unmirrored is None:
            both = find_landmarks(self._rtmpose, frame, box).points
            apart = np.linalg.norm((points - both)[FACE_LANDMARKS], axis=1)
            self.unmirrored = float(apart.mean())
        return points[FACE_LANDMARKS]
