"""PyAV's calls for packets, with the types that PyAV leaves out of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from av import Packet
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

Kind = TypeVar("Kind", AudioStream, VideoStream)

# pyright: reportUnknownMemberType=false
# A packet's kind of stream is missing in PyAV's types of mux and add_stream_from_template.


def mux(container: OutputContainer, packets: Packet[Kind] | Sequence[Packet[Kind]]) -> None:
    """Write packets, each into the stream that it says it is of."""
    container.mux(packets)


def add_copy(container: OutputContainer, stream: Kind) -> Kind:
    """Add a stream for the packets of one that was opened. Raises ValueError where none fits."""
    return container.add_stream_from_template(stream, opaque=True)
