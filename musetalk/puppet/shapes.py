"""From speech to the mouth's shape in every frame: opening, width, closure, tuck.

What the evidence of ``sound_shapes.py`` asks for is blended over 80 ms, so that the mouth is on its
way to a vowel before it sounds, and short vowels open less than those that last. Closures of m, b
and p are shown by the frames in their middle alone, so that the vowels between them have time to
open; speed is limited last. Loudness says how far a shape opens, and silence shuts the mouth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np

from ..voice.levels import WINDOWS_PER_SECOND, levels, spoken_by_level
from . import loudness
from .phones import Phone
from .pose import REST_WIDTH, MouthShapes
from .sound_shapes import (
    CLOSED,
    OPEN,
    REST,
    ROUND,
    TUCK,
    WIDE,
    BandLevels,
    PhoneGroups,
    evidence_between,
)

# rest, closed, tuck, wide, round, open: what each asks for.
OPENINGS = (0.12, 0.0, 0.08, 0.34, 0.34, 0.46)  # gap between the lips, in mouth widths
WIDTHS = (0.99, 0.98, 0.98, 1.08, 0.62, 0.96)  # of the mouth's width at rest
VOWELS = [WIDE, ROUND, OPEN]
QUIETEST = 0.85  # share of the opening left in the softest phrase
VOWEL_SHARE = 0.6  # from which a window counts as a vowel altogether
LASTING_SHARE = 0.5  # of vowels in a window of one that lasts
LASTING_WINDOWS = 7  # in which they are heard; neighbours hide the ends of 120 ms
LASTING = 0.36  # mouth widths: so far it opens at least
BLEND_WINDOWS = 3.0  # deviation of the Gaussian on the opening
TUCK_BLEND_WINDOWS = 2.0
WIDTH_BLEND_WINDOWS = 3.0  # corners are slower: 120 ms
CLOSED_ODDS = -0.6  # logarithm from which the lips meet
CLOSED_BLEND_WINDOWS = 1.5  # deviation of the Gaussian on it: what lasts 10 ms is no closure
CLOSING = 0.01  # s at either end of a closure, in which the lips are still on their way
EARLIER = 0.002  # s, so that of two frames as near to its middle one alone shows it
LEAST_SHUT = 0.06  # s to either side of a closure's middle in which one frame is to show it
SHORT_GAP = 19  # windows of under 200 ms of silence: a stop consonant, not a pause
SPEED = 3.2  # mouth widths a second: 0.128 a frame at 25 fps
LASTING_SPEED = 3.4  # to a vowel that lasts, from shut lips on: two frames open it by 0.27
WIDTH_SPEED = 3.0
BLOCK_SECONDS = 20  # of frames that are made at a time
REACH = 16  # windows: further than any smoothing
REACH_SECONDS = (
    1.0  # at the most from a phone to a frame that it changes: the speed allows far less
)


def mouth_shapes(
    speech: np.ndarray,
    *,
    frame_rate: Fraction,
    frame_count: int,
    phones: Sequence[Phone] | None = None,
) -> MouthShapes:
    """Return the mouth's shapes for mono speech, float32 (N,), 16 kHz.

    phones: what ``phones_heard`` found, if it could. Frame t shows the time from t / frame_rate
    on; frames past the end of the speech are at rest. Raises MediaError for another
    shape or for samples that are not numbers.
    """
    spoken = SpokenShapes(
        speech, frame_rate=frame_rate, frame_count=frame_count, by_phones=phones is not None
    )
    spoken.hear(phones or (), math.inf)
    return spoken.shapes


class SpokenShapes:
    """The mouth's shapes for speech, by the sound and by phones as they are heard.

    speech, frame_rate, frame_count: as of ``mouth_shapes``. by_phones: whether there will be any.
    They are made some seconds at a time, so what hours of speech ask of each 10 ms is never held.
    """

    def __init__(
        self, speech: np.ndarray, *, frame_rate: Fraction, frame_count: int, by_phones: bool
    ) -> None:
        loudness.check_speech(speech)
        self._rate = float(frame_rate)
        opening, width, closure, tuck = np.zeros((4, frame_count), np.float32)
        width[:] = REST_WIDTH
        closure[:] = 1
        self.shapes = MouthShapes(opening, width, closure, tuck)
        level = levels(speech)
        self._spoken = spoken = _without_gaps(spoken_by_level(level))
        self._known = 0 if spoken.any() else frame_count  # frames that stay as they are
        if not spoken.any():
            return
        loud = loudness.ranked(loudness.evened(level), spoken)
        self._loud = (QUIETEST + (1 - QUIETEST) * loud).astype(np.float32)
        self._levels = BandLevels(speech)
        self._phones = PhoneGroups(len(spoken)) if by_phones else None

    def hear(self, phones: Iterable[Phone], seconds: float) -> int:
        """Make the shapes as far as phones are known; return how many frames are final.

        phones: those that were not told before. seconds: to where all are told now; infinity
        when there are no more.
        """
        count = self.shapes.opening.size
        if self._known == count:
            return count
        if self._phones is not None:
            self._phones.add(phones)
        final = int(min(max(0.0, (seconds - REACH_SECONDS) * self._rate), count))
        frames = max(1, round(BLOCK_SECONDS * self._rate))
        for first in range(self._known, final, frames):
            last = min(first + frames, count)
            self._make(first, last)
            if last <= final:
                self._known = last
        return final

    def _make(self, first: int, last: int) -> None:
        """Make the shapes of some frames from those around them and the windows around these."""
        around = math.ceil(self._rate * REACH_SECONDS / 2)
        begun, ended = max(0, first - around), min(last + around, self.shapes.opening.size)
        here = slice(first - begun, last - begun)
        times = (np.arange(begun, ended) + 0.5) / self._rate
        edges = times[0] * WINDOWS_PER_SECOND - REACH, times[-1] * WINDOWS_PER_SECOND + REACH
        begin, end = np.clip(np.rint(edges), 0, len(self._spoken)).astype(int)
        if begin == end:  # past the end of the speech
            return
        spoken = self._spoken[begin:end]
        evidence = evidence_between(self._levels, self._phones, begin, end)
        shares, closed = np.exp(evidence), _closed(evidence)
        opening = np.where(spoken, _opening(shares, self._loud[begin:end]), 0)
        width = np.where(spoken, _width(shares), REST_WIDTH)
        tuck = np.where(spoken & ~closed, np.minimum(2 * shares[:, TUCK], 1), 0)
        times -= begin / WINDOWS_PER_SECOND
        shut = loudness.silent_frames(spoken, times, self._rate)
        shut |= _shut_frames(closed, times, self._rate)
        lasting = _at(_lasting(shares, spoken & ~closed).astype(float), times) > 0.5
        opening = _at(loudness.smoothed(opening, BLEND_WINDOWS), times)
        opened = _opened(np.where(shut, 0, opening), lasting & ~shut, self._rate)
        width = _at(loudness.smoothed(width, WIDTH_BLEND_WINDOWS), times, REST_WIDTH)
        tuck = _at(loudness.smoothed(tuck, TUCK_BLEND_WINDOWS), times)
        self.shapes.opening[first:last] = opened[here]
        self.shapes.width[first:last] = _slow(width, self._rate)[here]
        self.shapes.closure[first:last] = opened[here] == 0
        self.shapes.tuck[first:last] = tuck[here]


def _without_gaps(spoken: np.ndarray) -> np.ndarray:
    """Return bool (K,): spoken, or between two spoken windows less than SHORT_GAP apart."""
    number = np.arange(len(spoken))
    never = len(spoken) + SHORT_GAP
    before = np.maximum.accumulate(np.where(spoken, number, -never))
    after = np.minimum.accumulate(np.where(spoken, number, 2 * never)[::-1])[::-1]
    return after - before <= SHORT_GAP


def _closed(evidence: np.ndarray) -> np.ndarray:
    """Return bool (K,): the lips meet."""
    chance = evidence[:, CLOSED]
    odds = chance - np.log1p(-np.minimum(np.exp(chance), 1 - 1e-6))
    return loudness.smoothed(odds, CLOSED_BLEND_WINDOWS) > CLOSED_ODDS


def _shut_frames(closed: np.ndarray, times: np.ndarray, rate: float) -> np.ndarray:
    """Return bool (T,): frames that show a closure of bool (K,), each in its middle."""
    edges = np.flatnonzero(np.diff(closed, prepend=False, append=False)) / WINDOWS_PER_SECOND
    middle, half = (edges[1::2] + edges[::2]) / 2 - EARLIER, (edges[1::2] - edges[::2]) / 2
    half = np.maximum(half - CLOSING, min(0.5 / rate, LEAST_SHUT))
    begun = np.searchsorted(middle - half, times, side="right")
    return np.append(-np.inf, middle + half)[begun] >= times


def _opening(shares: np.ndarray, loud: np.ndarray) -> np.ndarray:
    """Return the opening (K,) that vowels and consonants ask for, in mouth widths.

    loud: what share of it the loudness (K,) leaves.
    """
    vowel = shares[:, VOWELS]
    whole = vowel.sum(axis=1)
    asked = vowel @ np.array(OPENINGS)[VOWELS] / np.maximum(whole, 1e-6)
    asked = asked * loud
    share = np.minimum(whole / VOWEL_SHARE, 1)
    return share * asked + (1 - share) * OPENINGS[REST]


def _lasting(shares: np.ndarray, may_open: np.ndarray) -> np.ndarray:
    """Return bool (K,): windows of vowels that last, where lips may open, bool (K,)."""
    vowel = may_open & (shares[:, VOWELS].sum(axis=1) > LASTING_SHARE)
    edges = np.flatnonzero(np.diff(vowel, prepend=False, append=False)).reshape(-1, 2)
    lengths = np.diff(edges).ravel()
    vowel[vowel] = np.repeat(lengths >= LASTING_WINDOWS, lengths)
    return vowel


def _width(shares: np.ndarray) -> np.ndarray:
    return shares @ np.array(WIDTHS)


def _opened(opening: np.ndarray, lasting: np.ndarray, rate: float) -> np.ndarray:
    """Return the opening of each frame under what speed allows.

    lasting: bool (T,), frames of vowels that last, which are hurried to.
    """
    usual = loudness.under_steps(opening, SPEED / rate)
    step = LASTING_SPEED / rate
    hurried = np.where(lasting, LASTING, np.minimum(usual, step))
    return np.maximum(usual, loudness.under_steps(hurried, step)).astype(np.float32)


def _slow(width: np.ndarray, rate: float) -> np.ndarray:
    step = WIDTH_SPEED / rate
    limited = loudness.under_steps(width, step) - loudness.under_steps(-width, step)
    return (limited / 2).astype(np.float32)


def _at(values: np.ndarray, times: np.ndarray, rest: float = 0.0) -> np.ndarray:
    """Return window values at the frames' times; at rest outside the speech."""
    places = times * WINDOWS_PER_SECOND
    return np.interp(places, np.arange(len(values)) + 0.5, values, left=rest, right=rest)
