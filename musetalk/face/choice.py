"""Which of several faces speaks, and where that person is in the next frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..networks.s3fd import ScoredBox


@dataclass(frozen=True)
class FaceChoice:
    """Which of several faces: the one nearest to ``point``, else number ``index`` by size from 0.

    reach: how far the point may lie from the face's center, in sides of the face.
    """

    index: int = 0
    point: tuple[float, float] | None = None
    reach: float = 0.5


class FaceFollower:
    """Chooses one of the detected faces and stays with it."""

    def __init__(self, choice: FaceChoice) -> None:
        self._choice = choice
        self._last: ScoredBox | None = None

    def has_to_choose(self, faces: list[ScoredBox]) -> bool:
        """Say whether nobody was chosen yet, and these faces leave open who it is."""
        return self._last is None and (len(faces) > 1 or self._choice != FaceChoice())

    def choose(self, faces: list[ScoredBox]) -> ScoredBox | None:
        """Return this frame's box of the person, or None where only others are seen."""
        chosen = self._first(faces) if self._last is None else self._next(faces, self._last)
        self._last = chosen or self._last
        return chosen

    def carry_on(self, face: ScoredBox) -> None:
        """Take over where the person is now, known without the detector."""
        self._last = face

    def _first(self, faces: list[ScoredBox]) -> ScoredBox | None:
        if self._choice.point is not None:
            return nearest_face(faces, self._choice.point, within=self._choice.reach)
        by_size = sorted(faces, key=_area, reverse=True)
        return by_size[self._choice.index] if self._choice.index < len(by_size) else None

    def _next(self, faces: list[ScoredBox], last: ScoredBox) -> ScoredBox | None:
        near = nearest_face(faces, face_center(last), within=1.0, size=_side(last))
        if near is None and self._choice == FaceChoice():
            # Nobody was chosen on purpose: after a cut the largest face is as good as at the start.
            return max(faces, key=_area, default=None)
        return near


def nearest_face(
    faces: list[ScoredBox], point: tuple[float, float], *, within: float, size: float = 0.0
) -> ScoredBox | None:
    """Return the face whose center is nearest, if not further than ``within`` sides of a face."""

    def distance(face: ScoredBox) -> float:
        return math.dist(face_center(face), point)

    best = min(faces, key=distance, default=None)
    near = best is not None and distance(best) <= within * max(_side(best), size)
    return best if near else None


def face_center(face: ScoredBox) -> tuple[float, float]:
    return (face.x0 + face.x1) / 2, (face.y0 + face.y1) / 2


def _side(face: ScoredBox) -> float:
    return max(face.x1 - face.x0, face.y1 - face.y0)


def _area(face: ScoredBox) -> float:
    return (face.x1 - face.x0) * (face.y1 - face.y0)
