"""One picture for every packet that becomes one, at its own time, whatever cannot be decoded."""

from __future__ import annotations

import contextlib
import logging
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.error import InvalidDataError
from av.video.stream import VideoStream
from PIL import Image

from avatarvideo.encoders import FFmpegEncoder
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.file_clip import open_video_file
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.slots import shown_packets
from avatarvideo.encoders.read.stream_facts import agreed_rate, nominal_rate, usual_rate
from avatarvideo.encoders.read.video import VideoReader
from support.av_sync import overwritten

COUNT, STEP = 60, 4  # pictures, each brighter than the one before
FAST = EncodingConfig(quality="fast", crf=5)


def numbered_packets(
    path: Path, *, damaged: range = range(0), first: int = 0, options: dict[str, str] | None = None
) -> list[int]:
    """Write pictures with their number as brightness; return the numbers of the packets written.

    damaged: numbers of packets, as stored, that are overwritten. first: packets left out before.
    """
    numbers: list[int] = []
    plain = {"bf": "3", "g": "20", "x264-params": "open-gop=1:scenecut=0:b-adapt=0", "crf": "5"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options or plain)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        packets: list[av.Packet[VideoStream]] = []
        for number in range(COUNT):
            grey = np.full((64, 64, 3), STEP * number, np.uint8)
            grey[::8] += np.uint8(6)  # something for a damaged packet to lack
            frame = av.VideoFrame.from_ndarray(grey)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for place, packet in enumerate(packets):
            if place >= first:
                numbers.append(round((packet.pts or 0) * packet.time_base * 25))
                container.mux(overwritten(packet) if place in damaged else packet)
    return numbers


def seen(reader: VideoReader, start: int = 0) -> list[int]:
    """Return the numbers in the pictures."""
    return [round((float(frame.mean()) - 0.75) / STEP) for frame in reader.frames(start)]


def decodable(path: Path) -> tuple[int, int]:
    """Return how many pictures FFmpeg decodes of a file, and how many packets there are."""
    pictures = packets = 0
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            packets += bool(packet.size)
            with contextlib.suppress(InvalidDataError):
                pictures += len(packet.decode())
    return pictures, packets


def _cut(whole: Path, path: Path, first: int) -> list[int]:
    """Copy all packets but the first ones; return the numbers of the pictures in them."""
    numbers: list[int] = []
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy, begins = new.add_stream_from_template(stream), stream.start_time or 0
        for place, packet in enumerate(old.demux(stream)):
            if packet.size and place >= first:
                numbers.append(round(((packet.pts or 0) - begins) * packet.time_base * 25))
                packet.stream = copy
                new.mux(packet)
    return sorted(numbers)


@pytest.fixture(params=["mkv", "ts"])
def cut(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[int]]:
    """A file that begins between two key frames, and the numbers of its pictures."""
    whole, path = tmp_path / f"whole.{request.param}", tmp_path / f"cut.{request.param}"
    numbered_packets(whole)
    return path, _cut(whole, path, 6)


def test_a_file_cut_between_key_frames_keeps_its_times(cut: tuple[Path, list[int]]) -> None:
    path, numbers = cut
    reader = VideoReader(path, stays_open=True)

    assert (reader.frame_count, reader.frame_rate) == (len(numbers), 25)
    times = [Fraction(number - numbers[0], 25) for number in numbers]
    both = zip(reader.frame_times, times, strict=True)
    assert all(abs(found - wanted) <= Fraction(1, 1000) for found, wanted in both)
    got = seen(reader)
    lost = reader.frame_count - decodable(path)[0]
    assert lost > 5
    assert got == [max(number, numbers[lost]) for number in numbers]
    assert reader.held_note.startswith(f"{lost} of {len(numbers)} pictures could not be decoded")


def test_an_encode_of_a_cut_file_says_what_it_could_not_show(cut: tuple[Path, list[int]]) -> None:
    path, numbers = cut
    lost = len(numbers) - decodable(path)[0]

    result = FFmpegEncoder().encode(path, path.with_name("out.mp4"), FAST)

    note = f"{lost} of {len(numbers)} pictures could not be decoded"
    assert [one.split(";")[0] for one in result.notes] == [note]
    # A number that is missing among the first is bridged by the one before, and no time is added.
    assert result.frame_count == numbers[-1] - numbers[0] + 1
    shown = seen(VideoReader(path.with_name("out.mp4")))
    assert shown == [max(at, numbers[lost]) for at in range(numbers[0], numbers[-1] + 1)]


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("suffix", ["mkv", "webm", "mp4", "mov", "ts"])
def test_pictures_that_begin_late_last_no_longer(tmp_path: Path, suffix: str, ffmpeg: str) -> None:
    """FFmpeg writes when a Matroska ends where its length belongs."""
    path, plain = tmp_path / f"late.{suffix}", tmp_path / "plain.mkv"
    codecs = "-c:v libvpx-vp9 -c:a libopus" if suffix == "webm" else "-c:v libx264 -c:a aac"
    sources = "-f lavfi -i testsrc=size=64x48:rate=25:duration=2 -f lavfi -i sine=d=2.5:r=48000"
    _run(ffmpeg, f"{sources} -pix_fmt yuv420p {codecs}", plain)
    given = ("-itsoffset 0.5 -i", plain, "-i", plain, "-map 0:v -map 1:a -c copy", path)
    _run(ffmpeg, *given)

    made = FFmpegEncoder().encode(path, tmp_path / "out.mp4", FAST)

    assert abs(VideoReader(path).duration - 2) <= Fraction(1, 25)
    assert made.success, made.error
    assert abs(made.frame_count - 50) <= 1


