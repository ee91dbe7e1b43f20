"""Detection in reduced frames, and a closer look where that leaves a doubt."""

from __future__ import annotations

import cv2
import numpy as np

from ..networks.s3fd import S3FD, ScoredBox, detect_faces
from .choice import FaceFollower, face_center, nearest_face

REDUCED_SIDE = 640  # pixels of a frame's longer side that the detector sees
CLOSER_SIDE = 1920  # in doubt; who is missed even so is too small to speak
LEAST_SIDE = 64  # pixels of the shorter side: of very wide pictures too something has to be seen
LOOK_DISTANCE = 8  # detections from one closer look for a missing person to the next


class ReducedDetector:
    """Finds one person in frame after frame that is seen reduced.

    It looks closer to choose one of several, and for a person who is not seen: when the number of
    faces changes, and every eighth time. Who is found by that alone is looked for so from then on.
    """

    def __init__(self, network: S3FD, follower: FaceFollower) -> None:
        self._network = network
        self._follower = follower
        self._side = REDUCED_SIDE
        self._looks = 0  # since the last closer one
        self._seen_then: int | None = None  # how many faces, before that looked closer

    def look(self, frame: np.ndarray) -> tuple[list[ScoredBox], ScoredBox | None]:
        """Return the faces in a frame, uint8 RGB (H, W, 3), and the person's or None."""
        faces = detect_reduced(self._network, frame, self._side)
        height, width = frame.shape[:2]
        if reduced_size(width, height, self._side) == reduced_size(width, height, CLOSER_SIDE):
            return faces, self._follower.choose(faces)
        undecided = self._follower.has_to_choose(faces)
        face = None if undecided else self._follower.choose(faces)
        if face is not None or not self._is_due(len(faces)):
            return faces, face
        closer = detect_reduced(self._network, frame, CLOSER_SIDE)
        for seen in (closer, faces):  # a face that fills the frame may be seen from afar alone
            face = self._follower.choose(seen)
            if face is not None:
                if nearest_face(faces, face_center(face), within=0.5) is None:
                    self._side = CLOSER_SIDE
                return seen, face
        return faces, None

    def _is_due(self, seen: int) -> bool:
        self._looks += 1
        if seen == self._seen_then and self._looks < LOOK_DISTANCE:
            return False
        self._looks, self._seen_then = 0, seen
        return True


def detect_reduced(network: S3FD, frame: np.ndarray, side: int) -> list[ScoredBox]:
    """Return the faces of a frame, uint8 RGB (H, W, 3), seen at so many pixels a side at most.

    Boxes are in the frame's own pixels. Faces of fewer than some ten pixels are missed then.
    """
    height, width = frame.shape[:2]
    size = reduced_size(width, height, side)
    if size == (width, height):
        return detect_faces(network, frame)
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    across, down = width / size[0], height / size[1]
    return [
        ScoredBox(x0 * across, y0 * down, x1 * across, y1 * down, score)
        for x0, y0, x1, y1, score in detect_faces(network, small)
    ]


def reduced_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Return a frame's width and height, reduced to ``side`` if that leaves 64 of the shorter."""
    scale = min(1.0, max(side / max(width, height), LEAST_SIDE / min(width, height)))
    return round(width * scale), round(height * scale)
