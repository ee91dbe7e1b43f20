"""The values that travel between stages: audio, frames, faces. Each checks itself when made.

Pictures are uint8 RGB ``(H, W, 3)`` everywhere inside the package. Rates are ``Fraction``.
Points are ``(x, y)`` in pixels, boxes ``(x0, y0, x1, y1)`` in pixels with the end exclusive.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import cached_property
from numbers import Rational
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .errors import MediaError
from .texts import shown

DEFAULT_FRAME_RATE = Fraction(25)  # the rate MuseTalk was trained at
MIN_SPEECH_SECONDS = Fraction(1, 50)  # under 20 ms there is not one frame's worth of speech
MAX_FRAME_RATE = 240
MIN_FRAME_RATE = Fraction(1, 86400)
NTSC = Fraction(1001, 1000)
NTSC_NOMINAL = (12, 15, 24, 30, 48, 60, 72, 90, 96, 120, 144, 180, 192, 240)  # 24 is 24000/1001
NTSC_REACH = Fraction(1, 250)  # 23.98 is 24000/1001
LIP_CURVE_POINTS = 33


def parse_frame_rate(
    value: float | int | str | Fraction,
    *,
    highest: float = MAX_FRAME_RATE,
    name: str = "a frame rate",
) -> Fraction:
    """Return an exact frame rate in 1/s, from wherever a rate comes in.

    Accepts ``25``, ``29.97`` (taken as 30000/1001, as are its NTSC relatives), ``"30000/1001"``,
    and fractions made of such floats. Raises MediaError above ``highest`` and below a frame a day.
    name: what a refusal calls it.
    """
    try:
        rate = _exact(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise MediaError(
            f"Expected {name} such as 25, 29.97 or 30000/1001, got {shown(value, 40)}."
        ) from error
    if not 0 < rate <= highest:
        raise MediaError(f"Expected {name} above 0 and at most {highest}, got {shown(value, 40)}.")
    if rate < MIN_FRAME_RATE:
        raise MediaError(
            f"Expected {name} of at least one picture a day (1/86400), got {shown(value, 40)}."
        )
    return rate


def check_fps(value: float | int | str | Fraction) -> None:
    """Raise ValueError for a rate that no option may have; 0 stands for the source's own."""
    if is_own_rate(value):
        return
    try:
        parse_frame_rate(value, name="fps of 0 (the avatar's own) or a rate")
    except MediaError as error:
        raise ValueError(str(error)) from error


def is_own_rate(value: float | int | str | Fraction) -> bool:
    """Say whether a rate is 0, as a number or as text, which stands for the source's own."""
    try:
        return _exact(value) == 0
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return False


def _exact(value: float | int | str | Fraction) -> Fraction:
    if isinstance(value, (bool, bytes, bytearray)):  # which float takes too
        raise TypeError("no rate")
    if isinstance(value, str) and "/" not in value:
        value = float(value)  # which takes 1e99999999 at once, as a fraction would not
    rate = Fraction(value if isinstance(value, (str, Rational)) else float(value))
    # A float's own denominator is a power of two; FFmpeg's numbers have 31 bits.
    of_a_float = rate.denominator > 1024 and not rate.denominator & (rate.denominator - 1)
    too_long = max(abs(rate.numerator), rate.denominator) >= 1 << 31
    return _nearest_rate(rate) if of_a_float or too_long else rate


def _nearest_rate(value: Fraction) -> Fraction:
    if 0 < value < 1:  # by how long a picture stays, which small denominators would change
        return 1 / (1 / value).limit_denominator(1001)
    nominal = round(value * NTSC)
    ntsc = Fraction(nominal) / NTSC
    if nominal in NTSC_NOMINAL and value != round(value) and abs(ntsc - value) < NTSC_REACH:
        return ntsc
    return value.limit_denominator(1001)


def frame_count_for(samples: int, sample_rate: int, frame_rate: Fraction) -> int:
    """Return how many frames speech of ``samples`` needs: max(1, floor(seconds x rate + 1/2)).

    Exact rational arithmetic, so no rate drifts. Raises MediaError under 20 ms of audio.
    """
    seconds = Fraction(samples, sample_rate)
    if seconds < MIN_SPEECH_SECONDS:
        raise MediaError(
            f"Expected at least {float(MIN_SPEECH_SECONDS) * 1000:.0f} ms of speech, got "
            f"{float(seconds) * 1000:.1f} ms: use a longer recording or a smaller start."
        )
    return max(1, math.floor(seconds * frame_rate + Fraction(1, 2)))


