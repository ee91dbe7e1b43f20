from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import MediaError
from avatarvideo.media import AudioClip

MakeVideo = Callable[..., Path]
Tone = Callable[..., AudioClip]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("rate", [25, Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60)])
def test_count_rate_and_size_are_exact(
    tmp_path: Path, make_video: MakeVideo, suffix: str, rate: Fraction
) -> None:
    reader = VideoReader(make_video(tmp_path / f"a{suffix}", 33, rate))

    assert reader.frame_count == 33
    assert reader.frame_rate == rate
    assert (reader.width, reader.height) == (64, 48)
    assert not reader.has_audio
    assert sum(1 for _ in reader.frames()) == 33
    assert abs(reader.duration - 33 / Fraction(rate)) < Fraction(2, 100)


def test_frames_start_over_at_each_call(tmp_path: Path, make_video: MakeVideo) -> None:
    reader = VideoReader(make_video(tmp_path / "a.mp4", 5))
    frames = reader.frames()
    next(frames)
    frames.close()

    first, second = list(reader.frames()), list(reader.frames())

    assert len(first) == 5
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert first[0].shape == (48, 64, 3)
    assert first[0].dtype == np.uint8


def test_pictures_survive_the_round_trip(
    tmp_path: Path, make_video: MakeVideo, pictures: Callable[..., list[np.ndarray]]
) -> None:
    reader = VideoReader(make_video(tmp_path / "a.mp4", 10))

    for decoded, given in zip(reader.frames(), pictures(10), strict=True):
        assert np.abs(decoded.astype(int) - given).mean() < 3


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied_as_players_do(
    tmp_path: Path, make_video: MakeVideo, ffmpeg: str, degrees: int
) -> None:
    upright = make_video(tmp_path / "a.mp4", 3)
    turned = tmp_path / "turned.mp4"
    copy = ["-c", "copy", "-metadata:s:v:0", f"rotate={degrees}"]
    _run(ffmpeg, "-i", upright, *copy, turned)
    expected = _run(ffmpeg, "-i", turned, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")

    reader = VideoReader(turned)

    frames = np.stack(list(reader.frames()))
    assert frames.shape == (3, reader.height, reader.width, 3)
    reference = np.frombuffer(expected, np.uint8).reshape(frames.shape)
    # Untagged by the copy or not, both see the same matrix; only rounding differs.
    assert np.abs(frames.astype(int) - reference).mean() < 2


@pytest.mark.parametrize(
    ("matrix", "color_range"),
    [("bt709", "tv"), ("bt709", "pc"), ("smpte170m", "tv"), ("smpte170m", "pc")],
)
def test_tagged_matrix_and_range_are_used(
    tmp_path: Path, ffmpeg: str, matrix: str, color_range: str
) -> None:
    path = tmp_path / "a.mkv"
    wanted = (20, 200, 60)
    name = {"bt709": "bt709", "smpte170m": "bt601"}[matrix]
    convert = f"format=rgb24,scale=out_color_matrix={name}:out_range={color_range},format=yuv444p"
    tags = ["-colorspace", matrix, "-color_range", color_range]
    source = f"color=c=0x{bytes(wanted).hex()}:s=64x64:r=5:d=0.6"
    _run(ffmpeg, "-f", "lavfi", "-i", source, "-vf", convert, "-c:v", "ffv1", *tags, path)

    frame = next(VideoReader(path).frames())

    assert np.abs(frame[32, 32].astype(int) - wanted).max() <= 2


@pytest.mark.slow
def test_shortened_file_warns_and_gives_what_is_there(
    tmp_path: Path, make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_video(tmp_path / "a.mp4", 60, size=(320, 240))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    reader = VideoReader(path)

    with caplog.at_level(logging.WARNING, "avatarvideo"):
        count = sum(1 for _ in reader.frames())

    assert 0 < count < 60
    assert reader.frame_count <= 60
    assert "cut short" in caplog.text


def test_text_named_mp4_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("not a film\n" * 30)

    with pytest.raises(MediaError, match=r"'a\.mp4' is damaged or in a format"):
        VideoReader(tmp_path / "a.mp4")


def test_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="is a folder"):
        VideoReader(tmp_path)


@pytest.mark.parametrize(
    ("suffix", "samples", "rate", "channels"),
    [
        (".mp4", 12345, 16000, 1),
        (".mp4", 44100, 44100, 2),
        (".mov", 30001, 48000, 2),
        (".mkv", 12345, 16000, 1),
        (".mkv", 44100, 44100, 2),
    ],
)
def test_decoded_samples_are_those_given(
    tmp_path: Path,
    make_video: MakeVideo,
    tone: Tone,
    suffix: str,
    samples: int,
    rate: int,
    channels: int,
) -> None:
    given = tone(samples, rate, channels)
    path = make_video(tmp_path / f"a{suffix}", 10, audio=given)

    decoded = read_audio(path)

    assert VideoReader(path).has_audio
    assert decoded.sample_rate == rate
    assert decoded.samples.shape == given.samples.shape
    correlation = np.corrcoef(decoded.samples.ravel(), given.samples.ravel())[0, 1]
    assert correlation > 0.99
    if suffix == ".mkv":
        assert np.array_equal(decoded.samples, given.samples)


def test_part_of_the_sound_is_the_same_samples(
    tmp_path: Path, make_video: MakeVideo, tone: Tone
) -> None:
    path = make_video(tmp_path / "a.mkv", 10, audio=tone(48000, 48000))
    whole = read_audio(path).samples

    part = read_audio(path, start=Fraction(1, 4), duration=Fraction(1, 2))

    assert np.array_equal(part.samples, whole[:, 12000:36000])


def test_video_without_sound_says_so(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "a.mp4")

    with pytest.raises(MediaError, match="is a video without sound"):
        read_audio(path)


def test_start_past_the_end_says_so(tmp_path: Path, make_video: MakeVideo, tone: Tone) -> None:
    path = make_video(tmp_path / "a.mkv", audio=tone(16000))

    with pytest.raises(MediaError, match=r"sound after 9\.00 s"):
        read_audio(path, start=Fraction(9))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg", ".m4a"])
def test_files_of_sound_are_read(tmp_path: Path, ffmpeg: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    _run(ffmpeg, "-f", "lavfi", "-i", "sine=440:sample_rate=44100:d=0.5", "-ac", "2", path)

    clip = read_audio(path)

    assert clip.sample_rate == 44100
    assert clip.samples.shape[0] == 2
    assert abs(clip.samples.shape[1] - 22050) <= 1200
    if suffix in {".wav", ".flac", ".m4a"}:
        assert abs(clip.samples.shape[1] - 22050) <= 44  # a millisecond: others' edit lists


def test_late_sound_keeps_its_place(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    video = make_video(tmp_path / "a.mkv", 25)
    late = tmp_path / "late.mkv"
    sound = ["-itsoffset", "0.5", "-f", "lavfi", "-i", "sine=440:sample_rate=48000:d=0.5"]
    _run(ffmpeg, "-i", video, *sound, "-c:v", "copy", "-c:a", "pcm_s16le", late)

    samples = read_audio(late).samples[0]

    assert not samples[:23900].any()
    assert np.abs(samples[24000:24300]).max() > 0.05
    assert abs(len(samples) - 48000) < 100


def _run(ffmpeg: str, *arguments: str | Path) -> bytes:
    command = [ffmpeg, "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_frames_from_a_number_are_those_of_the_whole(
    tmp_path: Path, make_video: MakeVideo, suffix: str
) -> None:
    # Longer than one group of pictures, so that some starts lie behind a key frame.
    reader = VideoReader(make_video(tmp_path / f"clip.{suffix}", 300))
    whole = list(reader.frames())

    for start in (1, 37, 249, 250, 251, 299):
        part = list(reader.frames(start))
        assert len(part) == 300 - start
        assert (part[0] == whole[start]).all()
        assert (part[-1] == whole[-1]).all()
    assert list(reader.frames(300)) == []


def test_tags_that_are_no_text_are_read_as_replacements(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / "a.mkv", 3, metadata={"title": "GOODTITLE"})
    path.write_bytes(path.read_bytes().replace(b"GOODTITLE", b"GOOD\xff\xfeTLE"))

    title = VideoReader(path).metadata["title"]

    assert title.encode().decode() == "GOOD\ufffd\ufffdTLE"


def test_an_animated_webp_that_does_not_say_how_long_stays_as_in_browsers(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue", "red")]
    path = tmp_path / "in.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[0, 10, 11, 40])

    reader = VideoReader(path)

    assert reader.frame_times == [Fraction(at, 1000) for at in (0, 100, 200, 211)]
    assert reader.duration == Fraction(251, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("has_exif", [False, True])
def test_an_animated_png_with_a_colour_profile_does_not_end_the_process(
    tmp_path: Path, has_exif: bool
) -> None:
    path = tmp_path / "a.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, blue = (Image.new("RGB", (16, 8), color) for color in ("red", "blue"))
    exif = Image.Exif()
    exif[274] = 3
    beside: dict[str, Any] = {"icc_profile": profile} | ({"exif": exif} if has_exif else {})
    red.save(path, save_all=True, append_images=[blue], duration=100, **beside)
    program = (
        "import gc, sys\n"
        "from avatarvideo.encoders.read.video import VideoReader\n"
        "reader = VideoReader(sys.argv[1])\n"
        "print([frame[0, 0].tolist() for frame in reader.frames()])\n"
        "del reader\n"
        "gc.collect()\n"
    )
    run = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "[[255, 0, 0], [0, 0, 255]]\n")
