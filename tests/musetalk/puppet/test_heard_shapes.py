"""Shapes by phones that are heard as far as frames are read equal those by all phones."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

from avatarvideo.musetalk.puppet.heard_shapes import HeardShapes
from avatarvideo.musetalk.puppet.phones import SAMPLE_RATE, Phone
from avatarvideo.musetalk.puppet.pose import MouthPose
from avatarvideo.musetalk.puppet.shapes import SpokenShapes, mouth_shapes
from avatarvideo.musetalk.puppet.sound_shapes import GROUP_OF

RATE, SECONDS, CHUNK = Fraction(25), 200, 20
COUNT = SECONDS * 25


def speech(pause: float) -> np.ndarray:
    """Return noise that swells and falls, with a pause behind every 1.7 s."""
    times = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    sound = np.random.default_rng(7).normal(0, 0.1, times.size) * (1.2 + np.sin(9 * times))
    return np.where(times % (1.7 + pause) < 1.7, sound, 0).astype(np.float32)


def phones() -> list[Phone]:
    """Return one phone every 80 ms, closures of the lips among them."""
    names = np.random.default_rng(8).choice(list(GROUP_OF), SECONDS * 1000 // 80)
    return [Phone(str(name), i * 0.08, (i + 1) * 0.08) for i, name in enumerate(names)]


def in_chunks(heard: list[Phone], told: list[int]) -> Iterator[tuple[list[Phone], float]]:
    for end in range(CHUNK, SECONDS + 1, CHUNK):
        told.append(end)
        yield [phone for phone in heard if end - CHUNK <= phone.start < end], float(end)


def heard_shapes(sound: np.ndarray, chunks: Iterator[tuple[list[Phone], float]]) -> HeardShapes:
    spoken = SpokenShapes(sound, frame_rate=RATE, frame_count=COUNT, by_phones=True)
    return HeardShapes(spoken, chunks)


@pytest.mark.parametrize("pause", [0.4, 0.0])
def test_every_frame_is_as_by_all_phones(pause: float) -> None:
    told: list[int] = []
    sound = speech(pause)
    heard = heard_shapes(sound, in_chunks(phones(), told))
    assert told == [CHUNK]
    whole = mouth_shapes(sound, frame_rate=RATE, frame_count=COUNT, phones=phones())
    weight = np.linspace(0, 1, COUNT, dtype=np.float32)
    gated = heard.gated(weight).gated(weight)
    assert gated.at(0) == MouthPose(0, 1, 1, 0)
    first = [heard.at(frame) for frame in range(25)]
    assert told == [CHUNK]  # lips meet often enough for the first seconds to be certain
    assert [whole.at(frame) for frame in range(25)] == first
    with ThreadPoolExecutor(2) as readers:
        seen, faded = readers.map(lambda each: [*map(each.at, range(COUNT))], (heard, gated))
    assert seen == [whole.at(frame) for frame in range(COUNT)]
    assert faded == [whole.gated(weight).gated(weight).at(frame) for frame in range(COUNT)]
    assert told == [*range(CHUNK, SECONDS + 1, CHUNK)]
    assert sum(pose.closure > 0.99 for pose in seen) > SECONDS  # closures on both sides of seams


def test_a_mouth_that_never_shuts_waits_for_no_more_phones() -> None:
    told: list[int] = []
    vowels = [Phone("AA", phone.start, phone.end) for phone in phones()]
    times = np.arange(SECONDS * SAMPLE_RATE, dtype=np.float32) / SAMPLE_RATE
    vowel = np.sin(2 * np.pi * 700 * times) + np.sin(2 * np.pi * 1150 * times)
    heard = heard_shapes(vowel / 9, in_chunks(vowels, told))
    assert told == [CHUNK]
    whole = mouth_shapes(vowel / 9, frame_rate=RATE, frame_count=COUNT, phones=vowels)
    assert heard.at(5) == whole.at(5)
    assert told == [CHUNK]
    assert [heard.at(frame) for frame in range(COUNT)] == [whole.at(f) for f in range(COUNT)]
