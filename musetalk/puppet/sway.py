"""A head that sways a little: the face moves, what is far from it stays where it is."""

from __future__ import annotations

import math
from fractions import Fraction

import cv2
import numpy as np

from ...media import Box
from .easing import eased

SIDEWAYS, UPRIGHT = 0.003, 0.0022  # furthest way in face widths
TURN = (
    0.0028  # furthest turn about the neck, radians: at the forehead half a hundredth of the width
)
WAVES = ((0.07, 0.13), (0.16, 0.24), (0.28, 0.38))  # Hz, the range of each wave
WAVE_SHARES = (0.5, 0.32, 0.18)
BEGINS_OVER = 1.5  # seconds in which the sway grows from nothing
HEAD = (0.85, 1.15)  # half axes of what moves whole, in face widths,
HEAD_ABOVE = 0.15  # around a point so far above the face's middle
NECK_BELOW = 0.3  # face widths under the chin is what the head turns about
FADES_OVER = 1.0  # beyond them, in face widths
EDGE = 0.08  # of the picture's shorter side: at its edges nothing moves
STEP = 8  # pixels between the nodes of the coarse grid
CUBIC_WIDTH = 160  # pixels: wider faces stay sharp enough with the faster kernel
CHEEKS, CHIN, FOREHEAD = (234, 454), 152, 10  # points of the mesh


def sway_offsets(random: np.random.Generator, count: int, rate: Fraction) -> np.ndarray:
    """Return float32 (T, 3): the way in face widths x and y, and the turn in radians."""
    seconds = np.arange(count) / float(rate)
    grown = eased(seconds / BEGINS_OVER)
    ways: list[np.ndarray] = []
    for furthest in (SIDEWAYS, UPRIGHT, TURN):
        phases = [random.uniform(*wave) * seconds + random.uniform() for wave in WAVES]
        waves = [
            share * np.sin(2 * math.pi * phase)
            for share, phase in zip(WAVE_SHARES, phases, strict=True)
        ]
        ways.append(furthest * grown * np.sum(waves, axis=0))
    return np.stack(ways, axis=1).astype(np.float32)


class Sway:
    """How far each part of a picture follows a swaying head.

    points: of the face mesh (478, 2), pixels. size: of the picture, width and height.
    region: all that moves, in whole pixels. What is smooth is computed on a coarse grid.
    """

    def __init__(self, points: np.ndarray, size: tuple[int, int]) -> None:
        self._unit = math.dist(*points[list(CHEEKS)])
        chin, forehead = points[CHIN], points[FOREHEAD]
        up = (forehead - chin) / max(math.dist(forehead, chin), 1e-6)
        middle = (chin + forehead) / 2 + HEAD_ABOVE * self._unit * up
        neck = chin - NECK_BELOW * self._unit * up
        x, y = (np.arange(-(-side // STEP)) * STEP + (STEP - 1) / 2 for side in size)
        x, y = x[None, :], y[:, None]
        follows = _following(x - middle[0], y - middle[1], up, self._unit)
        away = np.minimum(np.minimum(x, size[0] - 1 - x), np.minimum(y, size[1] - 1 - y))
        follows *= eased((away - STEP) / (EDGE * min(size)))
        rows, columns = (_span(follows.max(axis=axis) > 0) for axis in (1, 0))
        turned = follows * (neck[1] - y), follows * (x - neck[0])
        parts = (follows, *turned)
        self._follows, *self._turned = (part[rows, columns].astype(np.float32) for part in parts)
        self.region = Box(
            columns.start * STEP,
            rows.start * STEP,
            min(columns.stop * STEP, size[0]),
            min(rows.stop * STEP, size[1]),
        )
        x0, y0, x1, y1 = (int(edge) for edge in self.region)
        shape = (y1 - y0, x1 - x0)
        self._x = np.broadcast_to(np.arange(x0, x1, dtype=np.float32), shape).copy()
        self._y = np.broadcast_to(np.arange(y0, y1, dtype=np.float32)[:, None], shape).copy()
        is_small = self._unit <= CUBIC_WIDTH
        self._kernel = cv2.INTER_CUBIC if is_small else cv2.INTER_LINEAR

    def moved(self, picture: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Return the picture, uint8 (H, W, 3), with the head moved by one of ``sway_offsets``."""
        right, down, turn = (float(value) for value in offset)
        x = self._from(self._x, right * self._unit * self._follows + turn * self._turned[0])
        y = self._from(self._y, down * self._unit * self._follows + turn * self._turned[1])
        x0, y0, x1, y1 = (int(edge) for edge in self.region)
        swayed = picture.copy()
        cv2.remap(picture, x, y, self._kernel, swayed[y0:y1, x0:x1], cv2.BORDER_REPLICATE)
        return swayed

    def _from(self, places: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """Return where the region's pixels come from. moved: along one axis, on the grid."""
        height, width = moved.shape
        fine = cv2.resize(-moved, (width * STEP, height * STEP), interpolation=cv2.INTER_LINEAR)
        return cv2.add(places, fine[: places.shape[0], : places.shape[1]])


def _following(dx: np.ndarray, dy: np.ndarray, up: np.ndarray, unit: float) -> np.ndarray:
    """Return 1 for the head .. 0 far from it, by the way from its middle in pixels."""
    across = (dx * up[1] - dy * up[0]) / (HEAD[0] * unit)
    along = (dx * up[0] + dy * up[1]) / (HEAD[1] * unit)
    return eased(1 - (np.hypot(across, along) - 1) / FADES_OVER)


def _span(flags: np.ndarray) -> slice:
    """Return from the first to the last that is set, with one beside each."""
    places = np.flatnonzero(flags)
    if not places.size:
        return slice(0, 1)
    return slice(max(int(places[0]) - 1, 0), min(int(places[-1]) + 2, flags.size))
