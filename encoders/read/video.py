"""Read videos, animated WebP too: exact counts and rates, upright RGB, errors as sentences."""

from __future__ import annotations

import bisect
import contextlib
import functools
import hashlib
import itertools
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from operator import itemgetter
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from ...errors import MediaError
from ...media import Clip, FramesOfFiles
from ..color import BT709, Colors, RgbConverter, is_deep, is_transparent, on_white
from ..metadata import kept_tags, read_tags
from ..orientation import UPRIGHT, orientation_of
from ..tone_map import Light, light_of
from .animated_webp import TICK, AnimatedPicture, is_animated_webp
from .audio import read_audio
from .cut_short import is_cut_short
from .deinterlace import deinterlaced
from .dolby_vision import refuse_own_colours
from .open import check_frame_size, checked_input, close_container, open_container
from .picture import ON_WHITE
from .slots import Slot, Tally, decoded_slots, shown_packets
from .stream_facts import (
    agreed_rate,
    claimed_frame_count,
    codec_name,
    counted,
    field_order,
    header_duration,
    in_order,
    indexed_frame_count,
    packet_rate,
    picture_stream,
    slots_of,
    stream_rate,
    unread_alpha,
    usual_rate,
    varies,
)
from .tracks import picture_note, sound_note, usual_audio

logger = logging.getLogger("avatarvideo.encoders.read.video")

# Containers that hold where every key frame lies.
REWINDABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
UNREAD_ALPHA = "The transparency was left out: that of VP8 and VP9 cannot be read."
DEINTERLACED = "The interlaced pictures were made whole, one for each."
MOST_OBLONG = Fraction(4)  # pixels wider or higher than this are a mistake in the file


