from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import Cancelled
from avatarvideo.media import AudioClip

MakeVideo = Callable[..., Path]
Tone = Callable[..., AudioClip]


def test_the_documented_call_gives_a_file(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "in.mp4", 12)

    result = FFmpegEncoder().encode(
        input_video=source,
        output_path=tmp_path / "out.mp4",
        config=EncodingConfig(preset="medium", crf=23),
    )

    assert result.success, result.error
    assert result.file_size_bytes == (tmp_path / "out.mp4").stat().st_size > 0
    assert result.frame_count == VideoReader(tmp_path / "out.mp4").frame_count == 12


def test_sound_comes_along(tmp_path: Path, make_video: MakeVideo, tone: Tone) -> None:
    source = make_video(tmp_path / "in.mkv", 25, audio=tone(16000))

    result = FFmpegEncoder().encode(source, tmp_path / "out.mp4")

    assert result.success, result.error
    given, decoded = read_audio(source).samples, read_audio(tmp_path / "out.mp4").samples
    assert decoded.shape == given.shape
    assert np.corrcoef(decoded[0], given[0])[0, 1] > 0.99


def test_rate_can_be_changed(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "in.mp4", 50, 25)
    for fps, count in ((50, 100), (10, 20), ("30000/1001", 60)):
        result = FFmpegEncoder().encode(source, tmp_path / "out.mp4", EncodingConfig(fps=fps))

        assert result.frame_count == count
        assert abs(VideoReader(tmp_path / "out.mp4").duration - 2) < 0.04


def test_resize_gives_that_size(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "in.mp4")

    result = FFmpegEncoder().resize(source, tmp_path / "out.mp4", 32, 20)

    assert result.resolution == (32, 20)
    assert VideoReader(tmp_path / "out.mp4").width == 32


def _packet_hashes(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return [hashlib.sha256(bytes(p)).hexdigest() for p in packets if p.size]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_new_sound_leaves_the_pictures_bytes_alone(
    tmp_path: Path, make_video: MakeVideo, tone: Tone, suffix: str
) -> None:
    source = make_video(tmp_path / "in.mp4", 30, audio=tone(8000), metadata={"prompt": "{}"})
    sound = make_video(tmp_path / "sound.mkv", 1, audio=tone(19200))

    result = FFmpegEncoder().add_audio(source, sound, tmp_path / f"out{suffix}")

    assert result.success, result.error
    info = probe(tmp_path / f"out{suffix}")
    assert result.output_path == Path(info.path)
    assert (result.resolution, result.fps) == ((info.width, info.height), info.fps)
    assert (result.codec, result.frame_count) == (info.video_codec, info.frame_count)
    assert abs(result.duration_seconds - info.duration_seconds) < 0.002
    assert result.file_size_bytes == info.file_size_bytes
    assert _packet_hashes(tmp_path / f"out{suffix}") == _packet_hashes(source)
    assert read_audio(tmp_path / f"out{suffix}").samples.shape == (1, 19200)
    metadata = FFmpegEncoder().get_video_info(tmp_path / f"out{suffix}")["metadata"]
    assert {k.lower(): v for k, v in metadata.items()}["prompt"] == "{}"


def test_failures_are_results_with_a_sentence(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "in.mp4")
    encoder = FFmpegEncoder()

    for result in (
        encoder.encode(tmp_path / "missing.mp4", tmp_path / "out.mp4"),
        encoder.encode(source, tmp_path / "no folder" / "out.mp4"),
        encoder.encode(source, tmp_path / "out.mp4", EncodingConfig(codec="betamax")),
        encoder.add_audio(source, source, tmp_path / "out.mp4"),
    ):
        assert not result.success
        assert result.error
        assert result.error.endswith(".")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_output_over_the_input_is_refused(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "in.mp4")
    before = source.read_bytes()
    (tmp_path / "link.mp4").symlink_to(source)

    for output in (source, tmp_path / "link.mp4"):
        result = FFmpegEncoder().encode(source, output)
        assert "other than the input" in (result.error or "")
    assert source.read_bytes() == before


def test_cancel_passes_through_and_leaves_no_file(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "in.mp4", 20)

    def stop(count: int) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        FFmpegEncoder(on_frame=stop).encode(source, tmp_path / "out.mp4")

    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_info_has_the_promised_keys(tmp_path: Path, make_video: MakeVideo, tone: Tone) -> None:
    path = make_video(tmp_path / "a.mp4", 25, audio=tone(16000))

    info = FFmpegEncoder().get_video_info(path)

    expected = {
        "path": str(path),
        "duration_seconds": 1.0,
        "width": 64,
        "height": 48,
        "fps": 25.0,
        "frame_rate": "25/1",
        "frame_count": 25,
        "video_codec": "h264",
        "pixel_format": "yuv420p",
        "audio_codec": "aac",
        "sample_rate": 16000,
        "channels": 1,
        "file_size_bytes": path.stat().st_size,
    }
    assert expected.items() <= info.items()
    assert "mp4" in info["container"]
    assert isinstance(info["metadata"], dict)


def test_new_sound_leaves_apples_tag(tmp_path: Path, make_video: MakeVideo, tone: Tone) -> None:
    sound = make_video(tmp_path / "sound.mkv", 2, audio=tone(1280))
    video = make_video(tmp_path / "in.mkv", 2, config=EncodingConfig(codec="h265"))

    result = FFmpegEncoder().add_audio(video, sound, tmp_path / "out.mp4")

    assert result.success, result.error
    assert b"hvc1" in (tmp_path / "out.mp4").read_bytes()


def test_a_copy_can_be_cancelled(tmp_path: Path, make_video: MakeVideo) -> None:
    video = make_video(tmp_path / "in.mp4", 10)

    def stop(count: int) -> None:
        if count == 5:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        FFmpegEncoder(on_frame=stop).encode(
            video, tmp_path / "out.mp4", EncodingConfig(codec="copy")
        )

    assert [entry.name for entry in tmp_path.iterdir()] == ["in.mp4"]


def test_a_copy_keeps_rate_and_transparency(tmp_path: Path) -> None:
    rate, clear = Fraction(30000, 1001), np.zeros((32, 32, 4), np.uint8)
    encode_frames(
        [clear] * 4,
        tmp_path / "in.webm",
        frame_rate=rate,
        config=EncodingConfig(quality="fast", alpha=True),
    )

    result = FFmpegEncoder().encode(
        tmp_path / "in.webm", tmp_path / "out.webm", EncodingConfig(codec="copy")
    )

    assert result.success, result.error
    with av.open(str(tmp_path / "out.webm")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == rate
        assert {k.lower(): v for k, v in stream.metadata.items()}["alpha_mode"] == "1"
        # FFmpeg's own decoder leaves the transparency out.
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = [f for packet in container.demux(stream) for f in decoder.decode(packet)]
    assert frames[0].to_ndarray(format="rgba")[..., 3].max() == 0