def test_frames_from_a_number_are_the_same_in_a_cut_file(cut: tuple[Path, list[int]]) -> None:
    path, numbers = cut
    reader = VideoReader(path)
    every = seen(reader)
    for start in (1, 5, 19, 20, 33, len(numbers) - 1):
        assert seen(reader, start) == every[start:]


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_damaged_pictures_are_the_one_before_again(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"a.{suffix}"
    plain = {"bf": "0", "g": "20", "crf": "5"}
    numbered_packets(path, damaged=range(30, 34), options=plain)
    pictures, packets = decodable(path)
    lost = packets - pictures
    assert lost >= 2

    with caplog.at_level(logging.WARNING, "avatarvideo"):
        result = FFmpegEncoder().encode(path, tmp_path / "out.mp4", FAST)

    note = f"{lost} of {packets} pictures could not be decoded; the previous one is shown instead."
    lacks = f"The file lacks {COUNT - packets} of {COUNT} pictures, a gap in its constant rate; "
    gone = (f"{lacks}the previous one is shown instead.",) if packets < COUNT else ()
    assert result.notes == (*gone, note)
    assert [record.getMessage() for record in caplog.records] == [f"a.{suffix}: {note}"]
    assert (result.frame_count, result.fps) == (COUNT, 25)
    got = seen(VideoReader(tmp_path / "out.mp4"))
    assert got[:30] == list(range(30))
    assert set(got[30:34]) == {29}
    assert got[40:] == list(range(40, COUNT))  # from the next key frame on


KINDS = {
    "hidden.webm": "-c:v libvpx -threads 1 -auto-alt-ref 1 -lag-in-frames 16 -b:v 100k",
    "hidden-vp9.webm": "-c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 16 -b:v 100k -cpu-used 8",
    "fields.ts": "-c:v mpeg2video -flags +ilme+ildct -bf 2",
    "plain.mpg": "-c:v mpeg2video -bf 2",
    "mbaff.ts": "-c:v libx264 -flags +ildct+ilme -x264-params tff=1",
    "open.mkv": "-c:v libx264 -bf 3 -g 25 -x264-params open-gop=1",
    "refresh.ts": "-c:v libx264 -x264-params intra-refresh=1:keyint=20",
    "reordered.avi": "-c:v libx264 -bf 2",
    "mpeg4.avi": "-c:v mpeg4 -bf 2",
    "flash.flv": "-c:v libx264 -bf 2",
    "animated.gif": "",
    "parts.mp4": "-c:v libx264 -movflags frag_keyframe+empty_moov -g 20",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_packets_that_are_no_pictures_are_not_missed(
    tmp_path: Path, ffmpeg: str, name: str
) -> None:
    path = tmp_path / name
    _run(ffmpeg, "-f lavfi -i testsrc2=s=96x64:r=25:d=3", *KINDS[name].split(), path)

    reader = VideoReader(path, counts=True)

    assert sum(1 for _ in reader.decoded()) == reader.frame_count == probe(path).frame_count == 75
    assert (reader.held_note, reader.is_variable_rate, reader.ends_early) == ("", False, False)
    every = [frame.tobytes() for frame in reader.frames()]
    for start in (2, 41, 73):  # also where a container is sought by decoding time, or not at all
        part = [frame.tobytes() for frame in reader.frames(start)]
        assert len(part) == 75 - start
        assert name == "refresh.ts" or part == every[start:]  # whose pictures need a while to form


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_copy_from_the_middle_has_no_picture_too_many(
    tmp_path: Path, ffmpeg: str, suffix: str
) -> None:
    source, part = tmp_path / "in.mp4", tmp_path / f"part.{suffix}"
    numbered_packets(source)
    _run(ffmpeg, "-ss 1.3 -i", source, "-c copy", part)

    reader = VideoReader(part, counts=True)

    assert sum(1 for _ in reader.decoded()) == reader.frame_count
    assert reader.held_note == ""


def test_two_fields_of_a_picture_are_one_slot(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "a.ts"
    _run(ffmpeg, "-f lavfi -i testsrc2=s=96x64:r=25:d=1", *KINDS["mbaff.ts"].split(), path)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        half = round(Fraction(1, 50) / (stream.time_base or 1))
        packets: list[av.Packet[VideoStream]] = []
        for number, field in ((0, 0), (0, 1), (3, 0), (3, None), (1, 0), (1, 1), (2, 0)):
            packet = cast("av.Packet[VideoStream]", av.Packet(b"x"))
            packet.pts = None if field is None else (2 * number + field) * half
            packets.append(packet)
        shown = [packet.pts for packet in shown_packets(stream, packets)]

    assert shown == [2 * number * half for number in (0, 3, 1, 2)]


@pytest.mark.slow
def test_a_long_file_with_reordered_pictures_does_not_vary(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "long.mp4"  # more packets than are looked at
    code = "-c:v libx264 -preset ultrafast -bf 3 -b_strategy 0"
    _run(ffmpeg, "-f lavfi -i testsrc2=s=64x64:r=30:d=40", *code.split(), path)

    info = probe(path)

    assert (info.is_variable_rate, info.frame_count, info.frame_rate) == (False, 1200, "30/1")


def test_a_rate_that_the_times_deny_is_not_believed() -> None:
    unit, thousand = Fraction(1, 1000), range(0, 40_000, 40)
    assert agreed_rate(Fraction(25), thousand, unit) == 25
    assert agreed_rate(Fraction(1000), thousand, unit) == 25
    assert agreed_rate(Fraction(2925, 119), thousand, unit) == 25
    ntsc = [round(number * Fraction(1001, 30)) for number in range(900)]
    assert agreed_rate(Fraction(30000, 1001), ntsc, unit) == Fraction(30000, 1001)
    varying = [0, 40, 80, 500, 540, 1200, 1240]
    assert agreed_rate(Fraction(1000), varying, unit) == Fraction(6000, 1240)


def test_the_nominal_rate_is_a_standard_one() -> None:
    phone = [Fraction(number, 30) + Fraction(number // 10, 90) for number in range(60)]
    assert nominal_rate(phone, Fraction(29)) == 30
    tenths = [Fraction(time, 10) for time in (0, 1, 2, 3, 4, 20)]
    assert usual_rate(tenths, Fraction(3)) == 10
    assert usual_rate([*tenths, Fraction(50)], Fraction(11)) is None
    uneven = [Fraction(number**2, 100) for number in range(30)]
    assert usual_rate(uneven, Fraction(10)) is None
    assert nominal_rate(uneven, Fraction(10)) == Fraction(24000, 1001)
    assert nominal_rate(uneven, Fraction(501, 10)) == 50
    assert nominal_rate(uneven, Fraction(40)) == 50


def test_a_clip_says_what_was_held(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    numbered_packets(path, damaged=range(30, 34), options={"bf": "0", "g": "20"})
    clip = open_video_file(path)
    assert clip.notes() == ()
    assert sum(1 for _ in clip.frames()) == clip.frame_count == COUNT
    lost = COUNT - decodable(path)[0]
    assert clip.notes()[0].startswith(f"{lost} of 60 pictures")


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.apng"])
def test_the_last_picture_of_an_animation_stays_as_long_as_it_says(
    tmp_path: Path, name: str
) -> None:
    path, out = tmp_path / name, tmp_path / "out.mp4"
    first, *others = (
        Image.fromarray(np.full((48, 64, 3), 4 * number, np.uint8)) for number in range(6)
    )
    kind = "PNG" if name.endswith("apng") else None
    durations = [100] * 5 + [1500]
    first.save(path, kind, save_all=True, append_images=others, duration=durations, lossless=True)

    result = FFmpegEncoder().encode(path, out, FAST)

    assert probe(path).is_variable_rate
    assert (result.frame_count, result.fps) == (20, 10)
    assert seen(VideoReader(out)) == [0, 1, 2, 3, 4, *[5] * 15]


def test_a_copy_says_what_nobody_can_decode(cut: tuple[Path, list[int]]) -> None:
    path, numbers = cut
    out = path.with_name("out.mkv")

    result = FFmpegEncoder().encode(path, out, EncodingConfig(codec="copy"))

    lost = len(numbers) - decodable(path)[0]
    assert result.notes == (
        f"The first {lost} of {len(numbers)} pictures cannot be decoded, because the source begins "
        "between two key frames. They were copied anyway, so that the others keep their times.",
    )
    assert seen(VideoReader(out)) == seen(VideoReader(path))


def _run(ffmpeg: str, *arguments: str | Path) -> None:
    words = [
        word
        for part in arguments
        for word in (part.split() if isinstance(part, str) else [str(part)])
    ]
    subprocess.run([ffmpeg, "-v", "error", "-nostdin", "-y", *words], check=True)


def test_empty_packets_of_theora_keep_the_picture(tmp_path: Path, ffmpeg: str) -> None:
    path = tmp_path / "in.ogv"
    flash = "drawbox=c=white:t=fill:enable='between(t,1,1.19)'"
    source = f"color=black:size=64x64:rate=30:duration=2,{flash}"
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libtheora", str(path)]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("this ffmpeg writes no Theora")
    out = tmp_path / "out.mp4"

    made = FFmpegEncoder().encode(path, out, EncodingConfig())

    assert made.success
    bright = [frame.mean() > 128 for frame in VideoReader(out).frames()]
    rate = VideoReader(out).frame_rate
    assert abs(bright.index(True) / rate - 1) <= 1 / rate
    assert abs(bright.count(True) / rate - Fraction(6, 30)) <= 1 / rate
    assert len(bright) == VideoReader(path).frame_count >= 48  # the encoder ends with a picture
    assert rate == 30
    assert made.notes == ()
