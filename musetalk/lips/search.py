"""The automatic search: candidates for a face, each confirmed or refused by the lip template."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from ...media import Box, FaceLocation
from . import cascade
from .confidence import ACCEPT, JudgedLips, judge_lips, quick_score
from .eyes import refined_frame, rough_frame
from .frame import FaceFrame
from .proposals import face_likeness, propose_faces
from .shape import lip_shape

SEARCH_PIXELS = 450_000  # larger pictures are searched reduced; the lips are fitted at full size
MOST_BOXES = 5  # of the cascade that are judged
MOST_PROPOSALS = 10  # that get a look at the mouth
MOST_JUDGED = 3  # of those that get the full search for lips
LIKENESS_WORTH = 4.0  # of one unit of likeness in units of the template's score
FACE_LIKENESS = 0.40  # above it a place is called a face although its lips are not clear
NO_FACE = "no face was found in the picture"
SAME_FACE = 0.7  # e between two candidates for one face


def find_face(
    frame: np.ndarray,
    face_index: int,
    *,
    near: Box | None = None,
    check: Callable[[], None] = lambda: None,
) -> FaceLocation:
    """Return the face asked for in a uint8 RGB picture; lips are None where they are not clear.

    face_index: by size, 0 is the largest. near: take the face closest to this box instead.
    check: called before each step of the search; what it raises ends it.
    """
    judged: list[JudgedLips] = []
    for candidates in _candidates(frame, check):
        known = [one.frame for one in judged if one.confidence > 0]
        for face in candidates:
            if all(face.distance_to(other) > SAME_FACE for other in known):
                check()
                judged.append(judge_lips(frame, face))
        clear = [one for one in judged if one.confidence >= ACCEPT]
        if face_index < len(clear):
            best = _chosen(clear, face_index, near)
            lips = lip_shape(best.maps, best.frame, best.fit)
            reason = f"lips found without weights, confidence {best.confidence:.2f}"
            return FaceLocation(best.frame.box, lips, best.confidence, "template", reason)
    return _refusal(frame, judged, face_index)


def _candidates(frame: np.ndarray, check: Callable[[], None]) -> Iterator[list[FaceFrame]]:
    """Yield the cascade's faces, then, if they are not enough, those of our own search."""
    reduced, scale = _reduced(frame)
    grey = cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY)
    boxes = [Box(*(edge / scale for edge in box)) for box in cascade.find_boxes(grey)]
    yield [refined_frame(frame, rough_frame(box)) for box in boxes[:MOST_BOXES]]
    scored: list[tuple[float, FaceFrame]] = []
    for proposal in propose_faces(grey, most=MOST_PROPOSALS):
        check()
        face = refined_frame(frame, proposal.frame.scaled(1 / scale))
        worth = quick_score(frame, face) + LIKENESS_WORTH * face_likeness(frame, face)
        scored.append((worth, face))
    scored.sort(key=lambda one: -one[0])
    yield [face for _, face in scored[:MOST_JUDGED]]


def _reduced(frame: np.ndarray) -> tuple[np.ndarray, float]:
    height, width = frame.shape[:2]
    scale = min(1.0, (SEARCH_PIXELS / (height * width)) ** 0.5)
    if scale == 1.0:
        return frame, scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA), scale


def _chosen(clear: list[JudgedLips], face_index: int, near: Box | None) -> JudgedLips:
    if near is None:
        return sorted(clear, key=lambda one: -one.frame.eye_distance)[face_index]
    x, y = (near.x0 + near.x1) / 2, (near.y0 + near.y1) / 2
    return min(clear, key=lambda one: np.hypot(one.frame.x - x, one.frame.y - y))


def _refusal(frame: np.ndarray, judged: list[JudgedLips], face_index: int) -> FaceLocation:
    clear = sum(one.confidence >= ACCEPT for one in judged)
    if face_index and clear:
        reason = f"face {face_index} was asked for, but only {clear} with clear lips found"
        return FaceLocation(None, None, 0.0, "none", reason)
    likeness = [face_likeness(frame, one.frame) for one in judged]
    if not judged or max(likeness) < FACE_LIKENESS:
        return FaceLocation(None, None, 0.0, "none", NO_FACE)
    best = judged[int(np.argmax(likeness))]
    reason = f"there may be a face, but {best.doubt}"
    return FaceLocation(best.frame.box, None, best.confidence, "none", reason)
