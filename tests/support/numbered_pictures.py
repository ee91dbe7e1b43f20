"""Pictures that are told apart by their brightness, encoded without a writer of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

SIDE = 64


def add_pictures(
    container: OutputContainer, rate: int, options: dict[str, str], codec: str = "libx264"
) -> VideoStream:
    """Add a stream for them."""
    stream = container.add_stream(codec, rate=rate, options=options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
    return stream


def encoded(
    stream: VideoStream, numbers: Iterable[int], step: int, rate: int, begin: int = 0
) -> Iterator[av.Packet[VideoStream]]:
    """Yield packets of grey pictures ``step`` times as bright as their numbers, from a place on."""
    for place, number in enumerate(numbers, begin):
        frame = av.VideoFrame.from_ndarray(np.full((SIDE, SIDE, 3), step * number, np.uint8))
        frame.pts, frame.time_base = place, Fraction(1, rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)
