"""Shifts of made-up curves are found, and what has nothing in common is told from them."""

from __future__ import annotations

import numpy as np
import pytest

from avatarvideo.musetalk.score.numbers import MOST_FRAMES
from avatarvideo.musetalk.score.offset import Offset, find_offset

RATE, SECONDS = 25.0, 8


def babble(seed: int, seconds: float = SECONDS) -> np.ndarray:
    """Syllables in steps of 10 ms: an opening of 0 to 0.4 every 120 to 300 ms."""
    noise = np.random.default_rng(seed)
    values = np.zeros(round(seconds * 100))
    place = 20
    while place < len(values) - 40:
        length = int(noise.integers(6, 14))
        values[place : place + length] = noise.uniform(0.1, 0.4) * np.hanning(length)
        place += int(noise.integers(12, 30))
    return values


def seen(expected: np.ndarray, late: float, rate: float = RATE) -> tuple[np.ndarray, np.ndarray]:
    """The opening of a mouth for which this sound comes too late by so many frames; the times."""
    times = (np.arange(round(len(expected) / 100 * rate)) + 0.5) / rate
    places = (times + late / rate) * 100 - 0.5
    return np.interp(places, np.arange(len(expected)), expected, left=0, right=0), times


def found(expected: np.ndarray, opening: np.ndarray, times: np.ndarray) -> Offset:
    offset = find_offset(opening, times, expected, RATE)
    assert offset is not None
    return offset


@pytest.mark.parametrize("late", [-9.0, -1.0, -0.4, 0.0, 1.0, 2.5, 12.0])
def test_a_planted_shift_is_found_to_a_part_of_a_frame(late: float) -> None:
    expected = babble(1)
    offset = found(expected, *seen(expected, late))
    assert offset.frames == pytest.approx(late, abs=0.15)
    assert offset.correlation > 0.88
    assert offset.is_sure


def test_frames_are_those_of_the_video() -> None:
    expected = babble(1)
    opening, times = seen(expected, 2.0, rate=50.0)
    offset = find_offset(opening, times, expected, 50.0)
    assert offset is not None
    assert offset.frames == pytest.approx(2.0, abs=0.15)


@pytest.mark.slow
def test_another_speech_is_no_match() -> None:
    certainties = []
    for seed in range(20):
        opening, times = seen(babble(seed), 0.0)
        offset = found(babble(seed + 100), opening, times)
        certainties.append(offset.certainty)
        assert not offset.is_sure
    assert 1.0 < np.median(certainties) < 3.0  # the best of 30 frames of chance


def test_a_shift_beyond_the_reach_is_not_guessed() -> None:
    expected = babble(1)
    assert not found(expected, *seen(expected, MOST_FRAMES + 8.0)).is_sure


def test_frames_without_a_face_do_not_count() -> None:
    expected = babble(1)
    opening, times = seen(expected, 3.0)
    opening[40:90] = np.nan
    offset = found(expected, opening, times)
    assert (offset.is_sure, offset.frames) == (True, pytest.approx(3.0, abs=0.15))


def test_that_both_rest_in_a_pause_proves_nothing() -> None:
    expected = babble(1, 4)
    pause = np.concatenate([np.zeros(600), expected, np.zeros(600)])
    short = found(expected, *seen(expected, 1.0))
    long = found(pause, *seen(pause, 1.0))
    assert long.frames == pytest.approx(short.frames, abs=0.05)
    assert 0.9 < long.certainty / short.certainty < 1.25


def test_posture_does_not_count() -> None:
    expected = babble(1)
    opening, times = seen(expected, 1.0)
    offset = found(expected, opening + 0.1 + 0.1 * np.sin(times), times)
    assert offset.frames == pytest.approx(1.0, abs=0.3)


def test_too_little_is_no_offset() -> None:
    expected = babble(1)
    opening, times = seen(expected, 0.0)
    opening[20:] = np.nan
    assert find_offset(opening, times, expected, RATE) is None
    assert find_offset(opening[:0], times[:0], expected, RATE) is None
    assert find_offset(seen(expected, 0.0)[0], times, expected * 0, RATE) is None
