"""The mouth's shapes by phones that are heard as far as frames are read.

To hear phones takes a tenth of the speech's time, and while pocketsphinx hears no other thread of
the process goes on. So the first frame waits for the first chunk of the speech and not for all of
it, and a thread beside the reader would gain nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from .phones import Phone
from .pose import Motion, MouthPose, MouthShapes
from .shapes import REACH_SECONDS, SpokenShapes

SURE = 0.999  # closure from which the lips were shut in all windows around a frame
GROWTH = 1.25  # of what is heard, from one look at all shapes to the next: so their cost is linear


class HeardShapes:
    """The same shapes as ``mouth_shapes`` makes of all phones, to the bit; any threads may read.

    spoken: the shapes, which are told the phones here.
    chunks: as ``phones_in_chunks`` returns. seconds: of the speech.
    """

    def __init__(
        self,
        spoken: SpokenShapes,
        chunks: Iterator[tuple[list[Phone], float]],
        *,
        frame_rate: Fraction,
        seconds: float,
    ) -> None:
        self._spoken = spoken
        self._chunks = chunks
        self._rate = float(frame_rate)
        self._seconds = seconds
        self._looked = 0.0  # seconds, up to which the phones of the shapes were heard
        self._final = 0  # frames whose shapes no later phone changes
        self._hearing = threading.Lock()
        self._hear_on()

    def at(self, frame: int) -> MouthPose:
        return self.shapes_at(frame).at(frame)

    def gated(self, weight: np.ndarray) -> Motion:
        return _Gated(self, weight)

    def shapes_at(self, frame: int) -> MouthShapes:
        """Return shapes of the whole clip that are final up to this frame, and itself."""
        with self._hearing:
            while frame >= self._final:
                self._hear_on()
            return self._shapes

    def _hear_on(self) -> None:
        told: list[Phone] = []
        for phones, heard in self._chunks:
            told += phones
            if heard >= GROWTH * self._looked:
                break
        else:
            heard = self._seconds
        self._looked = heard
        self._shapes = self._spoken.hear(told, heard)
        count = self._shapes.opening.size
        self._final = count if heard >= self._seconds else self._final_until(heard)

    def _final_until(self, heard: float) -> int:
        """Return how many frames stay as they are, whatever comes after so many seconds.

        Lips that are shut part what is before from what is after them: a rising or falling mouth
        begins there anew.
        """
        known = self._shapes.closure[: max(0, int((heard - REACH_SECONDS) * self._rate))]
        shut = np.flatnonzero(known > SURE)
        last = int(shut[-1]) if shut.size else 0
        return max(self._final, last - int(REACH_SECONDS * self._rate))


class _Gated:
    """Heard shapes with their share of every frame."""

    def __init__(self, heard: HeardShapes | _Gated, weight: np.ndarray) -> None:
        self._heard = heard
        self._weight = weight
        self._made: tuple[MouthShapes, MouthShapes] | None = None  # of which, and gated

    def at(self, frame: int) -> MouthPose:
        return self.shapes_at(frame).at(frame)

    def gated(self, weight: np.ndarray) -> Motion:
        return _Gated(self, weight)

    def shapes_at(self, frame: int) -> MouthShapes:
        shapes, made = self._heard.shapes_at(frame), self._made
        if made is None or made[0] is not shapes:
            made = self._made = shapes, shapes.gated(self._weight)
        return made[1]
