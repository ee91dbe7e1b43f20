"""Steady face boxes: shots found, and within each of them noise smoothed without lag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from .crop import SMALLEST_SIDE
from .detect import FaceTrack
from .smoothing import smoothed

THUMBNAIL = 16  # pixels a side of what is compared to find cuts
LEAST_CUT = 10.0  # levels, mean difference from the frame before
CUT_OVER_MOTION = 3.0  # times that of the frames around it
CUT_REACH = 6  # frames to either side


class ShotFinder:
    """Watches frames, uint8 RGB (H, W, 3), go by; knows afterwards where shots begin."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._changes: list[float] = []

    def watched(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for frame in frames:
            size = (THUMBNAIL, THUMBNAIL)
            small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.float32)
            if self._last is not None:
                self._changes.append(float(np.abs(small - self._last).mean()))
            self._last = small
            yield frame

    def begins(self) -> np.ndarray:
        """Return bool (N,): frames before which the picture was cut."""
        changes = np.array([0.0, *self._changes])
        found = np.zeros(changes.size, bool)
        for place in np.flatnonzero(changes > LEAST_CUT):
            around = changes[max(place - CUT_REACH, 1) : place + CUT_REACH + 1]
            usual = float(np.median(around)) if around.size > 2 else 0.0
            found[place] = changes[place] > CUT_OVER_MOTION * usual
        return found


def steadied(
    track: FaceTrack, steadiness: float, *, frame_rate: Fraction, size: tuple[int, int]
) -> FaceTrack:
    """Return the track with smooth boxes, exact to parts of a pixel; itself at steadiness 0.

    size: width and height of the frames, which no box leaves.
    """
    if steadiness <= 0 or not track.found.any():
        return track
    boxes = track.boxes.astype(np.float64)
    # A box's center and size move for reasons of their own.
    values = np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])
    for first, end in _stretches(track):
        values[first:end] = smoothed(values[first:end], frame_rate, steadiness)
    half = values[:, 2:] / 2
    exact = np.hstack([values[:, :2] - half, values[:, :2] + half])
    exact = np.clip(exact, 0, np.array([*size, *size], np.float64))
    whole = np.rint(exact).astype(np.int32)
    small = np.minimum(whole[:, 2] - whole[:, 0], whole[:, 3] - whole[:, 1]) < SMALLEST_SIDE
    keep = ~track.found | small
    exact[keep], whole[keep] = boxes[keep], track.boxes[keep]
    return replace(track, boxes=whole, exact=exact)


def _stretches(track: FaceTrack) -> list[tuple[int, int]]:
    """Return where a face is seen without a gap or a cut, ends exclusive."""
    found, count = track.found, len(track.boxes)
    begins = np.zeros(count, bool) if track.begins is None else track.begins
    starts = [n for n in range(count) if found[n] and (n == 0 or begins[n] or not found[n - 1])]
    stops = [n for n in range(1, count + 1) if found[n - 1]]
    ends = [n for n in stops if n == count or begins[n] or not found[n]]
    return list(zip(starts, ends, strict=True))
