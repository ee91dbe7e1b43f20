"""The automatic search: candidates for a face, each confirmed or refused by the lip template."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

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
FACE_LIKENESS = 0.40  # above it a place may be a face although its lips are not clear
CASCADE_LIKENESS = 0.2  # the same where OpenCV's cascade saw it, which errs seldom
NO_FACE = "no face was found in the picture"
SAME_FACE = 0.7  # e between two candidates for one face
# When a refused candidate elsewhere keeps a clear one from being taken: the cascade saw it and it
# is larger, or it looks more like a face and is not much smaller. Of 97 pictures this refuses two,
# in which the lips of the second person had been taken.
ELSEWHERE = 1.5  # e
BETTER_LIKENESS = 0.05
LEAST_SIZE = 0.7


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
    judged: list[Candidate] = []
    for is_cascades, candidates in zip((True, False), _candidates(frame, check), strict=True):
        known = [one.lips.frame for one in judged if one.lips.confidence > 0]
        for face in candidates:
            if all(face.distance_to(other) > SAME_FACE for other in known):
                check()
                judged.append(Candidate(judge_lips(frame, face), is_cascades))
        clear = [one for one in judged if one.is_clear]
        if face_index < len(clear):
            best = _chosen(clear, face_index, near)
            better = [one for one in judged if keeps_from(one, best)]
            return _refusal(better, face_index) if better else _accepted(best.lips)
    return _refusal(judged, face_index)


class Candidate(NamedTuple):
    """A place that was judged, and whether it is one of OpenCV's cascade."""

    lips: JudgedLips
    is_cascades: bool

    @property
    def is_clear(self) -> bool:
        return self.lips.confidence >= ACCEPT

    @property
    def likeness(self) -> float:
        return self.lips.measures["likeness"]

    @property
    def is_face(self) -> bool:
        return self.is_cascades and self.likeness >= CASCADE_LIKENESS


def _accepted(best: JudgedLips) -> FaceLocation:
    lips = lip_shape(best.maps, best.frame, best.fit)
    reason = f"lips found without the face mesh, confidence {best.confidence:.2f}"
    return FaceLocation(best.frame.box, lips, best.confidence, "template", reason)


def keeps_from(refused: Candidate, best: Candidate) -> bool:
    """Say whether a refused face looks better than the best of the clear ones elsewhere."""
    one, other = refused.lips.frame, best.lips.frame
    if refused.is_clear or one.distance_to(other) <= ELSEWHERE:
        return False
    is_larger = one.eye_distance > other.eye_distance
    if refused.is_face and (is_larger or not best.is_cascades):
        return True
    looks_better = refused.likeness > best.likeness + BETTER_LIKENESS
    return looks_better and one.eye_distance >= LEAST_SIZE * other.eye_distance


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


def _chosen(clear: list[Candidate], face_index: int, near: Box | None) -> Candidate:
    if near is None:
        return sorted(clear, key=lambda one: -one.lips.frame.eye_distance)[face_index]
    x, y = (near.x0 + near.x1) / 2, (near.y0 + near.y1) / 2
    return min(clear, key=lambda one: math.hypot(one.lips.frame.x - x, one.lips.frame.y - y))


def _refusal(judged: list[Candidate], face_index: int) -> FaceLocation:
    """Say whether no face was seen, or a face without readable lips and why they are not."""
    clear = sum(one.is_clear for one in judged)
    if face_index and clear:
        reason = (
            f"face {face_index} was asked for and only {clear} with clear lips found (counting "
            "from zero)"
        )
        return FaceLocation(None, None, 0.0, "none", reason)
    best = max(judged, key=lambda one: (one.is_face, one.likeness), default=None)
    if best is None or not (best.is_face or best.likeness >= FACE_LIKENESS):
        return FaceLocation(None, None, 0.0, "none", NO_FACE)
    sight = "a face" if best.is_face else "what may be a face"
    reason = f"{sight} was seen whose lips cannot be read: {best.lips.doubt}"
    return FaceLocation(best.lips.frame.box, None, best.lips.confidence, "none", reason)
