"""Files that claim what is not so: cut short, far too large, without time, turned, or no video."""

from __future__ import annotations

import resource
import struct
import wave
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import pytest
from PIL import Image

from avatarvideo.encoders.encoder import FFmpegEncoder
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.picture import read_image
from avatarvideo.encoders.read.probe import VideoInfo, probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.errors import MediaError
from avatarvideo.headless.core_video import FileVideo
from avatarvideo.media import AudioClip

MakeVideo = Callable[..., Path]
Tone = Callable[..., AudioClip]
Pictures = Callable[..., list[np.ndarray]]
Result = TypeVar("Result")
FAST = EncodingConfig(quality="fast")


def _tried(work: Callable[[], Result]) -> Result | str:
    """Return what came out, or what the error says; any other error is a failure."""
    try:
        return work()
    except MediaError as error:
        return str(error)


def _resident_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_cut_anywhere_ends_in_a_result_or_a_sentence(
    tmp_path: Path, make_video: MakeVideo, tone: Tone, suffix: str
) -> None:
    whole = make_video(tmp_path / f"whole.{suffix}", 12, audio=tone(8000)).read_bytes()
    path, output = tmp_path / f"a.{suffix}", tmp_path / "out.mp4"
    readable = 0
    for cut in np.linspace(1, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:cut])
        info, frames, sound = (
            _tried(lambda: probe(path)),
            _tried(lambda: list(VideoReader(path).frames())),
            _tried(lambda: read_audio(path)),
        )
        if isinstance(info, VideoInfo) and isinstance(frames, list):
            assert len(frames) <= info.frame_count <= 12
            readable += 1
        if isinstance(sound, AudioClip):
            assert sound.samples.shape[1] <= 8000
        said = [text for text in (info, frames, sound) if isinstance(text, str)]
        assert all(text.endswith(".") for text in said)
        result = FFmpegEncoder().encode(path, output, FAST)
        assert result.success == output.exists()
        output.unlink(missing_ok=True)
    assert readable > 5  # else all of this was about files that do not open


def _png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"\0" * 64
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _resized(data: bytes, before: bytes, after: bytes) -> bytes:
    assert before in data
    return data.replace(before, after)


def _huge_files(folder: Path, make_video: MakeVideo, pictures: Pictures) -> list[Path]:
    """Make files whose headers say 30000x30000."""
    mp4 = make_video(folder / "a.mp4", 2).read_bytes()
    gif = make_video(folder / "a.gif", 2).read_bytes()
    webp = make_video(folder / "a.webp", 2).read_bytes()
    Image.fromarray(pictures(1)[0]).save(folder / "a.jpg")
    jpeg = (folder / "a.jpg").read_bytes()
    avi = _mjpeg_avi(folder / "a.avi", pictures(2)).read_bytes()
    short, jpeg_order = struct.pack("<HH", 64, 48), struct.pack(">HH", 48, 64)
    canvas = (64 - 1).to_bytes(3, "little") + (48 - 1).to_bytes(3, "little")
    made = {
        "png": _png(30000, 30000),
        "apng": _png(30000, 30000),
        "mp4": _resized(mp4, struct.pack(">HH", 64, 48), struct.pack(">HH", 30000, 30000)),
        "gif": _resized(gif, short, struct.pack("<HH", 30000, 30000)),
        "webp": _resized(webp, canvas, (16383).to_bytes(3, "little") * 2),
        "jpg": _resized(jpeg, jpeg_order, struct.pack(">HH", 30000, 30000)),
        "avi": _resized(
            _resized(avi, struct.pack("<II", 64, 48), struct.pack("<II", 30000, 30000)),
            jpeg_order,
            struct.pack(">HH", 30000, 30000),
        ),
    }
    paths = []
    for suffix, data in made.items():
        paths.append(folder / f"huge.{suffix}")
        paths[-1].write_bytes(data)
    return paths


