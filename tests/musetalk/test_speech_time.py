"""Speech of a video file: all of its sound, and together with the pictures of the same file."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder, encode_frames
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.media import AudioClip
from avatarvideo.musetalk import LipSyncConfig, MuseTalkLipSync
from avatarvideo.musetalk.inputs import load_avatar, load_speech

RATE = Fraction(25)
HALF = Fraction(1, 2)
TONE = 0.25 * np.sign(np.sin(np.arange(24000, dtype=np.float32)[None] / 7))  # 1.5 s
FAST = EncodingConfig(quality="fast", audio_codec="flac")


def shifted(ffmpeg: str, path: Path, pictures: float = 0, sound: float = 0) -> Path:
    """Write a film whose pictures or sound begin later, seconds; frame 0 is white."""
    plain = path.with_name("plain.mkv")
    frames = [np.full((48, 64, 3), 230 if number == 0 else 20, np.uint8) for number in range(25)]
    audio = AudioClip(TONE.astype(np.float32), 16000)
    encode_frames(frames, plain, frame_rate=RATE, config=FAST, audio=audio)
    inputs = ["-itsoffset", str(pictures), "-i", plain, "-itsoffset", str(sound), "-i", plain]
    maps = ["-map", "0:v", "-map", "1:a", "-c", "copy", "-strict", "-2"]
    subprocess.run([ffmpeg, "-v", "error", *map(str, [*inputs, *maps, path])], check=True)
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_sound_before_the_pictures_is_speech_too(tmp_path: Path, ffmpeg: str, suffix: str) -> None:
    path = shifted(ffmpeg, tmp_path / f"late_pictures.{suffix}", pictures=0.5)

    speech = load_speech(path)

    assert abs(speech.clip.samples.shape[1] - 24000) <= 16  # a millisecond
    assert np.abs(speech.clip.samples[0, 8:800]).min() > 0.2
    assert abs(load_speech(path, start=HALF).clip.samples.shape[1] - 16000) <= 16
    # As the sound of its pictures it still begins with them, and what is left out is said.
    assert abs(read_audio(path).samples.shape[1] - 16000) <= 16
    made = FFmpegEncoder().encode(path, tmp_path / "out.mkv", replace(FAST, audio_codec="aac"))
    assert made.notes == (
        f"0.50 s of sound of late_pictures.{suffix} were left out: they come before the first "
        "picture.",
    )


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_sound_after_the_first_picture_keeps_the_silence(
    tmp_path: Path, ffmpeg: str, suffix: str
) -> None:
    path = shifted(ffmpeg, tmp_path / f"late_sound.{suffix}", sound=0.5)

    samples = load_speech(path).clip.samples[0]

    assert abs(len(samples) - 32000) <= 32
    assert not samples[:7900].any()
    assert np.abs(samples[8100:8900]).min() > 0.2
    assert FFmpegEncoder().encode(path, tmp_path / "out.mkv", FAST).notes == ()


def test_the_first_picture_waits_where_voice_and_face_are_of_one_file(
    tmp_path: Path, ffmpeg: str
) -> None:
    path, out = shifted(ffmpeg, tmp_path / "a.mkv", pictures=0.5), tmp_path / "out.mp4"

    result = MuseTalkLipSync().generate(path, path, out, LipSyncConfig(mode="static", loop="hold"))

    assert result.success, result.error
    assert result.report["notes"] == [
        "The sound of the file begins 0.50 s before its first picture, which is shown meanwhile."
    ]
    bright = [bool(frame.mean() > 120) for frame in VideoReader(out).frames()]
    # 0.5 s are twelve and a half frames; then frame 0 is shown for its own time.
    assert bright in ([True] * 13 + [False] * 25, [True] * 14 + [False] * 24)


def test_speech_of_another_file_does_not_wait(tmp_path: Path, ffmpeg: str) -> None:
    path = shifted(ffmpeg, tmp_path / "a.mkv", pictures=0.5)
    avatar = load_avatar(tmp_path / "plain.mkv")

    run = MuseTalkLipSync().run(avatar, load_speech(path), LipSyncConfig(mode="static"))

    assert run.report["notes"] == []
    assert [bool(frame.mean() > 120) for frame in run.open_frames()][:3] == [True, False, False]


def test_fps_0_of_a_varying_avatar_is_its_nominal_rate(tmp_path: Path, ffmpeg: str) -> None:
    plain, path = tmp_path / "plain.mp4", tmp_path / "varying.mp4"
    frames = [np.full((48, 64, 3), number, np.uint8) for number in range(90)]
    encode_frames(frames, plain, frame_rate=Fraction(30), config=EncodingConfig(quality="fast"))
    pick = ["-vf", "select=lt(n\\,50)+not(mod(n\\,4))", "-vsync", "vfr", str(path)]
    subprocess.run([ffmpeg, "-v", "error", "-i", str(plain), *pick], check=True)
    speech = tmp_path / "speech.mkv"
    sound = AudioClip(TONE.astype(np.float32), 16000)
    encode_frames(frames[:1], speech, frame_rate=RATE, config=FAST, audio=sound)

    options = LipSyncConfig(mode="static", fps=0)
    run = MuseTalkLipSync().run(load_avatar(path), load_speech(speech), options)

    assert (run.frame_rate, run.frame_count) == (30, 45)
    assert "and fps 0 means 30." in run.report["notes"][0]


def varying(path: Path) -> Path:
    """Write 4 s of pictures that come at 40, 8 and 20 a second; from 2.0 s on they are white."""
    times = [*range(0, 1000, 25), *range(1000, 3000, 125), *range(3000, 4000, 50)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            picture = np.full((48, 64, 3), 230 if time >= 2000 else 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("fps", [0, 25, "30000/1001", 12.5, 60])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
def test_an_event_of_a_varying_avatar_comes_at_its_time(
    tmp_path: Path, suffix: str, fps: float | str
) -> None:
    path, speech, out = varying(tmp_path / f"a.{suffix}"), tmp_path / "s.mkv", tmp_path / "out.mp4"
    sound = AudioClip(np.tile(TONE, (1, 3))[:, :64000].astype(np.float32), 16000)
    still = [np.zeros((48, 64, 3), np.uint8)]
    encode_frames(still, speech, frame_rate=RATE, config=FAST, audio=sound)

    result = MuseTalkLipSync().generate(path, speech, out, LipSyncConfig(mode="static", fps=fps))

    assert result.success, result.error
    reader = VideoReader(out)
    bright = [bool(frame.mean() > 120) for frame in reader.frames()]
    assert abs(len(bright) / reader.frame_rate - 4) <= 1 / reader.frame_rate
    begins = bright.index(True) / reader.frame_rate
    assert abs(begins - 2) <= 1 / reader.frame_rate
    assert all(bright[bright.index(True) :])
