"""Smooth tracks without lag: noise goes, motion stays.

Every stretch of some seconds is a line and a few waves: those no higher than the noise are left out
(Donoho and Johnstone, 1994), and a frame is the mean of all stretches that hold it (Coifman and
Donoho, 1995). Stretches have several lengths; one that needs fewer waves counts for more.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

# Seconds of a stretch: a nod fits the shorter ones, steps and rest the longer.
SECONDS = tuple(Fraction(each) for each in ("1.6", "2.4", "4", "6"))
SHORTEST = 4  # frames
STEPS = 16  # stretches that hold one frame
THRESHOLD = 3.0  # deviations of the noise; a wave below may be noise alone
FEWER_WAVES = 2  # power by which a stretch that needs fewer waves counts more
TAPER = 2.0  # of Kaiser's window: how much less a stretch says of its ends

MEDIAN_REACH = 3  # frames to either side that say what an outlier is
OUTLIER = 5.0  # standard deviations from their median
LEAST_OUTLIER = 4.0  # pixels


def smoothed(values: np.ndarray, frame_rate: Fraction, steadiness: float) -> np.ndarray:
    """Return float64 (N, C), each column without outliers and noise.

    steadiness: above 0 to 1, where all the noise is taken away that can be told from motion.
    """
    if len(values) < SHORTEST:
        return values
    clean = _without_outliers(values)
    limits = THRESHOLD * _noise(clean)
    wanted = {round(each * frame_rate) for each in SECONDS}
    sums, weights = np.zeros_like(clean), np.zeros_like(clean)
    for length in sorted({min(max(each, SHORTEST), len(clean)) for each in wanted}):
        taper = np.kaiser(length, TAPER)[:, None] / length
        for first in _firsts(len(clean), length):
            part = slice(first, first + length)
            fit, waves = _without_small_waves(clean[part], limits)
            weight = taper * (length / (waves + 2)) ** FEWER_WAVES
            sums[part] += weight * fit
            weights[part] += weight
    return clean + (1 - (1 - steadiness) ** 2) * (sums / weights - clean)


def _firsts(count: int, length: int) -> Iterator[int]:
    """Yield where stretches begin; the last ends with the track."""
    yield from range(0, count - length, max(1, length // STEPS))
    yield count - length


def _without_small_waves(values: np.ndarray, limits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the line and the waves over the limits (C,) in values (L, C), and their number."""
    line, waves = _bases(len(values))
    straight = line @ (line.T @ values)
    heights = waves.T @ (values - straight)
    heights[np.abs(heights) <= limits] = 0
    return straight + waves @ heights, (heights != 0).sum(axis=0)


@functools.lru_cache(maxsize=64)
def _bases(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a mean and a slope (L, 2), and cosines (L, L), each of norm 1."""
    places = np.arange(length)
    slope = places - places.mean()
    line = np.stack([np.ones(length), slope], axis=1)
    waves = np.cos(np.pi * np.outer(places + 0.5, places) / length)
    return line / np.linalg.norm(line, axis=0), waves / np.linalg.norm(waves, axis=0)


def _without_outliers(values: np.ndarray) -> np.ndarray:
    """Replace frames in which any column lies far from its neighbours by what lies between them."""
    padded = np.pad(
        values, ((MEDIAN_REACH, MEDIAN_REACH), (0, 0)), mode="reflect", reflect_type="odd"
    )
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * MEDIAN_REACH + 1, axis=0)
    away = np.abs(values - np.median(windows, axis=-1))
    # Where a head moves fast, its way back from the farthest point lies as far from the median.
    speed = np.median(np.abs(np.diff(windows, axis=-1)), axis=-1)
    limit = np.maximum(OUTLIER * _noise(values), LEAST_OUTLIER)
    limit = np.maximum(limit, MEDIAN_REACH * speed)
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
