"""Life for a still picture: eyes that blink at people's rhythm, and a head that sways."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .dark_glasses import are_behind_dark_glasses
from .easing import eased
from .eye_shape import EYES, EyeShape
from .eyelids import Eyelids
from .playback import blend
from .sway import Sway

FIRST = (0.7, 2.6)  # seconds until the first blink
USUAL, SPREAD = 3.4, 0.35  # seconds between blinks, and the deviation of their logarithm
BETWEEN = (2.0, 6.0)
DOUBLE = 0.15  # how often a second blink follows at once
PAUSE_IN_DOUBLE = (0.12, 0.25)  # seconds
CLOSING, SHUT, OPENING = (0.07, 0.1), (0.02, 0.05), (0.13, 0.22)  # seconds
LEVELS = 24  # steps between open and shut, each made once
MOST_KEPT = 16 << 20  # bytes of what was made; eyes that fill a large picture are made anew

LEAST_EYE = 6.0  # pixels from corner to corner
LEAST_GAP = 0.12  # eye widths between the lids; below it the eyes are shut
LEAST_OF_OTHER = 0.4  # of the other eye's width; a narrower eye is turned away


class Blink(NamedTuple):
    """One blink, seconds: the lids meet at ``meets``, after ``closing``, for ``shut``."""

    meets: float
    closing: float
    shut: float
    opening: float

    @property
    def ends(self) -> float:
        return self.meets + self.shut + self.opening


def blink_times(random: np.random.Generator, count: int, rate: Fraction) -> list[Blink]:
    """Return the blinks of a clip; all of them end before it does.

    The lids meet exactly in a frame, so that no blink falls between two.
    """
    blinks: list[Blink] = []
    begins = random.uniform(*FIRST)
    while begins < count / rate:
        times = [random.uniform(*of) for of in (CLOSING, SHUT, OPENING)]
        meets = round((begins + times[0]) * rate) / float(rate)
        blinks.append(Blink(meets, *times))
        if random.uniform() < DOUBLE:
            begins = blinks[-1].ends + random.uniform(*PAUSE_IN_DOUBLE)
            continue
        begins += float(np.clip(USUAL * np.exp(SPREAD * random.standard_normal()), *BETWEEN))
    return [blink for blink in blinks if blink.ends * rate <= count - 1]


def lids_closed(blinks: list[Blink], count: int, rate: Fraction) -> np.ndarray:
    """Return float32 (T,): 0 for open eyes .. 1 for shut ones."""
    closed = np.zeros(count, np.float32)
    for blink in blinks:
        first = max(math.floor((blink.meets - blink.closing) * rate), 0)
        last = min(math.ceil(blink.ends * rate), count - 1)
        seconds = np.arange(first, last + 1) / float(rate)
        coming = eased(1 - (blink.meets - seconds) / blink.closing)
        going = eased(1 - (seconds - blink.meets - blink.shut) / blink.opening)
        here = slice(first, last + 1)
        closed[here] = np.maximum(closed[here], np.minimum(coming, going))
    return closed


def eyes_of(frame: np.ndarray, points: np.ndarray) -> list[EyeShape] | str:
    """Return the two eyes of a face that can blink, or why they cannot: part of a sentence.

    frame: uint8 RGB (H, W, 3). points: of the face mesh (478, 2), pixels.
    """
    eyes = [EyeShape.of(points, eye) for eye in EYES]
    if not all(_is_inside(frame, points[list(eye.corners)].mean(axis=0)) for eye in EYES):
        return "an eye is outside the picture"
    narrow, wide = sorted(eye.width for eye in eyes)
    if narrow < LEAST_OF_OTHER * wide:
        return "one eye is turned away"
    if narrow < LEAST_EYE:
        return f"the eyes are too small, {narrow:.0f} pixels wide"
    if min(eye.gap for eye in eyes) < LEAST_GAP:
        return "an eye is closed in the picture"
    if are_behind_dark_glasses(frame, points, eyes):
        return "the eyes are behind dark glasses"
    return eyes


def _is_inside(frame: np.ndarray, point: np.ndarray) -> bool:
    height, width = frame.shape[:2]
    return bool(0 <= point[0] < width and 0 <= point[1] < height)


@dataclass(frozen=True, eq=False)
class Life:
    """What a still does besides speaking.

    lids: of both eyes, or none. closed: float32 (T,), as of ``lids_closed``.
    sway, offsets: the head and float32 (T, 3), as of ``sway_offsets``.
    limit: float32 (H, W), 0..1, where the user lets the picture change; None is everywhere.
    """

    lids: list[Eyelids] = field(repr=False)
    closed: np.ndarray = field(repr=False)
    sway: Sway | None = field(default=None, repr=False)
    offsets: np.ndarray | None = field(default=None, repr=False)
    limit: np.ndarray | None = field(default=None, repr=False)

    def over(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Iterate over frames, uint8 (H, W, 3), brought to life; one without change is itself."""
        made: dict[int, list[np.ndarray]] = {}
        for number, frame in enumerate(frames):
            alive, level = frame, round(float(self.closed[number]) * LEVELS)
            if level and self.lids:
                alive = self._blinking(frame, self._changes(level, made))
            if self.sway is not None and self.offsets is not None and self.offsets[number].any():
                alive = self.sway.moved(alive, self.offsets[number])
            if alive is not frame and self.limit is not None:
                alive = blend(frame, alive, self.limit)
            yield alive

    def mask(self, height: int, width: int) -> np.ndarray:
        """Return float32 (H, W): 1 where a frame may change, 0 elsewhere."""
        mask = np.zeros((height, width), np.float32)
        for lids in self.lids:
            x0, y0, x1, y1 = (int(edge) for edge in lids.region)
            mask[y0:y1, x0:x1] = np.maximum(mask[y0:y1, x0:x1], lids.may_change())
        if self.sway is not None:
            x0, y0, x1, y1 = (int(edge) for edge in self.sway.region)
            mask[y0:y1, x0:x1] = 1
        return mask if self.limit is None else mask * self.limit

    def _changes(self, level: int, made: dict[int, list[np.ndarray]]) -> list[np.ndarray]:
        """Return what both lids change at a level; kept in ``made`` while that is small."""
        if level in made:
            return made[level]
        changes = [lids.change(level / LEVELS) for lids in self.lids]
        if (len(made) + 1) * sum(change.nbytes for change in changes) <= MOST_KEPT:
            made[level] = changes
        return changes

    def _blinking(self, frame: np.ndarray, changes: list[np.ndarray]) -> np.ndarray:
        picture = frame.copy()
        for lids, change in zip(self.lids, changes, strict=True):
            x0, y0, x1, y1 = (int(edge) for edge in lids.region)
            eye = picture[y0:y1, x0:x1]
            eye[:] = np.clip(eye + change, 0, 255)
        return picture
