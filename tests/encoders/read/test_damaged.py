"""Damage that once ended the process, hung or came out as somebody else's exception."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.open import open_container
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.slots import decoded_slots
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import MediaError
from avatarvideo.media import AudioClip

MakeVideo = Callable[..., Path]
Tone = Callable[..., AudioClip]
Pictures = Callable[..., list[np.ndarray]]


def test_an_animation_that_cannot_be_rewound(tmp_path: Path, pictures: Pictures) -> None:
    path = tmp_path / "a.apng"
    first, *others = (Image.fromarray(frame) for frame in pictures(3, 32, 32))
    first.save(path, "PNG", save_all=True, append_images=others, duration=40)
    data = path.read_bytes()
    inside = data.index(b"IDAT") + 20
    path.write_bytes(data[:inside] + np.random.default_rng(0).bytes(64) + data[inside:])

    for door in (probe, VideoReader):
        with pytest.raises(MediaError):
            door(path)


def test_sound_of_a_codec_that_says_nothing_of_its_samples(
    tmp_path: Path, make_video: MakeVideo, tone: Tone
) -> None:
    path = make_video(tmp_path / "a.mkv", 3, audio=tone(4000))
    data = path.read_bytes()
    assert b"A_FLAC" in data
    path.write_bytes(data.replace(b"A_FLAC", b"A_MLP\0"))

    with pytest.raises(MediaError, match="no samples"):
        read_audio(path)


@pytest.mark.slow
def test_sound_that_changes_in_the_middle_goes_on_as_it_began(tmp_path: Path) -> None:
    parts = []
    for layout, rate in (("mono", 16000), ("stereo", 16000), ("mono", 32000)):
        part = tmp_path / "part.aac"
        channels = av.AudioLayout(layout).nb_channels
        wave = 0.25 * np.sin(np.arange(rate) * (2 * np.pi * 440 / rate))
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(np.tile(wave, (channels, 1)), np.float32), "fltp", layout
        )
        frame.sample_rate = rate
        with av.open(str(part), "w") as made:
            stream = made.add_stream("aac", rate=rate, layout=layout)
            made.mux(stream.encode(frame))
            made.mux(stream.encode(None))
        parts.append(part.read_bytes())
    path = tmp_path / "a.aac"
    path.write_bytes(b"".join(parts))

    clip = read_audio(path)

    assert (clip.sample_rate, clip.samples.shape[0]) == (16000, 1)
    for begin in (4000, 22000, 40000):  # within each of the three, a second and padding long
        loudness = np.sqrt(np.mean(clip.samples[0, begin : begin + 6000] ** 2))
        assert 0.1 < loudness < 0.3


@pytest.mark.slow
def test_opening_an_animation_decodes_none_of_its_pictures(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    # Decoded one by one, 5,000 pictures of 2048x2048 would take minutes.
    count, side = 5_000, 2048
    path = make_video(tmp_path / "a.webp", 2, size=(32, 32))
    data = path.read_bytes()
    first = data.index(b"ANMF")
    chunk = data[first : first + 8 + int.from_bytes(data[first + 4 : first + 8], "little")]
    canvas = (side - 1).to_bytes(3, "little") * 2
    body = data[8:first].replace((31).to_bytes(3, "little") * 2, canvas) + chunk * count
    path.write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)

    info = probe(path)

    assert (info.frame_count, info.width, info.height) == (count, side, side)
    assert info.duration_seconds == count / 25


def test_times_of_an_animation_are_those_its_decoder_tells(
    tmp_path: Path, pictures: Pictures
) -> None:
    path, given = tmp_path / "a.webp", [40, 100, 70, 2000]
    first, *others = (Image.fromarray(frame) for frame in pictures(4))
    first.save(path, save_all=True, append_images=others, duration=given)

    with Image.open(path) as picture:
        told = [frame.info["duration"] for frame in ImageSequence.Iterator(picture) if frame.load()]

    assert told == given
    times = [0, *np.cumsum(given[:-1])]
    assert VideoReader(path).frame_times == [Fraction(int(time), 1000) for time in times]


def test_damaged_pictures_of_an_animation_are_left_out_aloud(
    tmp_path: Path, make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_video(tmp_path / "a.webp", 6)
    data = bytearray(path.read_bytes())
    last = data.rindex(b"ANMF")
    data[last + 42 : last + 60] = bytes(18)  # behind the heads of the chunks and the picture
    path.write_bytes(data)

    with caplog.at_level(logging.WARNING, "avatarvideo"):
        count = sum(1 for _ in VideoReader(path).frames())

    assert count < 6
    assert "left out" in caplog.text


@pytest.mark.parametrize("codec", ["av1", "vp9"])
def test_codecs_have_their_own_names(
    tmp_path: Path, make_video: MakeVideo, tone: Tone, codec: str
) -> None:
    config = EncodingConfig(quality="fast", codec=codec)
    path = make_video(tmp_path / "a.webm", 3, audio=tone(4800, 48000), config=config)

    info = probe(path)

    # Not those of the libraries that decode them, such as libdav1d.
    assert info.video_codec == codec
    assert info.audio[0].codec == "opus"


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("timeouts", [(0.0, 20.0), (20.0, 0.0)])
def test_reading_that_is_stuck_is_ended(
    tmp_path: Path, make_video: MakeVideo, timeouts: tuple[float, float]
) -> None:
    # Larger than what is read ahead, so that FFmpeg has to ask for more and sees the time is over.
    path = make_video(tmp_path / "a.mkv", 40, size=(320, 240), config=EncodingConfig(crf=0))
    assert path.stat().st_size > 100_000

    def read() -> None:
        with contextlib.closing(open_container(path, timeouts)) as container:
            opened = contextlib.nullcontext((container, container.streams.video[0]))
            list(decoded_slots(opened, path))

    with pytest.raises(MediaError, match="nothing came for"):
        read()
