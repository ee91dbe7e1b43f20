"""The option ``silence`` through the engine: what auto means for each mode, and the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarvideo.media import AudioClip, LipCorners
from avatarvideo.musetalk import LipSyncConfig
from avatarvideo.musetalk.audio import prepare_mel
from avatarvideo.musetalk.inputs import load_avatar, load_speech

ROOT = Path(__file__).resolve().parents[2]
LIPS = LipCorners(345, 438, 438, 438)  # in pixels of the bundled portrait
PAUSE = (30, 55)  # frames


@pytest.fixture
def job(clips: Any) -> Any:
    """Real speech for 1.2 s, a second of silence, and speech again: 80 frames."""
    spoken = load_speech(ROOT / "web" / "samples" / "speech.flac").speech[:36000]
    samples = np.concatenate([spoken[:19200], np.zeros(16000, np.float32), spoken[19200:]])
    job = clips.job("f", mask=clips.everywhere)
    return replace(job, mel=prepare_mel(AudioClip(samples[:51200][None], 16000)))


def run(engine: Any, job: Any, **options: Any) -> tuple[list[np.ndarray], dict[str, Any]]:
    config = LipSyncConfig(quality="high", residency="unload", **options)
    made = engine().run(job.avatar, job.mel, config, mask=job.mask)
    frames = list(made.open_frames())
    if made.release:
        made.release()
    return frames, made.report


@pytest.mark.slow
def test_auto_is_as_heard_for_musetalk(engine: Any, job: Any) -> None:
    threads = torch.get_num_threads()
    plain, report = run(engine, job, mode="musetalk")
    assert report["silence"] == {"mouth": "as heard"}
    stated, _ = run(engine, job, mode="musetalk", silence="as heard")
    assert np.array_equal(plain, stated)
    resting, report = run(engine, job, mode="musetalk", silence="rest")
    told = report["silence"]
    assert told["mouth"] == "rest"
    assert told["detector"] in ("silero-vad", "loudness")
    assert (told["attack_frames"], told["release_frames"]) == (2, 2)
    same = np.array([np.array_equal(one, other) for one, other in zip(plain, resting, strict=True)])
    assert not same[PAUSE[0] + 3 : PAUSE[1] - 3].any()
    assert same[: PAUSE[0] - 3].sum() >= 20
    assert torch.get_num_threads() == threads


def test_auto_is_rest_for_the_puppet(engine: Any, job: Any) -> None:
    portrait = load_avatar(ROOT / "web" / "samples" / "portrait.png", corners=LIPS)
    still = replace(job, avatar=portrait, mask=None)
    frames, report = run(engine, still, mode="puppet")
    assert report["silence"]["mouth"] == "rest"
    told = report["silence"]
    first, last = (number for number in told["ranges_at_rest"][-1])
    as_heard = set(range(len(frames)))  # but for those at rest, attack and release
    for begin, end in told["ranges_at_rest"]:
        as_heard -= set(range(begin - told["release_frames"], end + 1 + told["attack_frames"]))
    assert len(as_heard) >= 20
    assert first <= PAUSE[0] + 3
    assert last >= PAUSE[1] - 4
    source = portrait.first_frame()
    assert all(np.array_equal(frame, source) for frame in frames[first : last + 1])
    heard, report = run(engine, still, mode="puppet", silence="as heard")
    assert report["silence"] == {"mouth": "as heard"}
    assert not all(np.array_equal(frame, source) for frame in heard)
    assert all(np.array_equal(frames[n], heard[n]) for n in as_heard)


def test_sound_without_speech_is_told(engine: Any, job: Any) -> None:
    portrait = load_avatar(ROOT / "web" / "samples" / "portrait.png", corners=LIPS)
    quiet = prepare_mel(AudioClip(np.zeros((1, 16000), np.float32), 16000))
    still = replace(job, avatar=portrait, mel=quiet, mask=None)
    frames, report = run(engine, still, mode="puppet")
    assert report["reason"].endswith("; no speech was heard, so the mouth rests throughout")
    assert report["silence"]["frames_at_rest"] == len(frames)
