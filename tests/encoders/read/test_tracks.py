"""Several tracks: the one flagged as the default is taken everywhere, and said."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.probe import probe, table
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.musetalk.inputs import load_avatar, load_speech

TONES = (400, 900, 1600)  # Hz, of the tracks in order
CODECS = {"mkv": "flac", "mp4": "aac", "mov": "aac", "webm": "libopus", "ts": "aac"}
FLAGGED = "Sound track {0} of 3 was used, the default one."


def write(ffmpeg: str, path: Path, default: int | None) -> Path:
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "color=gray:s=64x48:r=10:d=1"]
    for tone in TONES:
        command += ["-f", "lavfi", "-i", f"sine={tone}:r=48000:d=1"]
    command += ["-map", "0", "-map", "1", "-map", "2", "-map", "3"]
    command += ["-c:a", CODECS[path.suffix[1:]]]
    command += ["-c:v", "libvpx-vp9" if path.suffix == ".webm" else "libx264"]
    for number in range(3):
        command += [f"-disposition:a:{number}", "default" if number == default else "0"]
    subprocess.run([*command, str(path)], check=True)
    return path


def tone_of(path: Path) -> int:
    clip = read_audio(path)
    wave = clip.samples[0, 4000:44000]
    return round(int(np.abs(np.fft.rfft(wave)).argmax()) * clip.sample_rate / wave.size)


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("default", [0, 1, 2])
@pytest.mark.parametrize("container", [name for name in CODECS if name != "ts"])
def test_the_default_sound_is_taken(
    tmp_path: Path, ffmpeg: str, caplog: pytest.LogCaptureFixture, container: str, default: int
) -> None:
    path = write(ffmpeg, tmp_path / f"in.{container}", default)
    out, kept = tmp_path / "out.mp4", tmp_path / f"kept.{container}"
    said = FLAGGED.format(default + 1)

    made = FFmpegEncoder().encode(path, out, EncodingConfig(quality="fast"))
    copied = FFmpegEncoder().encode(path, kept, EncodingConfig(codec="copy"))
    with caplog.at_level(logging.WARNING, "avatarvideo"):
        mel = load_speech(path)

    assert tone_of(path) == tone_of(out) == tone_of(kept) == TONES[default]
    assert said in made.notes
    assert said in copied.notes
    assert said in caplog.text
    assert mel.clip.sample_rate == 48000
    info = probe(path)
    assert [stream.is_default for stream in info.audio] == [n == default for n in range(3)]
    assert table(info).count(", default") == 1


@pytest.mark.parametrize("container", ["mkv", "ts"])
def test_without_a_flag_the_first_is_taken(tmp_path: Path, ffmpeg: str, container: str) -> None:
    path = write(ffmpeg, tmp_path / f"in.{container}", None)

    made = FFmpegEncoder().encode(path, tmp_path / "out.mp4", EncodingConfig(quality="fast"))

    assert tone_of(path) == TONES[0]
    assert "Sound track 1 of 3 was used." in made.notes


def test_the_track_of_given_sound_is_said_with_its_file(tmp_path: Path, ffmpeg: str) -> None:
    path = write(ffmpeg, tmp_path / "in.mkv", 1)

    made = FFmpegEncoder().add_audio(path, path, tmp_path / "out.mkv")

    said = FLAGGED.format(2).removesuffix(".")
    assert made.notes == (f"{said}, from 'in.mkv'.",)
    assert tone_of(tmp_path / "out.mkv") == TONES[1]


@pytest.mark.parametrize("container", ["mkv", "mp4", "mov"])
def test_the_default_pictures_are_taken(tmp_path: Path, ffmpeg: str, container: str) -> None:
    path = tmp_path / f"in.{container}"
    command = [ffmpeg, "-v", "error"]
    for colour in ("red", "blue"):
        command += ["-f", "lavfi", "-i", f"color={colour}:s=64x48:r=10:d=1"]
    command += ["-map", "0", "-map", "1", "-c:v", "libx264"]
    command += ["-disposition:v:0", "0", "-disposition:v:1", "default", str(path)]
    subprocess.run(command, check=True)
    said = "Video track 2 of 2 was used, the default one."

    made = FFmpegEncoder().encode(path, tmp_path / "out.mp4", EncodingConfig())
    copied = FFmpegEncoder().encode(path, tmp_path / "kept.mkv", EncodingConfig(codec="copy"))

    assert said in made.notes
    assert said in copied.notes
    assert load_avatar(path).notes() == (said,)
    for file in (path, tmp_path / "out.mp4", tmp_path / "kept.mkv"):
        red, _green, blue = next(VideoReader(file).frames())[24, 32]
        assert blue > 200 > 60 > red
