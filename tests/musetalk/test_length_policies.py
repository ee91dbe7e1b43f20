"""What the engine does where a video avatar and the speech differ in length."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from avatarvideo.encoders.read.probe import probe
from avatarvideo.errors import MediaError
from avatarvideo.media import AudioClip
from avatarvideo.musetalk import LipSyncConfig
from avatarvideo.musetalk.audio import prepare_mel
from avatarvideo.musetalk.interfaces import Loop

RATES = ["24", "25", "29.97"]


def clip_of(clips: Any, seconds: float, rate: int = 48000) -> AudioClip:
    samples = np.random.default_rng(2).normal(0, 0.1, (2, round(seconds * rate)))
    return AudioClip(samples.astype(np.float32), rate)


# When frames of an avatar of varying rate are shown; the last one for the usual 40 ms.
VARYING = [Fraction(each, 100) for each in (0, 2, 6, 10, 14, 17, 24, 28, 32, 36)]


def made(
    engine: Any, clips: Any, loop: Loop, fps: str, seconds: float, *, varying: bool = False
) -> tuple[Any, AudioClip]:
    """Run a video avatar of 10 frames, 0.4 s, under noise that long."""
    clip = clip_of(clips, seconds)
    avatar = clips.avatar(clips.frames("." * 10), rate=Fraction(25))
    if varying:
        avatar = replace(avatar, read_times=lambda: VARYING)
    config = LipSyncConfig(mode="static", loop=loop, fps=fps)
    return engine().run(avatar, prepare_mel(clip), config), clip


@pytest.mark.one_in(4)
@pytest.mark.slow_after(1)  # each locates a face that is not there
@pytest.mark.parametrize("seconds", [0.2, 0.4, 1.0])
@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("loop", get_args(Loop))
def test_frames_and_sound_are_exact(
    engine: Any, clips: Any, loop: Loop, varying: bool, fps: str, seconds: float
) -> None:
    run, clip = made(engine, clips, loop, fps, seconds, varying=varying)
    rate = run.frame_rate
    assert any("rate varies" in note for note in run.report["notes"]) == varying
    shorter, longer = sorted([Fraction(str(seconds)), Fraction(2, 5)])
    lasts = {"cut": shorter, "silence": longer}.get(loop, Fraction(str(seconds)))
    assert run.frame_count == int(lasts * rate + Fraction(1, 2))
    assert len(list(run.open_frames())) == run.frame_count
    kept = run.clip.samples.shape[1]
    assert np.array_equal(run.clip.samples, clip.samples[:, :kept])
    if loop == "cut" and seconds > 0.4:
        assert kept == round(run.frame_count / rate * 48000)
    else:
        assert kept == clip.samples.shape[1]


@pytest.mark.slow
def test_a_longer_avatar_plays_on_with_shut_lips(engine: Any, clips: Any) -> None:
    job = clips.job("ffffffffffff", seconds=0.2, mask=clips.everywhere)
    mel = replace(job.mel, clip=AudioClip(job.mel.speech[None], 16000))
    config = LipSyncConfig(mode="musetalk", quality="high", loop="silence")
    run = engine().run(job.avatar, mel, config, mask=job.mask)
    assert run.frame_count == 12
    assert run.report["silence"]["ranges_at_rest"] == [[7, 11]]
    assert run.report["silence"]["detector"] == "the speech's end"


def test_an_avatar_that_plays_on_for_too_long_is_refused(engine: Any, clips: Any) -> None:
    avatar = clips.avatar(clips.frames("." * 10), rate=Fraction(1))
    config = LipSyncConfig(mode="static", loop="silence", max_duration=5)
    with pytest.raises(MediaError, match=r"plays on for 10\.0 s"):
        engine().run(avatar, prepare_mel(clip_of(clips, 1)), config)


@pytest.mark.slow
def test_a_file_that_plays_on_has_its_frames_and_its_sound(
    engine: Any, clips: Any, tone: Path, tmp_path: Path
) -> None:
    video = Path(__file__).resolve().parents[2] / "web" / "samples" / "talking_head.mp4"
    config = LipSyncConfig(mode="static", loop="silence", fps=25, quality="low")
    made = engine().generate(video, tone, tmp_path / "out.mp4", config)
    assert made.success, made.error
    assert probe(tmp_path / "out.mp4", exact_count=True).frame_count == made.frame_count == 75
