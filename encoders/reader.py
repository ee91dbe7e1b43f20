"""Read pictures, videos and sound: exact counts and rates, upright RGB, errors as sentences."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.video.stream import VideoStream

from ..errors import MediaError
from .color import RgbConverter, quarter_turns
from .pictures import is_image, read_image
from .sound import has_sound, read_audio
from .sources import (
    MAX_FRAME_PIXELS,
    check_frame_size,
    checked_input,
    open_media,
    unreadable,
)

__all__ = ["VideoReader", "is_image", "read_audio", "read_image"]

logger = logging.getLogger("avatarvideo.encoders.reader")

DEFAULT_RATE = Fraction(25)  # for the few files that state no rate at all
MAX_RATE = Fraction(1000)
# Common rates that millisecond containers cannot state exactly.
STANDARD_RATES = (
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(50),
    Fraction(60000, 1001),
    Fraction(60),
    Fraction(120000, 1001),
    Fraction(120),
)
# webm keeps alpha in side data that FFmpeg's own decoders drop.
_DECODER_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class VideoReader:
    """One video file. Opening it decodes the first frame, so a reader that exists can be read.

    width, height: pixels of the frames as shown, rotation applied.
    frame_rate: 1/s; the average where the rate varies.
    has_audio: whether ``read_audio`` will find an audio stream.
    Raises MediaError when the file cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = checked_input(path)
        with open_media(self.path) as container:
            stream = picture_stream(container, self.path.name)
            self._coded_size = (stream.codec_context.width, stream.codec_context.height)
            first = self._first_frame(container, stream)
            self._coded_size = (first.width, first.height)
            turned = quarter_turns(first.rotation) % 2
            self.width, self.height = self._coded_size[:: -1 if turned else 1]
            self.frame_rate = stream_rate(stream)
            self.has_audio = has_sound(container)
            self._header_duration = header_duration(container, stream)
            self._indexed_count = indexed_frame_count(container, stream)

    def _first_frame(self, container: InputContainer, stream: VideoStream) -> av.VideoFrame:
        for frame in _decoded(container, stream, self.path):
            check_frame_size(frame.width, frame.height, repr(self.path.name))
            return frame
        raise MediaError(
            f"Expected a video, {self.path.name!r} has no frame that can be decoded: it is damaged "
            "or was cut short."
        )

    @cached_property
    def frame_count(self) -> int:
        """Exact number of frames: the index's where it is whole, else the packets counted."""
        if self._indexed_count is not None:
            return self._indexed_count
        with open_media(self.path) as container:
            return count_packets(container, picture_stream(container, self.path.name), self.path)

    @property
    def duration(self) -> Fraction:
        """Length in seconds: the file's own statement, else frames over rate."""
        return self._header_duration or Fraction(self.frame_count) / self.frame_rate

    def frames(self, start: int = 0) -> Iterator[np.ndarray]:
        """Decode from frame ``start``: uint8 RGB (H, W, 3). The file closes on every way out.

        Decoding begins at the key frame before ``start`` where the time stamps allow it. Logs a
        warning when the file ends before it should or some frames are damaged.
        """
        target = self._frame_times[start] if 0 < start < len(self._frame_times) else None
        with open_media(self.path) as container:
            stream = picture_stream(container, self.path.name)
            claimed = claimed_frame_count(container, stream)
            to_rgb = RgbConverter(*self._coded_size)
            count = 0
            if target is None:
                decoded = itertools.islice(_decoded(container, stream, self.path), start, None)
            else:
                container.seek(target, stream=stream)
                decoded = _from_time(_decoded(container, stream, self.path), target)
            for frame in decoded:
                count += 1
                yield to_rgb(frame)
        if start + count < claimed:
            logger.warning(
                "%s: the header promises %d frames, %d could be decoded; the file was cut short",
                self.path.name,
                claimed,
                start + count,
            )

    @cached_property
    def _frame_times(self) -> list[int]:
        """Time stamps of all frames as shown; empty when they cannot tell frames apart."""
        with open_media(self.path) as container, contextlib.suppress(FFmpegError, OSError):
            stream = picture_stream(container, self.path.name)
            packets = (p for p in container.demux(stream) if p.size and not p.is_discard)
            times = [packet.pts for packet in packets]
            known = [time for time in times if time is not None]
            if len(known) == len(times) == len(set(known)):
                return sorted(known)
        return []


