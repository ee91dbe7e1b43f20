"""Awkward files through MuseTalk's networks: a video of the right length comes out."""

from __future__ import annotations

import logging
import os
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatarvideo.encoders import EncodingConfig
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import CheckpointError
from avatarvideo.host.standalone import StandaloneHost
from avatarvideo.media import LipCorners
from avatarvideo.musetalk import LipSyncConfig, LipSyncResult, MuseTalkLipSync
from avatarvideo.musetalk.inputs import load_avatar
from avatarvideo.musetalk.pipeline.cpu_features import Tuning
from avatarvideo.musetalk.weights.catalogue import CATALOGUE, Role, converted_path, published_for


@pytest.fixture
def speak(clips: Any, tmp_path: Path) -> Any:
    """Let an avatar's file say so many milliseconds of sound; the avatar is prepared once."""
    engine = MuseTalkLipSync(host=clips.host, models=clips.CountingModels())

    def made(avatar: Path, milliseconds: int, **options: Any) -> LipSyncResult:
        with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes((clips.speech(milliseconds / 1000) * 32000).astype("<i2").tobytes())
        config = LipSyncConfig(**{"mode": "musetalk", "quality": "high", **options})
        result = engine.generate(avatar, tmp_path / "tone.wav", tmp_path / "out.mp4", config)
        assert result.success, result.error
        found = VideoReader(tmp_path / "out.mp4")
        assert found.frame_count == result.frame_count
        assert (found.width, found.height) == result.resolution
        assert clips.left_over() == []
        return result

    return made


def written_picture(clips: Any, path: Path, faces: str = "f") -> Path:
    Image.fromarray(clips.frames(faces)[0]).save(path)
    return path


def written_video(clips: Any, path: Path, faces: str) -> Path:
    config = EncodingConfig(codec="ffv1", container="mkv")
    encode_frames(clips.frames(faces), path, frame_rate=Fraction(25), config=config)
    return path


@pytest.mark.slow
def test_a_picture_of_odd_size_says_the_shortest_of_speech(
    clips: Any, speak: Any, tmp_path: Path
) -> None:
    picture = written_picture(clips, tmp_path / "odd.png")
    for milliseconds, frames in ((40, 1), (79, 2), (80, 2)):
        result = speak(picture, milliseconds)
        assert (result.frame_count, result.report["frames_synced"]) == (frames, frames)
        assert result.resolution == (244, 182)  # 243 x 181, made even as H.264 wants it


@pytest.mark.slow
@pytest.mark.parametrize(("milliseconds", "frames"), [(200, 5), (80, 2)])
def test_a_video_shorter_or_longer_than_the_speech_speaks(
    clips: Any, speak: Any, tmp_path: Path, milliseconds: int, frames: int
) -> None:
    video = written_video(clips, tmp_path / "odd.mkv", "fff")
    result = speak(video, milliseconds)
    assert (result.frame_count, result.report["frames_synced"]) == (frames, frames)
    assert result.report["source_frames"] == min(frames, 3)


@pytest.mark.slow
def test_a_video_without_anybody_passes_through_with_a_warning_and_the_count(
    clips: Any, speak: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = speak(written_video(clips, tmp_path / "empty.mkv", ".."), 160)
    assert result.report["frames_passed_through"] == result.frame_count == 4
    warnings = [entry.message for entry in caplog.records if entry.levelno == logging.WARNING]
    assert warnings == ["no face was found in any of 4 frames: they pass through"]
    shown = next(VideoReader(tmp_path / "out.mp4").frames())[:181, :243].astype(int)
    assert np.abs(shown - clips.frames("..")[0]).mean() < 5  # but for the encoder


def test_a_failure_is_said_to_the_caller_alone(
    clips: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = MuseTalkLipSync(host=clips.host, models=clips.CountingModels())
    result = engine.generate(tmp_path / "gone.png", tmp_path / "gone.wav", tmp_path / "out.mp4")
    assert "gone.png" in str(result.error)
    assert caplog.records == []


@pytest.mark.slow
def test_a_picture_changed_in_one_pixel_is_prepared_anew(clips: Any, tmp_path: Path) -> None:
    picture = np.zeros((181, 243, 3), np.uint8)
    config = LipSyncConfig(mode="musetalk", quality="high", residency="unload")
    loaded = []
    for corner in (0, 0, 1):
        picture[0, 0] = corner
        Image.fromarray(picture).save(tmp_path / "picture.png")
        avatar = load_avatar(tmp_path / "picture.png")
        models = clips.CountingModels()
        engine = MuseTalkLipSync(host=clips.host, models=models, cache=tmp_path / "kept")
        engine.run(avatar, clips.job("f", seconds=0.04).mel, config)
        loaded.append(models.loaded)
    assert loaded == [["s3fd", "rtmpose"], [], ["s3fd", "rtmpose"]]


@pytest.mark.parametrize(
    ("quality", "opened"),
    [
        ("high", "sd-vae/diffusion_pytorch_model.safetensors"),
        ("medium", "converted/vae.fp16.safetensors"),
    ],
)
def test_only_high_quality_passes_by_converted_half_precision(
    clips: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quality: Any, opened: str
) -> None:
    required: list[Role] = [
        role for role, network in CATALOGUE.items() if network.need == "required"
    ]
    for role in required:
        published = published_for(role, "v1.5")[0]
        for path, size in (
            (tmp_path / "musetalk" / published.name, published.size),
            (converted_path(role, "v1.5", "half", tmp_path), 100),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"<!doctype html>")
            assert size is not None
            os.truncate(path, size)  # of the right size, but most of it nowhere on the disk
    monkeypatch.setenv("AVATAR_MODELS", str(tmp_path))
    lips = LipCorners(101, 100, 139, 100)
    job = clips.job(clips.avatar(clips.frames("."), corners=lips))
    config = LipSyncConfig(mode="musetalk", quality=quality, residency="unload")
    host, tuning = StandaloneHost(temp_directory=clips.temp), Tuning(bfloat16=True)
    engine = MuseTalkLipSync(host=host, tuning=tuning)
    with pytest.raises(CheckpointError, match=f"{opened}, found a web page"):
        engine.run(job.avatar, job.mel, config)
