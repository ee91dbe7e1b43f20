"""A held note between pauses is a voice, however slowly it fades; a bang or a soft one is not."""

from __future__ import annotations

import numpy as np

from avatarvideo.musetalk.voice.alone import is_voice
from avatarvideo.musetalk.voice.levels import levels

NOTE = (100, 200)  # windows of 10 ms


def note(pitch: float = 220.0, fades_db: float = 30.0) -> np.ndarray:
    """Return 3 s, 16 kHz: silence, a note of many harmonics that fades, silence."""
    times = np.arange(48000) / 16000
    wave = sum(np.sin(2 * np.pi * pitch * n * times) / n for n in range(1, 9))
    fade = 10 ** (-fades_db * np.clip(times - 1, 0, 1) / 20)
    inside = (times >= 1) & (times < 2)
    noise = np.random.default_rng(0).normal(0, 1e-4, times.size)
    return (0.2 * wave * fade * inside + noise).astype(np.float32)


def judged(sound: np.ndarray, heard: float = 0.05, first: int = 100, end: int = 200) -> bool:
    likely = np.zeros(300)
    likely[105] = heard
    return is_voice(first, end, levels(sound), likely, sound)


def test_a_note_that_fades_is_a_voice() -> None:
    assert judged(note())
    assert judged(note(), end=150)  # what follows is the rest of it, 15 dB below its peak
    assert judged(note(440, fades_db=50))


def test_what_the_network_denies_has_no_pitch_or_goes_on_is_none() -> None:
    assert not judged(note(), heard=0.02)
    bang = np.random.default_rng(1).normal(0, 0.2, 48000).astype(np.float32)
    bang[:16000] = bang[32000:] = 0
    assert not judged(bang)
    assert not is_voice(0, 500, np.zeros(500), np.ones(500), np.zeros(80000, np.float32))


def test_what_is_struck_and_rings_is_none() -> None:
    times = np.arange(48000) / 16000
    after = np.clip(times - 1, 0, None)
    knock = 0.3 * np.sin(2 * np.pi * 500 * times) * np.exp(-40 * after) * (times >= 1)
    knock += np.random.default_rng(0).normal(0, 1e-4, times.size)
    assert not judged(knock.astype(np.float32), end=125)
    assert not judged(clicks(), end=200)


def clicks() -> np.ndarray:
    """Return a second of keys that are pressed in the middle of 3 s, 16 kHz: loud, no pitch."""
    source = np.random.default_rng(0)
    sound = source.normal(0, 1e-4, 48000)
    for first in range(16000, 32000, 1500):
        sound[first : first + 1200] += (
            0.3 * source.normal(0, 1, 1200) * np.exp(-np.arange(1200) / 400)
        )
    return sound.astype(np.float32)


def test_one_syllable_of_laughter_is_a_voice() -> None:
    ha = note() * (np.abs(np.arange(48000) / 16000 - 1.07) < 0.07)
    ha += np.random.default_rng(0).normal(0, 1e-5, ha.size)
    assert judged(ha.astype(np.float32), end=114)
