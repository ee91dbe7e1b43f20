"""One face record per frame: which face speaks, followed through the clip, and its box.

With the face networks the box is MuseTalk's own; without them it is estimated from the lips that
the weightless locator finds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from ...media import FaceLocation, LipCorners
from ..interfaces import LandmarksOn
from ..networks.rtmpose import FACE_LANDMARKS, RTMPose, find_landmarks
from ..networks.s3fd import S3FD, ScoredBox, detect_faces
from .choice import FaceChoice, FaceFollower
from .crop import FaceBox, face_box, fit_to_frame
from .finder import LipTracker, locate_face
from .key_frames import FollowedFace
from .reduced import ReducedDetector

log = logging.getLogger("avatarvideo.musetalk.face.detect")

# A face box from the lips alone, in eye distances (63 mm in the mean adult face): from the middle
# of the mouth up to the forehead, down to the chin, and half the breadth of the cheekbones.
MOUTH_TO_TOP, MOUTH_TO_CHIN, HALF_BREADTH = 2.11, 0.75, 1.07
EYES_PER_FACE_BOX = 0.378  # eye distance in widths of the locator's face box
EYES_PER_MOUTH = 1 / 0.76


class FoundFace(NamedTuple):
    """A face in one frame.

    box: of the crop, before margin and clamping.
    by_landmarks: False where the landmarks gave no usable box and the detector's was taken.
    bridge: pixels from the nose bridge's lower point up to the next and down to the next: how far
        the middle of the box can be shifted sensibly.
    """

    box: FaceBox
    by_landmarks: bool = True
    bridge: tuple[int, int] = (0, 0)


class FaceFinder(Protocol):
    """Finds one person's face; frames come in their order."""

    method: str

    def find(self, frame: np.ndarray) -> FoundFace | None:
        """Return the face in a frame, uint8 RGB (H, W, 3), or None."""
        ...


class LandmarkFinder:
    """MuseTalk's own way: S3FD says that there is a face, RTMPose's landmarks where.

    landmarks_on: "whole frame" lets RTMPose look at the whole frame, as the reference does; where
        several faces are seen and its landmarks lie on another one, the detected box is used.
    every_frame: detect in every frame at its full size, as the reference does; False looks at
        every eighth one, reduced, and wherever the face that is followed in between is in doubt.
    detections: frames in which the detector looked, so far.
    """

    method = "landmarks"

    def __init__(
        self,
        s3fd: S3FD,
        rtmpose: RTMPose,
        choice: FaceChoice,
        *,
        landmarks_on: LandmarksOn = "whole frame",
        bbox_shift: int = 0,
        every_frame: bool = True,
    ) -> None:
        self.detections = 0
        self._followed: FollowedFace | None = None
        self._s3fd = s3fd
        self._rtmpose = rtmpose
        self._follower = FaceFollower(choice)
        self._reduced = None if every_frame else ReducedDetector(s3fd, self._follower)
        self._landmarks_on = landmarks_on
        self._bbox_shift = bbox_shift

    def find(self, frame: np.ndarray) -> FoundFace | None:
        """Return the face in a frame, uint8 RGB (H, W, 3), or None."""
        return self._carried_on(frame) or self._detected(frame)

    def _carried_on(self, frame: np.ndarray) -> FoundFace | None:
        """Return the face by its landmarks alone, or None where the detector has to look."""
        last = self._followed
        if last is None or last.is_due:
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
        if face is None:
            self._followed = None
            return None
        alone = len(faces) == 1
        points = self._landmarks(frame, face, alone=alone)
        if self._reduced is not None:
            self._followed = FollowedFace.seen(frame, face, points, alone=alone)
        return self._face_of(points, face)

    def _face_of(self, points: np.ndarray, face: ScoredBox) -> FoundFace:
        box, by_landmarks = face_box(points, face[:4], bbox_shift=self._bbox_shift)
        heights = points[28:31, 1].astype(np.int32)
        bridge = (int(heights[1] - heights[0]), int(heights[2] - heights[1]))
        return FoundFace(box, by_landmarks, bridge)

    def _landmarks(self, frame: np.ndarray, face: ScoredBox, *, alone: bool) -> np.ndarray:
        if self._landmarks_on == "whole frame":
            points = find_landmarks(self._rtmpose, frame).points[FACE_LANDMARKS]
            if alone or _inside(points.mean(axis=0), face):
                return points
        return find_landmarks(self._rtmpose, frame, face[:4]).points[FACE_LANDMARKS]


