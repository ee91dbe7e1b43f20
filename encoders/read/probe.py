"""Find out what a media file is: everything VideoInfo shows, by header or, on request, exactly."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from ..color import HDR_TRANSFERS, RANGE_FULL, UNSPECIFIED
from ..metadata import read_tags
from ..orientation import UPRIGHT, Orientation, orientation_of
from .animated_webp import TICK, AnimatedPicture, is_animated_webp
from .dolby_vision import dolby_vision_profile
from .gaps import missing_count
from .loudness import file_loudness
from .open import checked_input, open_media
from .slots import shown_packets
from .stream_facts import (
    FIELD_ORDERS,
    agreed_rate,
    codec_name,
    counted,
    field_order,
    first_picture,
    header_duration,
    in_order,
    indexed_frame_count,
    packet_rate,
    picture_stream,
    slots_of,
    stream_rate,
    varies,
)

CHEAP_BYTES = 32 << 20  # read through in a moment, so the count is exact unasked
RATE_SAMPLE_PACKETS = 600  # enough to see a varying rate without reading a long file through
# FFmpeg's numbers of the colour tags (ITU-T H.273); others are shown as numbers.
MATRICES = {0: "rgb", 1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020", 11: "dci-p3", 12: "display-p3"}
TRANSFERS = {1: "bt709", 6: "smpte170m", 8: "linear", 13: "srgb", 16: "pq", 18: "hlg"}


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
    is_default: bool = False


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What is known of a media file. Rates in 1/s, durations in seconds, bit rates in bit/s.

    frame_rate: exact, as "30000/1001"; the average where ``is_variable_rate``.
    frame_count: by the header, or counted when ``frame_count_exact``.
    width, height: as shown; ``rotation`` degrees anticlockwise turn the coded picture
        into it, then ``is_mirrored`` swaps left and right.
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
    video_profile: str | None = None
    pixel_format: str | None
    sample_aspect_ratio: str
    display_aspect_ratio: str
    rotation: int
    color_matrix: str | None
    color_primaries: str | None = None
    color_transfer: str | None = None
    color_range: str | None
    is_hdr: bool = False
    bit_rate: int
    video_bit_rate: int | None = None
    audio: tuple[AudioInfo, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    is_mirrored: bool = False
    field_order: str | None = None  # "top" or "bottom" first, of interlaced pictures
    missing_frames: int = 0  # gaps in a constant rate, among the first RATE_SAMPLE_PACKETS

    def as_dict(self) -> dict[str, Any]:  # Any: whatever JSON holds
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
    stream, which decodes all of its audio.
    """
    absolute = checked_input(path)
    if is_animated_webp(absolute):
        return _animation_info(AnimatedPicture(absolute))
    with open_media(absolute) as container:
        stream = picture_stream(container, absolute.name)
        duration = header_duration(container, stream)
        indexed = indexed_frame_count(container, stream)
        facts = _stream_facts(container, stream)
        if facts["video_codec"] == "hevc" and (number := dolby_vision_profile(absolute)):
            facts["video_profile"] = f"{facts['video_profile']}, Dolby Vision profile {number}"
        audio = tuple(_audio_info(s, stream) for s in container.streams.audio)
        ticks, unit = _sampled(container, stream), stream.time_base or Fraction(1, av.time_base)
        animated = packet_rate(container, stream)
        missing = 0 if animated else missing_count(ticks, unit)
        ticks = _filled(ticks, missing)
        rate = animated or agreed_rate(stream_rate(stream), ticks, unit)
        if animated and ticks:  # the last picture of an animation often stays longer
            ticks.append(ticks[0] + round(len(ticks) / animated / unit))
        first = first_picture(container, stream)
        fields = FIELD_ORDERS.get(field_order(first)) if first is not None else None
        size = (stream.codec_context.width, stream.codec_context.height)
        aspect = stream.sample_aspect_ratio  # a closed file's cannot be asked
    count, exact = indexed, indexed is not None
    if count is None and (exact_count or absolute.stat().st_size <= CHEAP_BYTES):
        with open_media(absolute) as container:
            stream = picture_stream(container, absolute.name)
            shown = shown_packets(stream, container.demux(stream))
            count, exact = counted(slots_of([packet.pts for packet in shown]), absolute), True
    if count is None:
        count = round(duration * rate) if duration else len(ticks) - missing
    if measure_loudness:
        measured = [file_loudness(absolute, number) for number in range(len(audio))]
        audio = tuple(replace(a, loudness_lufs=m) for a, m in zip(audio, measured, strict=True))
    length = duration or Fraction(count) / rate
    orientation = UPRIGHT if first is None else orientation_of(first)
    return VideoInfo(
        field_order=fields,
        missing_frames=missing,
        is_variable_rate=varies(ticks, unit),
        frame_count=count,
        frame_count_exact=exact,
        audio=audio,
        **_derived(absolute, size, rate, length, aspect, orientation),
        **facts,
    )


