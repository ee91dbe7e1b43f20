"""How loud a recording is, 10 ms by 10 ms, and where that alone says speech."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

SAMPLE_RATE = 16000  # Hz, of the speech
HOP = 160  # samples between analysis windows: 10 ms
WINDOW = 512  # samples: 32 ms, long enough to split the bands at a low voice's pitch
CHUNK = 512  # windows transformed at a time, so memory does not follow the length
WINDOWS_PER_SECOND = SAMPLE_RATE // HOP
AUDIBLE_BAND = (80.0, 7900.0)  # Hz

SILENT_PEAK_DB = -75.0  # a recording that never gets louder than this holds no speech
HUM_PEAK_DB = -45.0  # steady sound below this is room noise, above it a held note
STEADY_SPREAD_DB = 6.0
PADDING_DB = 60.0  # digital silence further down than this says nothing of the room's noise
SPEECH_RANGE_DB = 35.0  # below the loudest sounds by more than this is silence
FLOOR_SHARE = 0.25  # of the way from the noise floor to the peak: where speech begins


def window_count(speech: np.ndarray) -> int:
    """Return how many 10 ms windows, at least one, speech (N,) has."""
    return max(1, math.ceil(len(speech) / HOP))


def band_energies(
    speech: np.ndarray, bands: list[tuple[float, float]], first: int = 0, last: int | None = None
) -> np.ndarray:
    """Return float64 (len(bands), K): mean-square energy from Hz to Hz in each 10 ms window.

    first, last: of the windows, if not all are wanted.
    """
    frequencies = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
    picks = np.array([(frequencies >= low) & (frequencies < high) for low, high in bands])
    last = window_count(speech) if last is None else last
    energies = np.empty((last - first, len(bands)))
    for number, power in enumerate(_power(speech, first, last)):
        here = slice(number * CHUNK, number * CHUNK + len(power))
        energies[here] = power @ picks.T.astype(np.float64)
    return energies.T


def levels(speech: np.ndarray) -> np.ndarray:
    """Return float64 (K,), dBFS."""
    return decibels(band_energies(speech, [AUDIBLE_BAND])[0])


def decibels(energy: np.ndarray) -> np.ndarray:
    return 10 * np.log10(energy + 1e-12)


def _power(speech: np.ndarray, begin: int, end: int) -> Iterator[np.ndarray]:
    """Yield mean-square spectra (<= CHUNK, WINDOW / 2 + 1); window i is centred in hop i."""
    hann = np.hanning(WINDOW)
    scale = 2 / (WINDOW * (hann**2).sum())
    for first in range(begin, end, CHUNK):
        here = min(CHUNK, end - first)
        start = first * HOP - (WINDOW - HOP) // 2
        stop = start + (here - 1) * HOP + WINDOW
        part = speech[max(start, 0) : max(stop, 0)].astype(np.float64)
        part = np.pad(part, (max(-start, 0), 0))
        part = np.pad(part, (0, stop - start - len(part)))
        windows = np.lib.stride_tricks.sliding_window_view(part, WINDOW)[::HOP]
        yield scale * np.abs(np.fft.rfft(windows * hann, axis=1)) ** 2


def spoken_by_level(level: np.ndarray) -> np.ndarray:
    """Return which windows (K,) hold speech, by the recording's own floor and peak."""
    peak = peak_level(level)
    if peak < SILENT_PEAK_DB:
        return np.zeros(len(level), bool)
    is_heard = level > peak - PADDING_DB
    heard = level[is_heard]
    floor = float(np.percentile(heard, 10))
    if peak - floor < STEADY_SPREAD_DB:
        return is_heard if peak > HUM_PEAK_DB else np.zeros(len(level), bool)
    begin = max(floor + FLOOR_SHARE * (peak - floor), peak - SPEECH_RANGE_DB)
    return level > begin


def peak_level(level: np.ndarray) -> float:
    """Return the level that the loudest twentieth, or the loudest second if shorter, exceeds."""
    loudest = max(1, min(len(level) // 20, round(WINDOWS_PER_SECOND)))
    return float(np.partition(level, -loudest)[-loudest])
