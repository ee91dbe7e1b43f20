"""One picture for every place on a video's time line, also where some cannot be decoded.

A slot is a packet that becomes a picture; slots are counted in the order of time. So frame numbers
and times stay those of the file, whatever is damaged or refers to pictures that were cut off.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import ExitError, FFmpegError, InvalidDataError
from av.video.stream import VideoStream

from .open import unreadable
from .stream_facts import alpha_decoder, codec_name, stream_rate

logger = logging.getLogger("avatarvideo.encoders.read.slots")

INTERLACED_ORDERS = range(2, 6)  # FFmpeg's AVFieldOrder; 0 is unknown, 1 progressive
MOST_REORDERED = 32  # pictures, more than any encoder reorders
FIELD_STEP = Fraction(6, 10)  # of a frame: two fields of one picture lie half a frame apart

OVERRUN_SECONDS = 1  # by which pictures may go beyond a cut; more is a clock that starts again
BACK_SECONDS = Fraction(1, 10)  # by which the clock goes back at a seam; less is disorder

Slot = tuple[int | None, av.VideoFrame]


class _Shown:
    """Tells which of a stream's packets, as they are stored, become a picture of their own."""

    def __init__(self, stream: VideoStream) -> None:
        context = stream.codec_context
        name = codec_name(context)
        self._hides, self._stays = name == "vp8", name == "theora"
        self._field: Fraction | None = None
        if name == "h264" and getattr(context, "field_order", 0) in INTERLACED_ORDERS:
            self._field = FIELD_STEP / stream_rate(stream) / (stream.time_base or 1)
        self._first: int | None = None  # the time of a packet that a second field may follow

    def __call__(self, packet: av.Packet[VideoStream]) -> bool:
        if not packet.size or packet.is_discard:
            return self._stays and packet.pts is not None  # an empty one: the picture stays
        if self._hides:  # a picture only to refer to says so in its first byte
            return bool(memoryview(packet)[0] & 0x10)
        if self._field is None:
            return True
        first, self._first = self._first, packet.pts
        if first is None or (packet.pts is not None and not 0 < packet.pts - first < self._field):
            return True
        self._first = None
        return False


def shown_packets(
    stream: VideoStream, packets: Iterable[av.Packet[VideoStream]]
) -> Iterator[av.Packet[VideoStream]]:
    """Yield every packet that becomes a picture, as far as they can be read."""
    with contextlib.suppress(FFmpegError, OSError):  # what is before the damage still tells
        yield from filter(_Shown(stream), packets)


class Cuts:
    """Finds where a file was joined at a cut, by its packets as they are stored.

    Nothing stored before a key frame is shown behind it, but for what goes beyond such a cut.
    """

    def __init__(self, stream: VideoStream) -> None:
        unit = stream.time_base or Fraction(1, av.time_base)
        self._most, self._back = OVERRUN_SECONDS / unit, BACK_SECONDS / unit
        self._newest: int | None = None  # time of the packet that is shown last of those read
        self._read: int | None = None  # decoding time of the newest packet

    def at(self, packet: av.Packet[VideoStream]) -> int | None:
        """Return the time from which on pictures before are overrun by this one, else None."""
        time, newest, read = packet.pts, self._newest, self._read
        self._read = packet.dts
        if time is None:
            return None
        if _is_before(packet.dts, read, self._back) or newest is None or time > newest:
            self._newest = time
            return None
        if not packet.is_keyframe or time == newest or newest - time >= self._most:
            return None
        self._newest = time
        return time


@dataclass
class Tally:
    """What a reading came to: pictures given, of these repeated ones, and packets in error.

    overrun: pictures left out, which go beyond a cut at which the file was joined.

    broke_off: the file could not be read to its end.
    """

    given: int = 0
    held: int = 0
    failures: int = 0
    overrun: int = 0
    broke_off: bool = False


