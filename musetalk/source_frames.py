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
    frame_count: int,
    frame_rate: Fraction,
    *,
    source_count: int,
    source_rate: Fraction,
    loop: Loop,
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


def read_frames(clip: Clip, indices: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
    """Iterate over the clip's frames in the order of ``indices``: uint8 RGB (H, W, 3).

    Forwards one frame is held, backwards at most 96 MiB of them; a clip that fits into that and is
    read backwards anywhere is read only once. Raises MediaError when the clip ends before a frame
    that was asked for.
    """
    order = np.asarray(indices, np.int64)
    return map(_FrameReader(clip, order).frame, order.tolist())


class _FrameReader:
    """Reads one frame after the other: cheap where the next is asked for, or one just before."""

    def __init__(self, clip: Clip, order: np.ndarray) -> None:
        self._clip = clip
        self._held = max(1, BACKWARD_BYTES // (clip.width * clip.height * 3))
        goes_back = bool(((np.diff(order) < 0) & (order[1:] > 0)).any())
        self._keeps = goes_back and clip.frame_count <= self._held
        self._forward: Iterator[np.ndarray] | None = None
        self._reached = -1  # the number of the last frame of ``_forward``
        self._behind: dict[int, np.ndarray] = {}
        self._position = -1  # the number of ``_frame``
        self._frame: np.ndarray | None = None

    def frame(self, wanted: int) -> np.ndarray:
        """Return frame number ``wanted``."""
        if self._frame is None or wanted != self._position:
            self._frame, self._position = self._read(wanted), wanted
        return self._frame

    def _read(self, wanted: int) -> np.ndarray:
        if wanted in self._behind:
            return self._behind[wanted]
        if self._forward is not None and wanted > self._reached:
            return self._advanced(self._forward, wanted)
        if wanted == 0 or wanted > self._position:
            self._forward, self._reached = self._clip.frames(wanted), wanted - 1
            return self._advanced(self._forward, wanted)
        first = max(0, wanted - self._held + 1)
        frames, self._forward = self._clip.frames(first), None
        self._behind = {number: _next(frames, number) for number in range(first, wanted + 1)}
        return self._behind[wanted]

    def _advanced(self, frames: Iterator[np.ndarray], wanted: int) -> np.ndarray:
        if not self._keeps:
            self._behind = {}
        for number in range(self._reached + 1, wanted):
            skipped = _next(frames, wanted)
            if self._keeps:
                self._behind[number] = skipped
        frame, self._reached = _next(frames, wanted), wanted
        if self._keeps:
            self._behind[wanted] = frame
        return frame


def _next(frames: Iterator[np.ndarray], wanted: int) -> np.ndarray:
    frame = next(frames, None)
    if frame is None:
        raise MediaError(
            f"Expected the avatar's frame {wanted}, but its video ends before it: the file is "
            "damaged or changed while it was read."
        )
    return frame
