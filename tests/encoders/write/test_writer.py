from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avatarvideo.encoders.encoder import encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.encoders.write.plan import PictureFacts
from avatarvideo.encoders.write.writer import VideoWriter
from avatarvideo.errors import Cancelled, EncodeError
from avatarvideo.media import AudioClip

Pictures = Callable[..., list[np.ndarray]]
Tone = Callable[..., AudioClip]


def test_colours_are_tagged_and_limited(tmp_path: Path, pictures: Pictures) -> None:
    encode_frames(pictures(3), tmp_path / "a.mp4", frame_rate=Fraction(25))

    info = probe(tmp_path / "a.mp4")

    tags = (info.color_matrix, info.color_primaries, info.color_transfer, info.color_range)
    assert tags == ("bt709", "bt709", "bt709", "limited")
    assert info.pixel_format == "yuv420p"
    assert info.video_codec == "h264"


@pytest.mark.parametrize(
    "colour",
    [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 150, 130)],
)
def test_flat_colours_return_within_two_levels(
    tmp_path: Path, ffmpeg: str, colour: tuple[int, int, int]
) -> None:
    flat = np.full((64, 64, 3), colour, np.uint8)
    path = tmp_path / "a.mp4"
    encode_frames([flat] * 3, path, frame_rate=Fraction(25), config=EncodingConfig(crf=0))

    ours = next(VideoReader(path).frames())
    command = [ffmpeg, "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    theirs = subprocess.run(command, check=True, capture_output=True).stdout

    assert np.abs(ours.astype(int) - colour).max() <= 2
    assert np.abs(np.frombuffer(theirs, np.uint8).reshape(-1, 3).astype(int) - colour).max() <= 2


def test_floats_are_rounded_and_what_is_no_number_is_black(tmp_path: Path) -> None:
    values = np.array([0.0, 0.5, 1.0, 1.5, -1.0, np.nan, np.inf, 100.4 / 255], np.float32)
    frame = np.repeat(values.repeat(2)[None, :, None], 2, 0).repeat(3, 2)
    path = tmp_path / "a.mkv"
    config = EncodingConfig(codec="ffv1")

    encode_frames([frame], path, frame_rate=Fraction(25), config=config)

    decoded = next(VideoReader(path).frames())[0, ::2, 0]
    assert decoded.tolist() == [0, 128, 255, 255, 0, 0, 0, 100]


@pytest.mark.parametrize("size", [(63, 47), (64, 47), (63, 48), (1, 1)])
def test_odd_sizes_are_padded_by_repeating_the_edge(
    tmp_path: Path, pictures: Pictures, size: tuple[int, int]
) -> None:
    result = encode_frames(pictures(3, *size), tmp_path / "a.mp4", frame_rate=Fraction(25))

    width, height = size
    assert result.resolution == (width + width % 2, height + height % 2)
    frame = next(VideoReader(tmp_path / "a.mp4").frames()).astype(int)
    if width > 1 and width % 2:
        assert np.abs(frame[:, -1] - frame[:, -2]).max() <= 8


def test_sound_of_any_rate_keeps_its_length(tmp_path: Path, pictures: Pictures, tone: Tone) -> None:
    clip = tone(15000, 15000)
    encode_frames(pictures(25), tmp_path / "a.mp4", frame_rate=Fraction(25), audio=clip)

    decoded = read_audio(tmp_path / "a.mp4")

    assert decoded.sample_rate == 16000
    assert decoded.samples.shape[1] == 16000


def test_sound_may_be_longer_or_shorter_than_the_pictures(
    tmp_path: Path, pictures: Pictures, tone: Tone
) -> None:
    for samples in (4000, 64000):
        path = tmp_path / f"{samples}.mp4"
        encode_frames(pictures(25), path, frame_rate=Fraction(25), audio=tone(samples))

        assert VideoReader(path).frame_count == 25
        assert read_audio(path).samples.shape[1] == samples


def test_nan_in_the_sound_does_not_end_the_encode(tmp_path: Path, pictures: Pictures) -> None:
    samples = np.full((1, 16000), np.nan, np.float32)
    path = tmp_path / "a.mp4"

    encode_frames(pictures(25), path, frame_rate=Fraction(25), audio=AudioClip(samples, 16000))

    assert not read_audio(path).samples.any()


def test_callback_counts_and_its_exception_leaves_nothing(
    tmp_path: Path, pictures: Pictures
) -> None:
    counts: list[int] = []
    threads = set(threading.enumerate())

    def stop_at_five(count: int) -> None:
        counts.append(count)
        if count == 5:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        encode_frames(
            iter(pictures(20)),
            tmp_path / "a.mp4",
            frame_rate=Fraction(25),
            on_frame=stop_at_five,
        )

    assert counts == [1, 2, 3, 4, 5]
    assert list(tmp_path.iterdir()) == []
    assert set(threading.enumerate()) <= threads


def test_failing_frames_close_the_source_and_keep_the_older_file(
    tmp_path: Path, pictures: Pictures
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"older")
    closed = []

    def frames():
        try:
            yield from pictures(3)
            raise RuntimeError("camera unplugged")
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="camera unplugged"):
        encode_frames(frames(), path, frame_rate=Fraction(25))

    assert closed == [True]
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_frame_of_another_size_is_named(tmp_path: Path, pictures: Pictures) -> None:
    frames = [*pictures(2), np.zeros((10, 10, 3), np.uint8)]

    with pytest.raises(EncodeError, match=r"frame 2 of shape \(48, 64, 3\)"):
        encode_frames(frames, tmp_path / "a.mp4", frame_rate=Fraction(25))

    assert list(tmp_path.iterdir()) == []


