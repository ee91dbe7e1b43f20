"""Put other sound under a video without touching its pictures: packets are copied as they are."""

from __future__ import annotations

from pathlib import Path

from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from ..errors import EncodeError
from .audio_codecs import audio_codec_for, encoded_rate
from .audio_feed import AudioFeed
from .interfaces import EncodingConfig
from .outputs import OutputFile, timescales_for
from .presets import CONTAINERS
from .sound import AudioTrack


def copy_with_audio(
    pictures: InputContainer,
    stream: VideoStream,
    track: AudioTrack,
    *,
    output: Path,
    container_name: str,
    config: EncodingConfig,
) -> int:
    """Write the pictures' packets and the track to ``output``; return the number of packets."""
    codec = audio_codec_for(config.audio_codec, container_name)
    timescales = timescales_for(stream.average_rate, encoded_rate(track.sample_rate, codec))
    file = OutputFile(
        output, CONTAINERS[container_name].muxer, dict(pictures.metadata), timescales=timescales
    )
    try:
        count = _copy(pictures, stream, track, file.container, codec, config.audio_bitrate)
        file.finish()
    except (FFmpegError, OSError, ValueError) as error:
        explained = file.explained(error)
        file.abort()
        raise explained from error
    except BaseException:
        file.abort()
        raise
    return count


def _copy(
    pictures: InputContainer,
    stream: VideoStream,
    track: AudioTrack,
    container: OutputContainer,
    codec: str,
    bitrate: int | None,
) -> int:
    try:
        copied = container.add_stream_from_template(stream, opaque=True)
    except ValueError as error:
        raise EncodeError(
            f"Expected a container that holds {stream.codec_context.name}, got "
            f"{container.format.name}: use .mkv, or encode the video instead."
        ) from error
    feed = AudioFeed(container, track, codec, bitrate=bitrate)
    begin = stream.start_time or 0
    count = 0
    for packet in pictures.demux(stream):
        if not packet.size:
            continue
        # The copy starts at 0, where the new sound starts too.
        if packet.pts is None:
            packet.pts = packet.dts
        packet.pts = None if packet.pts is None else packet.pts - begin
        packet.dts = None if packet.dts is None else packet.dts - begin
        time = packet.dts if packet.dts is not None else packet.pts
        packet.stream = copied
        container.mux(packet)
        count += 1
        if time is not None and time > 0 and stream.time_base is not None:
            feed.advance(time * stream.time_base)
    feed.finish()
    if not count:
        raise EncodeError("Expected a video with at least one frame, found none.")
    return count
