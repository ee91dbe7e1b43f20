"""The lips' inner edges in every frame of a video: as its pixels show them, without flicker.

The face mesh reads lips that are a little apart as shut. How far apart it reads this person's shut
lips says more than what it reads of people's on the whole.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ...media import LIP_CURVE_POINTS, LipShape
from .lip_edges import lips_by_pixels
from .lip_table import CLOSED_GAP, PARTED_GAP

REACH = 3  # frames to either side whose edges are averaged
FURTHEST = 0.05  # mouth widths: further off, pale lips are taken for teeth
LIKE = 0.03  # mouth widths: gaps so different count a third
SHUT_PERCENT = 5  # of a video's gaps: lips as shut as they get
STILL_SHUT = 0.008  # mouth widths over that are the mesh's noise
APART = 0.03  # and so much is a gap


class EdgeTrack:
    """The edges in ``count`` frames, 140 bytes each, and what shut lips of this face read."""

    def __init__(self, count: int) -> None:
        self._shifts = np.zeros((count, 2, LIP_CURVE_POINTS), np.float16)
        self._gaps = np.full(count, np.nan, np.float32)
        self._parted = np.zeros(count, bool)
        self._begins = np.zeros(count, bool)

    def put(self, number: int, frame: np.ndarray, lips: LipShape, *, begins: bool) -> None:
        """Look at the lips in a frame, uint8 RGB (H, W, 3). begins: as in ``MeshTrack.put``."""
        seen = lips_by_pixels(frame, lips)
        shifts = seen.curves[1:3] - lips.curves[1:3]
        self._shifts[number] = np.clip(shifts, -FURTHEST, FURTHEST)
        self._gaps[number] = _gap(lips)
        self._parted[number] = seen.parted
        self._begins[number] = begins

    def edged(self, number: int, lips: LipShape) -> LipShape:
        """Return the lips of that frame with the edges of those around it that are as far open."""
        first, last = self._neighbours(number)
        apart = (self._gaps[first:last] - self._gaps[number]) / LIKE
        weights = np.exp(-apart * apart)
        weights /= weights.sum()
        curves = lips.curves.copy()
        curves[1:3] += np.tensordot(weights, self._shifts[first:last].astype(np.float32), 1)
        parted = lips.parted or bool(weights @ self._parted[first:last] > 0.5)
        edged = LipShape(lips.corners, curves, parted)
        return edged if parted else self._by_own_shut(edged)

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

    @cached_property
    def _shut_gap(self) -> float:
        """What shut lips of this face read; no more than those of most."""
        return min(float(np.nanpercentile(self._gaps, SHUT_PERCENT)), CLOSED_GAP)

    def _by_own_shut(self, lips: LipShape) -> LipShape:
        """Return lips that are called shut as parted where this face's shut lips read less."""
        shut, apart = self._shut_gap + STILL_SHUT, min(self._shut_gap + APART, PARTED_GAP)
        share = min(max((_gap(lips) - shut) / (apart - shut), 0.0), 1.0)
        curves = lips.curves.copy()
        curves[1:3] += (1 - share) * (curves[1:3].mean(axis=0) - curves[1:3])
        return LipShape(lips.corners, curves, parted=share > 0)


def _gap(lips: LipShape) -> float:
    return float((lips.curves[2] - lips.curves[1]).max())
