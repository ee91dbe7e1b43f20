from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from avatarvideo.encoders.encoder import FFmpegEncoder, encode_frames
from avatarvideo.encoders.interfaces import EncodingConfig
from avatarvideo.encoders.read.audio import read_audio
from avatarvideo.encoders.read.probe import probe
from avatarvideo.encoders.read.video import VideoReader
from avatarvideo.encoders.write.operations import replace_audio, transcode
from avatarvideo.encoders.write.timing import Section, at_constant_rate
from avatarvideo.errors import EncodeError, MediaError
from avatarvideo.media import AudioClip

MakeVideo = Callable[..., Path]
Pictures = Callable[..., list[np.ndarray]]
Tone = Callable[..., AudioClip]
FAST = EncodingConfig(quality="fast")


def _fast(**options: object) -> EncodingConfig:
    return EncodingConfig(quality="fast", **options)  # pyright: ignore[reportArgumentType]


def _hashes(path: Path, kind: str = "video") -> list[str]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [hashlib.sha256(bytes(p)).hexdigest() for p in container.demux(stream) if p.size]


def _numbered(count: int) -> list[np.ndarray]:
    """Frames with their number in black and white stripes, eight bits."""
    bits = [[255 * (index >> bit & 1) for bit in range(8)] for index in range(count)]
    rows = [np.repeat(np.array(row, np.uint8), 8) for row in bits]
    return [np.ascontiguousarray(np.broadcast_to(r[None, :, None], (48, 64, 3))) for r in rows]


def _numbers(path: Path) -> list[int]:
    stripes = (frame.reshape(48, 8, 8, 3).mean((0, 2, 3)) for frame in VideoReader(path).frames())
    return [sum(int(mean > 128) << bit for bit, mean in enumerate(row)) for row in stripes]


def test_trim_takes_exactly_those_frames(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    encode_frames(_numbered(100), source, frame_rate=Fraction(25), config=FAST)

    result = FFmpegEncoder().trim(
        source, tmp_path / "out.mp4", Fraction(2), Fraction(1, 2), config=_fast(crf=10)
    )

    assert result.success, result.error
    assert _numbers(tmp_path / "out.mp4") == list(range(50, 62)) + [62][: result.frame_count - 12]
    assert result.frame_count in (12, 13)


def test_trim_takes_the_same_part_of_the_sound(
    tmp_path: Path, make_video: MakeVideo, tone: Tone
) -> None:
    source = make_video(tmp_path / "in.mkv", 50, audio=tone(96000, 48000))

    FFmpegEncoder().trim(source, tmp_path / "out.mkv", Fraction(1, 2), Fraction(1))

    whole, part = read_audio(source).samples, read_audio(tmp_path / "out.mkv").samples
    assert np.array_equal(part, whole[:, 24000:72000])


def test_trim_past_the_end_says_where_the_end_is(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "in.mp4", 25)

    result = FFmpegEncoder().trim(source, tmp_path / "out.mp4", Fraction(5))

    assert "is only 1.00 s long" in (result.error or "")
    assert not (tmp_path / "out.mp4").exists()


def test_copy_keeps_every_packet(tmp_path: Path, make_video: MakeVideo, tone: Tone) -> None:
    source = make_video(tmp_path / "in.mp4", 30, audio=tone(19200))

    for suffix in ("mp4", "mov", "mkv"):
        output = tmp_path / f"out.{suffix}"
        result = FFmpegEncoder().encode(source, output, EncodingConfig(codec="copy"))

        assert result.success, result.error
        assert (result.encoder, result.frame_count) == ("copy", 30)
        assert _hashes(output) == _hashes(source)
        assert _hashes(output, "audio") == _hashes(source, "audio")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"width": 32, "height": 32, "crf": 20}, "crf, width, height"),
        ({"fps": "24"}, "fps"),
        ({"quality": "high", "backend": "own ffmpeg"}, "quality, backend"),
        ({"codec_options": {"g": "5"}, "pingpong": True}, "codec_options, pingpong"),
        ({"width": 64, "height": 48, "fps": 25.0}, ""),  # its own
        ({"audio_codec": "flac", "fit": "cover"}, ""),
    ],
)
def test_a_copy_says_which_options_it_leaves_out(
    tmp_path: Path, make_video: MakeVideo, options: dict[str, Any], names: str
) -> None:
    source = make_video(tmp_path / "in.mkv", 3)

    result = FFmpegEncoder().encode(
        source, tmp_path / "out.mkv", EncodingConfig(codec="copy", **options)
    )

    said = (f"Ignored, because the pictures are copied: {names}.",) if names else ()
    assert (result.error, result.notes) == (None, said)


