"""PyAV's calls that make and write packets, with the types that PyAV leaves out of its own."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TypeVar

from av import AudioFrame, Packet, VideoFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

Kind = TypeVar("Kind", AudioStream, VideoStream)

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# PyAV's types do not say of which kind of stream a packet is, nor what further options are.


def add_stream(
    container: OutputContainer, encoder: str, rate: int | Fraction, options: dict[str, str]
) -> Stream:
    """Add a stream that is encoded. Raises ValueError for an encoder that is not there."""
    return container.add_stream(encoder, rate=rate, options=options)


def add_copy(container: OutputContainer, stream: Kind) -> Kind:
    """Add a stream for the packets of one that was opened. Raises ValueError where none fits."""
    return container.add_stream_from_template(stream, opaque=True)


def encode_audio(stream: AudioStream, frame: AudioFrame | None) -> list[Packet[AudioStream]]:
    """Return the packets that are ready; None takes those that the encoder still holds."""
    return stream.encode(frame)


def encode_picture(stream: VideoStream, frame: VideoFrame | None) -> list[Packet[VideoStream]]:
    """Return the packets that are ready; None takes those that the encoder still holds."""
    return stream.encode(frame)


def mux(container: OutputContainer, packets: Packet[Kind] | Sequence[Packet[Kind]]) -> None:
    """Write packets, each into the stream that it says it is of."""
    container.mux(packets)
