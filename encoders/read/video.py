"""Read pictures, videos and sound: exact counts and rates, upright RGB, errors as sentences."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from ...errors import MediaError
from ...media import Clip, FramesOfFiles
from ..color import Colors, RgbConverter, is_deep, is_transparent, on_white, quarter_turns
from ..metadata import read_tags
from .animated_webp import TICK, AnimatedPicture, is_animated_webp
from .audio import has_sound, read_audio
from .open import check_frame_size, checked_input, open_media
from .picture import is_image, read_image
from .stream_facts import (
    TIMED_BY_PACKETS,
    claimed_frame_count,
    count_packets,
    decoded_frames,
    header_duration,
    indexed_frame_count,
    packet_rate,
    packet_times,
    picture_stream,
    stream_rate,
    unread_alpha,
    usual_rate,
    varies,
)

__all__ = [
    "VideoReader",
    "file_hash",
    "is_image",
    "open_video_file",
    "read_audio",
    "read_image",
]

logger = logging.getLogger("avatarvideo.encoders.read.video")

MOST_OBLONG = Fraction(4)  # pixels wider or higher than this are a mistake in the file


class VideoReader:
    """One video file. Opening it decodes the first frame, so a reader that exists can be read.

    width, height: pixels of the frames as shown, rotation applied and pixels made square.
    size: the same before rotation.
    rotation: degrees anticlockwise that bring the coded frames upright.
    frame_rate: 1/s; the average where the rate varies.
    has_audio: whether ``read_audio`` will find an audio stream.
    audio_streams: how many there are; the first usable one is read.
    has_alpha: whether the first picture is transparent somewhere.
    unread_alpha: whether there is transparency that cannot be read (of VP8 and VP9).
    is_deep: whether its pictures have more than 8 bits a colour.
    Raises MediaError when the file cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = checked_input(path)
        self._animation = AnimatedPicture(self.path) if is_animated_webp(self.path) else None
        if self._animation is not None:
            self._take_animation(self._animation)
            return
        with open_media(self.path) as container:
            stream = picture_stream(container, self.path.name)
            first = self._first_frame(container, stream)
            self.size = _square_size(first, stream)
            self.has_alpha, self.unread_alpha = is_transparent(first), unread_alpha(stream)
            self.is_deep = is_deep(first.format.name)
            self.rotation = quarter_turns(first.rotation) * 90
            turned = quarter_turns(first.rotation) % 2
            self.width, self.height = self.size[:: -1 if turned else 1]
            self.frame_rate = stream_rate(stream)
            if container.format.name in TIMED_BY_PACKETS:
                self.frame_rate = packet_rate(container, stream) or self.frame_rate
            self.time_base = stream.time_base or Fraction(1, av.time_base)
            self.has_audio = has_sound(container)
            self.audio_streams = len(container.streams.audio)
            context = stream.codec_context
            self.colors = Colors(
                int(context.colorspace), int(context.color_primaries), int(context.color_trc)
            )
            self.metadata = read_tags(container.metadata, container.format.name)
            self._header_duration = header_duration(container, stream)
            self._indexed_count = indexed_frame_count(container, stream)

    def _take_animation(self, animation: AnimatedPicture) -> None:
        self.size = (self.width, self.height) = animation.size
        self.rotation = 0
        self.frame_rate = animation.frame_count / animation.duration
        self.time_base = TICK
        self.has_audio, self.audio_streams = False, 0
        self.has_alpha, self.unread_alpha, self.is_deep = animation.has_alpha, False, False
        self.colors = Colors()
        self.metadata = animation.metadata
        self._header_duration = animation.duration
        self._indexed_count = animation.frame_count

    def _first_frame(self, container: InputContainer, stream: VideoStream) -> av.VideoFrame:
        for frame in decoded_frames(container, stream, self.path):
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

    @property
    def steady_rate(self) -> Fraction:
        """The rate for a constant one: of most of the frames, where the rate varies."""
        return usual_rate(self.frame_times, self.frame_rate) or self.frame_rate

    @cached_property
    def is_variable_rate(self) -> bool:
        """Whether frames come at a varying rate, by all their time stamps."""
        return varies([tick * self.time_base for tick in self._frame_ticks])

    def frames(self, start: int = 0) -> FramesOfFiles:
        """Decode from frame ``start``: uint8 RGB (H, W, 3). The file closes on every way out.

        What is transparent is laid on white. Decoding begins at the key frame before ``start``
        where the time stamps allow it. Logs a warning when the file ends before it should or some
        frames are damaged.
        """
        return FramesOfFiles(self._shown(start), (self.path,))

    def _shown(self, start: int) -> Iterator[np.ndarray]:
        to_rgb = RgbConverter(*self.size, transparent=self.has_alpha)
        for frame in self.decoded(start):
            yield on_white(to_rgb(frame)) if self.has_alpha else to_rgb(frame)

    def decoded(self, start: int = 0) -> Iterator[av.VideoFrame]:
        """Decode from frame ``start`` as FFmpeg's frames, neither upright nor converted."""
        if self._animation is not None:
            yield from self._animation.pictures(start)
            return
        target = self._frame_ticks[start] if 0 < start < len(self._frame_ticks) else None
        count = 0
        with open_media(self.path) as container:
            stream = picture_stream(container, self.path.name)
            claimed = claimed_frame_count(container, stream)
            if target is None:
                frames = itertools.islice(decoded_frames(container, stream, self.path), start, None)
            else:
                container.seek(target, stream=stream)
                frames = _from_time(decoded_frames(container, stream, self.path), target)
            for frame in frames:
                count += 1
                yield frame
        if start + count < claimed:
            logger.warning(
                "%s: the header promises %d frames, %d could be decoded; the file was cut short",
                self.path.name,
                claimed,
                start + count,
            )

    @cached_property
    def frame_times(self) -> list[Fraction]:
        """When each frame is shown, seconds from the first; empty when the file does not say."""
        ticks = self._frame_ticks
        return [(tick - ticks[0]) * self.time_base for tick in ticks]

    @cached_property
    def _frame_ticks(self) -> list[int]:
        if self._animation is not None:
            return self._animation.starts
        with open_media(self.path) as container:
            return packet_times(container, picture_stream(container, self.path.name))


