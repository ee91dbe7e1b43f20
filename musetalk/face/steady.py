"""Steady face boxes: shots found, outliers replaced, noise smoothed without lag.

Every box is fitted by a parabola over the frames around it. Over how many is chosen where it is, by
the estimated risk of each window (Stein, 1981): a face at rest stays, and a nod keeps its height.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from .crop import SMALLEST_SIDE
from .detect import FaceTrack

LONGEST = Fraction(7, 5)  # seconds to either side, at steadiness 1
GROWTH = 1.35  # from one window to the next
RISK_REACH = 25  # frames to either side that tell how well a window does
NOISE_WEIGHT = 3.0  # 2 is the risk's own; more prefers a longer window
MEDIAN_REACH = 3  # frames to either side that say what an outlier is
OUTLIER = 5.0  # standard deviations from their median
LEAST_OUTLIER = 4.0  # pixels

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
    reach = max(1, round(float(LONGEST * frame_rate) * steadiness))
    for first, end in _stretches(track):
        values[first:end] = smoothed(values[first:end], reach)
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


def smoothed(values: np.ndarray, reach: int) -> np.ndarray:
    """Return float64 (N, C), each column without outliers and noise; reach: frames at most."""
    if len(values) < 4:
        return values
    clean = _without_outliers(values)
    variance = _noise(clean) ** 2
    kept, least = clean, np.broadcast_to((NOISE_WEIGHT - 1) * variance, clean.shape)
    for half in _half_windows(min(reach, len(values) - 1)):
        fit, own_share = _fitted(clean, half)
        risk = (fit - clean) ** 2 + (NOISE_WEIGHT * own_share[:, None] - 1) * variance
        risk = _averaged(risk, RISK_REACH)
        kept = np.where(risk < least, fit, kept)
        least = np.minimum(risk, least)
    return kept


def _averaged(values: np.ndarray, reach: int) -> np.ndarray:
    """Return float64 (N, C), each the mean of the frames around it, the nearer the more."""
    kernel = np.bartlett(2 * reach + 3)[1:-1]
    weight = np.convolve(np.ones(len(values)), kernel, "full")[reach : reach + len(values)]
    sums = [np.convolve(each, kernel, "full")[reach : reach + len(values)] for each in values.T]
    return np.stack(sums, axis=1) / weight[:, None]


def _half_windows(longest: int) -> list[int]:
    halves = [2]
    while halves[-1] < longest:
        halves.append(min(longest, max(halves[-1] + 1, round(halves[-1] * GROWTH))))
    return halves


def _without_outliers(values: np.ndarray) -> np.ndarray:
    """Replace frames in which any column lies far from its neighbours by what lies between them."""
    padded = np.pad(
        values, ((MEDIAN_REACH, MEDIAN_REACH), (0, 0)), mode="reflect", reflect_type="odd"
    )
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * MEDIAN_REACH + 1, axis=0)
    away = np.abs(values - np.median(windows, axis=-1))
    limit = np.maximum(OUTLIER * _noise(values), LEAST_OUTLIER)
    good = np.flatnonzero((away <= limit).all(axis=1))
    if good.size < 2:
        return values
    places = np.arange(len(values))
    filled = values.copy()
    for column in filled.T:
        column[:] = np.interp(places, good, column[good])
    return filled


def _noise(values: np.ndarray) -> np.ndarray:
    """Return the deviation of each column's noise, from third differences: motion has few."""
    third = np.abs(np.diff(values, 3, axis=0))
    return np.median(third, axis=0) * 1.4826 / np.sqrt(20) + 1e-6


def _fitted(values: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the parabola's value in every frame, and the share that the frame's own value has."""
    count = len(values)
    fit, own_share = np.empty_like(values), np.empty(count)
    for place in range(count):
        before, after = min(half, place), min(half, count - 1 - place)
        weights = _kernel(before, after)
        fit[place] = weights @ values[place - before : place + after + 1]
        own_share[place] = weights[before]
    return fit, own_share


@functools.lru_cache(maxsize=4096)
def _kernel(before: int, after: int) -> np.ndarray:
    """Return the weights of so many frames before and after one for the parabola's value in it."""
    places = np.arange(-before, after + 1) / max(before, after, 1)
    degree = min(2, before + after)
    return np.linalg.pinv(np.vander(places, degree + 1, increasing=True))[0]
