"""A tone with its overtones stands out of noise and of what rests between its notes."""

from __future__ import annotations

import numpy as np
import pytest

from avatarvideo.musetalk.voice.levels import levels, window_count
from avatarvideo.musetalk.voice.melody import CLEAR_MELODY, clear_tones, clearness

RATE = 16000


def tone(pitch: float, seconds: float) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return sum(
        (np.sin(2 * np.pi * n * pitch * times) / n for n in range(1, 12)), np.zeros(times.size)
    ).astype(np.float32)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


@pytest.mark.parametrize("pitch", [130, 220, 700])
def test_a_tone_is_clear_and_noise_is_not(pitch: float) -> None:
    assert np.median(clearness(tone(pitch, 1))) > CLEAR_MELODY
    assert clearness(noise(1)).max() < CLEAR_MELODY


def test_it_does_not_change_with_the_loudness() -> None:
    sound = tone(220, 1) + noise(1)
    np.testing.assert_allclose(clearness(0.001 * sound), clearness(sound), atol=1e-3)


@pytest.mark.parametrize("count", [1, 159, 161, 1024, 1025, 16001])
def test_there_is_one_for_every_window(count: int) -> None:
    assert clearness(np.ones(count, np.float32)).size == window_count(np.ones(count))
    assert not clearness(np.zeros(count, np.float32)).any()


def test_a_melody_rests_and_an_organ_does_not() -> None:
    pause = 0.001 * noise(0.4)
    notes = [np.concatenate([tone(pitch, 1), pause]) for pitch in (220, 247, 262, 294)]
    for sounds, wanted in (
        (notes, (True, True, True)),
        ([tone(220, 2), tone(262, 2)], (True, True, False)),
        ([noise(2)], (False, False, False)),
    ):
        assert clear_tones(sounds, map(levels, sounds)) == wanted
