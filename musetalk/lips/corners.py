"""The last step of a fit: each corner moved to where the lips' line and redness really end."""

from __future__ import annotations

import numpy as np

from .maps import PIXELS_PER_EYE, LipMaps
from .template import BOW, CX, CY, GAP, HALF, TILT, Grid

# Positions along the mouth in half widths from its middle: 1 is the template's corner.
OUTWARDS = np.linspace(0.5, 1.8, 53)
INSIDE = OUTWARDS <= 0.9  # the lips themselves, with which the rest is compared
SEARCHED = OUTWARDS > 0.8
BAND = np.arange(-5, 6) / PIXELS_PER_EYE  # e to either side of the line
VALLEY_LEFT = 0.5  # of the inside value: the line ends
RED_LEFT = 0.45
NEAREST, FURTHEST = 0.9, 1.4
# Where the true corner is, given both ends: least squares over some 260 mouths, most of which
# the template had made a little too narrow.
BASE, VALLEY_SHARE, RED_SHARE = 0.12, 0.56, 0.27


def with_exact_corners(maps: LipMaps, candidate: np.ndarray) -> np.ndarray:
    """Return the candidate with its corners moved along the line between them."""
    grid = Grid(maps.light.shape, candidate[None])
    left, right = (_corner(maps, grid, candidate, side) for side in (-1, 1))
    middle = (right - left) / 2 * candidate[HALF]
    moved = candidate.copy()
    moved[HALF] = candidate[HALF] * (left + right) / 2
    moved[CX] += np.cos(candidate[TILT]) * middle
    moved[CY] += np.sin(candidate[TILT]) * middle
    return moved


def _corner(maps: LipMaps, grid: Grid, candidate: np.ndarray, side: int) -> float:
    u = side * OUTWARDS
    line = (candidate[BOW] + candidate[GAP] / 2) * np.maximum(1 - u**2, 0)
    around = np.stack([grid.at(u, (line + step)[None])[0] for step in BAND])
    valley_end = _end(maps.valley.ravel()[around].max(0), VALLEY_LEFT)
    red_end = _end(maps.red.ravel()[around].max(0), RED_LEFT)
    return BASE + VALLEY_SHARE * valley_end + RED_SHARE * red_end


def _end(profile: np.ndarray, left: float) -> float:
    """Return where a profile first falls below that part of its inside value."""
    fallen = (profile < left * np.median(profile[INSIDE])) & SEARCHED
    end = OUTWARDS[fallen.argmax()] if fallen.any() else FURTHEST
    return float(np.clip(end, NEAREST, FURTHEST))
