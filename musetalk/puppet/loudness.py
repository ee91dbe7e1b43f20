"""How loud speech is, and how a curve of the mouth may change: for ``shapes.py``."""

from __future__ import annotations

import math

import numpy as np

from ...encoders.read.audio_arrays import all_finite
from ...errors import MediaError
from ..voice.levels import WINDOWS_PER_SECOND, peak_level

PHRASE_SECONDS = 0.6  # to either side: the stretch whose loudness makes a phrase loud or soft
LIFT = 0.6  # share of its shortfall that a soft phrase is given back
LIFT_UP_TO_DB = 12.0
SILENT_SHARE = 0.25  # a frame with no more of its windows spoken than this is silent


def check_speech(speech: np.ndarray) -> None:
    """Raise MediaError unless the speech is mono, (N,), and all numbers."""
    if speech.ndim != 1 or not all_finite(speech):
        raise MediaError(
            f"Expected mono speech of shape (N,) with finite samples, got {speech.shape}"
            " or samples that are not numbers."
        )


def evened(level: np.ndarray) -> np.ndarray:
    """Return levels (K,) with softly spoken phrases lifted part of the way to the loud ones."""
    reach = round(PHRASE_SECONDS * WINDOWS_PER_SECOND)
    padded = np.pad(smoothed(level, 5), reach, mode="edge")
    phrase = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    shortfall = peak_level(level) - smoothed(phrase, reach / 2)
    return level + LIFT * np.clip(shortfall, 0, LIFT_UP_TO_DB)


def ranked(values: np.ndarray, spoken: np.ndarray) -> np.ndarray:
    """Return values scaled so that the 5th and 95th percentile of the speech are 0 and 1."""
    low, high = np.percentile(values[spoken], [5, 95])
    if high - low < 1:  # all alike: nothing tells one sound from another
        return np.ones(len(values))
    return np.clip((values - low) / (high - low), 0, 1)


def smoothed(values: np.ndarray, deviation: float) -> np.ndarray:
    """Return the values under a Gaussian; ``deviation`` in steps of the values."""
    reach = max(1, math.ceil(3 * deviation))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    padded = np.pad(values, reach, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def under_steps(values: np.ndarray, step: float) -> np.ndarray:
    """Return the largest curve under ``values`` whose neighbours differ by ``step`` at most.

    Shut stays shut: peaks give way, closures do not.
    """
    ramp = step * np.arange(len(values))
    forward = np.minimum.accumulate(values - ramp) + ramp
    backward = np.minimum.accumulate((values + ramp)[::-1])[::-1] - ramp
    return np.minimum(forward, backward)


def silent_frames(spoken: np.ndarray, times: np.ndarray, rate: float) -> np.ndarray:
    """Return bool (T,): frames of whose windows, bool (K,), hardly any is spoken."""
    edges = np.rint((times[:, None] + [-0.5 / rate, 0.5 / rate]) * WINDOWS_PER_SECOND)
    first, last = np.clip(edges.astype(int), 0, len(spoken)).T
    first = np.minimum(first, np.maximum(last - 1, 0))  # frames shorter than a window take one
    count = np.concatenate([[0], np.cumsum(spoken)])
    return (count[last] - count[first]) / np.maximum(last - first, 1) <= SILENT_SHARE
