"""Where every pixel of an opened mouth comes from: upper lip up, lower lip and jaw down.

The mouth's own frame: origin midway between the corners, x along the line between them, v at
right angles towards the chin. Displacements are smooth on either side of the mouth line, so they
are computed on a coarse grid and enlarged; only the line itself is exact. Measures are in mouth
widths unless they say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from ...media import LipShape

FULL_GAP = 0.12  # at opening 1; more looks torn
PARTED_LESS = 0.35  # of the gap that is there already is taken off the full one
LEAST_FULL_GAP = 0.06
CLEARLY_PARTED = 0.08  # gap from which the lips' own teeth are enough
UPPER_SHARE = 0.12  # of the gap is made by the upper lip going up
MIDDLE_FIRST = 0.35  # how much of the rounding of the lens is left at opening 1
JAW_FADE = 0.85  # below the lower lip the motion has died out
JAW_DEVIATION = 0.62  # of the Gaussian across the jaw
JAW_BLEND = 0.5  # below the lip its lens shape has become the jaw's
UPPER_FADE = 0.3  # above the upper lip
JAW_EDGE = 2.5  # how steeply the motion ends at the jaw's outline
REACH = 1.1  # to either side; nothing moves further out
LENS_POWER = 2.3  # of the opening's outline, flatter than a parabola
WIDEN = 0.045  # each corner outwards at spread 1
NARROW = 0.06  # and inwards at spread -1
FLATTEN = 0.06  # share of the lips' height lost at spread 1 and gained at -1
SPREAD_ABOVE = 0.5  # the spread has died out here above the mouth, short of the nose
SPREAD_BELOW = 0.8  # and here below it
GRID_PER_WIDTH = 50  # nodes of the coarse grid per mouth width
TABLE_STEPS = 2048  # of the curves between -REACH and REACH


class MouthFrame(NamedTuple):
    """The mouth's place in the picture, in pixels: centre, unit vector along x, width."""

    cx: float
    cy: float
    ux: float
    uy: float
    width: float

    @classmethod
    def of(cls, lips: LipShape) -> MouthFrame:
        x0, y0, x1, y1 = (float(edge) for edge in lips.corners)
        width = float(lips.width)
        return cls((x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / width, (y1 - y0) / width, width)

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


@dataclass(frozen=True, eq=False)
class LipTable:
    """The lips as functions of x.

    rows: float32 (5, TABLE_STEPS) over -REACH..REACH: the seam, where the mouth opens (the
        lower lip's inner border); the lens, outline of the opening, 0..1; the jaw's share of
        the motion, 0..1; height of what moves with the upper lip; height of the lower lip.
    full_gap: at opening 1; lips that are apart already open less.
    parted: 0 for lips that touch .. 1 for lips clearly apart.
    """

    rows: np.ndarray
    full_gap: float
    parted: float

    @classmethod
    def of(cls, lips: LipShape) -> LipTable:
        x = np.linspace(-REACH, REACH, TABLE_STEPS)
        own = np.linspace(-0.5, 0.5, lips.curves.shape[1])
        curves: list[np.ndarray] = [np.interp(x, own, curve) for curve in lips.curves]
        outer_up, inner_up, seam, outer_low = curves
        lens = 1 - np.minimum(np.abs(2 * x), 1) ** LENS_POWER
        jaw = np.exp(-0.5 * (x / JAW_DEVIATION) ** 2)
        own_gap = float((seam - inner_up).max()) if lips.parted else 0.0
        parted = min(max(own_gap / CLEARLY_PARTED, 0.0), 1.0)
        lens *= 1 - parted * (1 - lens)  # a smile's corners stay where they are
        full_gap = max(FULL_GAP - PARTED_LESS * own_gap, LEAST_FULL_GAP)
        heights = np.maximum(seam - outer_up, 0), np.maximum(outer_low - seam, 0)
        return cls(np.array([seam, lens, jaw, *heights], np.float32), full_gap, parted)

    def at(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the five rows at x, float32 in x's shape."""
        index = (x + REACH) * ((TABLE_STEPS - 1) / (2 * REACH)) + 0.5
        index = index.astype(np.int32)
        return [row.take(index, mode="clip") for row in self.rows]

    def outline(self, mouth: MouthFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return picture points x and y round everything that can move."""
        seam, _, _, upper, lower = self.rows
        top = float((seam - upper).min()) - max(UPPER_FADE, SPREAD_ABOVE)
        bottom = float((seam + lower).max()) + FULL_GAP + max(JAW_FADE, SPREAD_BELOW)
        corners = np.array([(x, v) for x in (-REACH, REACH) for v in (top, bottom)])
        return mouth.to_picture(corners[:, 0], corners[:, 1])


class Fields(NamedTuple):
    """One posed mouth on the coarse grid, float32 (h, w) each, in mouth widths.

    along: displacement along x (add to get the source); above, below: displacement along v for
    the upper and lower side of the opening; depth: how far under the upper edge of the opening;
    gap: height of the opening; across: x after the spread is undone.
    """

    along: np.ndarray
    above: np.ndarray
    below: np.ndarray
    depth: np.ndarray
    gap: np.ndarray
    across: np.ndarray


@dataclass(frozen=True, eq=False)
class WarpGrid:
    """A coarse grid over a part of the picture; nodes sit in the middle of ``step`` pixels.

    x, v: float32 (h, w), the nodes in the mouth's frame, and what a unit of spread moves there.
    """

    table: LipTable
    x: np.ndarray
    v: np.ndarray
    stretch_x: np.ndarray
    stretch_v: np.ndarray

    @classmethod
    def over(
        cls, mouth: MouthFrame, table: LipTable, *, origin: tuple[int, int], size: tuple[int, int]
    ) -> WarpGrid:
        """Make the grid over the pixels from ``origin`` (x, y), ``size`` (w, h) in nodes."""
        step = grid_step(mouth)
        px = origin[0] + step * np.arange(size[0], dtype=np.float32) + (step - 1) / 2
        py = origin[1] + step * np.arange(size[1], dtype=np.float32) + (step - 1) / 2
        x, v = mouth.to_mouth(px[None, :], py[:, None])
        seam = table.at(x)[0]
        near = _eased(_nearness(x, v - seam))
        return cls(
            table,
            x.astype(np.float32),
            v.astype(np.float32),
            (np.clip(2 * x, -1, 1) * near).astype(np.float32),
            ((seam - v) * near).astype(np.float32),
        )

    def support(self) -> np.ndarray:
        """Return float32 (h, w): above 0 where any pose may move something."""
        seam, _, _, upper, lower = self.table.at(self.x)
        height = self.v - seam
        beside = np.maximum(np.abs(self.x) - NARROW, 0)
        jaw = np.minimum(_inside_jaw(beside, height - lower - FULL_GAP), height)
        lip = np.minimum(0.5 - beside, height + upper + UPPER_FADE + FULL_GAP)
        above = np.minimum(lip, -height)
        return np.maximum(np.maximum(jaw, above), _nearness(beside, 0.95 * height))

    def lips(self) -> np.ndarray:
        """Return bool (h, w): the lips, in any pose, and what lies between them."""
        seam, _, _, upper, lower = self.table.at(self.x)
        near = (self.v > seam - upper - FULL_GAP) & (self.v < seam + lower + FULL_GAP)
        return near & (np.abs(self.x) < 0.5 + NARROW)

    def posed(self, opening: float, spread: float) -> Fields:
        """Return the displacements for one pose: opening 0..1, spread -1..1."""
        sideways = spread * (WIDEN if spread > 0 else NARROW)
        along = -sideways * self.stretch_x
        x = self.x + along
        v = self.v - spread * FLATTEN * self.stretch_v
        seam, lens, jaw, upper, lower = self.table.at(x)
        round_off = MIDDLE_FIRST + (1 - MIDDLE_FIRST) * (1 - opening)
        lens = lens * (1 - round_off * (1 - lens))  # small openings part the middle only
        gap = self.table.full_gap * opening
        rise, drop = UPPER_SHARE * gap * lens, (1 - UPPER_SHARE) * gap
        depth = v - seam + rise
        rest = v - self.v
        above = rise * (1 - _eased((-depth - upper) / UPPER_FADE)) + rest
        under = v - seam - drop * lens - lower
        jaw_share = _eased(under / JAW_BLEND)
        moved = (lens + (jaw - lens) * jaw_share) * (1 - _eased(under / JAW_FADE))
        moved *= _eased(JAW_EDGE * _inside_jaw(x, under))
        return Fields(along, above, rest - drop * moved, depth, gap * lens, x)


def grid_step(mouth: MouthFrame) -> int:
    """Return the spacing of the coarse grid in pixels."""
    return max(1, round(mouth.width / GRID_PER_WIDTH))


def enlarged(field: np.ndarray, step: int) -> np.ndarray:
    """Return a coarse field for every pixel: float32 (h x step, w x step)."""
    if step == 1:
        return field
    height, width = field.shape
    return cv2.resize(field, (width * step, height * step), interpolation=cv2.INTER_LINEAR)


def _inside_jaw(x: np.ndarray, under: np.ndarray) -> np.ndarray:
    """Return 1 in the middle of the jaw, 0 on its outline, an ellipse under the lower lip."""
    down = np.maximum(under, 0) / JAW_FADE
    return 1 - x * x / REACH**2 - down * down


def _nearness(x: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return 1 between the corners, falling to 0 where the spread has died out."""
    beside = np.maximum(np.abs(x) - 0.5, 0) / (REACH - 0.5)
    upright = height / np.where(height < 0, SPREAD_ABOVE, SPREAD_BELOW)
    return 1 - np.hypot(beside, upright)


def _eased(value: np.ndarray) -> np.ndarray:
    """Return 0 below 0, 1 above 1 and a smooth step between."""
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)
