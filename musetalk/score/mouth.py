"""The mouth in its head, frame by frame: how far open it is and where it is, by the face mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..face.mesh_networks import EYE_CORNERS, FaceMesh

# Points that speech does not move: eye corners, the bridge of the nose, forehead, temples.
RIGID = (33, 133, 362, 263, 168, 6, 197, 10, 151, 9, 127, 356)
INNER_LIPS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))  # upper and lower ones
CORNERS = (61, 291)
LOWER_LIP, NOSE = (17, 84, 314, 14), 2  # its outer border and middle; where the nose ends
REST_PERCENT = 5  # of a video's openings: the mouth as shut as it gets
MOST_REST = 0.06  # mouth widths: the mesh reads 95 % of shut mouths below
SHUT = 0.03  # mouth widths over rest that still are shut
LEAST_MOTION = 0.012  # mouth widths between the 5th and 95th percentile; less is the mesh's noise
CUT = 0.15  # of the head's size from frame to frame: not the same take
LEAST_JITTER_FRAMES = 10
WHITE_NOISE = 6**0.5  # what a second difference makes of independent shakes


class _Row(NamedTuple):
    """One frame, in pixels of the first one's head; NaN without a face."""

    gap: float
    drop: float
    width: float
    middle: complex
    head: complex
    pose: complex


_NOTHING = _Row(*(3 * (np.nan,)), *(3 * (complex(np.nan, np.nan),)))


class MouthTrack:
    """Gathers the mouth of one face; a few numbers for every frame."""

    def __init__(self) -> None:
        self._reference: np.ndarray | None = None  # rigid points of the first face, upright
        self._rows: list[_Row] = []

    def add(self, mesh: FaceMesh | None) -> None:
        """Take the next frame's face, or that there is none."""
        if mesh is None:
            self._rows.append(_NOTHING)
            return
        points = mesh.points[:, 0] + 1j * mesh.points[:, 1]
        rigid = points[list(RIGID)]
        if self._reference is None:
            self._reference = _upright(rigid, points[list(EYE_CORNERS)])
        # The turn and scale that bring the first face's rigid points onto this one's.
        center = complex(rigid.mean())
        size = float(np.vdot(self._reference, self._reference).real)
        pose = complex(np.vdot(self._reference, rigid - center)) / max(size, 1e-6)
        own: np.ndarray = (points - center) / (pose if abs(pose) > 1e-6 else 1e-6)
        self._rows.append(_row(own, center, pose))

    def done(self) -> Mouth:
        rows = [np.array(column) for column in zip(*self._rows, strict=True)]
        gap, drop, width, middle, head, pose = rows
        seen = np.isfinite(width)
        whole = max(float(np.median(width[seen])), 1e-6) if seen.any() else 1.0
        size = 1.0
        if self._reference is not None:
            size = max(float(np.sqrt(np.mean(np.abs(self._reference) ** 2))), 1e-6)
        return Mouth(gap / whole, drop / whole, middle / whole, head / size, np.abs(pose))

    @property
    def frames(self) -> int:
        return len(self._rows)


def _upright(rigid: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """Return complex points (N,) turned until the eyes are level, around their middle."""
    across = complex(eyes[1] - eyes[0])
    turned = rigid * (abs(across) / across if across else 1)
    return turned - turned.mean()


def _row(own: np.ndarray, head: complex, pose: complex) -> _Row:
    """Return the numbers of one face, complex (478,), in the first one's head."""
    uppers, lowers = (list(points) for points in zip(*INNER_LIPS, strict=True))
    left, right = (complex(own[corner]) for corner in CORNERS)
    return _Row(
        gap=float(np.imag(own[lowers] - own[uppers]).mean()),
        drop=float(np.imag(own[list(LOWER_LIP)] - own[NOSE]).mean()),
        width=abs(right - left),
        middle=(left + right) / 2,
        head=head,
        pose=pose,
    )


@dataclass(frozen=True, eq=False)
class Mouth:
    """The mouth of one face in every frame; NaN where the face was not seen.

    opening: float64 (T,), the gap between the inner lips, in mouth widths.
    drop: float64 (T,), from the nose down to the lower lip, in mouth widths. It tells the time of
        a motion better than the gap, of which the mesh sees little before the lips are well apart.
    middle: complex (T,), where it is in the head, in mouth widths: x + iy.
    head: complex (T,), where the head is, in its own sizes.
    scale: float64 (T,), how large the head is against the first frame.
    """

    opening: np.ndarray
    drop: np.ndarray
    middle: np.ndarray
    head: np.ndarray
    scale: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        """Bool (T,)."""
        return np.isfinite(self.opening)

    @property
    def moves(self) -> bool:
        """Whether the mouth opens and shuts by more than the mesh's own noise."""
        low, high = np.percentile(self.opening[self.seen], [5, 95])
        return bool(high - low >= LEAST_MOTION)

    @property
    def rest(self) -> float:
        """How far open the mouth is when it is shut, in mouth widths."""
        return min(float(np.percentile(self.opening[self.seen], REST_PERCENT)), MOST_REST)

    def closure(self, silent: np.ndarray) -> float:
        """Return the share of the frames, bool (T,), in which the mouth is shut."""
        return float((self.opening[silent & self.seen] <= self.rest + SHUT).mean())

    def jitter(self) -> float | None:
        """Return the deviation of independent shakes, in mouth widths; None in too few frames."""
        bends = self.middle[2:] - 2 * self.middle[1:-1] + self.middle[:-2]
        jumps = np.abs(np.diff(self.head)) + np.abs(np.diff(np.log(self.scale)))
        still = np.isfinite(bends) & (np.maximum(jumps[1:], jumps[:-1]) < CUT)
        if still.sum() < LEAST_JITTER_FRAMES:
            return None
        return float(np.sqrt((np.abs(bends[still]) ** 2).mean() / 2)) / WHITE_NOISE
