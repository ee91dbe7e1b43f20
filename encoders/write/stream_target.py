"""One FFmpeg container being written: a video stream, and an audio stream beside it."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from fractions import Fraction
from typing import TypeAlias, TypeVar

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.stream import VideoStream

from ...errors import EncodeError
from ..color import FrameConverter, coding_of, tagged
from ..read.audio import AudioTrack
from .audio_feed import AudioWriter
from .audio_packets import AudioPackets, open_audio, rate_in
from .codecs import CONTAINERS
from .output_file import MOV_FAMILY, OutputFile
from .packets import add_stream, encode_picture, mux
from .plan import EncodePlan
from .thread_priority import kept_priority

# FFmpeg's flags for encoders: transform and search for motion field by field.
_INTERLACED = 1 << 18 | 1 << 29
# Longer than any encoder reorders pictures; the second is for rates of a picture in an hour.
MAX_LEAD_SECONDS, MAX_LEAD_PICTURES = Fraction(3600), 64
POLL_SECONDS = 0.05  # between two calls of ``check``
FRAMES_AHEAD = 2  # given to the encoder before the oldest of them is waited for

Result = TypeVar("Result")
Packets: TypeAlias = "list[av.Packet[VideoStream]]"


class StreamTarget:
    """Encodes pictures and audio into one of FFmpeg's containers. Raises EncodeError.

    A thread of its own waits for the video encoder, which does not use every CPU all the time,
    while the caller's thread makes the next picture. Only the caller's touches the container.
    """

    def __init__(self, plan: EncodePlan, track: AudioTrack | AudioPackets | None) -> None:
        self._plan = plan
        self.audio: AudioWriter | None = None
        self._video: VideoStream | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._encoding: deque[tuple[int, Future[Packets]]] = deque()
        self._is_slow_to_close = plan.spec.is_slow_to_close and plan.encoder == plan.spec.encoder
        self._convert = FrameConverter(*plan.size, plan.pixel_format, plan.colors)
        self._output = OutputFile(
            plan.path,
            CONTAINERS[plan.container].muxer,
            plan.metadata,
            rates=(plan.frame_rate, rate_in(plan.container, track, plan.config)),
            overwrite=plan.config.overwrite,
            sources=plan.sources,
        )
        with self._output.pending.explaining(self.abort):
            container = self._output.container
            self._video = self._add_video(container)
            self.audio = open_audio(container, plan.container, track, plan.config)
            with _environment(plan.spec.environment), kept_priority():
                container.start_encoding()

    def add(self, picture: np.ndarray, tick: int) -> None:
        """Encode a picture, uint8 or uint16 (H, W, C), shown from that tick of the time base."""
        self.add_frame(self._convert(picture), tick)

    def add_decoded(self, frame: av.VideoFrame, tick: int) -> None:
        """Encode a decoded frame, scaled to the plan's size; it stays luma and chroma."""
        self.add_frame(self._convert.convert(frame, coding_of(frame)), tick)

    def add_frame(self, frame: av.VideoFrame, tick: int) -> None:
        """Encode a frame that already has the plan's format, size and colours."""
        if self._video is None:
            raise EncodeError("Expected an open writer: use it in a with statement.")
        self._encoding.append((tick, self._submit(self._encode, frame, tick)))
        with self._output.pending.explaining(self.abort):
            while len(self._encoding) > FRAMES_AHEAD:
                self._mux_oldest()

    def _submit(self, task: Callable[..., Result], *arguments: object) -> Future[Result]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="avatarvideo-encoder")
        return self._thread.submit(task, *arguments)

    def _encode(self, frame: av.VideoFrame, tick: int) -> Packets:
        video = self._video
        if video is None:  # aborted in the meantime
            return []
        frame.pts = tick  # only now: a frame that is held is given more than once
        frame.time_base = self._plan.time_base
        frame.pict_type = PictureType.NONE  # else encoders repeat the source's picture types
        return encode_picture(video, frame)

    def _mux_oldest(self) -> None:
        tick, encoded = self._encoding.popleft()
        mux(self._output.container, self._sane(encoded.result()))
        if self.audio is not None:
            self.audio.advance(tick * self._plan.time_base)

    def _sane(self, packets: Packets) -> Packets:
        most_lead = max(MAX_LEAD_SECONDS, MAX_LEAD_PICTURES / self._plan.frame_rate)
        return _with_sane_times(packets, most_lead)

    def finish(self, audio_end: Fraction | None, check: Callable[[], None]) -> None:
        if self._video is None:
            raise EncodeError("Expected an open writer: use it in a with statement.")
        with self._output.pending.explaining(self.abort):
            while self._encoding:
                self._mux_oldest()
            self._is_slow_to_close = True  # an encoder being flushed encodes all it still holds
            last = self._submit(encode_picture, self._video, None)
            while not wait([last], POLL_SECONDS).done:
                check()
            self._end_thread()
            mux(self._output.container, self._sane(last.result()))
            if self.audio is not None:
                self.audio.finish(audio_end)
            self._video = self.audio = None
            self._output.finish()

    def abort(self) -> None:
        # An encoder's threads end with the last reference to its stream, not when it is closed.
        video, self._video = self._video, None
        self.audio = None
        if self._is_slow_to_close and video is not None:
            self._output.abandon(self._submit, video)
            self._end_thread(wait=False)
            return
        self._end_thread()
        del video
        self._output.abort()

    def _end_thread(self, *, wait: bool = True) -> None:
        self._encoding.clear()
        self._convert.close()
        if self._thread is not None:
            self._thread.shutdown(wait=wait, cancel_futures=wait)
            self._thread = None

    def _add_video(self, container: OutputContainer) -> VideoStream:
        plan = self._plan
        stream = add_stream(container, plan.encoder, plan.frame_rate, dict(plan.options))
        if not isinstance(stream, VideoStream):
            raise EncodeError(f"Expected a video encoder, but {plan.encoder!r} is not one.")
        context = stream.codec_context
        context.width, context.height = plan.size
        context.pix_fmt = plan.pixel_format
        context.time_base = plan.time_base
        # FFmpeg's own default. PyAV's is slices only, with which x264 waits for each picture: a
        # third slower beside our conversion, and files 6 % larger.
        context.thread_type = "AUTO"
        tagged(context, plan.colors)
        if plan.field_order:
            context.flags |= _INTERLACED
            with contextlib.suppress(AttributeError):  # older PyAV cannot set it
                context.field_order = plan.field_order
        if plan.spec.tag and plan.container in MOV_FAMILY:
            context.codec_tag = plan.spec.tag
        return stream


def _with_sane_times(packets: Packets, most_lead: Fraction) -> Packets:
    """Return the packets; an impossible decoding time becomes the time the picture is shown.

    most_lead: seconds by which a picture may be decoded before it is shown.
    """
    # With one or two pictures, x265 returns uninitialised memory as the decoding time.
    for packet in packets:
        if packet.dts is None or packet.pts is None:
            continue
        if not 0 <= (packet.pts - packet.dts) * packet.time_base <= most_lead:
            packet.dts = packet.pts
    return packets


@contextlib.contextmanager
def _environment(wanted: Mapping[str, str]) -> Generator[None]:
    """Set variables for the block, except those that the user has set."""
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