def _inside(point: np.ndarray, face: ScoredBox) -> bool:
    return bool(face.x0 <= point[0] <= face.x1 and face.y0 <= point[1] <= face.y1)


class WeightlessFinder:
    """An estimate without any weights, from where the lips and the eyes are."""

    method = "template"

    def __init__(
        self, *, face_index: int = 0, corners: LipCorners | None = None, bbox_shift: int = 0
    ) -> None:
        self._face_index = face_index
        self._corners = corners
        self._bbox_shift = bbox_shift
        self._tracker: LipTracker | None = None

    def find(self, frame: np.ndarray) -> FoundFace | None:
        """Return the face in a frame, uint8 RGB (H, W, 3), or None."""
        if self._tracker is not None:
            location = self._tracker.follow(frame)
        else:
            location = locate_face(frame, face_index=self._face_index, corners=self._corners)
            self._corners = None  # they belong to the first frame
            self.method = location.method
            if location.lips is not None:
                self._tracker = LipTracker(frame, location)
        box = box_around_lips(location, bbox_shift=self._bbox_shift)
        return None if box is None else FoundFace(box)


def box_around_lips(location: FaceLocation, *, bbox_shift: int = 0) -> FaceBox | None:
    """Return about the box that landmarks would give, or None without lips.

    The proportions are those of the mean adult face; upright faces only.
    """
    if location.lips is None:
        return None
    corners = location.lips.corners
    x, y = (corners.x0 + corners.x1) / 2, (corners.y0 + corners.y1) / 2
    eyes = location.lips.width * EYES_PER_MOUTH
    if location.box is not None:
        eyes = location.box.width * EYES_PER_FACE_BOX
    top, bottom = y - MOUTH_TO_TOP * eyes, y + MOUTH_TO_CHIN * eyes
    left, right = x - HALF_BREADTH * eyes, x + HALF_BREADTH * eyes
    return FaceBox(int(left), int(top) + 2 * bbox_shift, int(right), int(bottom))


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """The faces of some frames in their order.

    boxes: int32 (N, 4), inside the frame, margin included; a row of zeros where there is none.
    by_landmarks: bool (N,). bridges: int32 (N, 2). Both as in ``FoundFace``.
    method: who found them: "landmarks", or the locator's word.
    """

    boxes: np.ndarray
    by_landmarks: np.ndarray
    bridges: np.ndarray
    method: str

    @property
    def found(self) -> np.ndarray:
        """Bool (N,): the frame has a face."""
        return self.boxes[:, 2] > 0

    def box(self, number: int) -> FaceBox | None:
        """Return the box in frame ``number``, or None."""
        return FaceBox(*self.boxes[number].tolist()) if self.found[number] else None

    def shift_range(self) -> tuple[int, int] | None:
        """Return between which values ``bbox_shift`` keeps to the nose: means over the faces."""
        usable = self.found & self.by_landmarks & self.bridges.any(axis=1)
        if not usable.any():
            return None
        up, down = self.bridges[usable].mean(axis=0)
        return -int(down), int(up)


def find_faces(
    frames: Iterable[np.ndarray],
    finder: FaceFinder,
    *,
    extra_margin: int = 0,
    on_frame: Callable[[int], None] = lambda done: None,
) -> FaceTrack:
    """Look at every frame, uint8 RGB (H, W, 3), in turn; one frame is held at a time.

    extra_margin: pixels the box grows below the chin; 0 for MuseTalk 1.0.
    on_frame: called with the number of frames done.
    """
    boxes, by_landmarks, bridges = [], [], []
    for number, frame in enumerate(frames, start=1):
        height, width = frame.shape[:2]
        face = finder.find(frame)
        box = fit_to_frame(face.box, width, height, extra_margin=extra_margin) if face else None
        boxes.append(box or FaceBox(0, 0, 0, 0))
        by_landmarks.append(face is not None and face.by_landmarks)
        bridges.append(face.bridge if face else (0, 0))
        on_frame(number)
    estimated = sum(1 for box, good in zip(boxes, by_landmarks, strict=True) if box[2] and not good)
    if estimated:
        log.info("landmarks gave no usable box in %d frames: the detected one is used", estimated)
    return FaceTrack(
        np.array(boxes, np.int32).reshape(-1, 4),
        np.array(by_landmarks, bool),
        np.array(bridges, np.int32).reshape(-1, 2),
        finder.method,
    )
