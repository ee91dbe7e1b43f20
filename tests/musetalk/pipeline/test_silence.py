"""A mouth at rest is the person's own, and nothing is computed for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from avatarvideo.errors import Cancelled
from avatarvideo.media import FaceLocation, LipCorners, LipShape
from avatarvideo.musetalk.face.blend import lips_are_shut
from avatarvideo.musetalk.job import Job
from avatarvideo.musetalk.modes.silence import hear
from avatarvideo.musetalk.networks.unet import UNet
from avatarvideo.musetalk.pipeline.avatar_cache import AvatarCache
from avatarvideo.musetalk.pipeline.cpu_features import Tuning
from avatarvideo.musetalk.pipeline.memory import FallbackPlan, VRAMManager
from avatarvideo.musetalk.voice.gate import gate_of
from avatarvideo.musetalk.weights.silero_file import find_silero

ONE_BY_ONE = Tuning(largest_batches={"generate": (1, 1), "prepare": (1, 1)})
SHUT = LipShape(LipCorners(40, 70, 70, 70), np.zeros((4, 33), np.float32))


def counting_models(clips: Any) -> tuple[Any, list[int]]:
    """Return networks, and how many faces the UNet made at a time."""
    sizes: list[int] = []

    class Counting(UNet):
        def forward(self, latents: torch.Tensor, *rest: Any, **more: Any) -> Any:
            sizes.append(len(latents))
            return super().forward(latents, *rest, **more)

    return clips.CountingModels(None, {"unet": Counting}), sizes


def resting(job: Job, *pauses: tuple[float, float], lips: LipShape | None = SHUT) -> Job:
    """Return a job whose mouth rests in the pauses, seconds; ``lips`` are the avatar's own."""
    spoken = np.ones(job.mel.speech.size // 160, bool)
    for first, end in pauses:
        spoken[round(first * 100) : round(end * 100)] = False
    gate = gate_of(spoken, job.frame_rate, job.indices.size)
    face = FaceLocation(None, lips, 1.0, "user", "given")
    return replace(job, gate=gate, avatar=replace(job.avatar, face=face))


def differing(one: Iterable[np.ndarray], other: Iterable[np.ndarray]) -> np.ndarray:
    """Return int (T,), by how many levels frames differ at most."""
    pairs = zip(one, other, strict=True)
    return np.array([np.abs(a.astype(int) - b.astype(int)).max() for a, b in pairs])


@pytest.mark.slow
def test_a_mouth_at_rest_is_the_sources_and_the_rest_as_heard(clips: Any) -> None:
    job = clips.job("f", seconds=2, mask=clips.everywhere)
    models, sizes = counting_models(clips)
    with_rest = resting(job, (0.6, 1.4))
    gate = with_rest.gate
    assert gate is not None
    shown = clips.shown(with_rest, models, tuning=ONE_BY_ONE)
    heard = clips.shown(job, tuning=ONE_BY_ONE)
    source = clips.frames("f")[0]
    at_rest = np.array([np.array_equal(frame, source) for frame in shown])
    assert np.array_equal(at_rest, gate.at_rest)
    assert at_rest[18:32].all()  # 120 ms after the pause begins, 120 ms before it ends
    assert (differing(shown, heard)[gate.weight == 1] == 0).all()
    assert sum(sizes) == int((~gate.at_rest).sum())  # nothing is computed for rest
    x0, y0, x1, y1 = clips.box
    outside = np.ones(source.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    assert all(np.array_equal(frame[outside], source[outside]) for frame in shown)


@pytest.mark.slow
def test_at_most_two_frames_cross_and_come_closer(clips: Any) -> None:
    job = resting(clips.job("f", seconds=2, mask=clips.everywhere), (0.6, 1.4))
    shown = clips.shown(job, tuning=ONE_BY_ONE).astype(int)
    source = clips.frames("f")[0].astype(int)
    away = np.abs(shown - source).sum(axis=(1, 2, 3))
    first, last = np.flatnonzero(away == 0)[[0, -1]]
    assert (first, last) == (17, 32)
    assert away[first - 3] > away[first - 2] > away[first - 1] > 0
    assert 0 < away[last + 1] < away[last + 2] < away[last + 3]


@pytest.mark.slow
def test_open_lips_are_shut_by_silence_once_a_source_frame(clips: Any) -> None:
    job = clips.job("ff", seconds=2, mask=clips.everywhere)
    models, sizes = counting_models(clips)
    with_rest = resting(job, (0.6, 1.4), lips=None)
    gate = with_rest.gate
    assert gate is not None
    clip = clips.speak(with_rest, models, tuning=ONE_BY_ONE)
    shown = list(clip.playback.frames())
    resting_frames = np.flatnonzero(gate.at_rest)
    for source in (0, 1):
        same = [shown[n] for n in resting_frames if job.indices[n] == source]
        assert len(same) > 4
        assert all(np.array_equal(frame, same[0]) for frame in same)
        assert not np.array_equal(same[0], clips.frames("ff")[source])
    assert sum(sizes) == int((~gate.at_rest).sum()) + 2
    assert not clip.playback.passed_through().any()
    assert clip.report["silence"]["frames_at_rest"] == resting_frames.size
    clip.playback.release()


@pytest.mark.slow
def test_a_batch_of_any_size_gives_the_same(clips: Any) -> None:
    job = resting(clips.job("ff", seconds=1, mask=clips.everywhere), (0.3, 0.8), lips=None)
    many = Tuning(largest_batches={"generate": (8, 8), "prepare": (2, 2)})
    one, other = (clips.shown(job, tuning=tuning) for tuning in (ONE_BY_ONE, many))
    assert differing(one, other).max() <= 1


@pytest.mark.slow
def test_nobody_speaks_and_no_face_is_generated(clips: Any) -> None:
    job = resting(clips.job("f", seconds=1, mask=clips.everywhere), (0, 1))
    models, sizes = counting_models(clips)
    shown = clips.shown(job, models)
    assert all(np.array_equal(frame, clips.frames("f")[0]) for frame in shown)
    assert sizes == []
    assert "unet" not in models.loaded


@pytest.mark.slow
def test_what_the_parser_says_of_the_lips_is_cached(clips: Any) -> None:
    job = resting(clips.job("ff", seconds=0.6), (0.1, 0.6))
    cache = AvatarCache()
    first, second = (clips.shown(job, cache=cache, tuning=ONE_BY_ONE) for _ in range(2))
    assert np.array_equal(first, second)


def test_lips_are_shut_where_nothing_is_between_them() -> None:
    parts = np.zeros((40, 40), np.uint8)
    parts[10:14, 5:35], parts[14:18, 5:35] = 12, 13
    assert lips_are_shut(parts)
    parts[13:15, 10:30] = 11
    assert not lips_are_shut(parts)
    assert not lips_are_shut(np.zeros((40, 40), np.uint8))


# --- the detector's memory and cancel


def heard_by(clips: Any, free: float) -> tuple[str, list[dict[str, str]]]:
    fallback = FallbackPlan(VRAMManager("cpu"), "high")
    job = clips.job("f", seconds=1)
    gate = hear(job, clips.host, fallback, vram=clips.FreeMemory(free))
    return gate.detector, fallback.steps


def test_it_steps_down_to_fewer_chunks_and_to_loudness(clips: Any) -> None:
    if find_silero() is None:
        pytest.skip("silero-vad is not installed")
    assert heard_by(clips, 1000) == ("silero-vad", [])
    detector, steps = heard_by(clips, 4.6)
    assert detector == "silero-vad"
    assert steps.pop()["to"] == "the sound as it is"  # and not brought out of music
    assert [step["from"] for step in steps] == [f"{64 >> n} chunks" for n in range(len(steps))]
    assert 0 < len(steps) < 7
    detector, steps = heard_by(clips, 1)
    assert detector == "loudness"
    assert steps[-1]["to"] == "loudness"
    assert {step["stage"] for step in steps} == {"voice"}


def test_cancel_ends_it(clips: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancel() -> None:
        raise Cancelled("stopped")

    monkeypatch.setattr(clips.host, "check_cancelled", cancel)
    with pytest.raises(Cancelled):
        heard_by(clips, 1000)


@pytest.mark.slow
def test_rates_other_than_25_have_their_own_frames(clips: Any) -> None:
    job = resting(clips.job("f", seconds=1, fps="29.97", mask=clips.everywhere), (0.3, 0.8))
    assert job.frame_rate == Fraction(30000, 1001)
    shown = clips.shown(job)
    assert job.gate is not None
    at_rest = [np.array_equal(frame, clips.frames("f")[0]) for frame in shown]
    assert at_rest == job.gate.at_rest.tolist()
