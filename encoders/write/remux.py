"""Copy a video's packets as they are, with other audio beside them."""

from __future__ import annotations

import io
import math
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from ...errors import EncodeError
from ..interfaces import EncodingConfig, EncodingResult, Length
from ..orientation import UPRIGHT, orientation_of
from ..read.audio import AudioTrack
from ..read.stream_facts import alpha_beside, codec_name, first_picture, stream_rate
from .audio_feed import AudioWriter
from .audio_packets import AudioPackets, open_audio, rate_in
from .codecs import CONTAINERS, known_codec
from .output_file import MOV_FAMILY, OutputFile, size_of
from .packets import add_copy, mux
from .plan import Extras, OnFrame
from .section_packets import Packets, SectionPackets

KEPT_STREAM_TAGS = ("alpha_mode", "stereo_mode")  # without the first no transparency is looked for
HOLDERS = ("mov", "mkv", "mp4")  # of anything, the likeliest first
KEEPS_BESIDE = ("mkv", "webm")  # hold what lies beside the packets, the transparency of VP8 and VP9
LEAST_STEP = Fraction(1, 1000)  # seconds from packet to packet, which every container tells apart


def muxer_for_copies(holder: str) -> str:
    """Return FFmpeg's name of a container. Raises EncodeError for those of animations."""
    muxer = CONTAINERS[holder].muxer
    if not muxer or holder == "gif":
        raise EncodeError(
            f"Expected a container for copied pictures (mp4, mov, mkv, webm), got {holder}: choose "
            "one of those, or a codec other than copy."
        )
    return muxer


def copy_pictures(
    packets: SectionPackets,
    audio: AudioTrack | AudioPackets | None,
    *,
    output: Path,
    holder: str,
    config: EncodingConfig,
    extras: Extras,
) -> EncodingResult:
    """Write the packets of pictures, and audio, to ``output``. holder: a key of CONTAINERS."""
    muxer = muxer_for_copies(holder)
    stream = packets.stream
    file = OutputFile(
        output,
        muxer,
        dict(extras.metadata),
        rates=(stream.average_rate, rate_in(holder, audio, config)),
        overwrite=config.overwrite,
        sources=extras.sources,
    )
    with file.pending.explaining(file.abort):
        copied = _copied_stream(file.container, stream, holder)
        feed = open_audio(file.container, holder, audio, config)
        count, duration = _copy(
            packets, file.container, copied, feed, config.length, extras.on_frame
        )
        file.finish()
    context = stream.codec_context
    first = first_picture(packets.container, stream)
    hides = holder in MOV_FAMILY  # what is before 0, by an edit list
    if hides:
        count -= packets.hidden_before
    else:
        duration += packets.hidden_seconds
    orientation = UPRIGHT if first is None else orientation_of(first)
    return EncodingResult(
        success=True,
        output_path=output,
        duration_seconds=float(duration),
        frame_count=count,
        resolution=orientation.size((context.width, context.height)),
        fps=float(stream_rate(stream)),
        file_size_bytes=size_of(output),
        codec=codec_name(context),
        encoder="copy",
        notes=(
            *_notes(stream, holder),
            *packets.notes(hides=hides),
            *(() if feed is None else feed.notes),
        ),
    )


def _notes(stream: VideoStream, holder: str) -> tuple[str, ...]:
    if holder in KEEPS_BESIDE or not alpha_beside(stream):
        return ()
    return (f"The transparency was left out: {holder} cannot hold that of VP8 and VP9.",)


def _copied_stream(container: OutputContainer, stream: VideoStream, holder: str) -> VideoStream:
    try:
        copied = add_copy(container, stream)
    except ValueError as error:
        raise _cannot_hold(stream, holder) from error
    spec = known_codec(stream.codec_context.name)
    if spec is not None and spec.tag and container.format.name in MOV_FAMILY:
        copied.codec_context.codec_tag = spec.tag  # a copy would get FFmpeg's own
    if stream.average_rate and stream.average_rate == stream.base_rate:
        copied.codec_context.framerate = stream.average_rate  # else Matroska keeps milliseconds
    copied.metadata.update(
        {k.lower(): v for k, v in stream.metadata.items() if k.lower() in KEPT_STREAM_TAGS}
    )
    return copied


def _cannot_hold(stream: VideoStream, holder: str) -> EncodeError:
    name = codec_name(stream.codec_context)
    others = [f".{other}" for other in HOLDERS if _holds(other, stream)] if name != "gif" else []
    use = f"use {' or '.join(others)}, or " if others else ""
    return EncodeError(
        f"Expected pictures that {holder} can hold, but it cannot hold {name}: {use}encode the "
        "video instead of copying it (codec auto)."
    )


def _holds(holder: str, stream: VideoStream) -> bool:
    with av.open(io.BytesIO(), "w", format=CONTAINERS[holder].muxer) as trial:
        try:
            add_copy(trial, stream)
        except ValueError:
            return False
        return True


def _copy(
    packets: SectionPackets,
    container: OutputContainer,
    copied: VideoStream,
    feed: AudioWriter | None,
    length: Length,
    on_packet: OnFrame | None,
) -> tuple[int, Fraction]:
    """Return the number of packets and until when the last picture is shown, seconds."""
    base = packets.base
    step = 1 / (packets.stream.average_rate or Fraction(25))
    count, newest = 0, 0
    cut_by = feed if length == "shortest" else None
    for packet in _in_order(packets, base):
        pts = packet.pts or 0
        if cut_by is not None and not cut_by.reaches(pts * base + step / 2):
            continue
        packet.stream = copied
        decoded_at = packet.dts if packet.dts is not None else pts
        mux(container, packet)
        count += 1
        if on_packet is not None:
            on_packet(count)
        newest = max(newest, pts)
        if feed is not None and decoded_at > 0:
            feed.advance(decoded_at * base)
    if not count:
        raise EncodeError("Expected a video with at least one frame, found none.")
    shown_until = newest * base + step
    if feed is not None:
        cuts = length in ("video", "shortest") and feed.reaches(shown_until + step)
        feed.finish(shown_until if cuts else None)
    return count, shown_until


def _in_order(packets: SectionPackets, base: Fraction) -> Packets:
    """Move decoding times on that stand or step back a little, as where a file was joined."""
    least, decoded = math.ceil(LEAST_STEP / base), None
    for packet in packets:
        if packet.dts is not None:
            if decoded is not None and packet.dts <= decoded:
                packet.dts = decoded + least
                packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
            decoded = packet.dts
        yield packet