def test_other_sound_says_that_the_codec_is_left_out(
    tmp_path: Path, make_video: MakeVideo, tone: Tone
) -> None:
    source = make_video(tmp_path / "in.mkv", 3)

    result = replace_audio(source, tone(1920), tmp_path / "o.mkv", EncodingConfig(codec="h265"))

    assert result.notes == ("Ignored, because the pictures are copied: codec.",)


@pytest.mark.parametrize(
    ("codec", "form", "made", "asked", "use"),
    [
        ("prores_ks", "yuv422p10le", "in.mov", "out.mp4", "use .mov or .mkv, or "),
        ("png", "rgb24", "in.mov", "out.mkv", "use .mov or .mp4, or "),
        ("gif", "rgb8", "in.gif", "out.mkv", ""),
        ("wmv2", "yuv420p", "in.asf", "out.mkv", ""),
    ],
)
def test_a_copy_that_no_container_takes_says_what_to_do(
    tmp_path: Path, codec: str, form: str, made: str, asked: str, use: str
) -> None:
    with av.open(tmp_path / made, "w") as container:
        stream = container.add_stream(codec, rate=10, width=64, height=48, pix_fmt=form)
        assert isinstance(stream, VideoStream)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(64, 48, form)))
        container.mux(stream.encode(None))
    config = EncodingConfig(codec="copy")

    refused = FFmpegEncoder().encode(tmp_path / made, tmp_path / asked, config)

    holder, name = asked[-3:], codec.removesuffix("_ks")
    assert refused.error == (
        f"Expected pictures that {holder} can hold, but it cannot hold {name}: {use}encode the "
        "video instead of copying it (codec auto)."
    )
    assert not (tmp_path / asked).exists()
    for suffix in re.findall(r"\.(?:mov|mkv|mp4)", use):
        taken = FFmpegEncoder().encode(tmp_path / made, tmp_path / f"taken{suffix}", config)
        assert taken.error is None
        assert len(list(VideoReader(tmp_path / f"taken{suffix}").frames())) == 3
    whole = FFmpegEncoder().encode(tmp_path / made, tmp_path / asked, EncodingConfig())
    assert whole.frame_count == 3


