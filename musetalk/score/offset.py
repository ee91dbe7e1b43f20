"""How late the sound is: where the mouth's motion goes best with what the sound makes plausible.

Both curves lose their slow part and are correlated at shifts of up to 15 frames, in steps of a
tenth. How far two such curves agree by chance follows from their lengths and their own rhythms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..puppet.loudness import smoothed
from ..voice.levels import WINDOWS_PER_SECOND
from .numbers import MOST_FRAMES, SURE

STEP = 0.1  # frames
SLOW_SECONDS = 0.25  # deviation of the Gaussian that is taken off: posture, phrases, drift
BLEND_SECONDS = 0.025  # and of the one on the speech: a mouth blends neighbouring sounds
LEAST_SECONDS = 1.0  # of frames with a face
NEAR_SECONDS = 0.3  # to either side of speech, the mouth still says something
RHYTHM_SECONDS = 1.0  # over which a curve may resemble itself


@dataclass(frozen=True)
class Offset:
    """frames: + where the sound is late, - early. certainty: the peak, in deviations of chance."""

    frames: float
    correlation: float
    certainty: float

    @property
    def is_sure(self) -> bool:
        return self.certainty >= SURE and abs(self.frames) < MOST_FRAMES - STEP / 2


def find_offset(
    motion: np.ndarray, times: np.ndarray, expected: np.ndarray, frame_rate: float
) -> Offset | None:
    """Return the best shift; None where there is too little to compare.

    motion: of the mouth, float (T,), larger where it is open, NaN where unknown.
    times: seconds (T,) of the frames' middles. expected: (K,), in each 10 ms, 0 in silence.
    """
    known = np.isfinite(motion)
    soft = smoothed(expected, BLEND_SECONDS * WINDOWS_PER_SECOND)
    speech = soft - smoothed(soft, SLOW_SECONDS * WINDOWS_PER_SECOND)
    inside = known & (times < len(expected) / WINDOWS_PER_SECOND)
    if inside.sum() < LEAST_SECONDS * frame_rate or not np.ptp(speech):
        return None
    mouth = _fast(motion, known, SLOW_SECONDS * frame_rate)
    steps = round(MOST_FRAMES / STEP)
    shifts = np.arange(-steps, steps + 1) * STEP
    sounds = (_sampled(speech, times + shift / frame_rate) for shift in shifts)
    found = np.array([_correlation(mouth[known], sound[known]) for sound in sounds])
    best = int(found.argmax())
    compared = known & _near_speech(expected, times)
    rhythm = round(RHYTHM_SECONDS * frame_rate)
    chance = _chance(mouth * compared, _sampled(speech, times), int(compared.sum()), rhythm)
    place = float(shifts[best] + STEP * _peak(found, best))
    return Offset(place, float(found[best]), float(found[best]) / chance)


def _fast(values: np.ndarray, known: np.ndarray, deviation: float) -> np.ndarray:
    """Return values less their slow part, which gaps do not pull; 0 where unknown."""
    filled = np.where(known, values, 0.0)
    weight = smoothed(known.astype(float), deviation)
    slow = smoothed(filled, deviation) / np.maximum(weight, 1e-6)
    return np.where(known, filled - slow, 0.0)


def _near_speech(expected: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return bool (T,): frames with speech within NEAR_SECONDS."""
    reach = round(NEAR_SECONDS * WINDOWS_PER_SECOND)
    spoken = np.convolve(expected > 0, np.ones(2 * reach + 1), mode="full")[reach:][: len(expected)]
    return _sampled((spoken > 0.5).astype(float), times) > 0


def _sampled(speech: np.ndarray, times: np.ndarray) -> np.ndarray:
    places = times * WINDOWS_PER_SECOND - 0.5
    return np.interp(places, np.arange(len(speech)), speech, left=0, right=0)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = math.sqrt(float((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / size if size > 1e-12 else 0.0


def _peak(found: np.ndarray, best: int) -> float:
    """Return where the parabola through the best value and its neighbours peaks, -0.5 .. 0.5."""
    if not 0 < best < len(found) - 1:
        return 0.0
    before, here, after = found[best - 1 : best + 2]
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else float(np.clip((before - after) / (2 * bend), -0.5, 0.5))


def _chance(mouth: np.ndarray, speech: np.ndarray, count: int, most: int) -> float:
    """Return the deviation of the correlation of two curves (T,) that have nothing in common.

    By Bartlett: what each resembles itself after the same number of frames makes chance larger.
    count: of the frames that are compared; that both rest in a pause proves nothing.
    """
    most = min(most, len(mouth) - 1)
    alike = _likeness(mouth, most) * _likeness(speech, most)
    independent = count / max(1 + 2 * float(alike.sum()), 0.1)
    return 1 / math.sqrt(max(independent, 1.0))


def _likeness(values: np.ndarray, most: int) -> np.ndarray:
    """Return a curve's correlation with itself after 1 .. most frames."""
    values = values - values.mean()
    whole = max(float((values**2).sum()), 1e-12)
    return np.array([(values[lag:] * values[:-lag]).sum() for lag in range(1, most + 1)]) / whole
