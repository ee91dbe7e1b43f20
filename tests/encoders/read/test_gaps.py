"""Pictures that a file lacks are counted and said; a rate that varies is not taken for damage."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from pathlib import Path

import av
import pytest

from avatarvideo.encoders import FFmpegEncoder
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.file_clip import open_video_file
from avatarvideo.encoders.read.gaps import missing_count
from avatarvideo.encoders.read.probe import probe, table
from avatarvideo.encoders.read.video import VideoReader
from support.numbered_pictures import add_pictures, encoded

COUNT, STEP = 60, 4
FAST = EncodingConfig(quality="fast", crf=5)
NOTE = (
    "The file lacks 15 of 60 pictures, a gap in its constant rate; the previous one is shown "
    "instead."
)
MILLISECOND = Fraction(1, 1000)


def lacking(path: Path, lost: Collection[int]) -> Path:
    """Write pictures numbered by their brightness, without the packets of some."""
    codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
    options = {"cpu-used": "8", "deadline": "realtime"} if codec != "libx264" else {"bf": "0"}
    with av.open(str(path), "w") as container:
        stream = add_pictures(container, 30, {"g": "15", **options}, codec)
        for number, packet in enumerate(list(encoded(stream, range(COUNT), STEP, 30))):
            if number not in lost:
                container.mux(packet)
    return path


def seen(path: Path) -> list[int]:
    """Return the numbers in the pictures."""
    return [round(float(frame.mean()) / STEP) for frame in VideoReader(path).frames()]


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("suffix", ["mkv", "ts", "mp4", "webm"])
def test_pictures_that_a_file_lacks_are_said(tmp_path: Path, suffix: str) -> None:
    source, out = lacking(tmp_path / f"in.{suffix}", range(30, 45)), tmp_path / "out.mp4"

    made = FFmpegEncoder().encode(source, out, FAST)

    assert made.notes == (NOTE,)
    assert (made.frame_count, made.fps) == (COUNT, 30)
    assert seen(out) == [*range(30), *[29] * 15, *range(45, COUNT)]
    assert open_video_file(source).notes() == (NOTE,)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("suffix", ["mkv", "ts", "mp4"])
def test_info_calls_a_rate_with_a_gap_constant(tmp_path: Path, suffix: str) -> None:
    for lost, missing in ((range(30, 45), 15), ((), 0)):
        info = probe(lacking(tmp_path / f"in.{suffix}", lost))
        assert (info.is_variable_rate, info.missing_frames) == (False, missing)
        assert (info.frame_rate, info.frame_count) == ("30/1", COUNT - missing)
        line = "30 (30/1)" + (", constant with 15 pictures missing" if missing else "")
        assert line in table(info).splitlines()[5]
        assert table(info).splitlines()[5].endswith(line)


def test_a_copy_says_what_the_file_lacks(tmp_path: Path) -> None:
    source = lacking(tmp_path / "in.mkv", range(30, 45))

    made = FFmpegEncoder().encode(source, tmp_path / "out.mp4", EncodingConfig(codec="copy"))

    assert (made.notes, made.frame_count) == ((NOTE,), 45)


@pytest.mark.slow
def test_a_whole_file_lacks_nothing(tmp_path: Path) -> None:
    source = lacking(tmp_path / "in.mkv", ())
    assert FFmpegEncoder().encode(source, tmp_path / "out.mp4", FAST).notes == ()


def in_milliseconds(numbers: Collection[int], rate: Fraction) -> list[int]:
    return [round(number / rate * 1000) for number in numbers]


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)])
def test_gaps_are_counted_in_containers_that_round(rate: Fraction) -> None:
    kept = [n for n in range(3000) if not (700 <= n < 760 or n in (5, 2000, 2001))]
    assert missing_count(in_milliseconds(kept, rate), MILLISECOND) == 63
    assert missing_count(in_milliseconds(range(3000), rate), MILLISECOND) == 0


def test_a_rate_that_varies_lacks_nothing() -> None:
    every = range(300)
    many = [n for n in every if n % 7]  # of a recorder that leaves out what does not change
    assert missing_count(in_milliseconds(many, Fraction(30)), MILLISECOND) == 0
    between = [33 * n + (500 if n > 100 else 0) for n in every]  # half a step off afterwards
    assert missing_count(between, MILLISECOND) == 0
    phone = [33 * n + n * n // 300 for n in every]
    assert missing_count(phone, MILLISECOND) == 0
    slides = [1000 * n + (4000 if n > 20 else 0) for n in every]
    assert missing_count(slides, MILLISECOND) == 0
    assert missing_count([0, 40, 80, 200], MILLISECOND) == 0
