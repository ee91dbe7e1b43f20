"""Which frame of the avatar each output frame shows, and reading them in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from ..errors import MediaError
from ..media import Avatar
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


def read_frames(avatar: Avatar, indices: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
    """Yield the avatar's frames in the order of ``indices``: uint8 RGB (H, W, 3).

    Forwards one frame is held, backwards at most 96 MiB of them. Raises MediaError when the avatar
    ends before a frame that was asked for.
    """
    held = max(1, BACKWARD_BYTES // (avatar.width * avatar.height * 3))
    forward: Iterator[np.ndarray] | None = None
    position = -1  # the number of ``frame``
    frame: np.ndarray | None = None
    behind: dict[int, np.ndarray] = {}
    for wanted in map(int, indices):
        if wanted != position or frame is None:
            if wanted > position and forward is not None:
                behind = {}
                frame = _advance(forward, wanted - position, wanted)
            elif wanted in behind:
                frame, forward = behind[wanted], None
            elif wanted == 0 or wanted > position:
                forward, behind = avatar.frames(wanted), {}
                frame = _advance(forward, 1, wanted)
            else:
                forward = None
                behind = _chunk(avatar, max(0, wanted - held + 1), wanted)
                frame = behind[wanted]
            position = wanted
        yield frame


def _chunk(avatar: Avatar, first: int, last: int) -> dict[int, np.ndarray]:
    frames = avatar.frames(first)
    return {number: _advance(frames, 1, number) for number in range(first, last + 1)}


def _advance(frames: Iterator[np.ndarray], steps: int, wanted: int) -> np.ndarray:
    frame = None
    for _ in range(steps):
        frame = next(frames, None)
        if frame is None:
            raise MediaError(
                f"Expected the avatar's frame {wanted}, but its video ends before it: "
                "the file is damaged or changed while it was read."
            )
    assert frame is not None
    return frame