class FramesOfFiles(Iterator[np.ndarray]):
    """Frames, uint8 RGB (H, W, 3), and the files they come from: no result may replace those."""

    def __init__(self, frames: Iterator[np.ndarray], sources: Iterable[Path]) -> None:
        self.sources = tuple(sources)
        self._frames = frames

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._frames  # so that this class adds no call per frame

    def __next__(self) -> np.ndarray:
        return next(self._frames)

    def close(self) -> None:
        close = getattr(self._frames, "close", None)
        if callable(close):
            close()
        self._frames = iter(())  # an iterator without close ends when its last reference goes


@dataclass(frozen=True)
class SoundLack:
    """The end of a file's sound that is missing."""

    name: str  # of the file
    there: Fraction  # seconds
    stated: Fraction | None  # seconds, by its header; None where that does not say

    @property
    def expected(self) -> str:
        """The beginning of a sentence: what was wanted and what there is."""
        there = f"{float(self.there):.2f} s"
        if self.stated is None:
            return (
                f"Expected the whole sound of {self.name!r}, but its end is missing after {there}"
            )
        all_of = f"all {float(self.stated):.2f} s of sound"
        return f"Expected {all_of} of {self.name!r}, but only {there} are there"

    @property
    def note(self) -> str:
        """A sentence for reports."""
        there = f"{float(self.there):.2f} s"
        if self.stated is not None:
            there = f"{float(self.there):.2f} of {float(self.stated):.2f} s"
        return f"The end of the sound of {self.name!r} is missing; only {there} are there."


@dataclass(frozen=True, eq=False)
class AudioClip:
    """Audio as decoded."""

    samples: np.ndarray  # float32 (channels, N), nominally -1..1
    sample_rate: int  # Hz
    sources: tuple[Path, ...] = ()  # files it was read from; no result may replace them
    begins: Fraction | None = None  # seconds in its file's own time, where it is of one
    lack: SoundLack | None = None  # what its file states and does not hold

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.dtype != np.float32:
            raise MediaError(
                "Expected audio as float32 (channels, samples), got "
                f"{self.samples.dtype} {self.samples.shape}."
            )
        if not self.samples.shape[0]:
            raise MediaError("Expected audio with at least one channel, got none.")
        if self.sample_rate <= 0:
            raise MediaError(f"Expected a sample rate above 0 Hz, got {self.sample_rate}.")

    def __repr__(self) -> str:
        channels, count = self.samples.shape
        return f"AudioClip({channels} channels, {count} samples, {self.sample_rate} Hz)"

    @property
    def duration(self) -> Fraction:
        """Seconds, exact."""
        return Fraction(self.samples.shape[1], self.sample_rate)

    def trimmed(self, start: Fraction, duration: Fraction) -> AudioClip:
        """Return the part from ``start``; ``duration`` 0 means to the end. Both in seconds."""
        first = round(start * self.sample_rate)
        if first < 0 or (first and first >= self.samples.shape[1]):
            raise MediaError(
                f"Expected a start inside the {float(self.duration):.2f} s of audio, "
                f"got {float(start):.2f} s."
            )
        last = first + round(duration * self.sample_rate) if duration else None
        begins = None if self.begins is None else self.begins + start
        samples = self.samples[:, first:last]
        lack = self.lack if last is None or last > self.samples.shape[1] else None
        return replace(self, samples=samples, begins=begins, lack=lack)


@dataclass(frozen=True, eq=False)
class Mel:
    """Speech prepared for lip-sync (the MEL socket)."""

    log_mel: np.ndarray  # float32 (80, frames), Whisper's of ``speech``, 100 frames a second
    speech: np.ndarray  # float32 (N,), mono, 16 kHz
    clip: AudioClip  # the original audio, rate and channels untouched, trimmed alike

    def __post_init__(self) -> None:
        if self.log_mel.ndim != 2 or self.log_mel.shape[0] != 80:
            raise MediaError(f"Expected a log-mel of shape (80, frames), got {self.log_mel.shape}.")
        if self.speech.ndim != 1:
            raise MediaError(f"Expected mono speech of shape (N,), got {self.speech.shape}.")

    def __repr__(self) -> str:
        return f"Mel({self.log_mel.shape[1]} frames, {self.clip!r})"


