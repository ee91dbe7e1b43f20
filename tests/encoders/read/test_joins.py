"""Files joined by a program: their times step back a little, but the clock goes on."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream

from avatarvideo.encoders import FFmpegEncoder
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.video import VideoReader
from support.numbered_pictures import add_pictures, encoded

COPY = EncodingConfig(codec="copy")
RATE = 48000
BLOCK = 1152
STEP = 4


def part(path: Path, numbers: range, *, sound_back: int = 0) -> bytes:
    """Return a stream of pictures by their brightness, as loud, at their place of a long one.

    sound_back: samples by which its sound begins too early.
    """
    with av.open(str(path), "w", format="mpegts") as container:
        video = add_pictures(container, 25, {"bf": "2"})
        audio = container.add_stream("mp2", rate=RATE, layout="mono")
        assert isinstance(audio, AudioStream)
        for packet in encoded(video, numbers, STEP, 25, numbers[0]):
            container.mux(packet)
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


PICTURES = 60
BEYOND = 2  # packets stored before the cut, of pictures that are shown behind it
BEEP = 10  # the picture with which the sound begins in both parts


def cut_and_joined(path: Path) -> Path:
    """Write pictures 0 to 49, cut where two more are stored, and 0 to 59 behind them."""
    with av.open(str(path), "w") as container:
        options = {"bf": "2", "x264-params": "keyint=25:scenecut=0:b-adapt=0"}
        video = add_pictures(container, 25, options)
        audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        assert isinstance(audio, AudioStream)
        made = list(encoded(video, range(PICTURES), STEP, 25))
        decoded = -3000
        for first, packets in ((0, made[: 50 + BEYOND]), (50, made)):
            for place, packet in enumerate(packets, first):
                copied = av.Packet(bytes(packet))
                copied.is_keyframe, copied.stream = packet.is_keyframe, video
                copied.time_base = Fraction(1, 25000)
                copied.pts = 1000 * (first + round((packet.pts or 0) * packet.time_base * 25))
                decoded = max(1000 * (place - 2), decoded + 10)
                copied.dts = decoded
                container.mux(copied)
        for number in range(50 + PICTURES):
            beeps = number in range(BEEP, BEEP + 5) or number in range(50 + BEEP, 55 + BEEP)
            samples = np.full((1, 1920), 16000 if beeps else 0, np.int16)
            tone = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            tone.pts, tone.sample_rate = number * 1920, RATE
            tone.time_base = Fraction(1, RATE)
            container.mux(audio.encode(tone))
    return path


@pytest.mark.parametrize("suffix", ["mov", "mkv"])
def test_pictures_that_go_beyond_a_cut_are_left_out(tmp_path: Path, suffix: str) -> None:
    source = cut_and_joined(tmp_path / f"cut.{suffix}")
    with av.open(str(source)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 50 + BEYOND + PICTURES
    out = tmp_path / "out.mp4"

    made = FFmpegEncoder().encode(source, out, EncodingConfig())

    assert (made.error, made.notes, made.frame_count, made.fps) == (None, (), 110, 25)
    numbers = [round(float(frame.mean()) / STEP) for frame in VideoReader(out).frames()]
    assert numbers == [*range(50), *range(PICTURES)]
    loud = np.abs(read_audio(out).samples[0]) > 0.2
    begins = [int(at) / RATE for at in np.flatnonzero(loud[1:] & ~loud[:-1])]
    first, second = begins[0], next(each for each in begins if each > 2)
    assert (first, second) == (pytest.approx(0.4, abs=0.03), pytest.approx(2.4, abs=0.03))
