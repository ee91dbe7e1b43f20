"""The mouth of one picture in numbers: its place, its lips along the mouth, its jaw.

The mouth's own frame: origin midway between the corners, x along the line between them, v at
right angles towards the chin. Measures are in widths of the mouth at rest unless they say
otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from ...media import LipShape

HIGHEST = 0.52  # gap that no mouth exceeds
LEAST_LIMIT = 0.3  # and that every mouth can reach
LIMIT_OF_CHIN = 0.62  # of the way from the lips to the chin: as far as the jaw lets them part
KNEE = 0.75  # of the limit: from here on wider gaps are drawn together under it
USUAL_CHIN = 1.02  # from the seam to the chin where it is not known
NEAREST_CHIN = 0.6
FURTHEST_CHIN = 1.6
CHIN = 152  # of the face mesh
CLOSED_GAP = 0.035  # the mesh reads this much on lips that touch
PARTED_GAP = 0.06  # from here on they are apart
BITE = 0.012  # of a parted lip is hidden: the borders are not known better
UNSURE_PIXELS = 0.5  # and no less of it
UPPER_CLOSES = (0.42, 0.12)  # share of the way that the upper lip goes when a gap is closed
SMALL_GAP, LARGE_GAP = 0.12, 0.4  # for these gaps; the jaw closes the larger one
WIDE_GAPS = (0.25, 0.5)  # own gaps between which a mouth begins to be straightened when it shuts
STRAIGHTER = 0.8  # of the arch of its upper lip comes from corners that the jaw has pulled down
SLANT_BLEND = 0.06  # deviation of the Gaussian on the slope of its lower lip
SHUT_ARCH = 0.8  # power of a parabola: no lower lip that shuts is higher towards its corners
STEEPEST_SLANT = 2.0  # of that slope
JAW_DEVIATION = 0.62  # of the Gaussian across the jaw
REACH = 1.1  # to either side; nothing moves further out
INNER_HALF = 0.94  # of the mouth's half: inside its corners the lips stay together
LENS_POWER = 2.4  # of the opening's outline, flatter than a parabola
TABLE_STEPS = 2048  # of the curves between -REACH and REACH


class MouthFrame(NamedTuple):
    """The mouth's place in the picture, in pixels: centre, unit vector along x, width at rest."""

    cx: float
    cy: float
    ux: float
    uy: float
    width: float

    @classmethod
    def of(cls, lips: LipShape, rest_width: float | None = None) -> MouthFrame:
        x0, y0, x1, y1 = (float(edge) for edge in lips.corners)
        own = float(lips.width)
        width = float(rest_width) if rest_width else own
        return cls((x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / own, (y1 - y0) / own, width)

    def to_mouth(self, px: np.ndarray, py: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return x and v of picture points."""
        dx, dy = (px - self.cx) / self.width, (py - self.cy) / self.width
        return dx * self.ux + dy * self.uy, dy * self.ux - dx * self.uy

    def to_picture(self, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture points of x and v."""
        return (
            self.cx + self.width * (x * self.ux - v * self.uy),
            self.cy + self.width * (x * self.uy + v * self.ux),
        )


class LipRows(NamedTuple):
    """The lips along x, float32 of one shape.

    seam: where the lips meet when they are shut; lens: outline of the opening, 0..1; slope: of
    that, without sign; jaw: share of the jaw's motion, 0..1; upper, lower: heights of the lips;
    over, under: how far the source's lips are from the seam; shut_lower: height of the lower lip
    when they are shut, which is less where it runs up to the corner of a wide open mouth; raised:
    how far the seam of such a mouth goes up towards its corners when it shuts.
    """

    seam: np.ndarray
    lens: np.ndarray
    slope: np.ndarray
    jaw: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    over: np.ndarray
    under: np.ndarray
    shut_lower: np.ndarray
    raised: np.ndarray


@dataclass(frozen=True, eq=False)
class LipTable:
    """The lips of one picture as functions of x, -REACH..REACH.

    half: of the mouth's width in the picture. own_gap: between the lips in the picture.
    lowered: how far the lower lip is from the seam there.
    chin: of the jaw's lowest point, v. limit: of the gap that can be reached.
    """

    rows: np.ndarray
    half: float
    own_gap: float
    lowered: float
    chin: float
    limit: float

    @classmethod
    def of(
        cls,
        lips: LipShape,
        mouth: MouthFrame,
        points: np.ndarray | None = None,
    ) -> LipTable:
        """Read lips, and the chin of a face mesh's points (478, 2) in pixels."""
        scale = lips.width / mouth.width
        x = np.linspace(-REACH, REACH, TABLE_STEPS)
        own = np.linspace(-scale / 2, scale / 2, lips.curves.shape[1])
        curves: list[np.ndarray] = [np.interp(x, own, curve * scale) for curve in lips.curves]
        outer_up, inner_up, inner_low, outer_low = curves
        gap = np.maximum(inner_low - inner_up, 0)
        widest = float(gap.max())
        apart = _parted_share(widest, parted=lips.parted)
        gap = gap * apart
        share = np.interp(widest, (SMALL_GAP, LARGE_GAP), UPPER_CLOSES)
        bite = max(BITE, UNSURE_PIXELS / mouth.width) * np.minimum(gap / PARTED_GAP, 1)
        seam = inner_low - (1 - share) * gap
        over, under = share * gap + bite, (1 - share) * gap + bite
        lens = 1 - np.minimum(np.abs(x) / (INNER_HALF * scale / 2), 1) ** LENS_POWER
        jaw = np.exp(-0.5 * (x / JAW_DEVIATION) ** 2)
        upper = np.maximum(seam - over - outer_up, 0)
        lower = np.maximum(outer_low - seam - under, 0)
        slope = np.abs(np.gradient(lens, x))
        wide = float(np.interp(widest * apart, WIDE_GAPS, (0, 1)))
        shut_lower = lower / (1 + wide * (_stretched(under, x) - 1))
        arch = np.maximum(1 - (2 * x / scale) ** 2, 0) ** SHUT_ARCH
        lump = np.maximum(shut_lower - float(shut_lower[TABLE_STEPS // 2]) * arch, 0)
        shut_lower = shut_lower - wide * lump
        middle = float(seam[TABLE_STEPS // 2])
        raised = wide * STRAIGHTER * np.maximum(seam - middle, 0)
        lips_rows = seam, lens, slope, jaw, upper, lower, over, under, shut_lower, raised
        rows = np.array(lips_rows, np.float32)
        below = _chin_below(mouth, points, middle, float(gap.max()))
        limit = min(max(LIMIT_OF_CHIN * below, LEAST_LIMIT), HIGHEST)
        own_gap, lowered = float(gap.max()), float((1 - share) * gap.max())
        return cls(rows, scale / 2, own_gap, lowered, middle + below, limit)

    def at(self, x: np.ndarray) -> LipRows:
        """Return the rows at x, float32 in x's shape."""
        index = (x + REACH) * ((TABLE_STEPS - 1) / (2 * REACH)) + 0.5
        index = index.astype(np.int32)
        return LipRows(*(row.take(index, mode="clip") for row in self.rows))

    def reached(self, opening: float) -> float:
        """Return the gap that a mouth of these proportions makes of an opening asked for."""
        knee = KNEE * self.limit
        opening = min(max(opening, 0.0), HIGHEST)
        if opening <= knee or self.limit >= HIGHEST:
            return opening
        return knee + (opening - knee) * (self.limit - knee) / (HIGHEST - knee)


def _parted_share(gap: float, *, parted: bool) -> float:
    """Return the share of a gap that is one: 0 for lips that touch."""
    if parted:
        return 1.0
    return min(max((gap - CLOSED_GAP) / (PARTED_GAP - CLOSED_GAP), 0.0), 1.0)


def _stretched(edge: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return how much higher than thick a lip is along its edge (k,), which is at x."""
    reach = round(3 * SLANT_BLEND / (x[1] - x[0]))
    kernel = np.exp(-0.5 * (np.linspace(-3, 3, 2 * reach + 1)) ** 2)
    padded = np.pad(edge, reach, mode="edge")
    slope = np.gradient(np.convolve(padded, kernel / kernel.sum(), mode="valid"), x)
    return np.hypot(1, np.minimum(np.abs(slope), STEEPEST_SLANT))


def _chin_below(mouth: MouthFrame, points: np.ndarray | None, seam: float, own_gap: float) -> float:
    """Return how far the chin is under the seam when the lips are shut."""
    if points is None:
        return USUAL_CHIN
    _, chin = mouth.to_mouth(*points[CHIN])
    return min(max(float(chin) - seam - own_gap / 2, NEAREST_CHIN), FURTHEST_CHIN)


def nearest_pixels(
    frame: np.ndarray, mouth: MouthFrame, x: np.ndarray, v: np.ndarray
) -> np.ndarray:
    """Return the pixels (k, m, 3) at x (m,) and v (k, m), the nearest inside the picture."""
    px, py = mouth.to_picture(np.broadcast_to(x, v.shape), v)
    height, width = frame.shape[:2]
    columns = np.clip(np.rint(px).astype(int), 0, width - 1)
    rows = np.clip(np.rint(py).astype(int), 0, height - 1)
    return frame[rows, columns].astype(np.float32)


def grid_step(mouth: MouthFrame, nodes_per_width: int) -> int:
    """Return the spacing of the coarse grid in pixels."""
    return max(1, round(mouth.width / nodes_per_width))


def enlarged(field: np.ndarray, step: int) -> np.ndarray:
    """Return a coarse field for every pixel: float32 (h x step, w x step)."""
    if step == 1:
        return field
    height, width = field.shape
    return cv2.resize(field, (width * step, height * step), interpolation=cv2.INTER_LINEAR)