@pytest.mark.parametrize("operation", ["copy", "add_audio"])
def test_a_webp_whose_pictures_cannot_be_copied_is_named(tmp_path: Path, operation: str) -> None:
    pictures = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:])
    with wave.open(str(tmp_path / "t.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    source, output = tmp_path / "a.webp", tmp_path / "a.mkv"
    if operation == "copy":
        result = FFmpegEncoder().encode(source, output, EncodingConfig(codec="copy"))
    else:
        result = FFmpegEncoder().add_audio(source, tmp_path / "t.wav", output)
    assert result.error == (
        "Expected sound, or pictures that can be copied, but 'a.webp' is a WebP picture: encode it "
        "into mp4 or mkv first."
    )
    assert not output.exists()


def test_packets_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    source, output = tmp_path / "in.png", tmp_path / "out.mkv"
    stills = [Image.new("RGB", (32, 32), color) for color in ("red", "green", "blue")]
    stills[0].save(source, save_all=True, append_images=stills[1:], duration=100)
    unknown = struct.pack(">I4s", 1, b"abcd") + bytes(200)  # instead of the end: FFmpeg stops
    source.write_bytes(source.read_bytes()[:-12] + unknown)

    result = FFmpegEncoder().encode(source, output, EncodingConfig(codec="copy"))

    assert result.error is not None
    assert result.error.startswith("Expected a readable media file, but 'in.png' is damaged")
    assert [file.name for file in tmp_path.iterdir()] == ["in.png"]


def test_resize_to_its_own_size_copies(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "in.mp4")

    result = FFmpegEncoder().resize(source, tmp_path / "out.mp4", 64, 48)

    assert result.encoder == "copy"
    assert _hashes(tmp_path / "out.mp4") == _hashes(source)


@pytest.mark.parametrize(
    ("fit", "size"),
    [("contain", (100, 76)), ("pad", (100, 100)), ("cover", (100, 100)), ("stretch", (100, 100))],
)
def test_every_fit_gives_its_size_and_shape(
    tmp_path: Path, fit: str, size: tuple[int, int]
) -> None:
    frame = np.full((48, 64, 3), 40, np.uint8)
    cv2.circle(frame, (32, 24), 12, (250, 250, 250), -1)
    source = tmp_path / "in.mkv"
    encode_frames([frame] * 2, source, frame_rate=Fraction(25), config=_fast(crf=5))

    result = FFmpegEncoder().resize(source, tmp_path / "o.mkv", 100, 100, _fast(fit=fit, crf=5))

    assert result.resolution == size
    shown = next(VideoReader(tmp_path / "o.mkv").frames())
    ys, xs = np.nonzero(shown[..., 0] > 145)
    width, height = np.ptp(xs) + 1, np.ptp(ys) + 1
    expected = {"contain": (39, 39), "pad": (39, 39), "cover": (52, 52), "stretch": (39, 52)}[fit]
    assert abs(width - expected[0]) <= 2
    assert abs(height - expected[1]) <= 2
    assert abs((xs.min() + xs.max()) / 2 - (size[0] - 1) / 2) <= 1.5
    assert abs((ys.min() + ys.max()) / 2 - (size[1] - 1) / 2) <= 1.5
    assert (shown[0, 0].max() < 10) == (fit == "pad")


def test_one_side_follows_from_the_other(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "in.mp4")

    assert FFmpegEncoder().resize(source, tmp_path / "o.mp4", 32, 0).resolution == (32, 24)
    assert FFmpegEncoder().resize(source, tmp_path / "o.mp4", 0, 96).resolution == (128, 96)


def test_pictures_do_not_go_through_rgb_needlessly(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "in.mkv", 5, config=_fast(crf=0))
    lossless = _fast(crf=0)

    transcode(source, tmp_path / "out.mkv", lossless)

    for a, b in zip(
        VideoReader(source).decoded(), VideoReader(tmp_path / "out.mkv").decoded(), strict=True
    ):
        assert np.array_equal(a.to_ndarray(), b.to_ndarray())


@pytest.mark.slow
@pytest.mark.parametrize("length", ["keep", "video", "audio", "shortest", "freeze"])
@pytest.mark.parametrize("seconds", [1, 3])
def test_length_policies(tmp_path: Path, tone: Tone, length: str, seconds: int) -> None:
    sound = tone(16000 * seconds)
    source = tmp_path / "in.mp4"
    encode_frames(_numbered(50), source, frame_rate=Fraction(25), config=FAST)
    expected = {
        ("keep", 1): (50, 16000),
        ("keep", 3): (50, 48000),
        ("video", 1): (50, 16000),
        ("video", 3): (50, 32000),
        ("audio", 1): (25, 16000),
        ("audio", 3): (75, 48000),
        ("shortest", 1): (25, 16000),
        ("shortest", 3): (50, 32000),
        ("freeze", 1): (50, 16000),
        ("freeze", 3): (75, 48000),
    }[length, seconds]
    config = _fast(length=length, crf=10)

    encode_frames(
        _numbered(50), tmp_path / "a.mkv", frame_rate=Fraction(25), config=config, audio=sound
    )
    transcode(source, tmp_path / "b.mkv", config, audio=sound)

    for name in ("a.mkv", "b.mkv"):
        numbers = _numbers(tmp_path / name)
        assert len(numbers) == expected[0]
        assert numbers == [min(n, 49) for n in range(expected[0])]
        assert read_audio(tmp_path / name).samples.shape[1] == expected[1]


@pytest.mark.parametrize(
    ("length", "samples", "count"), [("video", 32000, 50), ("shortest", 16000, 25)]
)
def test_lengths_where_pictures_are_copied(
    tmp_path: Path, make_video: MakeVideo, tone: Tone, length: str, samples: int, count: int
) -> None:
    source = make_video(tmp_path / "in.mp4", 50)
    seconds = 3 if length == "video" else 1

    replace_audio(source, tone(16000 * seconds), tmp_path / "o.mp4", _fast(length=length))

    assert read_audio(tmp_path / "o.mp4").samples.shape[1] == samples
    assert VideoReader(tmp_path / "o.mp4").frame_count == count


def test_holding_a_picture_needs_encoding(
    tmp_path: Path, make_video: MakeVideo, tone: Tone
) -> None:
    source = make_video(tmp_path / "in.mp4")

    with pytest.raises(EncodeError, match="holding a picture needs re-encoding"):
        replace_audio(source, tone(16000), tmp_path / "o.mp4", _fast(length="freeze"))


def test_mixing_adds_the_waves(tmp_path: Path, make_video: MakeVideo, tone: Tone) -> None:
    own, added = tone(32000, 16000), tone(48000, 16000)
    source = make_video(tmp_path / "in.mkv", 50, audio=own)

    replace_audio(source, added, tmp_path / "o.mkv", FAST, mix=True)

    expected = added.samples.copy()
    expected[:, :32000] += own.samples
    mixed = read_audio(tmp_path / "o.mkv").samples
    assert mixed.shape == expected.shape
    assert np.abs(mixed - np.clip(expected, -1, 1)).max() < 1e-6


def test_mixing_different_rates_keeps_both_in_place(
    tmp_path: Path, make_video: MakeVideo, tone: Tone
) -> None:
    source = make_video(tmp_path / "in.mkv", 50, audio=tone(32000, 16000))

    replace_audio(source, tone(96000, 48000, 2), tmp_path / "o.mkv", FAST, mix=True)

    mixed = read_audio(tmp_path / "o.mkv")
    assert (mixed.sample_rate, mixed.samples.shape) == (48000, (2, 96000))


def test_sound_of_the_same_kind_is_copied(
    tmp_path: Path, make_video: MakeVideo, tone: Tone
) -> None:
    source = make_video(tmp_path / "in.mp4", 50)
    sound = make_video(tmp_path / "sound.mp4", 2, audio=tone(32000))

    FFmpegEncoder().add_audio(source, sound, tmp_path / "o.mp4")
    FFmpegEncoder().encode(tmp_path / "o.mp4", tmp_path / "again.mp4", FAST)

    assert _hashes(tmp_path / "o.mp4", "audio") == _hashes(sound, "audio")
    assert _hashes(tmp_path / "again.mp4", "audio") == _hashes(sound, "audio")
    assert read_audio(tmp_path / "again.mp4").samples.shape[1] == 32000


def _with_varying_rate(ffmpeg: str, source: Path, output: Path) -> None:
    # Two seconds at 25, then every third frame only.
    pick = "select=not(mod(n\\,3))+lt(n\\,50)"
    command = [ffmpeg, "-v", "error", "-i", source, "-vf", pick, "-vsync", "vfr", output]
    subprocess.run(list(map(str, command)), check=True)


@pytest.mark.slow
def test_varying_rate_is_kept_or_made_steady(tmp_path: Path, ffmpeg: str) -> None:
    steady, varying = tmp_path / "in.mp4", tmp_path / "vfr.mp4"
    encode_frames(_numbered(110), steady, frame_rate=Fraction(25), config=_fast(crf=5))
    _with_varying_rate(ffmpeg, steady, varying)
    shown = [*range(50), *range(51, 110, 3)]

    kept = transcode(varying, tmp_path / "keep.mp4", _fast(variable_rate="keep", crf=5))
    made = transcode(varying, tmp_path / "cfr.mp4", _fast(crf=5))

    assert kept.frame_count == len(shown)
    assert VideoReader(tmp_path / "keep.mp4").frame_times == VideoReader(varying).frame_times
    assert probe(tmp_path / "keep.mp4").is_variable_rate
    assert not probe(tmp_path / "cfr.mp4").is_variable_rate
    assert made.fps == 25
    held = [max(n for n in shown if n <= moment) for moment in range(made.frame_count)]
    assert _numbers(tmp_path / "cfr.mp4") == held
    assert abs(made.frame_count - 110) <= 2


def test_another_rate_shows_what_the_source_shows_then(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    encode_frames(_numbered(50), source, frame_rate=Fraction(25), config=_fast(crf=5))

    transcode(source, tmp_path / "o.mp4", _fast(fps=10, crf=5))

    assert _numbers(tmp_path / "o.mp4") == [int(n * 2.5) for n in range(20)]


def test_constant_rate_repeats_and_leaves_out() -> None:
    frames = [(Fraction(0), "a"), (Fraction(1, 10), "b"), (Fraction(5, 10), "c")]

    assert "".join(at_constant_rate(frames, Fraction(10), Fraction(8, 10))) == "abbbbccc"
    assert "".join(at_constant_rate(frames, Fraction(5), Fraction(8, 10))) == "abbc"
    assert "".join(at_constant_rate(frames[:1], Fraction(25), Fraction(0))) == "a"


def test_metadata_survives_and_can_be_dropped(
    tmp_path: Path, make_video: MakeVideo, tone: Tone
) -> None:
    tags = {"workflow": '{"a": 1}', "comment": "AI-generated video"}
    source = make_video(tmp_path / "in.mp4", metadata=tags)

    FFmpegEncoder().add_audio(
        source, make_video(tmp_path / "s.mkv", audio=tone(9000)), tmp_path / "o.mkv"
    )
    FFmpegEncoder().encode(tmp_path / "o.mkv", tmp_path / "p.mp4", FAST)
    FFmpegEncoder().encode(source, tmp_path / "q.mp4", _fast(save_metadata=False))

    assert tags.items() <= probe(tmp_path / "p.mp4").metadata.items()
    assert not tags.keys() & probe(tmp_path / "q.mp4").metadata.keys()


def test_hdr_stays_hdr_where_it_can(tmp_path: Path, ffmpeg: str) -> None:
    source = tmp_path / "hdr.mkv"
    params = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited:log-level=none"
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x64:d=0.2", "-c:v"]
    command += ["libx265", "-pix_fmt", "yuv420p10le", "-x265-params", params, str(source)]
    subprocess.run(command, check=True, capture_output=True)

    kept = transcode(source, tmp_path / "a.mkv", _fast(codec="h265", bit_depth=10))
    lost = transcode(source, tmp_path / "b.mp4", FAST)

    info = probe(tmp_path / "a.mkv")
    assert info.is_hdr
    assert (info.color_matrix, info.color_primaries, info.color_transfer) == (
        "bt2020nc",
        "bt2020",
        "pq",
    )
    assert kept.notes == ()
    assert "To keep HDR choose 10 bits (bit depth 10)." in lost.notes
    flat = transcode(source, tmp_path / "c.gif", FAST)
    wanted = "To keep HDR choose 10 bits (bit depth 10) and one of h264, h265, av1, prores, ffv1."
    assert wanted in flat.notes
    assert "The HDR picture (PQ) was tone-mapped to BT.709." in lost.notes
    assert not probe(tmp_path / "b.mp4").is_hdr


def test_a_name_that_is_taken_may_be_refused(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "in.mp4")
    (tmp_path / "out.mp4").write_bytes(b"older")

    result = FFmpegEncoder().encode(source, tmp_path / "out.mp4", _fast(overwrite=False))

    assert "'out.mp4' is taken" in (result.error or "")
    assert (tmp_path / "out.mp4").read_bytes() == b"older"


def test_sections_may_not_be_negative() -> None:
    with pytest.raises(MediaError, match="0 s or more"):
        Section(Fraction(-1))


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1"])
def test_the_kinds_of_the_sources_pictures_are_not_repeated(
    tmp_path: Path, pictures: Pictures, codec: str
) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mkv"
    every_one_a_key = _fast(codec_options={"g": "1"})
    encode_frames(pictures(40, 64, 64), source, frame_rate=Fraction(25), config=every_one_a_key)

    transcode(source, target, _fast(codec=codec))

    def keys(path: Path) -> int:
        with av.open(str(path)) as container:
            return sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size)

    assert keys(source) == 40
    assert keys(target) < 5


@pytest.mark.parametrize("degrees", [0, 180])
def test_ten_bits_stay_ten_whichever_way_up(tmp_path: Path, degrees: int) -> None:
    ramp = np.linspace(0, 1, 1024, dtype=np.float32)[None, :, None].repeat(64, 0).repeat(3, 2)
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    deep = _fast(codec="h265", bit_depth=10, crf=4)
    encode_frames([ramp] * 2, source, frame_rate=Fraction(25), config=deep)
    if degrees:
        upside_down = struct.pack(">9i", -1 << 16, 0, 0, 0, -1 << 16, 0, 0, 0, 1 << 30)
        data = bytearray(source.read_bytes())
        at = data.index(b"tkhd") + 44
        data[at : at + 36] = upside_down
        source.write_bytes(data)

    transcode(source, target, deep)

    assert VideoReader(source).rotation == degrees
    with av.open(str(target)) as container:
        luma = np.frombuffer(bytes(next(container.decode(video=0)).planes[0]), np.uint16)
    assert len(np.unique(luma)) > 500


def test_oblong_pixels_become_square(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    plain, oblong = make_video(tmp_path / "in.mp4", 3), tmp_path / "oblong.mp4"
    width, height = VideoReader(plain).width, VideoReader(plain).height
    command = [ffmpeg, "-v", "error", "-i", str(plain), "-c", "copy", "-aspect"]
    subprocess.run([*command, f"{2 * width}:{height}", str(oblong)], check=True)
    assert probe(oblong).sample_aspect_ratio == "2:1"

    reader = VideoReader(oblong)
    made = transcode(oblong, tmp_path / "out.mp4", FAST)
    fitted = transcode(
        oblong, tmp_path / "fit.mp4", _fast(width=width, height=height, fit="contain")
    )

    assert (reader.width, reader.height) == (2 * width, height) == made.resolution
    assert next(reader.frames()).shape == (height, 2 * width, 3)
    assert fitted.resolution == (width, height // 2)
    assert probe(tmp_path / "out.mp4").sample_aspect_ratio == "1:1"


def test_sound_tracks_that_are_left_out_are_said(
    tmp_path: Path, make_video: MakeVideo, tone: Tone, ffmpeg: str
) -> None:
    one, two = make_video(tmp_path / "in.mp4", 5, audio=tone(3200)), tmp_path / "two.mp4"
    maps = ["-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy"]
    subprocess.run([ffmpeg, "-v", "error", "-i", str(one), *maps, str(two)], check=True)
    assert transcode(one, tmp_path / "a.mp4", FAST).notes == ()
    assert "Sound track 1 of 2" in transcode(two, tmp_path / "b.mp4", FAST).notes[0]
    taken = "Sound track 1 of 2 was used, the default one"
    given = replace_audio(one, two, tmp_path / "c.mp4", EncodingConfig())
    assert given.notes == (f"{taken}, from 'two.mp4'.",)
    both = replace_audio(two, two, tmp_path / "d.mp4", EncodingConfig(), mix=True)
    assert both.notes == (f"{taken}, from 'two.mp4'.", f"{taken}.")
