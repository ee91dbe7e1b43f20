"""How clearly a tone with its overtones stands out, each 10 ms, and whether it is a melody's."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch.nn.functional import avg_pool1d, pad

from .levels import HOP, SAMPLE_RATE, window_count

WINDOW = 1024  # samples: 64 ms
LOWEST, STEPS, PITCHES, OCTAVES = 80.0, 36, 4 * 36, 6.5  # Hz, an octave, in it a voice's, in all
OVERTONES, FALLS = 5, 0.84  # the tone is the first of them; each counts so much of the one before
# Of what is brought out of a recording: a voice is so clear in a fiftieth of the time. In a melody
# half of it is clear, and so much lies near its loudest: chords sound for less, strings never rest.
CLEAR, CLEAREST_PERCENT = 4.0, 98
CLEAR_MELODY = 3.0
NEAR_PEAK_DB, PEAK_PERCENT = 15.0, 95
LEAST_SOUNDING, MOST_SOUNDING = 0.4, 0.8


def clearness(sound: np.ndarray) -> np.ndarray:
    """Return how clear the clearest tone is, float32 (K,), for every 10 ms of sound, float32 (N,).

    Where all is alike, as in noise, it is 0 to 2; it does not change with the loudness.
    """
    if sound.size <= WINDOW:
        return np.zeros(window_count(sound), np.float32)
    signal = torch.as_tensor(np.ascontiguousarray(sound, np.float32))
    window = torch.hann_window(WINDOW)
    heights = torch.stft(signal, WINDOW, HOP, window=window, return_complex=True).abs()
    places = LOWEST * 2 ** (torch.arange(0, OCTAVES * STEPS) / STEPS) / SAMPLE_RATE * WINDOW
    below = places.long()
    share = (places - below)[:, None]
    by_pitch = heights[below] * (1 - share) + heights[below + 1] * share
    by_pitch = torch.log1p(by_pitch / by_pitch.mean().clamp(min=1e-9))
    around = pad(by_pitch.T, (STEPS // 2, STEPS // 2), mode="replicate")
    peaks = (by_pitch - avg_pool1d(around, STEPS + 1, 1).T).clamp(min=0)
    tones = torch.zeros(PITCHES, peaks.shape[1])
    for number in range(OVERTONES):
        first = round(STEPS * np.log2(number + 1))
        tones += FALLS**number * peaks[first : first + PITCHES]
    return tones.amax(0).numpy()[: window_count(sound)]


def clear_tones(
    sounds: Iterable[np.ndarray], levels: Iterable[np.ndarray]
) -> tuple[bool, bool, bool]:
    """Say of what was brought out whether a tone is clear at times, mostly, and in a melody.

    levels: dBFS (K,), of each of the sounds, float32 (N,), for every 10 ms.
    """
    clear = np.concatenate([clearness(sound) for sound in sounds])
    level = np.concatenate(list(levels))
    sounding = float((level > np.percentile(level, PEAK_PERCENT) - NEAR_PEAK_DB).mean())
    at_times = bool(np.percentile(clear, CLEAREST_PERCENT) >= CLEAR)
    mostly = bool(np.median(clear) >= CLEAR_MELODY)
    return at_times, mostly, mostly and LEAST_SOUNDING <= sounding < MOST_SOUNDING
