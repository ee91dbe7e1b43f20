from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.audio_arrays import frame_of, samples_of
from avatarvideo.media import AudioClip

MakeVideo = Callable[..., Path]
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 7: "6.1", 8: "7.1", 16: "hexadecagonal", 24: "22.2"}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["s16", "s16p", "s32p", "flt", "fltp"])
@pytest.mark.parametrize("channels", LAYOUTS)
def test_samples_survive_a_frame(channels: int, form: str) -> None:
    dtype = {"s16": np.int16, "s32": np.int32, "flt": np.float32}[form.rstrip("p")]
    samples = (np.arange(channels * 100).reshape(channels, 100) * 7).astype(dtype)

    frame = frame_of(samples, form=form, layout=LAYOUTS[channels], rate=16000)

    assert (frame.format.name, frame.layout.name) == (form, LAYOUTS[channels])
    assert (frame.samples, frame.sample_rate) == (100, 16000)
    assert np.array_equal(samples_of(frame), samples)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_eight_channels_are_written_and_read(
    tmp_path: Path, make_video: MakeVideo, suffix: str
) -> None:
    # Of eight planes PyAV sees nine, and reading the ninth ended the process.
    time = np.arange(4800) / 48000
    tones = 0.3 * np.sin(2 * np.pi * 200 * np.arange(1, 9)[:, None] * time)
    clip = AudioClip(tones.astype(np.float32), 48000)

    decoded = read_audio(make_video(tmp_path / f"a.{suffix}", 3, audio=clip))

    assert decoded.samples.shape == clip.samples.shape
    # The fourth is the one for low tones, of which lossy codecs keep only those.
    for channel in (0, 1, 2, 4, 5, 6, 7):
        correlation = np.corrcoef(decoded.samples[channel], clip.samples[channel])[0, 1]
        assert correlation > 0.9, channel


def test_many_planes_of_a_decoder_are_read() -> None:
    frame = av.AudioFrame(format="fltp", layout="hexadecagonal", samples=64)
    frame.sample_rate = 48000

    assert samples_of(frame).shape == (16, 64)
