"""Copies of files whose edit list hides pictures, or whose sound begins before the pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from avatarvideo.encoders import FFmpegEncoder
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.video import VideoReader
from support.av_sync import CAUSES, CONTAINERS, distances, make_clip

COUNT, STEP = 40, 6  # pictures, each brighter than the one before
COPY = EncodingConfig(codec="copy")


def hiding(path: Path, hidden: int, tail: int = 0) -> Path:
    """Write numbered pictures; an edit list hides the first, and ``tail`` at the end."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2", "g": "20"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        packets: list[av.Packet[VideoStream]] = []
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), STEP * number, np.uint8))
            frame.pts, frame.time_base = number - hidden, Fraction(1, 25)
            packets += stream.encode(frame)
        container.mux([*packets, *stream.encode(None)])
    if tail:
        content = bytearray(path.read_bytes())
        at = content.index(b"elst") + 12  # version, flags and count, then the edit's length, ms
        length = int.from_bytes(content[at : at + 4], "big") - 40 * tail
        content[at : at + 4] = length.to_bytes(4, "big")
        path.write_bytes(content)
    return path


def seen(path: Path) -> list[int]:
    """Return the numbers in the pictures."""
    return [round(float(frame.mean()) / STEP) for frame in VideoReader(path).frames()]


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_hidden_pictures_stay_hidden_in_a_copy(tmp_path: Path, suffix: str) -> None:
    source, out = hiding(tmp_path / "in.mp4", 12), tmp_path / f"out.{suffix}"
    assert seen(source) == list(range(12, COUNT))

    made = FFmpegEncoder().encode(source, out, COPY)

    assert (made.notes, made.frame_count) == ((), COUNT - 12)
    assert abs(made.duration_seconds - (COUNT - 12) / 25) < 0.001
    assert seen(out) == list(range(12, COUNT))


def test_a_copy_that_cannot_hide_pictures_says_so(tmp_path: Path) -> None:
    source, out = hiding(tmp_path / "in.mp4", 12), tmp_path / "out.mkv"

    made = FFmpegEncoder().encode(source, out, COPY)

    assert made.notes == (
        "12 of 40 pictures are hidden in the source by its edit list, but shown in the copy: to "
        "leave them out, re-encode, or copy into mp4 or mov.",
    )
    assert (made.frame_count, made.duration_seconds) == (COUNT, COUNT / 25)
    assert seen(out) == list(range(COUNT))


def test_hidden_pictures_that_nothing_needs_are_not_copied(tmp_path: Path) -> None:
    source, out = hiding(tmp_path / "in.mp4", 25, tail=6), tmp_path / "out.mkv"
    shown = seen(source)
    assert shown == list(range(25, COUNT - 6))

    made = FFmpegEncoder().encode(source, out, COPY)

    assert seen(out)[:14] == list(range(20, COUNT - 6))  # from the key frame before
    assert made.frame_count == len(seen(out)) <= 15  # one more may be referred to
    assert made.notes[0].startswith(f"{made.frame_count - 9} of {made.frame_count} pictures are")


def test_a_section_of_a_copy_hides_what_the_source_hides(tmp_path: Path) -> None:
    source, out = hiding(tmp_path / "in.mp4", 12), tmp_path / "out.mp4"

    made = FFmpegEncoder().trim(source, out, start=Fraction(1, 10), config=COPY)

    assert (made.notes, made.frame_count) == ((), COUNT - 12)
    assert seen(out) == list(range(12, COUNT))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("door", ["encode", "copy", "audio", "mix"])
def test_sound_before_the_pictures_is_left_out_with_one_word(
    tmp_path: Path, suffix: str, door: str
) -> None:
    source, out = make_clip(tmp_path / f"in.{suffix}", CAUSES["audio early"]), tmp_path / "out.mp4"
    encoder = FFmpegEncoder()

    if door == "encode":
        made = encoder.encode(source, out)
    elif door == "copy":
        made = encoder.encode(source, out, COPY)
    else:
        made = encoder.add_audio(source, source, out, mix=door == "mix")

    (note,) = made.notes
    assert (
        note[4:] == f" s of sound of in.{suffix} were left out: they come before the first picture."
    )
    assert abs(float(note[:4]) - 0.6) < 0.03
    found = distances(out)
    assert len(found) >= 4
    assert max(map(abs, found)) <= Fraction(1, 25)


def test_sound_before_the_pictures_is_left_out_of_an_mp4_with_a_word(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", CAUSES["audio early"])

    made = FFmpegEncoder().encode(source, tmp_path / "out.mp4", COPY)

    assert made.notes == (
        "0.60 s of sound of in.mp4 were left out: they come before the first picture.",
    )


def test_sound_before_the_pictures_is_kept_in_a_copy_that_can(tmp_path: Path) -> None:
    source, out = make_clip(tmp_path / "in.mp4", CAUSES["audio early"]), tmp_path / "out.mkv"

    made = FFmpegEncoder().encode(source, out, COPY)

    assert made.notes == ()
    assert max(map(abs, distances(out))) <= Fraction(1, 25)
    with av.open(str(out)) as container:
        begins = [(s.start_time or 0) * (s.time_base or 0) for s in container.streams]
    assert abs(begins[0] - begins[1] - Fraction(6, 10)) < Fraction(3, 100)
