"""Short sounds between pauses: laughter and held notes, of which the network knows little."""

from __future__ import annotations

import numpy as np

from .levels import HOP, SAMPLE_RATE, WINDOWS_PER_SECOND
from .stretches import stretches

# A loud sound no longer than that, out of silence or falling back into it, is a voice where it has
# a pitch and one chunk says so much. Music goes on for longer.
LIKELY, LONGEST = 0.03, 4.0  # seconds
RISES_DB = 40.0
BESIDE, STILL_PERCENT = 0.24, 10  # seconds on either side; the stillest of them count
SUSTAINED_DB, SUSTAINED = 10.0, 0.12  # below its loudest, seconds: what is struck falls at once
PITCHED, PITCHED_DB, PITCHED_WINDOW = 0.5, 15.0, 640  # likeness; below its loudest; samples
LEAST_PITCHED = 3  # windows in a row, each half over the last: 80 ms


def is_voice(
    first: int, end: int, level: np.ndarray, heard: np.ndarray, speech: np.ndarray
) -> bool:
    """Say whether the sound in windows first to end stands alone and may be a voice.

    level: dBFS, heard: how likely speech, both (K,) for every 10 ms of speech, float32 (N,).
    """
    if end - first > LONGEST * WINDOWS_PER_SECOND or heard[first:end].max() < LIKELY:
        return False
    inside = level[first:end]
    if (inside > inside.max() - SUSTAINED_DB).sum() < SUSTAINED * WINDOWS_PER_SECOND:
        return False
    reach = round(BESIDE * WINDOWS_PER_SECOND)
    beside = np.concatenate([level[max(first - reach, 0) : first], level[end : end + reach]])
    still = np.percentile(beside, STILL_PERCENT) if beside.size else -np.inf
    rises = inside.max() - RISES_DB > still
    return bool(rises) and _is_pitched(speech[first * HOP : end * HOP])


def _is_pitched(sound: np.ndarray) -> bool:
    """Say whether a sound, float32 (N,), repeats itself 80 to 600 times a second for a while."""
    if sound.size < 2 * PITCHED_WINDOW:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(sound, PITCHED_WINDOW)
    parts = windows[:: PITCHED_WINDOW // 2].astype(np.float64)
    power = np.abs(np.fft.rfft(parts, 2 * PITCHED_WINDOW, axis=1)) ** 2
    likeness = np.fft.irfft(power, axis=1)
    shortest, longest = SAMPLE_RATE // 600, SAMPLE_RATE // 80
    best = likeness[:, shortest:longest].max(axis=1) / (likeness[:, 0] + 1e-9)
    loud = likeness[:, 0] > likeness[:, 0].max() * 10 ** (-PITCHED_DB / 10)
    runs = stretches((best > PITCHED) & loud)
    return max((end - first for first, end in runs), default=0) >= LEAST_PITCHED
