"""Streams put together of several files: picture and sound go on together behind every seam."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream

from avatarvideo.encoders import FFmpegEncoder
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.seams import picture_shifts
from avatarvideo.encoders.read.video import VideoReader
from support.av_sync import CAUSES, DOORS, EVENTS, distances, make_clip
from support.numbered_pictures import add_pictures, encoded

COPY = EncodingConfig(codec="copy")
STEP = 4
RATE = 48000


def part(path: Path, numbers: range, sound_frames: int) -> bytes:
    """Return a stream of pictures numbered by their brightness; its sound is as loud."""
    with av.open(str(path), "w", format="mpegts") as container:
        video = add_pictures(container, 25, {"bf": "2"})
        audio = container.add_stream("mp2", rate=RATE, layout="mono")
        assert isinstance(audio, AudioStream)
        for packet in encoded(video, numbers, STEP, 25):
            container.mux(packet)
        samples = np.sin(np.arange(sound_frames * 1920) * 0.2) * 32000 * (numbers[0] + 10) / 100
        for place in range(0, samples.size, 1152):
            block = samples[None, place : place + 1152].astype(np.int16)
            tone = av.AudioFrame.from_ndarray(block, "s16", "mono")
            tone.pts, tone.sample_rate, tone.time_base = place, RATE, Fraction(1, RATE)
            container.mux(audio.encode(tone))
        container.mux(audio.encode(None))
    return path.read_bytes()


@pytest.fixture
def joined(tmp_path: Path) -> Path:
    """Three parts of 20, 15 and 25 pictures; the sound of one is longer, of the next shorter."""
    path = tmp_path / "joined.ts"
    lengths = ((range(20), 24), (range(20, 35), 10), (range(35, 60), 25))
    path.write_bytes(b"".join(part(tmp_path / "part.ts", *each) for each in lengths))
    return path


def loudness(path: Path) -> list[float]:
    """Return how loud the sound is in the middle of each of 60 pictures."""
    clip = read_audio(path)
    middles = [round((number + 0.5) * clip.sample_rate / 25) for number in range(60)]
    return [float(np.abs(clip.samples[:, at - 300 : at + 300]).max(initial=0)) for at in middles]


def test_the_clock_is_raised_by_the_pictures_before(joined: Path) -> None:
    assert picture_shifts(joined) == [Fraction(20, 25), Fraction(35, 25)]


@pytest.mark.slow
def test_sound_goes_on_with_the_pictures_behind_a_seam(joined: Path) -> None:
    found = loudness(joined)
    # What is longer plays to its end, the next is heard from then on.
    levels = ((10, 0.10), (22, 0.10), (26, 0.30), (32, 0), (38, 0.45), (58, 0.45))
    for middle, wanted in levels:
        assert found[middle] == pytest.approx(wanted * 32000 / 32768, abs=0.03)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_stream_put_together_of_several_is_copied(joined: Path, suffix: str) -> None:
    out = joined.with_name(f"out.{suffix}")

    made = FFmpegEncoder().encode(joined, out, COPY)

    assert (made.error, made.notes, made.frame_count) == (None, (), 60)
    reader = VideoReader(out)
    numbers = [round(float(frame.mean()) / STEP) for frame in reader.frames()]
    assert numbers == list(range(60))
    steps = zip(reader.frame_times, range(60), strict=True)
    assert all(abs(time - Fraction(n, 25)) < Fraction(2, 1000) for time, n in steps)
    assert loudness(out)[45] == pytest.approx(0.44, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_flash_and_beep_stay_together_behind_a_seam(tmp_path: Path, door: str) -> None:
    source = make_clip(tmp_path / "in.ts", CAUSES["constant"])
    source.write_bytes(source.read_bytes() * 3)

    found = distances(DOORS[door](source, tmp_path))

    assert len(found) == 3 * len(EVENTS)
    assert max(map(abs, found)) <= Fraction(1, 25)
