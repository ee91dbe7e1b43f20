"""Sound whose end is missing is no success for what is made with it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from avatarvideo.encoders import EncodingConfig, FFmpegEncoder
from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.encoders.write.operations import transcode
from avatarvideo.errors import SourceEndsEarlyError
from avatarvideo.media import AudioClip

MakeVideo = Callable[..., Path]
MakeTone = Callable[..., AudioClip]
FAST = EncodingConfig(quality="fast")
RATE = 16000


@pytest.fixture
def sound(tmp_path: Path, make_video: MakeVideo, tone: MakeTone) -> Path:
    """A WAV of 2 s, of which 1.2 s are there."""
    samples = (tone(2 * RATE).samples[0] * 32767).astype("<i2").tobytes()
    head = b"RIFF" + (36 + len(samples)).to_bytes(4, "little") + b"WAVEfmt \x10\0\0\0\1\0\1\0"
    head += RATE.to_bytes(4, "little") + (2 * RATE).to_bytes(4, "little") + b"\2\0\x10\0data"
    path = tmp_path / "s.wav"
    path.write_bytes(head + len(samples).to_bytes(4, "little") + samples[: 2 * 19200])
    return path


SENTENCE = (
    "Expected all 2.00 s of sound of 's.wav', but only 1.20 s are there: copy or download it "
    "again. What could be read was kept as 'out.partial.mkv'."
)


@pytest.mark.parametrize("mix", [False, True])
def test_sound_put_under_a_video(
    tmp_path: Path, make_video: MakeVideo, tone: MakeTone, sound: Path, mix: bool
) -> None:
    video = make_video(tmp_path / "v.mkv", 50, audio=tone(RATE) if mix else None)
    target = tmp_path / "out.mkv"
    target.write_bytes(b"an older result")

    result = FFmpegEncoder().add_audio(video, sound, target, FAST, mix=mix)

    assert (result.success, result.error) == (False, SENTENCE)
    assert result.output_path == tmp_path / "out.partial.mkv"
    assert target.read_bytes() == b"an older result"
    assert result.output_path is not None
    assert read_audio(result.output_path).duration == Fraction(12, 10)
    assert VideoReader(result.output_path).frame_count == 50
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"v.mkv", "s.wav", "out.mkv", "out.partial.mkv"}


def test_packets_of_sound_that_are_copied(
    tmp_path: Path, make_video: MakeVideo, tone: MakeTone
) -> None:
    video = make_video(tmp_path / "v.mkv", 50)
    cut = make_video(tmp_path / "s.mkv", 50, audio=tone(2 * RATE))
    cut.write_bytes(cut.read_bytes()[:-15000])

    result = FFmpegEncoder().add_audio(video, cut, tmp_path / "out.mkv", FAST)

    assert not result.success
    assert result.error is not None
    assert result.error.startswith("Expected all 2.00 s of sound of 's.mkv', but only 1.")
    kept = read_audio(tmp_path / "out.partial.mkv").duration
    assert f"only {float(kept):.2f} s are there" in result.error


@pytest.mark.slow
def test_sound_of_frames_and_of_files_that_are_encoded(
    tmp_path: Path, make_video: MakeVideo, pictures: Callable[..., list], sound: Path
) -> None:
    clip, out = read_audio(sound), tmp_path / "out.mkv"
    video = make_video(tmp_path / "v.mkv", 50)
    for attempt in (
        lambda: encode_frames(pictures(50), out, frame_rate=Fraction(25), audio=clip),
        lambda: transcode(video, out, FAST, audio=clip),
        lambda: transcode(video, out, FAST, audio=sound),
    ):
        with pytest.raises(SourceEndsEarlyError) as caught:
            attempt()
        assert str(caught.value) == SENTENCE
        assert caught.value.kept == tmp_path / "out.partial.mkv"
        assert read_audio(caught.value.kept).duration == Fraction(12, 10)
        assert not out.exists()
        caught.value.kept.unlink()


def test_what_is_not_needed_is_not_missed(
    tmp_path: Path, make_video: MakeVideo, pictures: Callable[..., list], sound: Path
) -> None:
    out, cuts = tmp_path / "out.mkv", EncodingConfig(quality="fast", length="video")
    video = make_video(tmp_path / "v.mkv", 20)
    out.write_bytes(b"an older result")

    for result in (
        transcode(video, out, cuts, audio=sound),
        encode_frames(
            pictures(20), out, frame_rate=Fraction(25), audio=read_audio(sound), config=cuts
        ),
        FFmpegEncoder().add_audio(video, sound, out, cuts),
    ):
        assert (result.success, result.output_path) == (True, out)
        assert read_audio(out).duration == Fraction(8, 10)
        assert not (tmp_path / "out.partial.mkv").exists()


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("codec", ["h264", "copy"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_a_part_that_lies_in_what_is_there_is_whole(
    tmp_path: Path, make_video: MakeVideo, tone: MakeTone, suffix: str, codec: str
) -> None:
    path = make_video(
        tmp_path / f"a.{suffix}",
        100,
        size=(160, 120),
        audio=tone(4 * RATE),
        config=EncodingConfig(crf=1),
    )
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    out, config = tmp_path / "out.mkv", EncodingConfig(quality="fast", codec=codec)

    done = FFmpegEncoder().trim(path, out, duration=Fraction(1), config=config)
    assert (done.success, done.output_path, done.frame_count) == (True, out, 25)
    assert done.file_size_bytes == out.stat().st_size
    assert VideoReader(out).frame_count == 25
    assert abs(read_audio(out).duration - 1) < Fraction(1, 16)
    assert sorted(each.name for each in tmp_path.iterdir()) == [path.name, "out.mkv"]

    out.unlink()
    longer = FFmpegEncoder().trim(path, out, duration=Fraction(39, 10), config=config)
    assert not longer.success
    assert longer.output_path == tmp_path / "out.partial.mkv"
    assert not out.exists()


@pytest.mark.slow
def test_a_folder_of_pictures_gets_its_name_back(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "a.mkv", 50, size=(160, 120), config=EncodingConfig(crf=1))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    png = EncodingConfig(container="png")
    for name, config in (("out", png), ("out.png", EncodingConfig())):  # in place of the first
        wanted = tmp_path / name
        done = FFmpegEncoder().trim(path, wanted, duration=Fraction(1, 5), config=config)
        assert done.output_path == tmp_path / "out"
        assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
            f"out_{number:05d}.png" for number in range(1, 6)
        ]
        assert sorted(each.name for each in tmp_path.iterdir()) == ["a.mkv", "out"]

    half = FFmpegEncoder().trim(path, tmp_path / "half.png")
    assert (half.success, half.output_path) == (False, tmp_path / "half.partial")
    pictures = list((tmp_path / "half.partial").glob("half.partial_*.png"))
    assert 5 < len(pictures) < 50
