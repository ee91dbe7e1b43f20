"""A flash and a beep every second stay together through every step a file can take."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.encoders.encoder import FFmpegEncoder, encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.media import AudioClip

SECONDS = int(os.environ.get("AVATAR_SYNC_SECONDS", "10"))
RATE, SAMPLE_RATE = Fraction(30000, 1001), 44100
ONE_FRAME = 1 / 25  # the slowest rate on the way
FAST = EncodingConfig(quality="fast")


def _flashes(rate: Fraction) -> Iterator[np.ndarray]:
    """Yield dark frames, white ones for a tenth of each second."""
    for index in range(round(SECONDS * rate)):
        begins = (index / rate) % 1 < Fraction(1, 10)
        yield np.full((48, 64, 3), 235 if begins else 16, np.uint8)


def _beeps() -> AudioClip:
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    wave = 0.5 * np.sin(2 * np.pi * 1000 * time) * (time % 1 < 0.05)
    return AudioClip(wave[None].astype(np.float32), SAMPLE_RATE)


def _flash_times(path: Path) -> np.ndarray:
    reader = VideoReader(path)
    bright = np.array([frame.mean() > 120 for frame in reader.frames()])
    starts = np.flatnonzero(bright & ~np.r_[False, bright[:-1]])
    return starts / float(reader.frame_rate)


def _beep_times(path: Path) -> np.ndarray:
    clip = read_audio(path)
    window = clip.sample_rate // 200
    loud = np.abs(clip.samples[0]) > 0.2
    heard = loud[: len(loud) // window * window].reshape(-1, window)
    begins = heard.any(1) & ~np.r_[False, heard.any(1)[:-1]]
    # To the sample: a window's rounding would count against the one frame that is allowed.
    firsts = np.flatnonzero(begins) * window + heard[begins].argmax(1)
    return firsts / clip.sample_rate


def _check(path: Path) -> None:
    flashes, beeps = _flash_times(path), _beep_times(path)
    assert len(flashes) == len(beeps) == SECONDS
    assert np.abs(flashes - beeps).max() <= ONE_FRAME + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_flash_and_beep_stay_together(tmp_path: Path, suffix: str) -> None:
    first = tmp_path / f"first.{suffix}"
    encode_frames(_flashes(RATE), first, frame_rate=RATE, config=FAST, audio=_beeps())
    _check(first)

    # Read and made again as lip-sync does: its frames at 25, its sound as decoded.
    spoken = tmp_path / f"spoken.{suffix}"
    clip = read_audio(first)
    source = VideoReader(first)
    count = round(clip.duration * 25)
    shown = [
        min(
            math.floor(n / Fraction(25) * source.frame_rate + Fraction(1, 2)),
            source.frame_count - 1,
        )
        for n in range(count)
    ]
    every = list(source.frames())
    encode_frames(
        (every[n] for n in shown), spoken, frame_rate=Fraction(25), config=FAST, audio=clip
    )
    _check(spoken)

    encoder = FFmpegEncoder()
    dubbed, again = tmp_path / f"dubbed.{suffix}", tmp_path / "again.mp4"
    assert encoder.add_audio(spoken, first, dubbed).success
    _check(dubbed)
    assert encoder.encode(dubbed, again, EncodingConfig(quality="fast", fps=50)).success
    _check(again)
