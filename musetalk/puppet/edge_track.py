"""The lips' inner edges in every frame of a video: as its pixels show them, without flicker.

The face mesh reads lips that are a little apart as shut: its gap is 0, but it has both lips thicker
by most of what they are apart. So this person's shut lips say how thick lips are and what gap they
read: what a lip is thicker is a gap, and pixels take little off a lip that is no thicker.
"""

from __future__ import annotations

import numpy as np

from ...media import LIP_CURVE_POINTS, LipShape
from .lip_edges import lips_by_pixels
from .lip_table import CLOSED_GAP, PARTED_GAP
from .warp import NARROWEST, WIDEST

REACH = 3  # frames to either side whose edges are averaged
FURTHEST = 0.05  # mouth widths: further off, pale lips are taken for teeth
LIKE = 0.03  # mouth widths: gaps so different count a third
SHUT_PERCENT = 5  # of a video's gaps: lips as shut as they get
STILL_SHUT = 0.008  # mouth widths over that are the mesh's noise
APART = 0.03  # and so much is a gap
THIN_PERCENT = 25  # of shut lips: thicker ones may be a little apart
SAME_THICKNESS = 0.04  # of a lip's height: the mesh's noise, and a head that nods
GROWS = 1.3  # of what a lip is thicker is its share of the gap: 1.0 to 1.7 on four faces
THICKER = 0.5  # share of a mouth's narrowing that lips may gain in height
LEAST_LIP = 0.9  # of its height a lip keeps where pixels take it for teeth
MIDDLE = slice(LIP_CURVE_POINTS // 3, -(LIP_CURVE_POINTS // 3))  # there lips are compared
ENDS = 1 - np.linspace(-1, 1, LIP_CURVE_POINTS) ** 2
BENDS = ENDS[:, None] * np.vander(np.linspace(-1, 1, LIP_CURVE_POINTS), 3)
SMOOTH = BENDS @ np.linalg.pinv(BENDS)  # the quartic that is 0 in both corners


class EdgeTrack:
    """The edges in ``count`` frames, 280 bytes each, and what shut lips of this face read."""

    def __init__(self, count: int) -> None:
        self._shifts = np.zeros((count, 2, LIP_CURVE_POINTS), np.float16)
        self._heights = np.zeros((count, 2, LIP_CURVE_POINTS), np.float16)
        self._gaps = np.full(count, np.nan, np.float32)
        self._widths = np.full(count, np.nan, np.float32)
        self._parted = np.zeros(count, bool)
        self._begins = np.zeros(count, bool)
        self._shut_gap = CLOSED_GAP
        self._thickness: np.ndarray | None = None  # of shut lips (2, m), rest widths

    def put(self, number: int, frame: np.ndarray, lips: LipShape, *, begins: bool) -> None:
        """Look at the lips in a frame, uint8 RGB (H, W, 3). begins: as in ``MeshTrack.put``."""
        seen = lips_by_pixels(frame, lips)
        shifts = np.clip(seen.curves[1:3] - lips.curves[1:3], -FURTHEST, FURTHEST)
        self._shifts[number] = shifts
        self._heights[number] = _heights(_shut(lips.curves)) - np.abs(shifts)
        self._gaps[number] = _gap(lips)
        self._widths[number] = lips.width
        self._parted[number] = seen.parted
        self._begins[number] = begins

    def learn(self, rest_widths: np.ndarray) -> None:
        """Learn, once, when every frame was put, what shut lips are like.

        rest_widths: float32 (N,), as in ``MeshTrack``.
        """
        if not np.isfinite(self._gaps).any():
            return
        least = float(np.nanpercentile(self._gaps, SHUT_PERCENT))
        self._shut_gap = min(least, CLOSED_GAP)
        if least > CLOSED_GAP:  # a mouth that is never shut does not say how thick its lips are
            return
        shut = self._gaps <= least + STILL_SHUT
        share = (self._widths[shut] / rest_widths[shut])[:, None, None]
        heights = self._heights[shut] * share / _thicker(share)
        self._thickness = np.percentile(heights, THIN_PERCENT, axis=0)

    def edged(self, number: int, lips: LipShape, rest_width: float) -> LipShape:
        """Return the lips of that frame with the edges of those around it that are as far open.

        rest_width: pixels, of the mouth at rest in that frame.
        """
        first, last = self._neighbours(number)
        apart = (self._gaps[first:last] - self._gaps[number]) / LIKE
        weights = np.exp(-apart * apart)
        weights /= weights.sum()
        shifts = np.tensordot(weights, self._shifts[first:last].astype(np.float32), 1) @ SMOOTH.T
        parted = lips.parted or bool(weights @ self._parted[first:last] > 0.5)
        thickness = self._usual_thickness(lips.width / rest_width)
        curves = lips.curves.copy()
        if thickness is not None:
            thinner = np.maximum(_heights(curves) - LEAST_LIP * thickness, 0)
            shifts = np.clip(shifts, -thinner, thinner)
        curves[1:3] += shifts
        if not parted:
            share = self._parted_share(_gap(lips))
            curves = curves + (1 - share) * (_shut(curves) - curves)
            parted = share > 0
        if thickness is not None:
            thicker = _heights(curves) - (1 + SAME_THICKNESS) * thickness
            # At its ends an open mouth's outline is upright, and a lip no thicker for being high.
            grown = GROWS * np.maximum(thicker[:, MIDDLE].mean(axis=1, keepdims=True), 0) * ENDS
            curves[1:3] += grown * [[-1], [1]]
            parted = parted or bool(grown.sum(axis=0).max() > STILL_SHUT)
        return LipShape(lips.corners, curves.astype(np.float32), parted)

    def _neighbours(self, number: int) -> tuple[int, int]:
        """Return the first frame of the same shot within reach, and the one after the last."""
        first = last = number
        while first > max(number - REACH, 0) and not self._begins[first]:
            if not np.isfinite(self._gaps[first - 1]):
                break
            first -= 1
        while last < min(number + REACH, len(self._gaps) - 1):
            if self._begins[last + 1] or not np.isfinite(self._gaps[last + 1]):
                break
            last += 1
        return first, last + 1

    def _usual_thickness(self, width: float) -> np.ndarray | None:
        """Return that of the lips (2, m), own widths, of a mouth so wide, in rest widths."""
        if self._thickness is None:
            return None
        return self._thickness * _thicker(np.array(width)) / width

    def _parted_share(self, gap: float) -> float:
        """Return the share of a gap that is one, of lips that are called shut."""
        shut, apart = self._shut_gap + STILL_SHUT, min(self._shut_gap + APART, PARTED_GAP)
        return min(max((gap - shut) / (apart - shut), 0.0), 1.0)


def _gap(lips: LipShape) -> float:
    return float((lips.curves[2] - lips.curves[1]).max())


def _heights(curves: np.ndarray) -> np.ndarray:
    """Return those of the upper and lower lip (2, m)."""
    return curves[[1, 3]] - curves[[0, 2]]


def _shut(curves: np.ndarray) -> np.ndarray:
    """Return the curves (4, m) with both inner edges where they meet."""
    shut = curves.copy()
    shut[1:3] = curves[1:3].mean(axis=0)
    return shut


def _thicker(width: np.ndarray) -> np.ndarray:
    """Return how thick lips are at a share of the mouth's width at rest, of those at rest."""
    return 1 + THICKER * (1 / np.clip(width, NARROWEST, WIDEST) - 1)