def _from_time(frames: Iterator[av.VideoFrame], target: int) -> Iterator[av.VideoFrame]:
    """Leave out the frames shown before ``target``, in units of the stream's time base."""
    return itertools.dropwhile(lambda frame: frame.pts is None or frame.pts < target, frames)


def picture_stream(container: InputContainer, name: str) -> VideoStream:
    """Return the stream of moving pictures, its size checked; cover art does not count."""
    streams = [s for s in container.streams.video if s.codec_context is not None]
    moving = [s for s in streams if not s.disposition & s.disposition.attached_pic]
    if not moving:
        what = "sound with a cover picture" if streams else "no video track"
        raise MediaError(f"Expected a video, {name!r} has {what}: choose a video file.")
    stream = next((s for s in moving if s.disposition & s.disposition.default), moving[0])
    check_frame_size(stream.codec_context.width, stream.codec_context.height, repr(name))
    stream.thread_type = "AUTO"
    # The size may also grow in the middle of a stream, where no header says so.
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
    return stream


def _decoded(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[av.VideoFrame]:
    """Yield every frame that can be decoded; damaged packets are left out with a warning."""
    failures = 0
    decoded = 0
    try:
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    decoded += 1
                    yield frame
            except InvalidDataError:
                failures += 1
    except (FFmpegError, OSError, ValueError) as error:
        if not decoded:
            raise unreadable(path, error) from error
        failures += 1
    if failures and decoded:
        logger.warning("%s: %d damaged frames were left out", path.name, failures)


def stream_rate(stream: VideoStream) -> Fraction:
    """Return the frame rate in 1/s, snapped to a standard one within the container's rounding."""
    average, guessed = stream.average_rate, stream.guessed_rate
    rate = average or guessed or DEFAULT_RATE
    if guessed and abs(guessed / rate - 1) < Fraction(1, 100):
        rate = guessed
    if not 0 < rate <= MAX_RATE:
        rate = DEFAULT_RATE
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest / rate - 1) < Fraction(1, 4000) else rate


def header_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Return the length in seconds the file states, the stream's before the container's."""
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    if container.duration and container.duration > 0:
        return Fraction(container.duration, av.time_base)
    return None


def indexed_frame_count(container: InputContainer, stream: VideoStream) -> int | None:
    """Return the frame count by the index of an MP4 or MOV, None unless the index is whole.

    Frames that the edit list hides are not counted.
    """
    entries = getattr(stream, "index_entries", None)
    if entries is None or "mp4" not in container.format.name or not stream.frames:
        return None
    if len(entries) < stream.frames:
        return None
    file_size = container.size
    count = 0
    for entry in entries:
        if entry.size < 1 or entry.pos + entry.size > file_size:
            return None
        count += not entry.is_discard
    return count


def claimed_frame_count(container: InputContainer, stream: VideoStream) -> int:
    """Return how many frames the header promises, 0 when it makes no believable promise."""
    entries = getattr(stream, "index_entries", None)
    if "mp4" not in container.format.name or entries is None:
        return 0
    return sum(not entry.is_discard for entry in entries)


def count_packets(container: InputContainer, stream: VideoStream, path: Path) -> int:
    """Return the frame count by reading the file through, without decoding."""
    count = 0
    with contextlib.suppress(FFmpegError, OSError):  # what is before the damage counts
        for packet in container.demux(stream):
            count += bool(packet.size) and not packet.is_discard
    if not count:
        raise MediaError(f"Expected a video, {path.name!r} has no frames: choose another file.")
    return count