def _sampled(container: InputContainer, stream: VideoStream) -> list[int]:
    """Return when the first frames are shown, in ticks."""
    shown = shown_packets(stream, container.demux(stream))
    packets = list(itertools.islice(shown, RATE_SAMPLE_PACKETS))
    ticks = in_order(slots_of([packet.pts for packet in packets]))
    newest = packets[-1].dts if packets else None
    if len(packets) < RATE_SAMPLE_PACKETS or newest is None:
        return ticks
    return [tick for tick in ticks if tick <= newest]  # between later ones others may be to come


def _filled(ticks: list[int], missing: int) -> list[int]:
    """Return the times of frames of a constant rate with those between them that are missing."""
    if not missing:
        return ticks
    steps = len(ticks) - 1 + missing
    return [ticks[0] + round(n * (ticks[-1] - ticks[0]) / steps) for n in range(steps + 1)]


def _animation_info(animation: AnimatedPicture) -> VideoInfo:
    path, duration = animation.path, animation.duration
    return VideoInfo(
        container="webp",
        is_variable_rate=varies(list(itertools.accumulate(animation.durations, initial=0)), TICK),
        frame_count=animation.frame_count,
        frame_count_exact=True,
        video_codec="webp",
        pixel_format="rgba" if animation.has_alpha else "rgb24",
        color_matrix="rgb",
        color_range="full",
        bit_rate=round(path.stat().st_size * 8 / duration),
        metadata=animation.metadata,
        **_derived(path, animation.size, animation.frame_count / duration, duration),
    )


def _derived(
    path: Path,
    size: tuple[int, int],
    rate: Fraction,
    duration: Fraction,
    aspect: Fraction | None = None,
    orientation: Orientation = UPRIGHT,
) -> dict[str, Any]:  # Any: fields of VideoInfo
    """Return what follows from a few facts. size: pixels as coded. aspect: of one pixel."""
    width, height = orientation.size(size)
    aspect = aspect or Fraction(1)
    display = (aspect * Fraction(*size)) ** (-1 if orientation.turns % 2 else 1)
    return {
        "path": str(path),
        "duration_seconds": float(duration),
        "file_size_bytes": path.stat().st_size,
        "width": width,
        "height": height,
        "coded_width": size[0],
        "coded_height": size[1],
        "fps": float(rate),
        "frame_rate": _ratio(rate, "/"),
        "sample_aspect_ratio": _ratio(aspect, ":"),
        "display_aspect_ratio": _ratio(display, ":"),
        "rotation": orientation.turns * 90,
        "is_mirrored": orientation.mirrored,
    }


def _ratio(value: Fraction, sign: str) -> str:
    return f"{value.numerator}{sign}{value.denominator}"


