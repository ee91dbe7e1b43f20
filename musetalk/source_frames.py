"""Which frame of the avatar each output frame shows, and reading them in bounded memory."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from ..encoders.read.stream_facts import nominal_rate, usual_step
from ..errors import MediaError
from ..media import AudioClip, Clip
from .interfaces import Loop

LEAST_WAIT = Fraction(1, 20)  # seconds; less is the priming of a codec, which nobody sees
BACKWARD_BYTES = 96 << 20  # frames held while a video is read backwards


def source_indices(
    frame_count: int,
    frame_rate: Fraction,
    *,
    source_count: int,
    source_rate: Fraction,
    loop: Loop,
    times: Sequence[Fraction] = (),
    wait: Fraction = Fraction(0),
) -> np.ndarray:
    """Return int64 (T,): the avatar's frame shown in every output frame.

    Frames are chosen by time, so an avatar of another rate keeps its speed. After its end a video
    is played backwards and forwards ("pingpong", both end frames twice, as in MuseTalk), starts
    again ("loop") or stops on its last frame ("hold", and "cut", which asks for no more frames than
    it has). "stretch" spreads its whole time evenly over the result; "silence" is "pingpong" where
    the speech is longer.

    times: when its frames are shown, seconds, where the rate varies. wait: for how long the first
    one is held before the video begins, seconds.
    """
    if loop == "stretch" and source_count > 1:
        own = length_of(source_count, source_rate, times)
        frame_rate, wait = frame_count / own, Fraction(0)
        # The middle of every output frame, as where the rate varies.
        times = times or [number / source_rate for number in range(source_count)]
    if times:
        return _by_time(frame_count, frame_rate, times, loop, wait)
    step = source_rate / frame_rate
    half = Fraction(1, 2)  # the nearest frame: cutting would lag by half a frame on average
    late = half - wait * source_rate
    numbers = (max(0, math.floor(i * step + late)) for i in range(frame_count))
    nearest = np.fromiter(numbers, np.int64, frame_count)
    if loop in ("hold", "cut"):
        return np.minimum(nearest, source_count - 1)
    if loop == "loop":
        return nearest % source_count
    phase = nearest % (2 * source_count)
    return np.where(phase < source_count, phase, 2 * source_count - 1 - phase)


def _by_time(
    frame_count: int, frame_rate: Fraction, times: Sequence[Fraction], loop: Loop, wait: Fraction
) -> np.ndarray:
    """Return the frame that is shown in the middle of every output frame."""
    length = times[-1] + usual_step(times)
    unit = math.lcm(*(each.denominator for each in (*times, length, wait)))
    unit = math.lcm(unit, 2 * frame_rate.numerator)
    starts, end = [int(each * unit) for each in times], int(length * unit)  # whole, for their speed
    half, late = int(unit / frame_rate / 2), int(wait * unit)

    def shown(number: int) -> int:
        time = max(0, (2 * number + 1) * half - late)
        if loop == "loop":
            time %= end
        elif loop in ("pingpong", "silence"):
            time = end - abs(time % (2 * end) - end)
        return max(0, bisect.bisect_right(starts, time) - 1)

    return np.fromiter(map(shown, range(frame_count)), np.int64, frame_count)


def length_of(count: int, rate: Fraction, times: Sequence[Fraction] = ()) -> Fraction:
    """Return for how long, in seconds, frames are shown that come at a rate or at these times."""
    return times[-1] + usual_step(times) if times else count / rate


def result_length(
    spoken: int, frame_rate: Fraction, *, avatar: Clip, loop: Loop, wait: Fraction
) -> int:
    """Return how many frames the result has, ``spoken`` of which the speech takes."""
    if loop not in ("cut", "silence") or avatar.frame_count == 1:
        return spoken
    own = length_of(avatar.frame_count, avatar.frame_rate, avatar.frame_times) + wait
    shown = max(1, math.floor(own * frame_rate + Fraction(1, 2)))
    return min(spoken, shown) if loop == "cut" else max(spoken, shown)


def own_rate(clip: Clip) -> Fraction:
    """Return a clip's rate, the standard one it is meant for where it varies."""
    times = clip.frame_times
    return nominal_rate(times, clip.frame_rate) if times else clip.frame_rate


def pictures_wait(clip: Clip, speech: AudioClip) -> Fraction:
    """Return by how much, in seconds, speech of a clip's own file begins before its pictures."""
    if clip.path is None or clip.begins is None or speech.begins is None:
        return Fraction(0)
    same = any(path.exists() and clip.path.samefile(path) for path in speech.sources)
    return max(Fraction(0), clip.begins - speech.begins) if same else Fraction(0)


def time_notes(clip: Clip, wait: Fraction) -> tuple[str, ...]:
    """Return sentences on what the time of a clip and of its own speech is made of."""
    notes = list[str]()
    if clip.frame_times:
        notes.append(
            f"The avatar's frame rate varies, {float(clip.frame_rate):.2f} on average: its frames "
            f"are chosen by their times, and fps 0 means {float(own_rate(clip)):.6g}."
        )
    if wait >= LEAST_WAIT:
        notes.append(
            f"The sound of the file begins {float(wait):.2f} s before its first picture, which is "
            "shown meanwhile."
        )
    return tuple(notes)


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
