"""Read videos, animated WebP too: exact counts and rates, upright RGB, errors as sentences."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from functools import cached_property
from operator import itemgetter
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from ...media import FramesOfFiles
from ..color import RgbConverter, is_transparent, on_white
from .animated_webp import AnimatedPicture, is_animated_webp
from .cut_short import is_cut_short
from .deinterlace import deinterlaced
from .dolby_vision import refuse_own_colours
from .open import checked_input, close_container, open_container
from .packet_times import PacketTimes
from .picture import ON_WHITE
from .slots import Slot, Tally, decoded_slots
from .stream_facts import (
    agreed_rate,
    claimed_frame_count,
    codec_name,
    counted,
    in_order,
    nominal_rate,
    packet_rate,
    picture_stream,
    rate_of_steps,
    stream_rate,
    varies,
)
from .video_facts import VideoFacts

logger = logging.getLogger("avatarvideo.encoders.read.video")

# Containers that hold where every key frame lies.
REWINDABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
UNREAD_ALPHA = "The transparency was left out: it cannot be read from VP8 and VP9."
DEINTERLACED = "The video was deinterlaced, one output frame per input frame."


class VideoReader(VideoFacts):
    """One video file. Opening it decodes the first frame, so a reader that exists can be read.

    frame_rate: 1/s; the average where the rate varies.
    ends_early: whether its end is missing, as far as it was read. ran_out: whether it was read
    to the end of what there is.
    Raises MediaError when the file cannot be read.
    """

    def __init__(self, path: str | Path, *, counts: bool = False, stays_open: bool = False) -> None:
        """counts: read all time stamps while the file is open.

        stays_open: do that and keep the file open for the first ``decoded``,
        where it can be read from its beginning again; ``close`` it where none may follow.
        """
        self.path = checked_input(path)
        self._opened: tuple[InputContainer, VideoStream] | None = None
        self._packets: PacketTimes | None = None
        self.ends_early = self.ran_out = False
        self._held = 0  # pictures that could not be decoded, as far as it was said
        self._animation = AnimatedPicture(self.path) if is_animated_webp(self.path) else None
        if self._animation is not None:
            self._take_animation(self._animation)
            return
        with contextlib.ExitStack() as stack:
            container = open_container(self.path)
            stack.callback(close_container, container)
            stream = picture_stream(container, self.path.name)
            if codec_name(stream.codec_context) == "hevc":
                refuse_own_colours(self.path)
            self._claimed_count = claimed_frame_count(container, stream)
            self.ends_early = is_cut_short(container, stream)
            seen = self._take_facts(container, stream)
            if stays_open or counts:
                self._packets = PacketTimes.of(
                    stream, itertools.chain(seen, container.demux(stream))
                )
            ticks = self._frame_ticks if self._packets else []
            stated = stream_rate(stream)
            if self._packets and self._packets.overrun and len(ticks) > 1:
                stated = rate_of_steps(ticks, self.time_base)  # an average counts what is left out
            agreed = agreed_rate(stated, ticks, self.time_base)
            animated = packet_rate(container, stream)
            self.frame_rate, self._is_animated = animated or agreed, animated is not None
            if stays_open and _begins_again(container, stream, seen[0]):
                self._opened = (container, stream)
                stack.pop_all()

    def close(self) -> None:
        """Close a file that stayed open."""
        if self._opened is not None:
            container, self._opened = self._opened[0], None
            close_container(container)

    def _all_packets(self) -> PacketTimes:
        if self._packets is None:
            with self._from(None) as (container, stream):
                self._packets = PacketTimes.of(stream, container.demux(stream))
        return self._packets

    @cached_property
    def frame_count(self) -> int:
        """Exact number of frames: the index's where it is whole, else the packets counted."""
        is_joined = self._packets is not None and self._packets.overrun
        if self._indexed_count is not None and not is_joined:
            return self._indexed_count
        return counted(self._all_packets().stamps, self.path)

    @property
    def begins(self) -> Fraction | None:
        """When the first picture is shown in the file's own time, seconds; None if not known."""
        ticks = self._frame_ticks if self._packets else []
        return ticks[0] * self.time_base if ticks else None

    @property
    def duration(self) -> Fraction:
        """Length in seconds: the file's own statement, else frames over rate."""
        return self._header_duration or Fraction(self.frame_count) / self.frame_rate

    @property
    def steady_rate(self) -> Fraction:
        """The rate for a constant one: the one that frames of a varying rate are meant for."""
        if not self.is_variable_rate or not self.frame_times:
            return self.frame_rate
        return nominal_rate(self.frame_times, self.frame_rate)

    @cached_property
    def is_variable_rate(self) -> bool:
        """Whether frames come at a varying rate, by all their time stamps."""
        ticks = self._frame_ticks
        if self._is_animated and ticks:  # of which the last picture often stays longer
            length = self.frame_count / self.frame_rate / self.time_base
            ticks = [*ticks, ticks[0] + round(length)]
        return varies(ticks, self.time_base)

    def frames(self, start: int = 0) -> FramesOfFiles:
        """Decode from frame ``start``: uint8 RGB (H, W, 3). The file closes on every way out.

        What is transparent is laid on white. Decoding begins at the key frame before ``start``
        where the time stamps allow it. Logs a warning when the file ends before it should or some
        frames are damaged.
        """
        to_rgb = self.converter()

        def shown(frame: av.VideoFrame) -> np.ndarray:
            picture = to_rgb(frame)
            return on_white(picture) if picture.shape[2] == 4 else picture

        return FramesOfFiles(map(shown, self.pictures(start)), (self.path,))

    def pictures(self, start: int = 0, *, keeps_fields: bool = False) -> Iterator[av.VideoFrame]:
        """Decode from frame ``start`` as ``decoded`` does, deinterlaced unless ``keeps_fields``."""
        if keeps_fields:
            return self.decoded(start)
        # The one before tells what moves in the first.
        earlier = 1 if start and self.is_interlaced else 0
        whole = deinterlaced(self.decoded(start - earlier), self._found_fields)
        return itertools.islice(whole, earlier, None)

    def _found_fields(self) -> None:
        self.is_interlaced = True

    def converter(
        self, *, deep: bool = False, keeps_light: bool = False
    ) -> Callable[[av.VideoFrame], np.ndarray]:
        """Return what makes upright RGB of a decoded frame, RGBA of a transparent one.

        deep: uint16. keeps_light: HDR stays as it is coded.
        """
        light = None if keeps_light else self.light
        made = dict[bool, RgbConverter]()

        def convert(frame: av.VideoFrame) -> np.ndarray:
            clear = self.has_alpha or is_transparent(frame)
            self._is_clear |= clear
            if clear not in made:
                made[clear] = RgbConverter(
                    *self.size,
                    transparent=clear,
                    deep=deep,
                    orientation=self.orientation,
                    light=light,
                    profile=self.profile,
                )
            return made[clear](frame)

        return convert

    def decoded(self, start: int = 0) -> Iterator[av.VideoFrame]:
        """Decode from frame ``start`` as FFmpeg's frames, neither upright nor converted.

        A picture that cannot be decoded is the one before it again, so frame numbers stay.
        """
        if self._animation is not None:
            return self._animation.pictures(start)
        if start == 0 and self._opened is None:  # the first one is here: it takes no opening
            return itertools.chain([self._first], self._decoded_after(1, None))
        ticks = self._frame_ticks if start > 0 and self._is_sought else []
        return self._decoded_after(start, ticks[start] if start < len(ticks) else None)

    def _decoded_after(self, start: int, target: int | None) -> Iterator[av.VideoFrame]:
        """Leave out the frames shown before ``target``, in ticks, else the first ``start``."""
        left_out = 0

        def is_before(slot: Slot) -> bool:
            nonlocal left_out
            at = left_out if target is None else slot[0]
            before = at is None or at < (start if target is None else target)
            left_out += before
            return before

        def at_end(tally: Tally) -> None:
            self._say(tally, start + tally.given - left_out)

        slots = decoded_slots(self._from(target), self.path, at_end)
        return map(itemgetter(1), itertools.dropwhile(is_before, slots))

    def _say(self, tally: Tally, count: int) -> None:
        """Warn of what a reading came to, once. count: the frames there are."""
        self.ends_early |= tally.broke_off
        self.ran_out = True
        overrun = self._packets.overrun if self._packets else tally.overrun
        if count + overrun < self._claimed_count:
            text = "%s: the header promises %d frames, %d are there; the file was cut short"
            logger.warning(text, self.path.name, self._claimed_count, count)
        if tally.held > self._held:
            self._held = tally.held
            logger.warning("%s: %s", self.path.name, self.held_note)
        elif (tally.failures or tally.broke_off) and not tally.held:
            text = "%s: %d damaged parts of the pictures were left out"
            logger.warning(text, self.path.name, tally.failures + tally.broke_off)

    @property
    def held_note(self) -> str:
        """Say how many of the pictures read so far could not be decoded; empty for none."""
        if not self._held:
            return ""
        of = f"{self._held} of {self.frame_count} pictures"
        return f"{of} could not be decoded; the previous one is shown instead."

    @property
    def missing_note(self) -> str:
        """Say how many pictures the file lacks, where its times are known; empty for none."""
        packets = None if self._is_animated else self._packets
        return "" if packets is None else packets.missing_note(self.time_base)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the file as far as it was read: what its 8-bit frames are, what is wrong."""
        woven = DEINTERLACED if self.is_interlaced else ""
        missing = f"The end of {self.path.name!r} is missing." if self.ends_early else ""
        clear = ON_WHITE if self._is_clear else UNREAD_ALPHA if self.unread_alpha else ""
        own = (self._track_notes[0], self.light.note, self.profile.note, woven, clear)
        return tuple(filter(None, (*own, self.missing_note, self.held_note, missing)))

    @contextlib.contextmanager
    def _from(self, target: int | None) -> Generator[tuple[InputContainer, VideoStream]]:
        """Open the file, or take it as it stayed open, at a time in ticks."""
        opened, self._opened = self._opened, None
        container = open_container(self.path) if opened is None else opened[0]
        try:
            stream = picture_stream(container, self.path.name) if opened is None else opened[1]
            if target is not None:
                by_pts = container.format.name in REWINDABLE  # others are sought by decoding time
                begin = self._all_packets().key_before(target, by_pts=by_pts)
                if begin is not None:
                    container.seek(begin, stream=stream)
            yield container, stream
        finally:
            close_container(container)

    @cached_property
    def frame_times(self) -> list[Fraction]:
        """When each frame is shown, seconds from the first; empty when the file does not say."""
        ticks = self._frame_ticks
        return [(tick - ticks[0]) * self.time_base for tick in ticks]

    @cached_property
    def _frame_ticks(self) -> list[int]:
        if self._animation is not None:
            return self._animation.starts
        return in_order(self._all_packets().stamps)


def _begins_again(
    container: InputContainer, stream: VideoStream, first: av.Packet[VideoStream]
) -> bool:
    """Go back to a file's first packet; tell whether that is surely where it now stands."""
    if container.format.name not in REWINDABLE or first.pts is None or not first.is_keyframe:
        return False
    try:
        container.seek(first.pts, stream=stream)
        again = next(container.demux(stream))
        container.seek(first.pts, stream=stream)
    except (FFmpegError, OSError, StopIteration):
        return False
    return (again.pts, again.pos, again.size) == (first.pts, first.pos, first.size)
