"""When a file's pictures are shown, by its packets, and from where one of them can be decoded."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from operator import itemgetter

import av
from av.video.stream import VideoStream

from .gaps import missing_note
from .slots import MOST_REORDERED, Cuts, shown_packets
from .stream_facts import in_order, slots_of


@dataclass(frozen=True)
class PacketTimes:
    """Time stamps of a file's packets as they are stored; keys: when key frames are shown, read.

    overrun: how many are left out, since they go beyond a cut at which the file was joined.
    """

    stamps: list[int | None]
    keys: list[tuple[int, int]]
    overrun: int = 0

    @classmethod
    def of(cls, stream: VideoStream, packets: Iterable[av.Packet[VideoStream]]) -> PacketTimes:
        stamps, keys = list[int | None](), list[tuple[int, int]]()
        cuts, overrun = Cuts(stream), 0
        for packet in shown_packets(stream, packets):
            cut = cuts.at(packet)
            if cut is not None:
                late = stamps[-MOST_REORDERED:]
                kept = [time for time in late if time is None or time < cut]
                stamps[-MOST_REORDERED:] = kept
                overrun += len(late) - len(kept)
                while keys and keys[-1][0] >= cut:
                    keys.pop()
            stamps.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                keys.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
        return cls(slots_of(stamps), sorted(keys), overrun)

    def key_before(self, target: int, *, by_pts: bool) -> int | None:
        """Return from where to decode for a time; None for the beginning of the file."""
        place = bisect.bisect_right(self.keys, target, key=itemgetter(0))
        return self.keys[place - 1][0 if by_pts else 1] if place else None

    def missing_note(self, unit: Fraction) -> str:
        """Say how many pictures the file lacks; empty for none. unit: seconds of a tick."""
        return missing_note(in_order(self.stamps), unit, self.keys[0][0] if self.keys else None)
