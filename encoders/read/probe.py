"""Find out what a media file is: everything VideoInfo shows, by header or, on request, exactly."""

from __future__ import annotations

import itertools
import logging
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from ..color import RANGE_FULL, UNSPECIFIED, quarter_turns
from ..metadata import read_tags
from .animated_webp import TICK, AnimatedPicture, is_animated_webp
from .loudness import file_loudness
from .open import checked_input, open_media
from .stream_facts import (
    TIMED_BY_PACKETS,
    codec_name,
    counted,
    first_rotation,
    header_duration,
    in_order,
    indexed_frame_count,
    packet_rate,
    picture_stream,
    shown_stamps,
    stream_rate,
    varies,
)

logger = logging.getLogger("avatarvideo.encoders.read.probe")

CHEAP_BYTES = 32 << 20  # read through in a moment, so the count is exact unasked
RATE_SAMPLE_PACKETS = 600  # enough to see a varying rate without reading a long file through
# FFmpeg's numbers of the colour tags (ITU-T H.273); others are shown as numbers.
MATRICES = {0: "rgb", 1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020", 11: "dci-p3", 12: "display-p3"}
TRANSFERS = {1: "bt709", 6: "smpte170m", 8: "linear", 13: "srgb", 16: "pq", 18: "hlg"}
HDR_TRANSFERS = {"pq", "hlg"}


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """One audio stream. duration, offset: seconds; offset against the first picture."""

    codec: str
    sample_rate: int
    channels: int
    layout: str
    duration_seconds: float | None
    offset_seconds: float
    bit_rate: int | None
    language: str | None = None
    loudness_lufs: float | None = None


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What is known of a media file. Rates in 1/s, durations in seconds, bit rates in bit/s.

    frame_rate: exact, as "30000/1001"; the average where ``is_variable_rate``.
    frame_count: by the header, or counted when ``frame_count_exact``.
    width, height: as shown; ``rotation`` degrees anticlockwise turn the coded size into it.
    """

    path: str
    container: str
    duration_seconds: float
    file_size_bytes: int
    width: int
    height: int
    coded_width: int
    coded_height: int
    fps: float
    frame_rate: str
    is_variable_rate: bool
    frame_count: int
    frame_count_exact: bool
    video_codec: str
    video_profile: str | None
    pixel_format: str | None
    sample_aspect_ratio: str
    display_aspect_ratio: str
    rotation: int
    color_matrix: str | None
    color_primaries: str | None
    color_transfer: str | None
    color_range: str | None
    is_hdr: bool
    bit_rate: int
    video_bit_rate: int | None
    audio: tuple[AudioInfo, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the first audio stream's also at the top."""
        first = self.audio[0] if self.audio else None
        return asdict(self) | {
            "audio": [asdict(stream) for stream in self.audio],
            "audio_codec": first.codec if first else None,
            "sample_rate": first.sample_rate if first else None,
            "channels": first.channels if first else None,
        }


def probe(
    path: str | Path, *, exact_count: bool = False, measure_loudness: bool = False
) -> VideoInfo:
    """Return what a video file is. Raises MediaError when it is none.

    exact_count: count the frames by reading the file through. measure_loudness: of each audio
    stream, which decodes all of its sound.
    """
    absolute = checked_input(path)
    if is_animated_webp(absolute):
        return _animation_info(AnimatedPicture(absolute))
    with open_media(absolute) as container:
        stream = picture_stream(container, absolute.name)
        duration = header_duration(container, stream)
        rate = stream_rate(stream)
        indexed = indexed_frame_count(container, stream)
        fields = _video_fields(container, stream)
        audio = tuple(_audio_info(s, stream) for s in container.streams.audio)
        ticks = in_order(
            shown_stamps(itertools.islice(container.demux(stream), RATE_SAMPLE_PACKETS))
        )
        times = [tick * (stream.time_base or Fraction(0)) for tick in ticks]
        if container.format.name in TIMED_BY_PACKETS:
            rate = packet_rate(container, stream) or rate
        rotation = first_rotation(container, stream)
    count, exact = indexed, indexed is not None
    if count is None and (exact_count or absolute.stat().st_size <= CHEAP_BYTES):
        with open_media(absolute) as container:
            stream = picture_stream(container, absolute.name)
            count, exact = counted(shown_stamps(container.demux(stream)), absolute), True
    if count is None:
        count = round(duration * rate) if duration else len(times)
    if measure_loudness:
        measured = [file_loudness(absolute, number) for number in range(len(audio))]
        audio = tuple(replace(a, loudness_lufs=m) for a, m in zip(audio, measured, strict=True))
    turned = -1 if quarter_turns(rotation) % 2 else 1
    width, height = (fields["coded_width"], fields["coded_height"])[::turned]
    shape = Fraction(fields["coded_width"], fields["coded_height"])
    display = (Fraction(fields["sample_aspect_ratio"].replace(":", "/")) * shape) ** turned
    return VideoInfo(
        path=str(absolute),
        duration_seconds=float(duration if duration else Fraction(count) / rate),
        file_size_bytes=absolute.stat().st_size,
        fps=float(rate),
        frame_rate=f"{rate.numerator}/{rate.denominator}",
        is_variable_rate=varies(times),
        frame_count=count,
        frame_count_exact=exact,
        rotation=rotation,
        display_aspect_ratio=f"{display.numerator}:{display.denominator}",
        width=width,
        height=height,
        audio=audio,
        **fields,
    )


def _animation_info(animation: AnimatedPicture) -> VideoInfo:
    width, height = animation.size
    rate = animation.frame_count / animation.duration
    shape = Fraction(width, height)
    size = animation.path.stat().st_size
    return VideoInfo(
        path=str(animation.path),
        container="webp",
        duration_seconds=float(animation.duration),
        file_size_bytes=size,
        width=width,
        height=height,
        coded_width=width,
        coded_height=height,
        fps=float(rate),
        frame_rate=f"{rate.numerator}/{rate.denominator}",
        is_variable_rate=varies([start * TICK for start in animation.starts]),
        frame_count=animation.frame_count,
        frame_count_exact=True,
        video_codec="webp",
        video_profile=None,
        pixel_format="rgba" if animation.has_alpha else "rgb24",
        sample_aspect_ratio="1:1",
        display_aspect_ratio=f"{shape.numerator}:{shape.denominator}",
        rotation=0,
        color_matrix="rgb",
        color_primaries=None,
        color_transfer=None,
        color_range="full",
        is_hdr=False,
        bit_rate=round(size * 8 / animation.duration),
        video_bit_rate=None,
        metadata=animation.metadata,
    )


def _video_fields(container: InputContainer, stream: VideoStream) -> dict[str, Any]:
    context = stream.codec_context
    transfer = _tag(TRANSFERS, context.color_trc)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    full = context.color_range == RANGE_FULL
    return {
        "container": container.format.name,
        "coded_width": context.width,
        "coded_height": context.height,
        "video_codec": codec_name(context),
        "video_profile": _text(stream.profile),
        "pixel_format": context.pix_fmt,
        "sample_aspect_ratio": f"{aspect.numerator}:{aspect.denominator}",
        "color_matrix": _tag(MATRICES, context.colorspace),
        "color_primaries": _tag(PRIMARIES, context.color_primaries),
        "color_transfer": transfer,
        "color_range": "full" if full else "limited" if context.color_range else None,
        "is_hdr": transfer in HDR_TRANSFERS,
        "bit_rate": container.bit_rate or 0,
        "video_bit_rate": stream.bit_rate or None,
        "metadata": read_tags(container.metadata, container.format.name),
    }


def _tag(names: dict[int, str], number: int) -> str | None:
    return None if number == UNSPECIFIED else names.get(int(number), str(int(number)))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _audio_info(stream: AudioStream, video: VideoStream) -> AudioInfo:
    context = stream.codec_context
    begin = _seconds(stream.start_time, stream.time_base) or Fraction(0)
    pictures = _seconds(video.start_time, video.time_base) or Fraction(0)
    duration = _seconds(stream.duration, stream.time_base)
    return AudioInfo(
        codec=codec_name(context) if context else "unknown",
        sample_rate=context.sample_rate if context else 0,
        channels=context.channels if context else 0,
        layout=context.layout.name if context and context.channels else "",
        duration_seconds=None if duration is None else float(duration),
        offset_seconds=float(begin - pictures),
        bit_rate=context.bit_rate or None if context else None,
        language=stream.language,
    )


def _seconds(ticks: int | None, time_base: Fraction | None) -> Fraction | None:
    return None if ticks is None or time_base is None else ticks * time_base


def table(info: VideoInfo) -> str:
    """Return the same for people: one line a fact."""
    rows = [
        ("file", f"{Path(info.path).name} ({info.file_size_bytes / 1e6:.2f} MB)"),
        ("container", info.container),
        ("duration", f"{info.duration_seconds:.3f} s"),
        ("video", " ".join(filter(None, [info.video_codec, info.video_profile]))),
        ("pixels", f"{info.width}x{info.height} {info.pixel_format}, shown {_shown_as(info)}"),
        ("frame rate", f"{info.fps:.6g} ({info.frame_rate})" + _variable(info)),
        ("frames", f"{info.frame_count}" + ("" if info.frame_count_exact else " (estimated)")),
        ("bit rate", f"{info.bit_rate / 1000:.0f} kbit/s"),
        ("colour", _colour(info)),
    ]
    for number, stream in enumerate(info.audio, 1):
        loud = "" if stream.loudness_lufs is None else f", {stream.loudness_lufs:.1f} LUFS"
        rows.append(
            (
                f"audio {number}",
                f"{stream.codec}, {stream.sample_rate} Hz, {stream.layout or stream.channels}"
                f", starts at {stream.offset_seconds:+.3f} s{loud}",
            )
        )
    if not info.audio:
        rows.append(("audio", "none"))
    rows += [(key, _shortened(value)) for key, value in info.metadata.items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _shown_as(info: VideoInfo) -> str:
    turned = f", turned by {info.rotation} degrees" if info.rotation else ""
    return info.display_aspect_ratio + turned


def _variable(info: VideoInfo) -> str:
    return ", varying" if info.is_variable_rate else ""


def _colour(info: VideoInfo) -> str:
    tags = (info.color_matrix, info.color_primaries, info.color_transfer, info.color_range)
    return " / ".join(tag or "not tagged" for tag in tags) + (" (HDR)" if info.is_hdr else "")


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:100]}... ({len(text)} characters)"
