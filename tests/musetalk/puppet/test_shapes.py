"""The mouth's shapes follow the sound: they meet, open, widen, and never jump."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatarvideo.errors import MediaError
from avatarvideo.musetalk.puppet.driver import mouth_motion
from avatarvideo.musetalk.puppet.phones import Phone
from avatarvideo.musetalk.puppet.shapes import MouthShapes, mouth_shapes, with_closures

RATE = 16000
FPS = Fraction(25)
SAMPLE = Path(__file__).resolve().parents[3] / "web" / "samples" / "speech.flac"


def recording() -> np.ndarray:
    with av.open(SAMPLE) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
        parts = [p for f in container.decode(audio=0) for p in resampler.resample(f)]
        parts += resampler.resample(None)
    return np.concatenate([p.to_ndarray()[0] for p in parts])


def shapes_of(speech: np.ndarray, rate: Fraction = FPS, phones=None) -> MouthShapes:
    count = round(len(speech) * rate / RATE)
    return mouth_shapes(speech, frame_rate=rate, frame_count=count, phones=phones)


def test_speech_opens_the_mouth_within_its_speed() -> None:
    shapes = shapes_of(recording())
    assert shapes.opening.max() > 0.25
    assert np.abs(np.diff(shapes.opening)).max() <= 0.22
    assert 0.7 <= shapes.width.min() < 0.95
    assert 1.0 < shapes.width.max() <= 1.1


def test_lips_meet_while_people_speak() -> None:
    shapes = shapes_of(recording())
    shut = shapes.opening < 0.02
    assert shapes.closure[shut].mean() > 0.8
    assert shapes.opening[shapes.closure > 0.95].max() < 0.02


@pytest.mark.parametrize("speech", [np.zeros(RATE), np.full(RATE, 0.7)], ids=["silence", "offset"])
def test_nothing_said_is_a_shut_mouth_at_rest(speech: np.ndarray) -> None:
    shapes = shapes_of(speech.astype(np.float32))
    assert not shapes.opening.any()
    assert (shapes.width == 1).all()
    assert (shapes.closure == 1).all()


def test_silence_in_a_speech_is_shut() -> None:
    speech = np.concatenate([recording(), np.zeros(RATE, np.float32), recording()])
    opening = shapes_of(speech).opening
    middle = round(len(recording()) * 25 / RATE)
    assert not opening[middle + 2 : middle + 23].any()


def test_a_heard_m_makes_a_closure_likelier() -> None:
    speech = recording()
    length = len(speech) / RATE
    every = [Phone("M", 0.0, length)]
    none = [Phone("AA", 0.0, length)]
    assert (
        shapes_of(speech, phones=every).closure.mean()
        > shapes_of(speech, phones=none).closure.mean()
    )


def test_shapes_are_the_same_at_any_frame_rate() -> None:
    speech = recording()
    slow, fast = shapes_of(speech), shapes_of(speech, Fraction(50))
    pairs = fast.opening[: 2 * len(slow.opening)].reshape(-1, 2).mean(axis=1)
    assert np.corrcoef(pairs, slow.opening[: len(pairs)])[0, 1] > 0.97


def test_the_same_speech_gives_the_same_shapes() -> None:
    one, other = shapes_of(recording()), shapes_of(recording())
    np.testing.assert_array_equal(one.opening, other.opening)


def test_closures_shut_the_loudness_driver_and_keep_its_steps() -> None:
    speech = recording()
    shapes = shapes_of(speech)
    motion = mouth_motion(speech, frame_rate=FPS, frame_count=len(shapes.opening))
    closed = with_closures(motion, shapes, 25.0)
    assert not closed.opening[shapes.closure > 0.9].any()
    assert (closed.opening <= motion.opening + 1e-6).all()
    assert np.abs(np.diff(closed.opening)).max() <= 0.3 + 1e-6
    assert closed.opening.max() > 0.8


@pytest.mark.slow
def test_memory_hardly_follows_the_length() -> None:
    speech = np.tile(recording(), 60)[: 7 * 60 * RATE]
    tracemalloc.start()
    shapes_of(speech)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


def test_broken_speech_and_unequal_curves_are_refused() -> None:
    with pytest.raises(MediaError, match="not numbers"):
        shapes_of(np.full(RATE, np.nan, np.float32))
    with pytest.raises(MediaError, match="one common length"):
        MouthShapes(np.zeros(3), np.zeros(3), np.zeros(2), np.zeros(3))
