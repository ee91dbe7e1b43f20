"""Files joined by a program: their times step back a little, but the clock goes on."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from avatarvideo.encoders import FFmpegEncoder
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.video import VideoReader

COPY = EncodingConfig(codec="copy")
RATE = 48000
BLOCK = 1152
STEP = 4


def part(path: Path, numbers: range, *, sound_back: int = 0) -> bytes:
    """Return a stream of pictures by their brightness, as loud, at their place of a long one.

    sound_back: samples by which its sound begins too early.
    """
    with av.open(str(path), "w", format="mpegts") as container:
        video = container.add_stream("libx264", rate=25, options={"bf": "2"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("mp2", rate=RATE, layout="mono")
        assert isinstance(audio, AudioStream)
        for number in numbers:
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), STEP * number, np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        begin = numbers[0] * 1920 - sound_back
        loud = np.sin(np.arange(len(numbers) * 1920) * 0.2) * 320 * (numbers[0] + 10)
        for place in range(0, loud.size, BLOCK):
            block = np.pad(loud[place : place + BLOCK], (0, max(0, place + BLOCK - loud.size)))
            tone = av.AudioFrame.from_ndarray(block[None].astype(np.int16), "s16", "mono")
            tone.pts, tone.sample_rate = begin + place, RATE
            tone.time_base = Fraction(1, RATE)
            container.mux(audio.encode(tone))
        container.mux(audio.encode(None))
    return path.read_bytes()


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    """Pictures 0 to 49; where the second half begins the sound's times go back by 8 ms."""
    path = tmp_path / "joined.ts"
    first, second = part(tmp_path / "a.ts", range(5, 30)), range(30, 55)
    back = (30 - 5) * 1920 % BLOCK and BLOCK - (30 - 5) * 1920 % BLOCK
    step = BLOCK - back + 384  # from the last packet of the first half
    path.write_bytes(first + part(tmp_path / "b.ts", second, sound_back=step))
    return path


def steps_back(path: Path) -> list[float]:
    """Return by how many milliseconds the sound's packets step back."""
    with av.open(str(path)) as container:
        times = [p.pts * p.time_base for p in container.demux(audio=0) if p.pts is not None]
    return [float((a - b) * 1000) for a, b in itertools.pairwise(times) if b < a]


@pytest.mark.parametrize("config", [COPY, EncodingConfig()])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_sound_that_steps_back_a_little_is_copied(
    stream: Path, suffix: str, config: EncodingConfig
) -> None:
    assert steps_back(stream) == [pytest.approx(8, abs=0.1)]
    out = stream.with_name(f"out.{suffix}")

    made = FFmpegEncoder().encode(stream, out, config)

    assert (made.error, made.notes, made.frame_count) == (None, (), 50)
    assert steps_back(out) == []
    clip = read_audio(out)
    assert clip.samples.shape[1] / RATE == pytest.approx(2, abs=0.04)
    for second, loud in ((0.5, 0.15), (1.5, 0.40)):
        at = round(second * RATE)
        found = np.abs(clip.samples[:, at - 300 : at + 300]).max()
        assert found == pytest.approx(loud * 32000 / 32768, abs=0.03)
    assert len(VideoReader(out).frame_times) == 50
