"""A job of several speakers is one of each frame once for each of them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from avatarvideo.musetalk.audio import window_starts
from avatarvideo.musetalk.face.detect import FaceTrack
from avatarvideo.musetalk.face.wish import FaceWish
from avatarvideo.musetalk.job import SPEECH_STEP, Job, Woven
from avatarvideo.musetalk.pipeline.run import speeches_in, total_steps
from avatarvideo.musetalk.pipeline.weave import woven_job
from avatarvideo.musetalk.speeches import Speech
from avatarvideo.musetalk.voice.gate import Gate
from support.small_clips import Clips


def job_of_two(clips: Clips) -> Job:
    job = clips.job("f.f", seconds=0.16)
    return replace(job, speeches=(Speech(job.mel, FaceWish()),) * 2)


def track(count: int) -> FaceTrack:
    boxes, bridges = np.zeros((count, 4), np.int32), np.zeros((count, 2), np.int32)
    return FaceTrack(boxes, np.zeros(count, bool), bridges, "face mesh")


def test_every_frame_stands_there_for_each_speaker(clips: Clips) -> None:
    job = job_of_two(clips)
    woven = woven_job(job, track(6), [None, None])
    assert job.indices.tolist() == [0, 1, 2, 2]
    assert woven.indices.tolist() == [0, 1, 2, 3, 4, 5, 4, 5]
    assert woven.numbers.tolist() == [0, 1, 2, 3, 4, 5]
    sources = list(job.avatar.frames())
    for start in range(6):
        shown = list(woven.avatar.frames(start))
        assert len(shown) == 6 - start
        assert all(frame is not None for frame in shown)
        for number, frame in enumerate(shown, start=start):
            assert np.array_equal(frame, sources[number // 2])
    assert woven.avatar.content_hash != job.avatar.content_hash
    assert woven.gate is None
    assert len(speeches_in(woven)) == 2
    assert total_steps(woven) == 2 * 6 + 2 + 8


def test_windows_begin_in_each_speech(clips: Clips) -> None:
    woven = woven_job(job_of_two(clips), track(6), [None, None]).woven
    assert isinstance(woven, Woven)
    starts = woven.starts(8, Fraction(25))
    assert starts[::2].tolist() == window_starts(4, Fraction(25)).tolist()
    assert (starts[1::2] - SPEECH_STEP).tolist() == starts[::2].tolist()


def test_who_has_no_gate_is_always_as_heard(clips: Clips) -> None:
    gate = Gate(np.array([1, 0.5, 0, 0], np.float32), 1, 1, "given")
    woven = woven_job(job_of_two(clips), track(6), [None, gate])
    assert woven.gate is not None
    assert woven.gate.weight.tolist() == [1, 1, 1, 0.5, 1, 0, 1, 0]
