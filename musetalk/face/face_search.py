"""The automatic search: candidates for a face, each confirmed or refused by the lip template."""

from __future__ import annotations

import cv2
import numpy as np

from ...media import Box, FaceLocation
from . import haar, mediapipe_mesh
from .eyes import frame_from_box
from .face_frame import FaceFrame
from .lip_confidence import ACCEPT, JudgedLips, judge_lips
from .lip_shape import lip_shape

SEARCH_PIXELS = 450_000  # larger pictures are searched reduced; the lips are fitted at full size
MOST_JUDGED = 6  # candidates that get the full search for lips


def find_face(frame: np.ndarray, face_index: int, *, near: Box | None = None) -> FaceLocation:
    """Return the face asked for in a uint8 RGB picture; lips are None where they are not clear.

    face_index: by size, 0 is the largest. near: prefer the face closest to this box instead.
    """
    meshes = mediapipe_mesh.find_faces(frame)
    if face_index < len(meshes):
        return meshes[face_index]
    reduced, scale = _reduced(frame)
    grey = cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY)
    boxes = [Box(*(edge / scale for edge in box)) for box in haar.find_boxes(grey)]
    return _confirmed(frame, [frame_from_box(frame, box) for box in boxes], face_index)


def judge_square(frame: np.ndarray, box: Box) -> FaceLocation:
    """Take the user's box for a face box and return the lips in it, if they are clear."""
    side = min(box.width, box.height)
    middle_x, middle_y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    square = Box(middle_x - side / 2, middle_y - side / 2, middle_x + side / 2, middle_y + side / 2)
    judged = judge_lips(frame, frame_from_box(frame, square))
    return _answer(judged) if judged.confidence >= ACCEPT else _refusal(judged)


def _reduced(frame: np.ndarray) -> tuple[np.ndarray, float]:
    height, width = frame.shape[:2]
    scale = min(1.0, (SEARCH_PIXELS / (height * width)) ** 0.5)
    if scale == 1.0:
        return frame, scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA), scale


def _confirmed(frame: np.ndarray, faces: list[FaceFrame], face_index: int) -> FaceLocation:
    """Return the asked one of the candidates if the lip template agrees with it."""
    judged = [judge_lips(frame, face) for face in faces[:MOST_JUDGED]]
    good = [one for one in judged if one.confidence >= ACCEPT]
    if face_index < len(good):
        return _answer(good[face_index])
    if good:
        return _nothing(f"only {len(good)} face(s) with clear lips were found")
    if judged:
        best = max(judged, key=lambda one: one.confidence)
        return _refusal(best)
    return _nothing("no face was found in the picture")


def _answer(judged: JudgedLips) -> FaceLocation:
    lips = lip_shape(judged.maps, judged.frame, judged.fit)
    reason = f"lips found without weights, confidence {judged.confidence:.2f}"
    return FaceLocation(judged.frame.box, lips, judged.confidence, "template", reason)


def _refusal(judged: JudgedLips) -> FaceLocation:
    reason = f"a face may be there, but {judged.doubt}"
    return FaceLocation(judged.frame.box, None, judged.confidence, "none", reason)


def _nothing(reason: str) -> FaceLocation:
    return FaceLocation(None, None, 0.0, "none", reason)