class _Waiting:
    """Times of packets whose pictures have not come out of the decoder yet."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._context = stream.codec_context
        # An AVI has no times of its own: FFmpeg may count its packets as they are stored instead.
        self._is_counted = container.format.name == "avi"
        self._times: list[int] = []
        self._read: int | None = None  # decoding time of the newest packet
        self._newest: int | None = None  # time of the packet that is shown last of those read
        self._out: int | None = None  # time of the picture that came out last
        self._is_broken = False
        self._cuts = Cuts(stream)
        self._back = BACK_SECONDS / (stream.time_base or Fraction(1, av.time_base))
        self._recent = deque[int](maxlen=MOST_REORDERED)  # times of pictures that came out
        self._overrun, self._again = list[int](), list[int]()  # times of what is left out

    def add(self, packet: av.Packet[VideoStream]) -> None:
        cut = self._cuts.at(packet)
        if cut is not None and not self._is_broken:
            self._overrun += [time for time in self._times if time >= cut]
            self._again += [time for time in self._recent if time >= cut]
            self._times = sorted(time for time in self._times if time < cut)
        elif _is_before(
            packet.dts, self._read, self._back
        ):  # a file that was put together of several
            self._break()
        self._read = packet.dts
        if packet.pts is None or self._is_broken:
            return
        self._is_counted &= not _is_before(packet.pts, self._newest)
        self._newest = packet.pts
        heapq.heappush(self._times, packet.pts)

    def _break(self) -> None:
        self._is_broken = True
        self._times.clear()
        self._overrun.clear()
        self._again.clear()

    def leaves_out(self, frame: av.VideoFrame) -> bool:
        """Tell whether a picture goes beyond a cut, or is shown when one that does was."""
        at = frame.pts
        if at in self._overrun:
            self._overrun.remove(at)
            return True
        if at not in self._again or at not in self._times:
            return False
        self._again.remove(at)
        self._times.remove(at)
        heapq.heapify(self._times)
        return True

    @property
    def can_tell(self) -> bool:
        """Whether times tell which picture is missing."""
        return not self._is_broken and not (self._is_counted and self._context.has_b_frames)

    def taken(self, frame: av.VideoFrame) -> list[int | None]:
        """Return the slots up to a picture's that came out, its own last."""
        at, slots = frame.pts, list[int | None]()
        if _is_before(at, self._out):
            self._break()
        self._out = at
        if at is not None:
            self._recent.append(at)
        if at is None or not self.can_tell:
            return [at]
        while self._times and self._times[0] < at:
            slots.append(heapq.heappop(self._times))
        if self._times and self._times[0] == at:
            heapq.heappop(self._times)
        elif slots:  # the decoder changed the time a little
            return slots
        return [*slots, at]

    def rest(self) -> list[int]:
        """Return the slots whose pictures never came."""
        return sorted(self._times) if self.can_tell else []


def _is_before(time: int | None, other: int | None, by: Fraction = Fraction(0)) -> bool:
    return time is not None and other is not None and time < other - by


class _Decoding:
    """Decodes a stream's packets into slots."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.tally = Tally()
        self.last: av.VideoFrame | None = None
        self._is_shown, self._waiting = _Shown(stream), _Waiting(container, stream)
        self._decoder = alpha_decoder(stream)
        self._stays = set[int | None]()  # slots of empty packets: the picture before once more

    def slots(self, packet: av.Packet[VideoStream]) -> list[Slot]:
        """Return what comes out of the decoder for a packet."""
        if self._is_shown(packet):
            self._waiting.add(packet)
        slots = list[Slot]()
        if not packet.size and packet.pts is not None:  # which a decoder would take for the end
            self._stays.add(packet.pts)
            return slots
        try:
            for frame in self._decoded(packet):
                if self._waiting.leaves_out(frame):
                    self.tally.overrun += 1
                    continue
                *missing, own = self._waiting.taken(frame)
                slots += self._held(missing, self.last or frame)
                slots.append((own, frame))
                self.tally.given += 1
                self.last = frame
        except InvalidDataError:
            self.tally.failures += 1
            if self.last is not None and not self._waiting.can_tell:
                slots += self._held([None], self.last)
        return slots

    def _decoded(self, packet: av.Packet[VideoStream]) -> list[av.VideoFrame]:
        if self._decoder is None:
            return packet.decode()
        return self._decoder.decode(packet if packet.size else None)  # pyright: ignore[reportUnknownMemberType] - PyAV's type of packets is open

    def rest(self) -> list[Slot]:
        """Return the slots at the end whose pictures never came."""
        return [] if self.last is None else self._held(self._waiting.rest(), self.last)

    def _held(self, slots: Sequence[int | None], frame: av.VideoFrame) -> list[Slot]:
        self.tally.held += sum(slot not in self._stays for slot in slots)
        self.tally.given += len(slots)
        return [(slot, frame) for slot in slots]


def decoded_slots(
    opening: AbstractContextManager[tuple[InputContainer, VideoStream]],
    path: Path,
    at_end: Callable[[Tally], None] = lambda tally: None,
    seen: list[av.Packet[VideoStream]] | None = None,
) -> Generator[Slot, None, None]:
    """Yield (time stamp, picture) for every slot; for a missing picture the one before it.

    Before the first that can be decoded it is that one. Where times do not tell, a packet in error
    is a missing picture. at_end: called at the end of the file. seen: gets the packets read.
    """
    with opening as (container, stream):
        decoding = _Decoding(container, stream)
        try:
            for packet in container.demux(stream):
                if seen is not None:
                    seen.append(packet)
                yield from decoding.slots(packet)
        except (FFmpegError, OSError, ValueError) as error:
            if decoding.last is None or isinstance(error, ExitError):
                raise unreadable(path, error) from error
            decoding.tally.broke_off = True
        yield from decoding.rest()
    at_end(decoding.tally)