class VideoReader:
    """One video file. Opening it decodes the first frame, so a reader that exists can be read.

    width, height: pixels of the frames as shown, rotation applied and pixels made square.
    size: the same before rotation.
    orientation: of all its frames, as the first one states it.
    frame_rate: 1/s; the average where the rate varies.
    has_audio: whether ``read_audio`` will find an audio stream.
    has_alpha: whether the first picture is transparent somewhere.
    unread_alpha: whether there is transparency that cannot be read (of VP8 and VP9).
    light: what the numbers of its pictures stand for.
    is_interlaced: whether any picture read so far is woven from two fields.
    is_deep: whether its pictures have more than 8 bits a colour.
    ends_early: whether its end is missing, as far as it was read.
    Raises MediaError when the file cannot be read.
    """

    def __init__(self, path: str | Path, *, counts: bool = False, stays_open: bool = False) -> None:
        """counts: read all time stamps while the file is open.

        stays_open: do that and keep the file open for the first ``decoded``,
        where it can be read from its beginning again; ``close`` it where none may follow.
        """
        self.path = checked_input(path)
        self._opened: tuple[InputContainer, VideoStream] | None = None
        self._packets: _Packets | None = None
        self.ends_early = False
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
                self._packets = _Packets.of(stream, itertools.chain(seen, container.demux(stream)))
            ticks = self._frame_ticks if self._packets else []
            agreed = agreed_rate(stream_rate(stream), ticks, self.time_base)
            animated = packet_rate(container, stream)
            self.frame_rate, self._is_animated = animated or agreed, animated is not None
            if stays_open and _begins_again(container, stream, seen[0]):
                self._opened = (container, stream)
                stack.pop_all()

    def _take_facts(
        self, container: InputContainer, stream: VideoStream
    ) -> list[av.Packet[VideoStream]]:
        """Decode the first frame and note what the file says; return the packets it took."""
        seen: list[av.Packet[VideoStream]] = []
        opening = contextlib.nullcontext((container, stream))
        slot = next(decoded_slots(opening, self.path, seen=seen), None)
        if slot is None:
            raise MediaError(
                f"Expected a video, {self.path.name!r} has no frame that can be decoded: it is "
                "damaged or was cut short."
            )
        first = self._first = slot[1]
        check_frame_size(first.width, first.height, repr(self.path.name))
        self.size = _square_size(first, stream)
        self.has_alpha, self.unread_alpha = is_transparent(first), unread_alpha(stream)
        self._is_clear = self.has_alpha  # whether any picture read so far is transparent
        self.is_deep = is_deep(first.format.name)
        self.is_interlaced = first.interlaced_frame
        self.field_order = field_order(first, stream)
        self.orientation = orientation_of(first)
        self.width, self.height = self.orientation.size(self.size)
        self.time_base = stream.time_base or Fraction(1, av.time_base)
        self.has_audio = usual_audio(container) is not None
        self._track_notes = (picture_note(container), sound_note(container))
        context = stream.codec_context
        self.colors = Colors(
            int(context.colorspace), int(context.color_primaries), int(context.color_trc)
        )
        self.light = light_of(first, self.colors.primaries, self.colors.transfer)
        self.metadata = read_tags(container.metadata, container.format.name)
        # Where these are sought pictures get other times, or an AVI has none for reordered ones.
        of_packets = container.format.name == "avi" and context.has_b_frames
        self._is_sought = container.format.name != "mpeg" and not of_packets
        self._header_duration = header_duration(container, stream)
        self._indexed_count = indexed_frame_count(container, stream)
        return seen

    def _take_animation(self, animation: AnimatedPicture) -> None:
        self.size = (self.width, self.height) = animation.size
        self.orientation = UPRIGHT
        self.frame_rate, self._is_animated = animation.frame_count / animation.duration, True
        self.is_interlaced, self.field_order = False, 0
        self.time_base = TICK
        self.has_audio, self._track_notes = False, ("", "")
        self.has_alpha, self.unread_alpha, self.is_deep = animation.has_alpha, False, False
        self._is_clear = self.has_alpha
        self.colors, self.light = Colors(), Light(BT709, BT709)
        self.metadata = animation.metadata
        self._header_duration = animation.duration
        self._indexed_count = animation.frame_count

    @property
    def track_notes(self, *, sound: bool) -> list[str]:
        """Return sentences on the tracks taken of several, with ``sound`` of audio too."""
        return list(filter(None, self._track_notes if sound else self._track_notes[:1]))

    @property
    def is_plain(self) -> bool:
        """Whether pictures can be encoded as decoded: upright, opaque, in ordinary colours."""
        ordinary = self.light.is_ordinary and not self.has_alpha
        return self.orientation.is_upright and ordinary

    @property
    def rotation(self) -> int:
        """Degrees anticlockwise that bring the frames upright, before any mirroring."""
        return self.orientation.turns * 90

    def close(self) -> None:
        """Close a file that stayed open."""
        if self._opened is not None:
            container, self._opened = self._opened[0], None
            close_container(container)

    def _all_packets(self) -> _Packets:
        if self._packets is None:
            with self._from(None) as (container, stream):
                self._packets = _Packets.of(stream, container.demux(stream))
        return self._packets

    @cached_property
    def frame_count(self) -> int:
        """Exact number of frames: the index's where it is whole, else the packets counted."""
        if self._indexed_count is not None:
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
        """The rate for a constant one: of most of the frames, where the rate varies."""
        usual = usual_rate(self.frame_times, self.frame_rate) if self.is_variable_rate else None
        return usual or self.frame_rate

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
        if count < self._claimed_count:
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
        return f"{of} could not be decoded; the one before is shown instead."

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the file as far as it was read: what its 8-bit frames are, what is wrong."""
        woven = DEINTERLACED if self.is_interlaced else ""
        missing = f"The end of {self.path.name!r} is missing." if self.ends_early else ""
        clear = ON_WHITE if self._is_clear else UNREAD_ALPHA if self.unread_alpha else ""
        own = (self._track_notes[0], self.light.note, woven, clear)
        return tuple(filter(None, (*own, self.held_note, missing)))

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


@dataclass(frozen=True)
class _Packets:
    """Time stamps of a file's packets as they are stored; keys: when key frames are shown, read."""

    stamps: list[int | None]
    keys: list[tuple[int, int]]

    @classmethod
    def of(cls, stream: VideoStream, packets: Iterable[av.Packet[VideoStream]]) -> _Packets:
        stamps, keys = list[int | None](), list[tuple[int, int]]()
        for packet in shown_packets(stream, packets):
            stamps.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                keys.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
        return cls(slots_of(stamps), sorted(keys))

    def key_before(self, target: int, *, by_pts: bool) -> int | None:
        """Return from where to decode for a time; None for the beginning of the file."""
        place = bisect.bisect_right(self.keys, target, key=itemgetter(0))
        return self.keys[place - 1][0 if by_pts else 1] if place else None


@dataclass(frozen=True, eq=False, kw_only=True)
class FileClip(Clip):
    """A video file as a clip. reader: what it is read with."""

    reader: VideoReader


def open_video_file(
    path: Path, *, check: Callable[[], None] = lambda: None, stays_open: bool = False
) -> FileClip:
    """Take a video file in, left open until ``release`` with ``stays_open``. Raises MediaError."""
    reader = VideoReader(path, counts=True, stays_open=stays_open)
    check()
    return FileClip(
        open_frames=reader.frames,
        width=reader.width,
        height=reader.height,
        frame_rate=reader.frame_rate,
        frame_count=reader.frame_count,
        read_audio=lambda: read_audio(path, zero=reader.begins) if reader.has_audio else None,
        hash_of=functools.cache(lambda: file_hash(path, check=check)),
        read_times=lambda: reader.frame_times if reader.is_variable_rate else (),
        begins=reader.begins,
        notes=lambda: reader.notes,
        name=path.stem,
        path=path,
        has_alpha=reader.has_alpha,
        tags=kept_tags(reader.metadata),
        sources=(path,),
        release=reader.close,
        reader=reader,
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
