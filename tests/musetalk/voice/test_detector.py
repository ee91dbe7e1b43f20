"""One choice of detector for the silent mouth and for the score, smaller where memory is short."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from avatarvideo.errors import Cancelled
from avatarvideo.media import AudioClip
from avatarvideo.musetalk.score.speech import heard
from avatarvideo.musetalk.voice import detector
from avatarvideo.musetalk.voice.detector import best_activity
from avatarvideo.musetalk.weights.silero_file import find_silero

SPEECH = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
needs_silero = pytest.mark.skipif(find_silero() is None, reason="silero-vad is not installed")


def nothing() -> None:
    pass


@needs_silero
def test_the_network_hears_where_it_fits(clips: Any) -> None:
    steps: list[dict[str, str]] = []
    threads = torch.get_num_threads()
    activity = best_activity(SPEECH, clips.FreeMemory(1000), check=nothing, steps=steps)
    assert (activity.detector, steps) == ("silero-vad", [])
    assert torch.get_num_threads() == threads


@needs_silero
def test_the_score_steps_down_too_and_logs_it(clips: Any, caplog: pytest.LogCaptureFixture) -> None:
    sound = AudioClip(SPEECH[None], 16000)
    assert heard(sound, nothing).detector == "silero-vad"
    with caplog.at_level(logging.INFO, detector.log.name):
        assert heard(sound, nothing, memory=clips.FreeMemory(1)).detector == "loudness"
    assert "by loudness instead of 1 chunks" in caplog.text


def test_a_voice_is_not_brought_out_of_music_where_memory_is_short(clips: Any) -> None:
    steps: list[dict[str, str]] = []
    assert not detector._has_room(clips.FreeMemory(10), steps)
    assert [(step["stage"], step["to"]) for step in steps] == [("voice", "the sound as it is")]
    assert detector._has_room(clips.FreeMemory(100), steps)
    assert len(steps) == 1


def test_without_the_package_it_is_loudness(clips: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "find_silero", lambda: None)
    assert best_activity(SPEECH, clips.FreeMemory(1000), check=nothing).detector == "loudness"


def test_cancel_ends_every_detector(clips: Any) -> None:
    def cancel() -> None:
        raise Cancelled("stopped")

    for free in (1000, 1):
        with pytest.raises(Cancelled):
            best_activity(SPEECH, clips.FreeMemory(free), check=cancel)
