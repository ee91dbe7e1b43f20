"""Which frame of the avatar each output frame shows, and reading them in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from ..errors import MediaError
from ..media import Clip
from .interfaces import Loop

BACKWARD_BYTES = 96 << 20  # frames held while a video is read backwards


def source_indices(
    frame_count: int, frame_rate: Fraction, *, source_count: int, source_rate: Fraction, loop: Loop
) -> np.ndarray:
    """Return int64 (T,): the avatar's frame shown in every output frame.

    Frames are chosen by time, so an avatar of another rate keeps its speed. After its end a video
    is played backwards and forwards ("pingpong", both end frames twice, as in MuseTalk), starts
    again ("loop") or stops on its last frame ("hold").
    """
    step = source_rate / frame_rate
    half = Fraction(1, 2)  # the nearest frame: cutting would lag by half a frame on average
    nearest = (math.floor(i * step + half) for i in range(frame_count))
    times = np.fromiter(nearest, np.int64, frame_count)
    if loop == "hold":
        return np.minimum(times, source_count - 1)
    if loop == "loop":
        return times % source_count
    phase = times % (2 * source_count)
    return np.where(phase < source_count, phase, 2 * source_count - 1 - phase)


def read_frames(
    clip: Clip, indices: Sequence[int] | np.ndarray, *, backward_bytes: int = BACKWARD_BYTES
) -> Iterator[np.ndarray]:
    """Iterate over the clip's frames in the order of ``indices``: uint8 RGB (H, W, 3).

    Forwards one frame is held, backwards at most ``backward_bytes`` of them; a clip that fits into
    that and is read backwards anywhere is read only once. Raises MediaError when the clip ends
    before a frame that was asked for.
    """
    order = np.asarray(indices, np.int64)
    return map(_FrameReader(clip, order, backward_bytes).frame, order.tolist())


class _FrameReader:
    """Reads one frame after the other: cheap where the next is asked for, or one just before."""

    def __init__(self, clip: Clip, order: np.ndarray, backward_bytes: int) -> None:
        self._clip = clip
        self._most = max(1, backward_bytes // (clip.width * clip.height * 3))
        goes_back = bool(((np.diff(order) < 0) & (order[1:] > 0)).any())
        self._keeps_all = goes_back and clip.frame_count <= self._most
        self._frames: Iterator[np.ndarray] | None = None
        self._next = 0  # the number of the next of ``_frames``
        self._held: dict[int, np.ndarray] = {}

    def frame(self, wanted: int) -> np.ndarray:
        if wanted not in self._held:
            self._read_to(wanted)
        return self._held[wanted]

    def _read_to(self, wanted: int) -> None:
        goes_back = 0 < wanted < self._next
        if self._frames is None or wanted < self._next:
            self._next = max(0, wanted - self._most + 1) if goes_back else wanted
            self._frames = self._clip.frames(self._next)
        if not self._keeps_all:
            self._held = {}
        for number in range(self._next, wanted + 1):
            frame = next(self._frames, None)
            if frame is None:
                raise MediaError(
                    f"Expected the avatar's frame {wanted}, but its video ends before it: the file "
                    "is damaged or changed while it was read."
                )
            if self._keeps_all or goes_back or number == wanted:
                self._held[number] = frame
        self._next = wanted + 1