def _mjpeg_avi(path: Path, frames: list[np.ndarray]) -> Path:
    with av.open(str(path), "w") as made:
        stream = made.add_stream("mjpeg", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj420p"
        for frame in frames:
            made.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        made.mux(stream.encode(None))
    return path


def test_sizes_are_refused_before_memory_is_taken(
    tmp_path: Path, make_video: MakeVideo, pictures: Pictures
) -> None:
    paths = _huge_files(tmp_path, make_video, pictures)
    before = _resident_mib()

    for path in paths:
        doors: tuple[Callable[[Path], object], ...] = (probe, VideoReader, read_image)
        for door in doors:
            found = _tried(lambda door=door, path=path: door(path))
            if isinstance(found, VideoInfo):
                # Another header of the file tells the truth, and that one was believed.
                assert (found.width, found.height) == (64, 48)
            elif isinstance(found, VideoReader):
                # The lie can still be of use as the shape of the pixels: 64 x 48 shown as a square.
                assert found.size in ((64, 48), (86, 48))
            else:
                said = ("pixels", "damaged", "something else", "is a still picture")
                assert any(words in str(found) for words in said), found
    assert _resident_mib() - before < 300


def _claiming(data: bytes, count: int) -> bytes:
    """Return an MP4 whose index says ``count`` frames of a byte each, all in one chunk."""
    patched = bytearray(data)
    sizes, chunks = patched.index(b"stsz"), patched.index(b"stsc")
    patched[sizes + 8 : sizes + 16] = struct.pack(">II", 1, count)
    patched[chunks + 8 : chunks + 24] = struct.pack(">4I", 1, 1, count, 1)
    return bytes(patched)


@pytest.mark.slow
@pytest.mark.parametrize("count", [4_000_000, 10_000_000, 80_000_000])
def test_millions_of_frames_in_no_bytes_are_not_believed(
    tmp_path: Path, make_video: MakeVideo, count: int
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(_claiming(make_video(path).read_bytes(), count))
    before = _resident_mib()

    with pytest.raises(MediaError, match=r"claims|no frame|damaged"):
        VideoReader(path)
    result = FFmpegEncoder().encode(path, tmp_path / "out.mp4", FAST)

    assert not result.success
    assert _resident_mib() - before < 600


def test_millions_of_frames_in_an_avi_header_are_counted(
    tmp_path: Path, pictures: Pictures
) -> None:
    path = _mjpeg_avi(tmp_path / "a.avi", pictures(7))
    data = bytearray(path.read_bytes())
    for header, offset in ((b"avih", 24), (b"strh", 40)):
        at = data.index(header) + offset
        assert struct.unpack_from("<I", data, at) == (7,)
        struct.pack_into("<I", data, at, 10_000_000)
    path.write_bytes(data)

    assert probe(path).frame_count == 7
    assert sum(1 for _ in VideoReader(path).frames()) == 7
    assert len(FileVideo(path).get_components().images) == 7
    assert FFmpegEncoder().encode(path, tmp_path / "out.mp4", FAST).frame_count == 7


def test_frames_that_do_not_fit_are_refused_before_they_are_decoded(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / "a.mp4", 10)
    needed = 10 * 64 * 48 * 3 * 4

    with pytest.raises(MediaError, match="MiB of free memory"):
        FileVideo(path, free_memory=lambda: needed - 1).get_components()

    video = FileVideo(path, free_memory=lambda: needed)
    assert video.get_components().images.shape == (10, 48, 64, 3)


def _wav(*, channels: int, rate: int, kind: int, samples: bytes) -> bytes:
    """Return a WAV file. kind: 1 for 16-bit integers, 3 for 32-bit floats."""
    width = 2 if kind == 1 else 4
    per_second = rate * channels * width & 0xFFFFFFFF
    form = struct.pack("<HHIIHH", kind, channels, rate, per_second, channels * width, 8 * width)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data"
    body += struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("channels", "rate"), [(64, 16000), (17, 48000), (0, 48000), (1, 1), (1, 99), (2, 2**31 - 1)]
)
def test_absurd_sound_is_refused(tmp_path: Path, channels: int, rate: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(_wav(channels=channels, rate=rate, kind=1, samples=bytes(1280)))

    with pytest.raises(MediaError, match=r"channels|damaged|no samples|without sound"):
        read_audio(path)


def test_sound_that_cannot_be_held_is_refused_from_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    with av.open(str(path), "w") as made:
        stream = made.add_stream("flac", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4608), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    data[21:26] = bytes([data[21] & 0xF0 | 0x0F, 0xFF, 0xFF, 0xFF, 0xFF])  # 99 days at 8 kHz
    path.write_bytes(data + bytes(5 << 20))  # as large as a file of so much silence

    assert read_audio(path, duration=Fraction(1, 10)).samples.shape == (1, 800)
    with pytest.raises(MediaError, match="2 GiB of decoded sound"):
        read_audio(path)


def test_what_is_no_number_becomes_silence_or_full_scale(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    values = np.array([0.5, np.nan, np.inf, -np.inf, 1e30, -0.25] * 200, "<f4")
    path.write_bytes(_wav(channels=1, rate=8000, kind=3, samples=values.tobytes()))

    samples = read_audio(path).samples[0]

    assert np.isfinite(samples).all()
    assert samples[:4].tolist() == [0.5, 0, 1, -1]
    assert samples[5] == -0.25


def _timed_video(
    path: Path, frames: list[np.ndarray], shift: Callable[[int], int | None], b_frames: int = 0
) -> Path:
    """Write frames, the time stamps of their packets moved: the file may begin before zero."""
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as made:
        stream = made.add_stream("mpeg4", rate=25, options={"bf": str(b_frames)})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate([*frames, None]):
            frame = None if picture is None else av.VideoFrame.from_ndarray(picture)
            if frame is not None:
                frame.pts = number
            for packet in stream.encode(frame):
                step = packet.dts or 0
                moved = shift(step)
                packet.pts = None if moved is None else (packet.pts or 0) + moved
                packet.dts = step + (moved or 0)
                made.mux(packet)
    return path


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_time_may_begin_before_zero(tmp_path: Path, pictures: Pictures, suffix: str) -> None:
    path = _timed_video(tmp_path / f"a.{suffix}", pictures(20), lambda _: -50)

    result = FFmpegEncoder().encode(path, tmp_path / "out.mp4", FAST)

    assert probe(path).frame_count == sum(1 for _ in VideoReader(path).frames()) == 20
    assert (result.frame_count, result.duration_seconds) == (20, 0.8)


def test_missing_time_stamps_are_counted_out(tmp_path: Path, pictures: Pictures) -> None:
    path = _timed_video(tmp_path / "a.avi", pictures(20), lambda _: None, b_frames=2)

    result = FFmpegEncoder().encode(path, tmp_path / "out.mp4", FAST)

    assert (probe(path).frame_count, probe(path).frame_rate) == (20, "25/1")
    assert (result.frame_count, result.duration_seconds) == (20, 0.8)


def test_a_picture_is_not_held_for_days(tmp_path: Path, pictures: Pictures) -> None:
    path = _timed_video(tmp_path / "a.mkv", pictures(20), lambda n: 0 if n < 10 else 25 * 86400)

    result = FFmpegEncoder().encode(path, tmp_path / "out.mp4", FAST)

    assert not result.success
    assert result.error is not None
    assert "less than an hour apart" in result.error
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.mkv"}


def test_varying_rate_is_said(tmp_path: Path, pictures: Pictures) -> None:
    path = _timed_video(tmp_path / "a.mkv", pictures(20), lambda n: n if n > 10 else 0)

    assert probe(path).is_variable_rate
    assert VideoReader(path).is_variable_rate


@pytest.mark.parametrize(
    ("turns", "matrix"),
    [(1, (0, -1, 1, 0)), (2, (-1, 0, 0, -1)), (3, (0, 1, -1, 0))],
    ids=["90", "180", "270"],
)
def test_rotation_is_applied_and_said(
    tmp_path: Path, make_video: MakeVideo, turns: int, matrix: tuple[int, int, int, int]
) -> None:
    path = make_video(tmp_path / "a.mp4", 3)
    upright = next(VideoReader(path).frames())
    data = bytearray(path.read_bytes())
    a, b, c, d = (part << 16 for part in matrix)
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)

    info, reader = probe(path), VideoReader(path)

    turned = np.rot90(upright, turns)
    assert info.rotation == reader.rotation == turns * 90
    assert (info.height, info.width) == (reader.height, reader.width) == turned.shape[:2]
    assert np.array_equal(next(reader.frames()), turned)
    for config in (FAST, EncodingConfig(codec="copy")):
        result = FFmpegEncoder().encode(path, tmp_path / "out.mp4", config)
        assert result.resolution == (reader.width, reader.height)


def test_sound_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(3200))

    for door in (probe, VideoReader):
        with pytest.raises(MediaError, match="no video track"):
            door(path)
    assert read_audio(path).sample_rate == 16000
    result = FFmpegEncoder().encode(path, tmp_path / "out.mp4")
    assert "no video track" in str(result.error)


def test_a_cover_is_no_video(tmp_path: Path, pictures: Pictures, tone: Tone) -> None:
    path = _with_cover(tmp_path, pictures(1)[0], tone(8000).samples)

    for door in (probe, VideoReader):
        with pytest.raises(MediaError, match="sound with a cover picture"):
            door(path)
    assert abs(read_audio(path).samples.shape[1] - 8000) < 2500  # MP3 has padding of its own
    result = FFmpegEncoder().add_audio(path, path, tmp_path / "out.mp4")
    assert "sound with a cover picture" in str(result.error)


def _with_cover(folder: Path, picture: np.ndarray, samples: np.ndarray) -> Path:
    """Write an MP3 with a picture in front, by hand: ID3v2.3, frame APIC, front cover."""
    path, cover = folder / "a.mp3", folder / "cover.png"
    Image.fromarray(picture).save(cover)
    with av.open(str(path), "w", options={"id3v2_version": "0", "write_xing": "0"}) as made:
        stream = made.add_stream("libmp3lame", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "mono")
        frame.sample_rate = 16000
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    body = b"\0image/png\0\x03\0" + cover.read_bytes()
    frame_bytes = b"APIC" + struct.pack(">IH", len(body), 0) + body
    size = len(frame_bytes)
    syncsafe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\0\0" + syncsafe + frame_bytes + path.read_bytes())
    cover.unlink()
    return path
