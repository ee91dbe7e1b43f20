"""Files put together of several, as streams can be (``cat a.ts b.ts``): the clock starts again.

Pictures and sound go on one behind the other, each by its own length, so they would part at every
seam. What is behind one is raised by the same time for both: that at which its pictures go on.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from .open import open_media
from .slots import BACK_SECONDS, shown_packets
from .stream_facts import picture_stream, stream_rate


class Seams:
    """Finds the seams in a stream's times as they are read.

    shift: seconds by which the times since the last seam are to be raised.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before: Fraction | None = None
        self._shifts: list[Fraction] | None = None
        self.shift = Fraction(0)

    def passed(self, time: Fraction) -> bool:
        """Take the next time, seconds; tell whether it is the first behind a seam."""
        before, self._before = self._before, time
        if before is None or time > before - BACK_SECONDS:
            return False
        if self._shifts is None:
            self._shifts = picture_shifts(self._path)
        if not self._shifts:
            return False
        self.shift = self._shifts.pop(0)
        return True


def picture_shifts(path: Path) -> list[Fraction]:
    """Return by how many seconds the times behind every seam are to be raised, by the pictures."""
    shifts, before, count = list[Fraction](), None, 0
    with open_media(path) as container:
        stream = picture_stream(container, path.name)
        rate, base = stream_rate(stream), stream.time_base or Fraction(1, av.time_base)
        begins = (stream.start_time or 0) * base
        for packet in shown_packets(stream, container.demux(stream)):
            if packet.dts is not None and packet.pts is not None:
                decoded = packet.dts * base
                if before is not None and decoded <= before - BACK_SECONDS:
                    shifts.append(begins + count / rate - packet.pts * base)
                before = decoded
            count += 1
    return shifts