def _stream_facts(
    container: InputContainer, stream: VideoStream
) -> dict[str, Any]:  # Any: fields of VideoInfo
    context = stream.codec_context
    full = context.color_range == RANGE_FULL
    return {
        "container": container.format.name,
        "video_codec": codec_name(context),
        "video_profile": None if stream.profile is None else str(stream.profile),
        "pixel_format": context.pix_fmt,
        "color_matrix": _tag(MATRICES, context.colorspace),
        "color_primaries": _tag(PRIMARIES, context.color_primaries),
        "color_transfer": _tag(TRANSFERS, context.color_trc),
        "color_range": "full" if full else "limited" if context.color_range else None,
        "is_hdr": context.color_trc in HDR_TRANSFERS,
        "bit_rate": container.bit_rate or 0,
        "video_bit_rate": stream.bit_rate or None,
        "metadata": read_tags(container.metadata, container.format.name),
    }


def _tag(names: dict[int, str], number: int) -> str | None:
    return None if number == UNSPECIFIED else names.get(int(number), str(int(number)))


def _audio_info(stream: AudioStream, video: VideoStream) -> AudioInfo:
    context = stream.codec_context
    base, duration = stream.time_base or Fraction(0), stream.duration
    pictures = (video.start_time or 0) * (video.time_base or Fraction(0))
    return AudioInfo(
        codec=codec_name(context) if context else "unknown",
        sample_rate=context.sample_rate if context else 0,
        channels=context.channels if context else 0,
        layout=context.layout.name if context and context.channels else "",
        duration_seconds=None if duration is None or not base else float(duration * base),
        offset_seconds=float((stream.start_time or 0) * base - pictures),
        bit_rate=context.bit_rate or None if context else None,
        language=stream.language,
        is_default=bool(stream.disposition & stream.disposition.default),
    )


def table(info: VideoInfo) -> str:
    """Return the same for people: one line a fact."""
    turned = f", turned by {info.rotation} degrees" if info.rotation else ""
    shown = info.display_aspect_ratio + turned + (", mirrored" if info.is_mirrored else "")
    varying = ", varying" if info.is_variable_rate else ""
    if info.missing_frames:
        varying = f", constant with {info.missing_frames} pictures missing"
    fields = f"interlaced, {info.field_order} field first" if info.field_order else "progressive"
    rows = [
        ("file", f"{Path(info.path).name} ({info.file_size_bytes / 1e6:.2f} MB)"),
        ("container", info.container),
        ("duration", f"{info.duration_seconds:.3f} s"),
        ("video", " ".join(filter(None, [info.video_codec, info.video_profile]))),
        ("pixels", f"{info.width}x{info.height} {info.pixel_format}, shown {shown}"),
        ("frame rate", f"{info.fps:.6g} ({info.frame_rate}){varying}"),
        ("fields", fields),
        ("frames", f"{info.frame_count}" + ("" if info.frame_count_exact else " (estimated)")),
        ("bit rate", f"{info.bit_rate / 1000:.0f} kbit/s"),
        ("colour", _colour(info)),
    ]
    for number, stream in enumerate(info.audio, 1):
        loud = "" if stream.loudness_lufs is None else f", {stream.loudness_lufs:.1f} LUFS"
        form = f"{stream.codec}, {stream.sample_rate} Hz, {stream.layout or stream.channels}"
        default = ", default" if stream.is_default and len(info.audio) > 1 else ""
        begins = f"starts at {stream.offset_seconds:+.3f} s"
        rows.append((f"audio {number}", f"{form}, {begins}{loud}{default}"))
    if not info.audio:
        rows.append(("audio", "none"))
    rows += [(key, _shortened(value)) for key, value in info.metadata.items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _colour(info: VideoInfo) -> str:
    tags = (info.color_matrix, info.color_primaries, info.color_transfer, info.color_range)
    return " / ".join(tag or "not tagged" for tag in tags) + (" (HDR)" if info.is_hdr else "")


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:100]}... ({len(text)} characters)"