def test_no_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="at least one frame"):
        encode_frames([], tmp_path / "a.mp4", frame_rate=Fraction(25))


def test_unknown_suffix_lists_the_known(tmp_path: Path, pictures: Pictures) -> None:
    with pytest.raises(EncodeError, match=r"\.mp4, \.mov"):
        encode_frames(pictures(1), tmp_path / "a.xyz", frame_rate=Fraction(25))


def test_index_comes_before_the_pictures(tmp_path: Path, pictures: Pictures) -> None:
    encode_frames(pictures(3), tmp_path / "a.mp4", frame_rate=Fraction(25))

    content = (tmp_path / "a.mp4").read_bytes()

    assert content.index(b"moov") < content.index(b"mdat")


def test_metadata_is_kept(tmp_path: Path, pictures: Pictures) -> None:
    workflow = '{"nodes": ["ü", 1]}'
    for suffix in (".mp4", ".mkv"):
        path = tmp_path / f"a{suffix}"
        encode_frames(pictures(2), path, frame_rate=Fraction(25), metadata={"workflow": workflow})

        metadata = {key.lower(): value for key, value in probe(path).metadata.items()}
        assert metadata["workflow"] == workflow


def test_writer_needs_its_with_statement(tmp_path: Path, pictures: Pictures) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", PictureFacts((64, 48), Fraction(25)))

    with pytest.raises(EncodeError, match="with statement"):
        writer.write(pictures(1)[0])


@pytest.mark.parametrize(
    ("codec", "size", "least"), [("h265", (128, 14), 16), ("av1", (30, 64), 32)]
)
def test_pictures_too_small_for_an_encoder_are_refused(
    tmp_path: Path, codec: str, size: tuple[int, int], least: int
) -> None:
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    config = EncodingConfig(codec=codec)
    with pytest.raises(EncodeError, match=f"at least {least}x{least} for {codec}"):
        encode_frames([frame], tmp_path / "small.mp4", frame_rate=Fraction(25), config=config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_narrow_pictures_do_not_damage_memory_in_x265(tmp_path: Path, load_clone: str) -> None:
    # In a process of its own: with a checking allocator, and what it ends stays alone.
    check = Path("/lib/x86_64-linux-gnu/libc_malloc_debug.so.0")
    environment = dict(os.environ, MALLOC_CHECK_="3")
    if check.exists():
        environment["LD_PRELOAD"] = str(check)
    code = load_clone + (
        "import numpy as np, av\n"
        "from fractions import Fraction\n"
        "from avatarvideo.encoders.encoder import encode_frames\n"
        "from avatarvideo.encoders.interfaces import EncodingConfig\n"
        "frames = [np.zeros((32, 48, 3), np.uint8)] * 4\n"
        f"encode_frames(frames, {str(tmp_path / 'a.mp4')!r}, frame_rate=Fraction(25),\n"
        "              config=EncodingConfig(codec='h265'))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_encoders_print_nothing(tmp_path: Path, load_clone: str) -> None:
    # x265 and SVT-AV1 would write their settings straight to the terminal.
    code = load_clone + (
        "import numpy as np\n"
        "from fractions import Fraction\n"
        "from avatarvideo.encoders.encoder import encode_frames\n"
        "from avatarvideo.encoders.interfaces import EncodingConfig\n"
        "frames = [np.zeros((64, 64, 3), np.uint8)] * 3\n"
        "for codec in ('h264', 'h265', 'av1', 'vp9'):\n"
        f"    encode_frames(frames, {str(tmp_path / 'a.mkv')!r}, frame_rate=Fraction(25),\n"
        "                  config=EncodingConfig(codec=codec, quality='fast'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("", "")
