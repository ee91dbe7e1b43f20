"""From speech to mouth motion, without weights: how far open and how wide, frame by frame.

Two ratios between frequency bands stand in for the phones. Open vowels have their first formant
between 0.45 and 1.3 kHz; hums (m, n), closed vowels and hisses (s, f) have their energy below or
above, so the lips meet on them. The second formant tells spread lips (i, e) from round ones (u, o).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ...errors import MediaError
from ..voice.levels import (
    AUDIBLE_BAND,
    WINDOWS_PER_SECOND,
    band_energies,
    decibels,
    peak_level,
    spoken_by_level,
)

FRAME_SECONDS = 0.04  # of a 25 fps video, the unit of the smoothing and of the step limit

LEAD_FRAMES = 1.0  # lips are in place before the audio
SMOOTHING_FRAMES = 0.9  # deviation of the Gaussian before the scaling
LAST_SMOOTHING_FRAMES = 0.5  # and after the step limit
MAX_STEP = 0.3  # of the full range per frame
SHUT_PERCENT = 8  # of the frames with speech are as shut as silence
LIVELINESS = 0.7  # power on the opening: below 1 lifts what lies between shut and wide open
PHRASE_SECONDS = 0.6  # to either side: the stretch whose loudness makes a phrase loud or soft
LIFT = 0.6  # share of its shortfall that a soft phrase is given back
LIFT_UP_TO_DB = 12.0
SPREAD_SMOOTHING_SECONDS = 0.055  # corners are slower than jaws
SHUT_BELOW = 0.02  # taken off the opening: what smoothing leaves of a closure
LEAST_RANGE = 0.05  # of the raw opening, between its low and high percentile
SILENT_SHARE = 0.25  # a frame with no more of its windows spoken than this is silent

VOICE_BAND = (80.0, 400.0)  # Hz: pitch, hums, closed vowels
OPEN_BAND = (450.0, 1300.0)  # Hz: first formant of open vowels
ROUND_BAND = (500.0, 1200.0)  # Hz: second formant of u and o
WIDE_BAND = (1700.0, 3000.0)  # Hz: second formant of i and e
HISS_BAND = (3800.0, 7600.0)  # Hz


@dataclass(frozen=True, eq=False)
class MouthMotion:
    """What the mouth does, one value per video frame.

    opening: float32 (T,), 0 shut .. 1 as far open as the puppet goes.
    spread: float32 (T,), -1 round .. 1 wide; 0 at rest.
    """

    opening: np.ndarray
    spread: np.ndarray

    def __post_init__(self) -> None:
        if self.opening.ndim != 1 or self.opening.shape != self.spread.shape:
            raise MediaError(
                "Expected opening and spread of one common length, got "
                f"{self.opening.shape} and {self.spread.shape}."
            )

    def gated(self, weight: np.ndarray) -> MouthMotion:
        """Return the motion with its share of every frame, float32 (T,), 0 at rest."""
        return MouthMotion(self.opening * weight, self.spread * weight)


class _Bands(NamedTuple):
    """Energies (K,) of the bands in each 10 ms window; ``level`` is the whole in dBFS."""

    level: np.ndarray
    voice: np.ndarray
    open: np.ndarray
    round: np.ndarray
    wide: np.ndarray
    hiss: np.ndarray


def mouth_motion(speech: np.ndarray, *, frame_rate: Fraction, frame_count: int) -> MouthMotion:
    """Return the mouth's motion for mono speech, float32 (N,), 16 kHz.

    Frame t shows the time from t / frame_rate on; frames past the end of the speech are at rest.
    The loudness scale is the recording's own. Raises MediaError for another shape or for samples
    that are not numbers.
    """
    check_speech(speech)
    bands = _measure(speech)
    spoken = spoken_by_level(bands.level)
    rate = float(frame_rate)
    times = (np.arange(frame_count) + 0.5) / rate
    ceiling = silence_ceiling(spoken, times, rate, largest_step(rate))
    opening = _opening(bands, spoken, times, rate)
    spread = _spread(bands, spoken, times, rate)
    return MouthMotion(
        np.minimum(opening, ceiling).astype(np.float32),
        np.clip(spread, -ceiling, ceiling).astype(np.float32),
    )


def check_speech(speech: np.ndarray) -> None:
    """Raise MediaError unless the speech is mono, (N,), and all numbers."""
    if speech.ndim != 1 or not np.isfinite(speech).all():
        raise MediaError(
            f"Expected mono speech of shape (N,) with finite samples, got {speech.shape}"
            " or samples that are not numbers."
        )


def _measure(speech: np.ndarray) -> _Bands:
    edges = [VOICE_BAND, OPEN_BAND, ROUND_BAND, WIDE_BAND, HISS_BAND, AUDIBLE_BAND]
    *bands, whole = band_energies(speech, edges)
    return _Bands(decibels(whole), *bands)


def evened(level: np.ndarray) -> np.ndarray:
    """Return levels (K,) with softly spoken phrases lifted part of the way to the loud ones."""
    reach = round(PHRASE_SECONDS * WINDOWS_PER_SECOND)
    padded = np.pad(smoothed(level, 5), reach, mode="edge")
    phrase = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    shortfall = peak_level(level) - smoothed(phrase, reach / 2)
    return level + LIFT * np.clip(shortfall, 0, LIFT_UP_TO_DB)


def _opening(bands: _Bands, spoken: np.ndarray, times: np.ndarray, rate: float) -> np.ndarray:
    """Return the opening (T,) at ``times``, not yet silenced."""
    if not spoken.any():
        return np.zeros(len(times))
    floor = 1e-20 + 1e-4 * bands.open[spoken].mean()
    ratio = np.log((bands.open + floor) / (bands.voice + bands.hiss + floor))
    openness = ranked(evened(bands.level), spoken) * ranked(ratio, spoken)
    raw = np.where(spoken, openness**LIVELINESS, 0.0)
    curve = _sampled(smoothed(raw, SMOOTHING_FRAMES * FRAME_SECONDS * WINDOWS_PER_SECOND), times)
    heard = _sampled(spoken.astype(float), times) > 0.5
    low = float(np.percentile(curve[heard], SHUT_PERCENT)) if heard.any() else 0.0
    high = float(np.percentile(curve, 95))
    if heard.any():  # where silence prevails, the overall percentile says nothing
        high = max(high, float(np.percentile(curve[heard], 85)))
    if high - low < LEAST_RANGE:  # a held note, or one word in a long silence
        low, high = 0.0, max(float(curve.max()), LEAST_RANGE)
    scaled = np.clip((curve - low) / (high - low), 0, 1)
    limited = under_steps(scaled, largest_step(rate))
    return np.maximum(smoothed(limited, LAST_SMOOTHING_FRAMES) - SHUT_BELOW, 0)


def _spread(bands: _Bands, spoken: np.ndarray, times: np.ndarray, rate: float) -> np.ndarray:
    """Return the spread (T,) at ``times``, -1 round .. 1 wide, not yet silenced."""
    if not spoken.any():
        return np.zeros(len(times))
    floor = 1e-20 + 1e-3 * bands.round[spoken].mean()
    ratio = np.log((bands.wide + floor) / (bands.round + floor))
    loud = np.minimum(3 * ranked(bands.level, spoken), 1)  # faint sounds say little of the lips
    raw = np.where(spoken, loud * (2 * ranked(ratio, spoken) - 1), 0.0)
    curve = _sampled(smoothed(raw, SPREAD_SMOOTHING_SECONDS * WINDOWS_PER_SECOND), times)
    step = largest_step(rate)
    between = (under_steps(curve, step) - under_steps(-curve, step)) / 2
    return smoothed(between, LAST_SMOOTHING_FRAMES)


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


def _sampled(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return window values at ``times`` plus the lead; zero outside the recording."""
    positions = (times + LEAD_FRAMES * FRAME_SECONDS) * WINDOWS_PER_SECOND
    return np.interp(positions, np.arange(len(values)) + 0.5, values, left=0, right=0)


