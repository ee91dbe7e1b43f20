"""Where every pixel of a posed mouth comes from: lips, chin and cheeks.

Displacements are smooth on either side of the mouth line, so they are computed on a coarse grid
and enlarged; where the lips part the grid is finer. Measures are in widths of the mouth at rest, in
the frame of ``MouthFrame``, unless they say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .easing import eased
from .lip_table import HIGHEST, REACH, LipRows, LipTable, MouthFrame
from .pose import MouthPose

UPPER_SHARE = 0.16  # of the gap is made by the upper lip going up
CLOSING = 1.25  # of a closure: nearly pressed lips touch
NARROWEST, WIDEST = 0.62, 1.12  # poses are kept between
CORNERS_SINK = 0.3  # of the opening: the corners go down with the jaw
ROUNDER = 3.0  # the outline is pointed at both ends in small gaps and becomes round in wide ones:
ROUNDEST = -0.6  # by so much for each mouth width of the gap, and to this
SLANTED = 0.6  # share of a border's slope that its lip has, too
STEEPEST = 1.5  # how much taller a lip gets where its border is steep
THICKER = 0.25  # share of a mouth's narrowing that its lips gain in height
JAW_SHARE = 0.62  # of the lower lip's way is made by the chin
JAW_BLEND = 0.55  # below the lip its lens shape has become the jaw's
NECK = 0.85  # below the chin the motion has died out
CHIN_ROOM = 0.12  # below the chin nothing is held back yet
JAW_EDGE = 2.0  # how steeply the motion ends beside the jaw
EDGE_ROOM = 2.0  # times a raised jaw's way: so near the picture's last row it is held back
UPPER_FADE = 0.32  # above the upper lip
TUCK_RISE = 0.035  # of the upper lip at full tuck
TUCK_HIDDEN = 0.3  # of the lower lip's height under the teeth at full tuck
TUCK_HEIGHT = 0.82  # of the lower lip's height at full tuck
SIDE_ABOVE = 0.5  # sideways motion has died out here above the mouth, short of the nose
SIDE_BELOW = 0.8  # and here below it
GRID_PER_WIDTH = 40  # nodes of the coarse grid per mouth width
FINE_PER_WIDTH = 100  # and of the one where the lips part: the opening's corners are pointed


class Fields(NamedTuple):
    """One posed mouth on the coarse grid, float32 (h, w) each.

    along: displacement along x (add to get the source); above, below: displacement along v for
    the upper and lower side of the opening; depth: how far under the upper edge of the opening;
    gap: height of the opening; rise: how far the upper lip is above the shut seam; own: how far the
    lips are apart in the picture.
    """

    along: np.ndarray
    above: np.ndarray
    below: np.ndarray
    depth: np.ndarray
    gap: np.ndarray
    rise: np.ndarray
    own: np.ndarray


@dataclass(frozen=True, eq=False)
class WarpGrid:
    """A coarse grid over a part of the picture; nodes sit in the middle of ``step`` pixels.

    x, v: float32 (h, w), the nodes in the mouth's frame. rows: of the table at x. near: 1 between
    the corners, 0 where nothing moves sideways. jaw, lip: 1 where the lower and upper side move
    freely, 0 where nothing may move.
    """

    table: LipTable
    x: np.ndarray
    v: np.ndarray
    rows: LipRows
    near: np.ndarray
    jaw: np.ndarray
    lip: np.ndarray

    @classmethod
    def over(
        cls,
        mouth: MouthFrame,
        table: LipTable,
        *,
        origin: tuple[int, int],
        size: tuple[int, int],
        step: int,
        height: int,
    ) -> WarpGrid:
        """Make the grid over the pixels from ``origin`` (x, y), ``size`` (w, h) in nodes.

        height: of the picture: a jaw that is raised takes no pixels from under its last row.
        """
        px = origin[0] + step * np.arange(size[0], dtype=np.float32) + (step - 1) / 2
        py = origin[1] + step * np.arange(size[1], dtype=np.float32) + (step - 1) / 2
        x, v = (field.astype(np.float32) for field in mouth.to_mouth(px[None, :], py[:, None]))
        rows = table.at(x)
        beside = eased(JAW_EDGE * (1 - (x / REACH) ** 2))
        jaw = beside * (1 - eased((v - table.chin - CHIN_ROOM) / NECK))
        rise = JAW_SHARE * table.lowered * mouth.width
        if rise > 0:
            left = height - 1 - py[:, None]
            under_lip = left + (v - rows.seam - rows.lower) * mouth.width
            jaw = jaw * eased(left / np.clip(under_lip, 1, EDGE_ROOM * rise + 1))
        top = rows.seam - rows.over - rows.upper
        lip = 1 - eased((top - v) / UPPER_FADE)
        near = eased(_nearness(x, v - rows.seam)).astype(np.float32)
        return cls(table, x, v, rows, near, jaw, lip)

    def part(self, nodes: tuple[slice, slice]) -> WarpGrid:
        """Return some rows and columns of the grid: views."""
        cut = (each[nodes] for each in (self.x, self.v, self.near, self.jaw, self.lip))
        x, v, near, jaw, lip = cut
        rows = LipRows(*(row[nodes] for row in self.rows))
        return WarpGrid(self.table, x, v, rows, near, jaw, lip)

    def support(self) -> np.ndarray:
        """Return float32 (h, w): above 0 where any pose may move something."""
        below = np.where(self.v > self.rows.seam - TUCK_RISE, self.jaw, 0)
        above = np.where(np.abs(self.x) < max(self.table.half, WIDEST / 2), self.lip, 0)
        return np.maximum(np.maximum(below, above), self.near)

    def lips(self) -> np.ndarray:
        """Return bool (h, w): the lips, in any pose, and what lies between them."""
        rows = self.rows
        near = self.v > rows.seam - rows.over - rows.upper - HIGHEST / 5
        near &= self.v < rows.seam + rows.under + rows.lower + self.table.limit
        return near & (np.abs(self.x) < max(self.table.half, WIDEST / 2))

    def posed(self, pose: MouthPose) -> Fields:
        """Return the displacements for one pose."""
        opening, width, tuck = self.kept(pose)
        half = width / 2
        ratio = self.table.half / half
        along = (ratio - 1) * np.clip(self.x, -half, half) * self.near
        x = self.x + along
        rows = self.table.at(x)
        sharpness = max(1 - ROUNDER * opening, ROUNDEST)
        gap = opening * rows.lens * (1 - sharpness * (1 - rows.lens))
        rise = UPPER_SHARE * gap + TUCK_RISE * tuck * rows.lens
        sink = CORNERS_SINK * opening * np.minimum(np.abs(self.x) / half, 1) ** 2
        sink = (sink - rows.raised) * self.near
        level = self.v - rows.seam - sink
        steep = opening * rows.slope * (1 - sharpness + 2 * sharpness * rows.lens)
        taller = np.minimum(np.sqrt(1 + (SLANTED * steep) ** 2), STEEPEST)
        taller = taller * (1 + THICKER * (ratio - 1))
        above = self._above(rows, level + rise, rise, 1 + THICKER * (ratio - 1)) - sink
        chin = JAW_SHARE * ((1 - UPPER_SHARE) * opening - self.table.lowered)
        below = self._below(rows, (level - gap + rise, gap - rise + sink), taller, tuck, chin)
        return Fields(along, above, below, level + rise, gap, rise, rows.over + rows.under)

    def kept(self, pose: MouthPose) -> tuple[float, float, float]:
        """Return opening, width and tuck as far as this mouth goes."""
        closure = min(max(CLOSING * float(pose.closure), 0.0), 1.0)
        tuck = min(max(float(pose.tuck), 0.0), 1.0) * (1 - closure)
        opening = self.table.reached(float(pose.opening)) * (1 - closure)
        return opening, min(max(float(pose.width), NARROWEST), WIDEST), tuck

    def _above(
        self, rows: LipRows, depth: np.ndarray, rise: np.ndarray, taller: float
    ) -> np.ndarray:
        """Return the upper side's displacement; ``depth`` is under its lower edge."""
        height = rows.upper * taller
        within = np.clip(-depth / np.maximum(height, 1e-4), 0, 1)
        shift = rise - rows.over + (height - rows.upper) * within
        return shift * (1 - eased((-depth - height) / UPPER_FADE)) * self.lip

    def _below(
        self,
        rows: LipRows,
        edge: tuple[np.ndarray, np.ndarray],
        taller: np.ndarray,
        tuck: float,
        chin: float,
    ) -> np.ndarray:
        """Return the lower side's displacement.

        edge: depth under its upper edge, and how far that is below the seam. chin: of its motion.
        """
        depth, drop = edge
        height = rows.shut_lower * (taller * (1 - (1 - TUCK_HEIGHT) * tuck))
        hidden = TUCK_HIDDEN * tuck * rows.lower * rows.lens
        within = np.clip(depth / np.maximum(height, 1e-4), 0, 1)
        shift = rows.under - drop + hidden + (rows.lower - hidden - height) * within
        share = eased((depth - height) / JAW_BLEND)
        shift += (-chin * rows.jaw - shift) * share
        return shift * self.jaw


def _nearness(x: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return 1 between the corners, falling to 0 where nothing moves sideways."""
    beside = np.maximum(np.abs(x) - 0.5, 0) / (REACH - 0.5)
    upright = height / np.where(height < 0, SIDE_ABOVE, SIDE_BELOW)
    return 1 - np.hypot(beside, upright)
