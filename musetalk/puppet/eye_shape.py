"""Where an eye and its lids are in a picture, by the face mesh's points.

An eye's own frame: origin at one corner, x along the line to the other one, v at right angles
towards the cheek, both in eye widths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

LEAST_REACH, MOST_REACH = 0.15, 0.6  # of the skin that moves above the upper lid, in eye widths
OF_BROW = 0.65  # the share of the way to the middle of the brow that moves
REACH_BELOW = 0.35  # of the skin that moves below the lower lid
BESIDE = 0.15  # beyond the corners lashes change
OUTWARD = 0.06  # the white of an eye ends this far beyond the mesh's outer corner
TABLE_STEPS = 257
SMOOTHING = 0.04  # of the lids' curves, deviation in eye widths


class EyePoints(NamedTuple):
    """Numbers of one eye's points in the mesh, from the picture's left to its right.

    brow: its lower border. is_outer_first: the first corner is the one at the temple.
    """

    corners: tuple[int, int]
    upper: tuple[int, ...]
    lower: tuple[int, ...]
    brow: tuple[int, ...]
    is_outer_first: bool


EYES = (
    EyePoints(
        (33, 133),
        (246, 161, 160, 159, 158, 157, 173),
        (7, 163, 144, 145, 153, 154, 155),
        (46, 53, 52, 65, 55),
        True,
    ),
    EyePoints(
        (362, 263),
        (398, 384, 385, 386, 387, 388, 466),
        (382, 381, 380, 374, 373, 390, 249),
        (285, 295, 282, 283, 276),
        False,
    ),
)


@dataclass(frozen=True, eq=False)
class EyeShape:
    """One eye's place and lids.

    origin, axis: float64 (2,), the first corner and the unit vector to the second. width: pixels.
    rows: float32 (3, TABLE_STEPS) over x 0..1: the upper lid's edge, the lower one's, and how far
        above the upper one its skin moves; in eye widths.
    """

    origin: np.ndarray
    axis: np.ndarray
    width: float
    rows: np.ndarray
    is_outer_first: bool

    @classmethod
    def of(cls, points: np.ndarray, eye: EyePoints) -> EyeShape:
        """Return the eye in a mesh's points (478, 2), pixels."""
        first, second = points[eye.corners[0]], points[eye.corners[1]]
        if eye.is_outer_first:
            first = first + OUTWARD * (first - second)
        else:
            second = second + OUTWARD * (second - first)
        width = max(math.dist(first, second), 1e-6)
        axis = (second - first) / width
        normal = np.array([-axis[1], axis[0]])

        def curve(own: np.ndarray) -> np.ndarray:
            own = (own - first) / width
            along, down = own @ axis, own @ normal
            order = np.argsort(along)
            return np.interp(np.linspace(0, 1, TABLE_STEPS), along[order], down[order])

        upper, lower = (
            _smoothed(curve(np.vstack([first, points[list(lid)], second])))
            for lid in (eye.upper, eye.lower)
        )
        brow = _smoothed(curve(points[list(eye.brow)]))
        reach = np.clip(OF_BROW * (upper - brow), LEAST_REACH, MOST_REACH)
        rows = np.array([upper, np.maximum(lower, upper), reach], np.float32)
        return cls(first, axis, width, rows, eye.is_outer_first)

    @property
    def gap(self) -> float:
        """How far the lids are apart, in eye widths."""
        return float((self.rows[1] - self.rows[0]).max())

    def at(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the three rows at x, float32 in x's shape."""
        index = (np.clip(x, 0, 1) * (TABLE_STEPS - 1) + 0.5).astype(np.int32)
        return [row.take(index) for row in self.rows]

    def to_eye(self, px: np.ndarray, py: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x and v of picture points."""
        dx, dy = (px - self.origin[0]) / self.width, (py - self.origin[1]) / self.width
        return dx * self.axis[0] + dy * self.axis[1], dy * self.axis[0] - dx * self.axis[1]

    def to_picture(self, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture points of x and v."""
        return (
            self.origin[0] + self.width * (x * self.axis[0] - v * self.axis[1]),
            self.origin[1] + self.width * (x * self.axis[1] + v * self.axis[0]),
        )

    def outline(self) -> tuple[np.ndarray, np.ndarray]:
        """Return picture points x and y round everything that the lids change."""
        upper, lower, reach = self.rows
        top, bottom = float((upper - reach).min()), float(lower.max()) + REACH_BELOW
        corners = np.array([(x, v) for x in (-BESIDE, 1 + BESIDE) for v in (top, bottom)])
        return self.to_picture(corners[:, 0], corners[:, 1])


def _smoothed(curve: np.ndarray) -> np.ndarray:
    """Return a curve without kinks whose ends stay where they are."""
    straight = np.linspace(float(curve[0]), float(curve[-1]), curve.size)
    sigma = SMOOTHING * curve.size
    reach = round(3 * sigma)
    away: np.ndarray = curve - straight
    odd = np.concatenate([-away[reach:0:-1], away, -away[-2 : -reach - 2 : -1]])
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.convolve(odd, kernel / kernel.sum(), mode="valid") + straight
