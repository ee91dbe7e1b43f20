"""Lips followed through a video: the head by points on it, the mouth by a search near the last."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ...media import Box, FaceLocation, LipShape
from .frame import FaceFrame
from .held_corners import frame_of_mouth
from .maps import make_lip_maps
from .motion import KeyView
from .shape import U, lip_shape
from .template import (
    AT_REST,
    BOW,
    CX,
    GAP,
    HALF,
    LEAST,
    LOWER,
    MOST,
    TILT,
    UPPER,
    WEIGHTS,
    LipFit,
    Search,
    fit_lips,
    score_terms,
    weight_vector,
)

STEP_SPREAD = np.array([0.012, 0.02, 0.015, 0.01, 0.012, 0.01, 0.015, 0.03])  # e, between frames
NEAR_LAST = Search(STEP_SPREAD, first=160, rounds=2, per_round=90)
KEPT_CORNERS = replace(NEAR_LAST, spread=np.where(np.arange(8) < BOW, 0.0, STEP_SPREAD))
LEAST_SCORE_LEFT = 0.55  # of the first frame's score, below it the mouth is hidden
LONGEST_WAIT = 25  # frames between two full searches while the face is lost
STILL_HEAD = 0.002  # e, radians and log size: the same for the head
LOST = FaceLocation(None, None, 0.0, "none", "the lips were lost in this frame")
STILL = 0.01  # mouth widths: smaller changes are mostly noise and are smoothed hardest


@dataclass(frozen=True, eq=False)
class _Sighting:
    """The face of the last frame with lips and its mouth in the face's coordinates."""

    face: FaceFrame
    candidate: np.ndarray
    curves: np.ndarray
    parted: bool


class LipTracker:
    """Follows one mouth through a video from ``location``, found in its first frame.

    search: looks for lips that were lost in a frame, closest to where the face was last.
    begins: the last frame's lips do not go on from the frame before.
    skipped: frames just before the last one in which lost lips were not searched for.
    """

    def __init__(
        self,
        frame: np.ndarray,
        location: FaceLocation,
        search: Callable[[np.ndarray, Box | None], FaceLocation],
    ) -> None:
        self._last = location
        self._search = search
        self._sighting: _Sighting | None = None
        self._lost_for, self._searched_at, self._search_at = 0, 0, 1
        self.begins, self.skipped = True, 0
        if location.lips is not None:
            self._start(frame, location, location.lips)

    def follow(self, frame: np.ndarray) -> FaceLocation:
        """Return the face in the next frame; its ``lips`` are None while they are lost."""
        self.skipped = 0
        followed = self._follow_face(frame)
        self.begins = followed is None
        self._last = followed or self._search_again(frame)
        return self._last

    def alone_from(self, frame: np.ndarray, known: FaceLocation) -> LipTracker:
        """Return one that follows the same lips from this frame and never searches for them."""
        return LipTracker(frame, known, lambda frame, near: LOST)

    def _start(self, frame: np.ndarray, location: FaceLocation, lips: LipShape) -> None:
        face = frame_of_mouth(lips.corners)
        candidate = _candidate_of(lips)
        self._method, self._confidence = location.method, location.confidence
        self._first_key = self._recent = KeyView.of(frame, face)
        self._on_first_key = True
        terms = score_terms(make_lip_maps(frame, face), candidate[None])[0]
        self._key_score = float(terms @ weight_vector(WEIGHTS))
        self._sighting = _Sighting(face, candidate, lips.curves.astype(float), lips.parted)
        self._lost_for, self._searched_at, self._search_at = 0, 0, 1

    def _follow_face(self, frame: np.ndarray) -> FaceLocation | None:
        last = self._sighting
        face = None if last is None else self._find_face_again(frame, last.face)
        if last is None or face is None:
            return None
        maps = make_lip_maps(frame, face)
        search = KEPT_CORNERS if self._method == "user" else NEAR_LAST
        fit = fit_lips(maps, start=last.candidate, search=search)
        if fit.score < LEAST_SCORE_LEFT * self._key_score:
            return None
        candidate = _smoothed(last.candidate, fit.candidate, STILL * fit.width)
        steady = LipFit(candidate, fit.terms, fit.score)
        lips = lip_shape(maps, face, steady, was_parted=last.parted)
        curves = _smoothed(last.curves, lips.curves.astype(float), STILL)
        self._sighting = _Sighting(face, candidate, curves, lips.parted)
        if not self._on_first_key:
            self._recent = KeyView.of(frame, face)
        lips = LipShape(lips.corners, curves.astype(np.float32), lips.parted)
        self._lost_for, self._searched_at, self._search_at = 0, 0, 1
        reason = "lips followed from the frame before"
        return FaceLocation(face.box, lips, self._confidence, self._method, reason)

    def _find_face_again(self, frame: np.ndarray, last: FaceFrame) -> FaceFrame | None:
        """Compare with the first view, which never drifts; where that fails, with the last one."""
        face = self._first_key.find_again(frame, last)
        self._on_first_key = face is not None
        if face is None:
            face = self._recent.find_again(frame, last)
        return _smoothed_face(last, face) if face is not None else None

    def _search_again(self, frame: np.ndarray) -> FaceLocation:
        self._lost_for += 1
        if self._lost_for >= self._search_at:
            self.skipped = self._lost_for - 1 - self._searched_at
            self._searched_at = self._lost_for
            self._search_at = self._lost_for + min(self._lost_for, LONGEST_WAIT)
            found = self._search(frame, self._last.box)
            if found.lips is not None:
                self._start(frame, found, found.lips)
                return found
        return replace(LOST, box=self._last.box)


def _candidate_of(lips: LipShape) -> np.ndarray:
    """Return the template's numbers for an outline, in the frame of ``frame_of_mouth``."""
    width = 2 * AT_REST[HALF]
    upper, inner, lower_inner, lower = lips.curves.astype(float) * width
    arch = 1 - U**2

    def height(values: np.ndarray, power: float) -> float:
        return float((values * arch**power).sum() / (arch ** (2 * power)).sum())

    candidate = AT_REST.copy()
    candidate[[CX, TILT]] = 0
    candidate[BOW] = height(inner, 1.0)
    candidate[UPPER] = height(inner - upper, 0.8)
    candidate[GAP] = height(lower_inner - inner, 0.8)
    candidate[LOWER] = height(lower - lower_inner, 0.65)
    free = np.arange(len(candidate)) >= BOW
    return np.where(free, np.clip(candidate, LEAST, MOST), candidate)


def _smoothed(before: np.ndarray, now: np.ndarray, still: float) -> np.ndarray:
    """Take over large changes at once and small ones slowly, each number by itself."""
    change = np.abs(now - before)
    share = np.clip(change / (4 * still), 0.2, 1.0)
    return before + share * (now - before)


def _smoothed_face(before: FaceFrame, now: FaceFrame) -> FaceFrame:
    unit = before.eye_distance
    one = np.array([before.x / unit, before.y / unit, math.log(unit), before.tilt])
    other = np.array([now.x / unit, now.y / unit, math.log(now.eye_distance), now.tilt])
    x, y, size, tilt = (float(value) for value in _smoothed(one, other, STILL_HEAD))
    return FaceFrame(x * unit, y * unit, math.exp(size), tilt)
