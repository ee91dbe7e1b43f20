from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.encoders.read.loudness import integrated_loudness
from avatarvideo.encoders.read.probe import probe
from avatarvideo.media import AudioClip


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_a_full_scale_sine_is_the_standards_value(rate: int) -> None:
    # BS.1770-4: 997 Hz at 0 dBFS in one channel reads -3.01 LKFS.
    wave = np.sin(2 * np.pi * 997 * np.arange(rate * 5) / rate)[None]

    assert integrated_loudness(iter(np.array_split(wave, 7, axis=1)), rate, 1) == pytest.approx(
        -3.01, abs=0.05
    )


def test_silence_has_none() -> None:
    assert integrated_loudness([np.zeros((1, 48000))], 48000, 1) is None
    assert integrated_loudness([], 48000, 1) is None


@pytest.mark.slow
def test_it_agrees_with_ffmpeg(
    tmp_path: Path,
    make_video: Callable[..., Path],
    tone: Callable[..., AudioClip],
    ffmpeg: str,
) -> None:
    clip = tone(48000 * 6, 48000, 2)
    quiet = clip.samples.copy()
    quiet[:, 48000 * 3 :] *= 0.02  # left out by the relative gate
    path = make_video(tmp_path / "a.mkv", 150, audio=AudioClip(quiet, 48000))

    ours = probe(path, measure_loudness=True).audio[0].loudness_lufs

    command = [ffmpeg, "-nostats", "-i", str(path), "-af", "ebur128", "-f", "null", "-"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    theirs = float(re.findall(r"I:\s+(-?[\d.]+) LUFS", said)[-1])
    assert ours == pytest.approx(theirs, abs=0.1)
