"""The packets of a part of a video's pictures, in times that begin at 0."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ..read.gaps import missing_note
from ..read.open import explaining
from ..read.seams import Seams
from ..read.stream_facts import picture_stream
from ..read.video import REWINDABLE
from .timing import WHOLE, Section

PEEKED = 32  # packets, more than any encoder reorders: the first one is not shown first everywhere

Packets: TypeAlias = "Iterator[av.Packet[VideoStream]]"


class SectionPackets:
    """Iterates over packets whose first picture is shown at 0; a section begins at a key frame.

    begins: when that picture is shown in the file's own time, seconds. ran_out: whether the file
    ends before the section, as far as that is known.
    hidden: packets read so far that the file's edit list hides but others refer to; of these
    hidden_before are before 0.
    """

    def __init__(self, container: InputContainer, section: Section = WHOLE) -> None:
        self.container = container
        self.stream = stream = picture_stream(container, Path(container.name).name)
        self.base = base = stream.time_base or Fraction(1, av.time_base)
        packets = _needed(self._read(section))
        first = list(itertools.islice(packets, PEEKED))
        _fill_in(first)
        times = [each.pts for each in first if each.pts is not None and not each.is_discard]
        self._zero = min(times, default=0)
        if section.start and first and not first[0].is_discard:
            self._zero = first[0].pts or 0
        self.begins = self._zero * base
        self._end = math.ceil(section.duration / base) if section.duration else None
        self._packets = itertools.chain(first, packets)
        self._is_part = bool(section.start)
        self.ran_out = True  # until a packet behind the section was read
        self._count = self._lost = 0
        self._key: int | None = None  # when the first key frame is shown
        self._key_is_first = False
        self._times = list[int]()  # of what is shown
        self.hidden = self.hidden_before = self._earliest = 0

    def _read(self, section: Section) -> Packets:
        stream = self.stream
        target = (stream.start_time or 0) + math.floor(section.start / self.base)
        packets = self._with_content(target if section.start else None)
        return _from_key(packets, target) if section.start else packets

    def _with_content(self, target: int | None) -> Packets:
        """Yield the packets that hold something, from near ``target`` on where files can seek."""
        with explaining(self.container):
            # Others are sought by decoding time and stop between two key frames.
            if target is not None and self.container.format.name in REWINDABLE:
                self.container.seek(target, stream=self.stream)
            seams = Seams(Path(self.container.name))
            for packet in self.container.demux(self.stream):
                if packet.size:
                    _raise(packet, seams, self.base)
                    yield packet

    def __iter__(self) -> Packets:
        for packet in self._packets:
            if packet.pts is None:
                packet.pts = packet.dts
            packet.pts = None if packet.pts is None else packet.pts - self._zero
            packet.dts = None if packet.dts is None else packet.dts - self._zero
            time = packet.pts or 0
            if self._end is not None and packet.dts is not None and packet.dts >= self._end:
                self.ran_out = False
            is_early = self._is_part and time < 0 and not packet.is_discard
            if is_early or (self._end is not None and time >= self._end):
                continue  # what is shown before the key frame needs the one before it
            self._tell(packet, time)
            yield packet

    def _tell(self, packet: av.Packet[VideoStream], time: int) -> None:
        if self._key is None and packet.is_keyframe:
            self._key, self._key_is_first = time, not self._count
        self._count += 1
        if packet.is_discard:
            self.hidden += 1
            self.hidden_before += time < 0
            self._earliest = min(self._earliest, time)
            return
        self._times.append(time)
        if not self._key_is_first:
            self._lost += self._key is None or time < self._key

    @property
    def hidden_seconds(self) -> Fraction:
        """For how long what is hidden before 0 would be shown."""
        return -self._earliest * self.base

    def notes(self, *, hides: bool) -> tuple[str, ...]:
        """Say what no player can show. hides: whether times before 0 are hidden in the copy."""
        begin = None if self._key_is_first else self._key
        missing = missing_note(sorted(self._times), self.base, begin)
        notes = [missing] if missing else []
        count = self._count - (self.hidden_before if hides else 0)
        if self._key is not None and self._lost:
            notes.append(
                f"The first {self._lost} of {count} pictures cannot be decoded, because the source "
                "begins between two key frames. They were copied anyway, so that the others keep "
                "their times."
            )
        if shown := self.hidden - (self.hidden_before if hides else 0):
            notes.append(
                f"{shown} of {count} pictures are hidden in the source by its edit list, but shown "
                "in the copy: to leave them out, re-encode, or copy into mp4 or mov."
            )
        return tuple(notes)


def _raise(packet: av.Packet[VideoStream], seams: Seams, base: Fraction) -> None:
    """Give a packet behind a seam of the file the time at which its pictures go on."""
    if packet.dts is not None and packet.pts is not None:
        seams.passed(packet.dts * base)
        packet.pts += (ticks := round(seams.shift / base))
        packet.dts += ticks


def _fill_in(packets: list[av.Packet[VideoStream]]) -> None:
    """Give packets a decoding time just before the next one's where a cut file has none."""
    following: int | None = None
    for packet in reversed(packets):
        if packet.dts is None and following is not None:
            packet.dts = following - 1
        following = packet.dts


def _needed(packets: Packets) -> Packets:
    """Leave out hidden packets to which no shown one can refer."""
    held: list[av.Packet[VideoStream]] = []
    for packet in packets:
        if not packet.is_discard:
            yield from held
            held.clear()
            yield packet
            continue
        if packet.is_keyframe:
            held.clear()
        held.append(packet)


def _from_key(packets: Packets, target: int) -> Packets:
    """Yield the packets from the last key frame at or before ``target`` on, else the first."""
    held: list[av.Packet[VideoStream]] = []
    for packet in packets:
        time = packet.pts if packet.pts is not None else packet.dts
        if packet.is_keyframe and (not held or (time is not None and time <= target)):
            held.clear()
        if packet.is_keyframe or held:
            held.append(packet)
        if held and time is not None and time > target:
            break
    yield from held
    yield from packets
