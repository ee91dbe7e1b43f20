"""The mouth's shapes by phones that are heard as far as frames are read.

To hear phones takes a tenth of the speech's time, and while pocketsphinx hears no other thread of
the process goes on. So the first frame waits for the first chunk of the speech and not for all of
it, and a thread beside the reader would gain nothing.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import numpy as np

from .phones import Phone
from .pose import Motion, MouthPose, MouthShapes
from .shapes import SpokenShapes


class HeardShapes:
    """The same shapes as ``mouth_shapes`` makes of all phones, to the bit; any threads may read.

    spoken: the shapes, which are told the phones here. chunks: as ``phones_in_chunks`` returns.
    """

    def __init__(self, spoken: SpokenShapes, chunks: Iterator[tuple[list[Phone], float]]) -> None:
        self._spoken = spoken
        self._chunks = chunks
        self._final = 0  # frames whose shapes no later phone changes
        self._hearing = threading.Lock()
        self._hear_on()

    def at(self, frame: int) -> MouthPose:
        return self.only(frame).at(0)

    def gated(self, weight: np.ndarray) -> Motion:
        return _Gated(self, weight)

    def only(self, frame: int) -> MouthShapes:
        """Return the shapes of one frame alone."""
        with self._hearing:
            while frame >= self._final:
                self._hear_on()
        return self._spoken.shapes.only(frame)

    def _hear_on(self) -> None:
        phones, seconds = next(self._chunks, ((), math.inf))
        self._final = self._spoken.hear(phones, seconds)


class _Gated:
    """Heard shapes with their share of every frame."""

    def __init__(self, heard: HeardShapes | _Gated, weight: np.ndarray) -> None:
        self._heard = heard
        self._weight = weight

    def at(self, frame: int) -> MouthPose:
        return self.only(frame).at(0)

    def gated(self, weight: np.ndarray) -> Motion:
        return _Gated(self, weight)

    def only(self, frame: int) -> MouthShapes:
        return self._heard.only(frame).gated(self._weight[frame : frame + 1])