def largest_step(rate: float) -> float:
    """Return the step limit per frame: the same speed at high rates, never more at low ones."""
    return MAX_STEP * min(1.0, 1 / (FRAME_SECONDS * rate))


def under_steps(values: np.ndarray, step: float) -> np.ndarray:
    """Return the largest curve under ``values`` whose neighbours differ by ``step`` at most.

    Shut stays shut: peaks give way, closures do not.
    """
    ramp = step * np.arange(len(values))
    forward = np.minimum.accumulate(values - ramp) + ramp
    backward = np.minimum.accumulate((values + ramp)[::-1])[::-1] - ramp
    return np.minimum(forward, backward)


def silence_ceiling(spoken: np.ndarray, times: np.ndarray, rate: float, step: float) -> np.ndarray:
    """Return the largest opening (T,) allowed: 0 on silent frames, rising by ``step``."""
    edges = np.rint((times[:, None] + [-0.5 / rate, 0.5 / rate]) * WINDOWS_PER_SECOND)
    first, last = np.clip(edges.astype(int), 0, len(spoken)).T
    first = np.minimum(first, np.maximum(last - 1, 0))  # frames shorter than a window take one
    count = np.concatenate([[0], np.cumsum(spoken)])
    share = (count[last] - count[first]) / np.maximum(last - first, 1)
    return under_steps(np.where(share > SILENT_SHARE, 1.0, 0.0), step)
