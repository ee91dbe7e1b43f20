"""When pictures are shown: sections of a file, and a constant rate from a varying one."""

from __future__ import annotations

import bisect
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TypeVar

import av

from ...errors import MediaError
from ..read.stream_facts import usual_step
from ..read.video import VideoReader

# Containers that count in milliseconds put a frame a little before or after its time.
ROUNDING = Fraction(2, 1000)
MAX_HOLD_SECONDS = 3600  # longer means a damaged time stamp, which would become days of frames

Picture = TypeVar("Picture")
Timed = tuple[Fraction, Picture]


@dataclass(frozen=True)
class Section:
    """A part of a file, in seconds from its first picture; a duration of 0 means to the end."""

    start: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if self.start < 0 or self.duration < 0:
            raise MediaError(
                f"Expected start and duration of 0 s or more, got {float(self.start)} and "
                f"{float(self.duration)}."
            )

    @property
    def is_whole(self) -> bool:
        return not self.start and not self.duration


WHOLE = Section()


def timed_frames(
    reader: VideoReader, section: Section = WHOLE, *, keeps_fields: bool = False
) -> Generator[Timed[av.VideoFrame], None, None]:
    """Yield (seconds from the section's start, frame), first the one that is shown at its start."""
    times = reader.frame_times if reader.is_variable_rate else []
    begin = section.start + ROUNDING
    first = bisect.bisect_right(times, begin) - 1 if times else floor(begin * reader.frame_rate)
    first = max(0, first)
    end = section.start + section.duration if section.duration else None
    shown = 0
    for index, frame in enumerate(reader.pictures(first, keeps_fields=keeps_fields), first):
        time = times[index] if index < len(times) else index / reader.frame_rate
        if end is not None and time >= end - ROUNDING:
            break
        shown += 1
        yield max(Fraction(0), time - section.start), frame
    if not shown:
        raise MediaError(
            f"Expected pictures after {float(section.start):.12g} s, but "
            f"{reader.path.name!r} is only {float(reader.duration):.2f} s long."
        )


def section_end(reader: VideoReader, section: Section) -> Fraction:
    """Return how long a section lasts, seconds, as far as the file reaches."""
    end = reader.duration
    if reader.ends_early:  # the header still has the whole length
        end = reader.frame_count / reader.frame_rate
    if reader.is_variable_rate and reader.frame_times:
        # Some files with a varying rate give a duration before their last frame's time.
        last = reader.frame_times[-1] + usual_step(reader.frame_times)
        end = last if reader.ends_early else max(end, last)
    left = max(Fraction(0), end - section.start)
    return min(left, section.duration) if section.duration else left


def at_constant_rate(
    frames: Iterable[Timed[Picture]], rate: Fraction, end: Fraction
) -> Iterator[Picture]:
    """Yield pictures at a constant rate until ``end``, seconds, repeated or left out."""
    count = 0
    held: Picture | None = None
    for time, picture in frames:
        if time - count / rate > MAX_HOLD_SECONDS:
            raise MediaError(
                "Expected pictures less than an hour apart, found time stamps "
                f"{float(time - count / rate):.0f} s apart: the file is damaged, convert it again."
            )
        while held is not None and count / rate < time - ROUNDING:
            yield held
            count += 1
        held = picture
    if held is None:
        return
    if end - count / rate > MAX_HOLD_SECONDS:
        end = Fraction(0)  # the header of a file that was cut short still has the whole length
    wanted = max(count, 1, round(end * rate))
    while count < wanted:
        yield held
        count += 1