def open_video_file(path: Path, *, check: Callable[[], None] = lambda: None) -> Clip:
    """Take a video file in; what ``check`` raises ends it. Raises MediaError."""
    reader = VideoReader(path)
    check()
    return Clip(
        open_frames=lambda start: VideoReader(path).frames(start),
        read_sound=lambda: read_audio(path) if reader.has_audio else None,
        width=reader.width,
        height=reader.height,
        frame_rate=reader.frame_rate,
        frame_count=reader.frame_count,
        content_hash=file_hash(path, check=check),
        path=path,
        has_alpha=reader.has_alpha,
        sources=(path,),
    )


def file_hash(path: Path, *, check: Callable[[], None] = lambda: None) -> str:
    """Return a digest of a file's bytes; ``check`` is called for each MiB and may raise."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            check()
            digest.update(block)
    return digest.hexdigest()


def _square_size(frame: av.VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Return (width, height) with square pixels, in which no pixel of the file is lost."""
    width, height = frame.width, frame.height
    shape = stream.sample_aspect_ratio or Fraction(1)
    if not MOST_OBLONG**-1 <= shape <= MOST_OBLONG or shape == 1:
        return width, height
    if shape > 1:
        width = 2 * round(width * shape / 2)
    else:
        height = 2 * round(height / shape / 2)
    check_frame_size(width, height, "the picture with square pixels")
    return width, height


def _from_time(frames: Iterator[av.VideoFrame], target: int) -> Iterator[av.VideoFrame]:
    """Leave out the frames shown before ``target``, in units of the stream's time base."""
    return itertools.dropwhile(lambda frame: frame.pts is None or frame.pts < target, frames)
