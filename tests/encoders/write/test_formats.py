"""Every codec in every container that is offered, looked at by two independent readers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.encoders.write.codecs import CODECS, CONTAINERS
from avatarvideo.errors import EncodeError
from avatarvideo.media import AudioClip

Pictures = Callable[..., list[np.ndarray]]
Tone = Callable[..., AudioClip]

RATES = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(100, 7)]
STREAMED = [
    pytest.param(codec.name, container, depth, alpha, id=f"{codec.name}-{container}-{pixels}")
    for codec in CODECS.values()
    if codec.is_ffmpeg
    for container in codec.containers
    for (depth, alpha), pixels in codec.pixel_formats.items()
]
SIZE = (66, 50)
COUNT = 9


def _ffprobe(ffprobe: str, path: Path, *options: str) -> dict[str, Any]:
    command = [ffprobe, "-v", "error", *options, "-show_streams", "-of", "json", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def _config(codec: str, depth: int, alpha: bool) -> EncodingConfig:
    return EncodingConfig(codec=codec, quality="fast", bit_depth=depth, alpha=alpha)


def _with_alpha(frames: list[np.ndarray]) -> list[np.ndarray]:
    ramp = np.linspace(0, 255, frames[0].shape[1]).astype(np.uint8)
    alpha = np.broadcast_to(ramp[None, :, None], (*frames[0].shape[:2], 1))
    return [np.concatenate([frame, alpha], axis=2) for frame in frames]


@pytest.mark.one_in(3)
@pytest.mark.slow
@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize(("codec", "container", "depth", "alpha"), STREAMED)
def test_two_readers_see_what_was_written(
    tmp_path: Path,
    pictures: Pictures,
    tone: Tone,
    ffprobe: str,
    codec: str,
    container: str,
    depth: int,
    alpha: bool,
    rate: Fraction,
) -> None:
    path = tmp_path / f"a.{container}"
    size = tuple(max(side, CODECS[codec].least_side) for side in SIZE)
    frames = pictures(COUNT, *size)
    clip = tone(round(COUNT / rate * 48000), 48000, 2)

    encode_frames(
        _with_alpha(frames) if alpha else frames,
        path,
        frame_rate=rate,
        config=_config(codec, depth, alpha),
        audio=clip,
    )

    ours, theirs = probe(path), _ffprobe(ffprobe, path, "-count_frames")["streams"]
    video = next(s for s in theirs if s["codec_type"] == "video")
    sound = next(s for s in theirs if s["codec_type"] == "audio")
    assert VideoReader(path).frame_count == sum(1 for _ in VideoReader(path).frames()) == COUNT
    assert int(video["nb_read_frames"]) == COUNT
    assert Fraction(ours.frame_rate) == Fraction(video["r_frame_rate"]) == rate
    assert (ours.width, ours.height) == (video["width"], video["height"]) == size
    # Matroska counts in milliseconds and rounds the last frame's end up.
    assert abs(Fraction(ours.duration_seconds) - COUNT / rate) < Fraction(25, 1000)
    _check_tags(ours, video, is_rgb=codec == "ffv1")
    assert int(sound["channels"]) == 2
    decoded = read_audio(path)
    assert (decoded.sample_rate, decoded.samples.shape) == (48000, clip.samples.shape)
    assert np.corrcoef(decoded.samples.ravel(), clip.samples.ravel())[0, 1] > 0.98
    if codec in ("h265",) and container in ("mp4", "mov"):
        assert video["codec_tag_string"] == "hvc1"


def _check_tags(ours: Any, theirs: dict[str, Any], *, is_rgb: bool) -> None:
    matrix, kind = ("rgb", "full") if is_rgb else ("bt709", "limited")
    assert (ours.color_matrix, ours.color_range) == (matrix, kind)
    assert (ours.color_primaries, ours.color_transfer) == ("bt709", "bt709")
    assert theirs["color_space"] == {"rgb": "gbr"}.get(matrix, matrix)
    assert theirs["color_primaries"] == theirs["color_transfer"] == "bt709"
    assert theirs["color_range"] == {"full": "pc", "limited": "tv"}[kind]


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        ("h264", "mp4"),
        ("h265", "mp4"),
        ("av1", "mp4"),
        ("vp9", "webm"),
        ("prores", "mov"),
        ("ffv1", "mkv"),
    ],
)
def test_flat_colours_come_back_within_two_levels(
    tmp_path: Path, codec: str, container: str
) -> None:
    for number, colour in enumerate([(255, 0, 0), (0, 255, 0), (30, 60, 200), (200, 150, 130)]):
        path = tmp_path / f"{number}.{container}"
        flat = np.full((64, 64, 3), colour, np.uint8)
        config = EncodingConfig(codec=codec, quality="high")

        encode_frames([flat] * 2, path, frame_rate=Fraction(25), config=config)

        decoded = next(VideoReader(path).frames()).astype(int)
        assert np.abs(decoded - colour).max() <= (2 if codec != "av1" else 3)


def test_ffv1_is_bit_for_bit(tmp_path: Path, pictures: Pictures) -> None:
    path = tmp_path / "a.mkv"
    encode_frames(pictures(3), path, frame_rate=Fraction(25), config=EncodingConfig(codec="ffv1"))

    for decoded, given in zip(VideoReader(path).frames(), pictures(3), strict=True):
        assert np.array_equal(decoded, given)


@pytest.mark.parametrize(
    ("codec", "container"), [("vp9", "webm"), ("prores", "mov"), ("ffv1", "mkv")]
)
def test_transparency_is_in_the_file(
    tmp_path: Path, pictures: Pictures, ffmpeg: str, codec: str, container: str
) -> None:
    path = tmp_path / f"a.{container}"
    frames = _with_alpha(pictures(2, *SIZE))
    encode_frames(frames, path, frame_rate=Fraction(25), config=_config(codec, 8, True))

    decoder = ["-c:v", "libvpx-vp9"] if codec == "vp9" else []
    command = [ffmpeg, "-v", "error", *decoder, "-i", str(path), "-frames:v", "1"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgba", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout

    alpha = np.frombuffer(raw, np.uint8).reshape(SIZE[1], SIZE[0], 4)[..., 3]
    assert np.abs(alpha.astype(int) - frames[0][..., 3]).max() <= 6


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("container", ["gif", "webp"])
def test_animations_last_as_long_as_the_frames(
    tmp_path: Path, pictures: Pictures, ffprobe: str, container: str, rate: Fraction
) -> None:
    path = tmp_path / f"a.{container}"
    tick = Fraction(1, 100 if container == "gif" else 1000)

    encode_frames(pictures(COUNT, *SIZE), path, frame_rate=rate)

    with Image.open(path) as picture:
        shown = []
        for index in range(getattr(picture, "n_frames", 1)):
            picture.seek(index)
            picture.load()
            shown.append(picture.info["duration"])
        assert picture.size == SIZE
        assert picture.info["loop"] == 0
    assert abs(Fraction(sum(shown), 1000) - COUNT / rate) <= tick
    # A GIF shows at most 50 a second: faster ones lose pictures, not time.
    assert len(shown) == (COUNT if rate <= 50 or container == "webp" else 6)
    assert abs(VideoReader(path).duration - COUNT / rate) <= tick
    assert sum(1 for _ in VideoReader(path).frames()) == len(shown)
    if container == "gif":
        stream = _ffprobe(ffprobe, path, "-count_frames")["streams"][0]
        assert int(stream["nb_read_frames"]) == len(shown)


@pytest.mark.parametrize(("rate", "count"), [(Fraction(90), 24), (Fraction(120000, 1001), 12)])
def test_a_webp_of_many_pictures_a_second_lasts_as_long(
    tmp_path: Path, pictures: Pictures, rate: Fraction, count: int
) -> None:
    """Browsers show what is meant for 10 ms or less for a tenth of a second."""
    path = tmp_path / "a.webp"

    encode_frames(pictures(24, *SIZE), path, frame_rate=rate)

    reader = VideoReader(path)
    assert reader.frame_count == count
    assert abs(reader.duration - 24 / rate) <= Fraction(1, 1000)


@pytest.mark.slow_after(3)
@pytest.mark.parametrize("rate", [Fraction(1, 3600), Fraction(1, 1000), Fraction(1, 2)])
@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "webm"])
def test_pictures_that_stay_for_long_are_written(
    tmp_path: Path, pictures: Pictures, container: str, rate: Fraction
) -> None:
    path = tmp_path / f"a.{container}"

    encode_frames(pictures(5, *SIZE), path, frame_rate=rate, config=EncodingConfig(quality="fast"))

    reader = VideoReader(path)
    assert reader.frame_rate == rate
    assert sum(1 for _ in reader.frames()) == 5


@pytest.mark.parametrize("container", ["gif", "webp"])
def test_animations_show_the_frames(tmp_path: Path, pictures: Pictures, container: str) -> None:
    path = tmp_path / f"a.{container}"
    frames = pictures(COUNT, *SIZE)
    frames[4] = frames[3]  # a picture that changes nothing still takes its time

    encode_frames(frames, path, frame_rate=Fraction(25))

    for decoded, given in zip(VideoReader(path).frames(), frames, strict=True):
        # Dithering is right on average, not in the single pixel.
        difference = cv2.blur(decoded.astype(np.float32), (5, 5)) - cv2.blur(
            given.astype(np.float32), (5, 5)
        )
        assert np.abs(difference).mean() < 3


def test_only_what_changed_is_stored(tmp_path: Path, pictures: Pictures) -> None:
    still = pictures(1, 320, 240)[0]
    moving = [still.copy() for _ in range(30)]
    for index, frame in enumerate(moving):
        frame[100:120, 100 + index : 120 + index] = 255
    for container in ("gif", "webp"):
        path = tmp_path / f"a.{container}"
        encode_frames(moving, path, frame_rate=Fraction(25))
        one = tmp_path / f"one.{container}"
        encode_frames(moving[:1], one, frame_rate=Fraction(25))

        assert path.stat().st_size < 5 * one.stat().st_size


@pytest.mark.parametrize("container", ["gif", "webp", "mp4", "mkv", "mov"])
def test_workflow_can_be_read_back(tmp_path: Path, pictures: Pictures, container: str) -> None:
    path = tmp_path / f"a.{container}"
    tags = {"workflow": json.dumps({"nodes": ["ä" * 400]}), "prompt": '{"1": {}}'}

    encode_frames(pictures(2), path, frame_rate=Fraction(25), metadata=tags)

    read = {key.lower(): value for key, value in probe(path).metadata.items()}
    assert {key: read[key] for key in tags} == tags


def test_png_sequence_is_one_folder_with_its_sound(
    tmp_path: Path, pictures: Pictures, tone: Tone
) -> None:
    frames, clip = pictures(3), tone(4000)

    result = encode_frames(
        frames,
        tmp_path / "clip.png",
        frame_rate=Fraction(25),
        audio=clip,
        metadata={"workflow": "{}"},
    )

    folder = tmp_path / "clip"
    assert result.output_path == folder
    names = [f"clip_0000{n}.png" for n in (1, 2, 3)]
    assert sorted(p.name for p in folder.iterdir()) == ["clip.flac", *names]
    for name, given in zip(names, frames, strict=True):
        with Image.open(folder / name) as picture:
            assert np.array_equal(np.asarray(picture), given)
            assert ("workflow" in picture.info) == (name == names[0])
    assert np.array_equal(read_audio(folder / "clip.flac").samples, clip.samples)
    assert result.file_size_bytes > 1000


def test_png_sequence_replaces_only_an_older_one(tmp_path: Path, pictures: Pictures) -> None:
    for count in (5, 2):
        encode_frames(pictures(count), tmp_path / "clip.png", frame_rate=Fraction(25))
    assert len(list((tmp_path / "clip").iterdir())) == 2
    (tmp_path / "clip" / "holiday.jpg").write_bytes(b"precious")

    with pytest.raises(EncodeError, match="holds other files"):
        encode_frames(pictures(2), tmp_path / "clip.png", frame_rate=Fraction(25))

    assert (tmp_path / "clip" / "holiday.jpg").read_bytes() == b"precious"
    assert [p.name for p in tmp_path.iterdir()] == ["clip"]


def test_a_folder_with_one_recording_is_no_sequence(tmp_path: Path, pictures: Pictures) -> None:
    (tmp_path / "voice").mkdir()
    (tmp_path / "voice" / "voice.flac").write_bytes(b"precious")

    with pytest.raises(EncodeError, match="holds other files"):
        encode_frames(pictures(2), tmp_path / "voice.png", frame_rate=Fraction(25))

    assert [path.read_bytes() for path in (tmp_path / "voice").iterdir()] == [b"precious"]


@pytest.mark.parametrize(
    ("container", "audio_codec"),
    [(name, c) for name, spec in CONTAINERS.items() if spec.muxer for c in spec.audio_codecs],
)
def test_every_audio_codec_keeps_the_length(
    tmp_path: Path, pictures: Pictures, tone: Tone, container: str, audio_codec: str
) -> None:
    path, clip = tmp_path / f"a.{container}", tone(24000, 48000, 2)
    config = EncodingConfig(quality="fast", audio_codec=audio_codec)

    encode_frames(pictures(12), path, frame_rate=Fraction(25), config=config, audio=clip)

    decoded = read_audio(path).samples
    # Where the last packet's padding is not written down, up to a packet is heard too much.
    slack = {("mp3", container): 2400, ("aac", "mkv"): 1024}.get((audio_codec, container), 0)
    assert 0 <= decoded.shape[1] - 24000 <= slack
    if audio_codec in ("flac", "alac", "pcm"):
        assert np.array_equal(decoded, clip.samples)


def test_surround_is_mixed_down_when_asked(tmp_path: Path, pictures: Pictures, tone: Tone) -> None:
    path = tmp_path / "a.mp4"
    config = EncodingConfig(quality="fast", channels=2)

    encode_frames(
        pictures(12), path, frame_rate=Fraction(25), config=config, audio=tone(24000, 48000, 6)
    )

    assert read_audio(path).samples.shape == (2, 24000)


def test_lossless_sound_keeps_more_than_sixteen_bits(tmp_path: Path, pictures: Pictures) -> None:
    fine = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 8000)).astype(np.float32)
    path = tmp_path / "a.mkv"

    encode_frames(pictures(5), path, frame_rate=Fraction(25), audio=AudioClip(fine, 16000))

    assert np.abs(read_audio(path).samples - fine).max() < 2**-23


@pytest.mark.parametrize(
    ("options", "suffix", "message"),
    [
        ({"codec": "h264", "crf": 60}, "mp4", "crf 0 to 51"),
        ({"codec": "vp9"}, "mov", "container that holds vp9"),
        ({"preset": "warp"}, "mp4", "h264 preset"),
        ({"alpha": True}, "mp4", "codec with transparency"),
        ({"bit_depth": 10}, "gif", "codec with 10 bits"),
        ({"audio_codec": "vorbis"}, "mp4", "audio codec that mp4 holds"),
    ],
)
def test_what_cannot_be_done_says_what_can(
    tmp_path: Path,
    pictures: Pictures,
    tone: Tone,
    options: dict[str, Any],
    suffix: str,
    message: str,
) -> None:
    with pytest.raises(EncodeError, match=message):
        encode_frames(
            pictures(2),
            tmp_path / f"a.{suffix}",
            frame_rate=Fraction(25),
            config=EncodingConfig(**options),
            audio=tone(1000),
        )

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoder", ["h264_nvenc", "hevc_qsv", "av1_amf", "h264_videotoolbox"])
def test_hardware_that_is_not_there_falls_back_and_says_so(
    tmp_path: Path, pictures: Pictures, encoder: str
) -> None:
    result = encode_frames(
        pictures(3, 256, 256),
        tmp_path / "a.mp4",
        frame_rate=Fraction(25),
        config=EncodingConfig(codec=encoder, preset="p5"),
    )

    assert result.success
    if result.encoder != encoder:
        assert result.encoder in ("libx264", "libx265", "libsvtav1")
        assert encoder in result.notes[0]
    assert VideoReader(tmp_path / "a.mp4").frame_count == 3


def test_ten_bits_of_a_float_are_not_eight(tmp_path: Path) -> None:
    ramp = np.linspace(0.25, 0.30, 256, dtype=np.float32)
    frame = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (64, 256, 3)))
    path = tmp_path / "a.mov"

    encode_frames([frame], path, frame_rate=Fraction(25), config=EncodingConfig(codec="prores"))

    decoded = next(VideoReader(path).decoded())
    luma = decoded.to_ndarray(format="gray10le")
    assert len(np.unique(luma)) > 30  # 8 bits have 13 levels there