class Box(NamedTuple):
    """A rectangle in pixels, end exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0


class LipCorners(NamedTuple):
    """The two corners of the mouth, the one further left in the picture first."""

    x0: float
    y0: float
    x1: float
    y1: float


def parse_corners(text: str) -> LipCorners | None:
    """Return lip corners written as "x0,y0,x1,y1" in pixels, None for "". Raises MediaError."""
    if not text.strip():
        return None
    try:
        numbers = [float(part) for part in re.findall(r"[^,;\s]+", text)]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise MediaError(
            f'Expected two lip corners as "x0,y0,x1,y1" in pixels, got {text!r}: '
            "correct it, or leave it empty to have the lips found."
        )
    return LipCorners(*numbers)


@dataclass(frozen=True, eq=False)
class LipShape:
    """The outline of one mouth in one picture.

    curves: float32 (4, 33): upper outer, upper inner, lower inner, lower outer border, sampled
        evenly from the left corner to the right one; offsets at right angles to the line
        between the corners, in mouth widths, positive towards the chin.
    """

    corners: LipCorners  # pixels
    curves: np.ndarray
    parted: bool = False  # the lips are visibly apart: teeth or cavity show

    def __post_init__(self) -> None:
        if self.curves.shape != (4, LIP_CURVE_POINTS):
            raise MediaError(
                f"Expected lip curves of shape (4, {LIP_CURVE_POINTS}), got {self.curves.shape}."
            )
        if not self.width > 0:
            raise MediaError(f"Expected two different lip corners, got {tuple(self.corners)}.")

    @property
    def width(self) -> float:
        """Pixels from corner to corner."""
        return math.hypot(self.corners.x1 - self.corners.x0, self.corners.y1 - self.corners.y0)


@dataclass(frozen=True, eq=False)
class FaceLocation:
    """One face as found in one picture."""

    box: Box | None
    lips: LipShape | None  # None when they were not found or not reliable
    confidence: float  # 0..1, of the lips
    method: str  # "user", "landmarks", "face mesh", "mediapipe", "template" or "none"
    reason: str  # one sentence for the report: why this result
    points: np.ndarray | None = None  # of the face mesh, float64 (478, 2), pixels
    faces: tuple[Box, ...] | None = None  # all that the search saw, largest first, if it says so


@dataclass(frozen=True, eq=False, kw_only=True)
class Clip:
    """A video or a picture: frames that can be read any number of times, and the audio beside them.

    open_frames: takes the number of the first frame wanted; returns a new iterator over the frames
        from there on, uint8 RGB (H, W, 3) unless said otherwise.
    notes: returns sentences on what was found when the frames were read, so far.
    hash_of, read_times: make ``content_hash`` and ``frame_times``; each called at most once.
    release: frees what the frames are made from; nothing can be read afterwards.
    """

    open_frames: Callable[[int], Iterator[np.ndarray]] = field(repr=False)
    width: int
    height: int
    frame_rate: Fraction  # 1/s, exact; the average where the rate varies; 25 for a still picture
    frame_count: int
    read_audio: Callable[[], AudioClip | None] = field(default=lambda: None, repr=False)
    hash_of: Callable[[], str] = field(default=str, repr=False)
    read_times: Callable[[], Sequence[Fraction]] = field(default=lambda: (), repr=False)
    notes: Callable[[], tuple[str, ...]] = field(
        default=lambda: (), repr=False
    )  # on reading so far
    begins: Fraction | None = None  # of the first frame, seconds in the file's own time
    name: str = "video"  # the stem for a file made of this clip
    path: Path | None = None  # the file it is read from, if it is one
    has_alpha: bool = False  # the file has transparency; the frames here are composited on white
    tags: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    sources: tuple[Path, ...] = ()  # files it is made from; no result may replace them
    release: Callable[[], None] | None = field(default=None, repr=False)

    @cached_property
    def content_hash(self) -> str:
        """A text that changes with any pixel or the frame rate."""
        return self.hash_of()

    @cached_property
    def frame_times(self) -> Sequence[Fraction]:
        """When each frame is shown, seconds from the first; empty where the rate is constant."""
        return self.read_times()

    def frames(self, start: int = 0) -> Iterator[np.ndarray]:
        return self.open_frames(start)

    def first_frame(self) -> np.ndarray:
        return next(iter(self.open_frames(0)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Avatar(Clip):
    """A picture or a video of a person (the AVATAR socket)."""

    face_index: int = 0  # 0 is the largest face
    corners: LipCorners | None = None  # the lip corners the user gave
    face: FaceLocation | None = None  # as found in the first frame by these and face_point
    face_point: tuple[float, float] | None = None  # of the first frame's face, instead of its index

    def __post_init__(self) -> None:
        if self.frame_count < 1:
            raise MediaError("Expected an avatar with at least one frame, got none.")
        if self.width < 2 or self.height < 2:
            raise MediaError(
                f"Expected an avatar of at least 2x2 pixels, got {self.width}x{self.height}."
            )

    @classmethod
    def of(cls, clip: Clip, *, face_index: int = 0, corners: LipCorners | None = None) -> Avatar:
        taken = {one.name: getattr(clip, one.name) for one in fields(Clip)}
        return cls(**taken, face_index=face_index, corners=corners)

    @property
    def is_still(self) -> bool:
        return self.frame_count == 1
