"""One face record per frame: which face speaks, followed through the clip, and its box.

With the face networks the box is MuseTalk's own; without them it is estimated from the lips.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ...media import FaceLocation, LipCorners
from ..lips.tracking import LipTracker
from .crop import SMALLEST_SIDE, FaceBox, fit_to_frame
from .finder import locate_again, locate_face
from .landmarks import CropFinder, FoundFace

log = logging.getLogger("avatarvideo.musetalk.face.detect")

# A face box from the lips alone, in eye distances (63 mm in the mean adult face): from the middle
# of the mouth up to the forehead, down to the chin, and half the breadth of the cheekbones.
MOUTH_TO_TOP, MOUTH_TO_CHIN, HALF_BREADTH = 2.11, 0.75, 1.07
EYES_PER_FACE_BOX = 0.378  # eye distance in widths of a located face's box
EYES_PER_MOUTH = 1 / 0.76


class LipFollower:
    """Follows one person by the lips of the first frame, given as ``known`` or found there."""

    def __init__(
        self,
        *,
        face_index: int = 0,
        corners: LipCorners | None = None,
        bbox_shift: int = 0,
        known: FaceLocation | None = None,
        model_folders: Sequence[Path] = (),
    ) -> None:
        self.method = "template"
        self.detections = self.without_numbers = 0
        self._face_index = face_index
        self._corners = corners
        self._bbox_shift = bbox_shift
        self._known = known
        self._model_folders = model_folders
        self._tracker: LipTracker | None = None

    def find(self, frame: np.ndarray) -> FoundFace | None:
        """Return the face in a frame, uint8 RGB (H, W, 3), or None."""
        location = self._locate(frame) if self._tracker is None else self._tracker.follow(frame)
        box = box_around_lips(location, bbox_shift=self._bbox_shift)
        return None if box is None else FoundFace(box)

    def _locate(self, frame: np.ndarray) -> FaceLocation:
        location = self._known
        if location is None:
            self.detections += 1
            location = locate_face(
                frame,
                face_index=self._face_index,
                corners=self._corners,
                model_folders=self._model_folders,
            )
        self._known = self._corners = None  # they belong to the first frame
        self.method = location.method
        if location.lips is not None:
            search = partial(locate_again, model_folders=self._model_folders)
            self._tracker = LipTracker(frame, location, search)
        return location


def box_around_lips(location: FaceLocation, *, bbox_shift: int = 0) -> FaceBox | None:
    """Return about the box that landmarks would give an upright face, or None without lips."""
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
    method: who found them: "landmarks", "face mesh", or the word of a ``FaceLocation``.
    begins: bool (N,), frames before which the picture was cut, where that was looked for.
    exact: float64 (N, 4), boxes to parts of a pixel that ``boxes`` rounds, where they are steadied.
    five: float64 (N, 5, 2), as in ``five_points``, not numbers where there are no landmarks.
    shut: bool (N,), the face's own lips are seen to be shut, where that was looked for.
    unmirrored: as in ``LandmarkFinder``.
    """

    boxes: np.ndarray
    by_landmarks: np.ndarray
    bridges: np.ndarray
    method: str
    begins: np.ndarray | None = None
    exact: np.ndarray | None = None
    five: np.ndarray | None = None
    shut: np.ndarray | None = None
    unmirrored: float | None = None

    @property
    def found(self) -> np.ndarray:
        """Bool (N,): the frame has a face."""
        return self.boxes[:, 2] > 0

    def box(self, number: int) -> FaceBox | None:
        """Return the box in frame ``number``, or None."""
        return FaceBox(*self.boxes[number].tolist()) if self.found[number] else None

    def exact_box(self, number: int) -> np.ndarray | None:
        """Return it to parts of a pixel, float64 (4,); None where it is of whole pixels."""
        return None if self.exact is None else self.exact[number]

    def five_points(self, number: int) -> np.ndarray | None:
        """Return float64 (5, 2) of frame ``number``, or None where there are no landmarks."""
        five = np.full((5, 2), np.nan) if self.five is None else self.five[number]
        is_a_face = np.isfinite(five).all() and np.ptp(five, axis=0).max() >= SMALLEST_SIDE
        return five if is_a_face else None

    def shift_range(self) -> tuple[int, int] | None:
        """Return between which values ``bbox_shift`` keeps to the nose: means over the faces."""
        usable = self.found & self.by_landmarks & self.bridges.any(axis=1)
        if not usable.any():
            return None
        up, down = self.bridges[usable].mean(axis=0)
        return -int(down), int(up)


def find_faces(
    frames: Iterable[np.ndarray],
    finder: CropFinder,
    *,
    extra_margin: int = 0,
    on_frame: Callable[[int], None] = lambda done: None,
    on_first: Callable[[np.ndarray, FaceBox], None] = lambda frame, box: None,
) -> FaceTrack:
    """Look at every frame, uint8 RGB (H, W, 3), in turn; one frame is held at a time.

    extra_margin: pixels the box grows below the chin; 0 for MuseTalk 1.0.
    on_frame: called with the number of frames done. on_first: with the first face, before that.
    """
    boxes: list[FaceBox] = []
    by_landmarks: list[bool] = []
    bridges: list[tuple[int, int]] = []
    five: list[np.ndarray] = []
    is_seen = False
    for number, frame in enumerate(frames, start=1):
        height, width = frame.shape[:2]
        face = finder.find(frame)
        box = fit_to_frame(face.box, width, height, extra_margin=extra_margin) if face else None
        if box is not None and not is_seen:
            on_first(frame, box)
            is_seen = True
        boxes.append(box or FaceBox(0, 0, 0, 0))
        by_landmarks.append(face is not None and face.by_landmarks)
        bridges.append(face.bridge if face else (0, 0))
        points = face.five if face else None
        five.append(np.full((5, 2), np.nan) if points is None else points)
        on_frame(number)
    track = FaceTrack(
        np.array(boxes, np.int32).reshape(-1, 4),
        np.array(by_landmarks, bool),
        np.array(bridges, np.int32).reshape(-1, 2),
        finder.method,
        five=np.array(five, np.float64).reshape(-1, 5, 2),
    )
    if estimated := int((track.found & ~track.by_landmarks).sum()):
        log.info("landmarks gave no usable box in %d frames: the detected one is used", estimated)
    return track
