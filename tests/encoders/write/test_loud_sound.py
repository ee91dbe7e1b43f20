"""Sound beyond full scale: what every codec makes of it is full scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.encoders import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.write.operations import transcode
from avatarvideo.media import AudioClip

RATE = 48000


@pytest.mark.parametrize("codec", ["aac", "opus", "mp3", "flac"])
def test_sound_is_cut_at_full_scale(
    tmp_path: Path, make_video: Callable[..., Path], codec: str
) -> None:
    out = tmp_path / "out.mp4"
    wave = np.sin(np.arange(RATE) * 0.05)[None]
    samples = np.where(np.arange(RATE) < RATE // 2, wave * 0.25, wave * 1e30).astype(np.float32)
    video = make_video(tmp_path / "in.mp4", 25)

    transcode(video, out, EncodingConfig(audio_codec=codec), audio=AudioClip(samples, RATE))

    found = np.abs(read_audio(out).samples)
    assert found[:, 4800:19200].max() == pytest.approx(0.25, abs=0.03)
    assert 0.95 < found[:, 28800:43200].max() < 1.6
