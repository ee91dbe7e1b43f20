"""Life for a still picture: eyes that blink at people's rhythm, and a head that sways."""

from __future__ import annotations

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
    seconds = np.arange(count) / float(rate)
    closed = np.zeros(count)
    for blink in blinks:
        coming = eased(1 - (blink.meets - seconds) / blink.closing)
        going = eased(1 - (seconds - blink.meets - blink.shut) / blink.opening)
        closed = np.maximum(closed, np.minimum(coming, going))
    return closed.astype(np.float32)


def eyes_of(frame: np.ndarray, points: np.ndarray) -> list[EyeShape] | str:
    """Return the two eyes of a face that can blink, or why they cannot: part of a sentence.

    frame: uint8 RGB (H, W, 3). points: of the face mesh (478, 2), pixels.
    """
    eyes = [EyeShape.of(points, eye) for eye in EYES]
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
        changes: dict[int, list[np.ndarray]] = {}
        for number, frame in enumerate(frames):
            alive, level = frame, round(float(self.closed[number]) * LEVELS)
            if level and self.lids:
                if level not in changes:
                    changes[level] = [lids.change(level / LEVELS) for lids in self.lids]
                alive = self._blinking(frame, changes[level])
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

    def _blinking(self, frame: np.ndarray, changes: list[np.ndarray]) -> np.ndarray:
        picture = frame.copy()
        for lids, change in zip(self.lids, changes, strict=True):
            x0, y0, x1, y1 = (int(edge) for edge in lids.region)
            eye = picture[y0:y1, x0:x1]
            eye[:] = np.clip(eye + change, 0, 255)
        return picture
