"""From speech to the mouth's shape in every frame: opening, width, closure, tuck.

The evidence of ``sound_shapes.py`` is blended over about 100 ms, as the shapes of a speaking mouth
are; closures of m, b and p are then cut out of the opening so that they are reached. Loudness says
how far a shape opens, and silence shuts the mouth.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ..voice.levels import WINDOWS_PER_SECOND, levels, spoken_by_level
from . import loudness
from .phones import Phone
from .pose import REST_WIDTH, MouthShapes
from .sound_shapes import CLOSED, OPEN, REST, ROUND, TUCK, WIDE, shape_evidence

# rest, closed, tuck, wide, round, open: what each asks for.
OPENINGS = (0.12, 0.0, 0.08, 0.46, 0.36, 0.52)  # gap between the lips, in mouth widths
WIDTHS = (0.99, 0.98, 0.98, 1.08, 0.69, 0.96)  # of the mouth's width at rest
VOWELS = [WIDE, ROUND, OPEN]
QUIETEST = 0.85  # share of the opening left in the softest phrase
VOWEL_SHARE = 0.6  # from which a window counts as a vowel altogether
BLEND_WINDOWS = 2.0  # deviation of the Gaussian on opening and tuck: 80 ms from shape to shape
WIDTH_BLEND_WINDOWS = 3.0  # corners are slower: 120 ms
CLOSED_ODDS = 0.1  # logarithm from which the lips meet
CLOSURE_REACH = 1  # windows: a short closure grows by this to either side, so that a frame shows it
SHORT_CLOSURE = 4  # windows
SHORT_GAP = 15  # windows: a shorter silence is a stop consonant, not a pause
SPEED = 3.1  # mouth widths a second: 0.12 a frame at 25 fps
MAX_SPEED = 3.7  # 0.15 a frame, where the mouth would hardly open otherwise
FAST_UP_TO = 0.36  # mouth widths
WIDTH_SPEED = 3.0


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
    loudness.check_speech(speech)
    level = levels(speech)
    spoken = _without_gaps(spoken_by_level(level))
    rate = float(frame_rate)
    times = (np.arange(frame_count) + 0.5) / rate
    if not spoken.any():
        still = np.zeros(frame_count, np.float32)
        return MouthShapes(still, still + np.float32(REST_WIDTH), still + 1, still)
    evidence = shape_evidence(speech, phones)
    shares = np.exp(evidence)
    closed = _closed(evidence)
    opening = np.where(spoken & ~closed, _opening(shares, level, spoken), 0.0)
    width = np.where(spoken, _width(shares), REST_WIDTH)
    tuck = np.where(spoken & ~closed, np.minimum(2 * shares[:, TUCK], 1), 0.0)
    ceiling = loudness.silence_ceiling(spoken, times, rate, MAX_SPEED / rate)
    shut = ~spoken | closed
    return MouthShapes(
        _opened(_at(_blended(opening, shut=shut), times), ceiling, MAX_SPEED / rate),
        _slow(_at(loudness.smoothed(width, WIDTH_BLEND_WINDOWS), times, REST_WIDTH), rate),
        _at(loudness.smoothed(shut.astype(float), 1.0), times, 1.0).astype(np.float32),
        _at(loudness.smoothed(tuck, BLEND_WINDOWS), times).astype(np.float32),
    )


def _without_gaps(spoken: np.ndarray) -> np.ndarray:
    """Return bool (K,): spoken, or between two spoken windows less than SHORT_GAP apart."""
    number = np.arange(len(spoken))
    never = len(spoken) + SHORT_GAP
    before = np.maximum.accumulate(np.where(spoken, number, -never))
    after = np.minimum.accumulate(np.where(spoken, number, 2 * never)[::-1])[::-1]
    return after - before <= SHORT_GAP


def _closed(evidence: np.ndarray) -> np.ndarray:
    """Return bool (K,): the lips meet; every closure long enough for a frame to show it."""
    chance = evidence[:, CLOSED]
    found = chance - np.log1p(-np.minimum(np.exp(chance), 1 - 1e-6)) > CLOSED_ODDS
    grown = _nearby(found, CLOSURE_REACH) > 0
    return found | (grown & (_nearby(found, SHORT_CLOSURE) < SHORT_CLOSURE))


def _nearby(found: np.ndarray, reach: int) -> np.ndarray:
    """Return how many of bool (K,) are true up to ``reach`` windows away, (K,)."""
    return np.convolve(found, np.ones(2 * reach + 1))[reach : reach + len(found)]


def _opening(shares: np.ndarray, level: np.ndarray, spoken: np.ndarray) -> np.ndarray:
    """Return the opening (K,) that vowels and consonants ask for, in mouth widths."""
    vowel = shares[:, VOWELS]
    whole = vowel.sum(axis=1)
    asked = vowel @ np.array(OPENINGS)[VOWELS] / np.maximum(whole, 1e-6)
    loud = loudness.ranked(loudness.evened(level), spoken)
    asked = asked * (QUIETEST + (1 - QUIETEST) * loud)
    share = np.minimum(whole / VOWEL_SHARE, 1)
    return share * asked + (1 - share) * OPENINGS[REST]


def _width(shares: np.ndarray) -> np.ndarray:
    return shares @ np.array(WIDTHS)


def _blended(opening: np.ndarray, *, shut: np.ndarray) -> np.ndarray:
    """Return the opening without jumps; where it was shut it stays shut."""
    soft = np.where(shut, 0.0, loudness.smoothed(opening, BLEND_WINDOWS))
    slow = loudness.under_steps(soft, SPEED / WINDOWS_PER_SECOND)
    fast = loudness.under_steps(np.minimum(soft, FAST_UP_TO), MAX_SPEED / WINDOWS_PER_SECOND)
    starts = np.flatnonzero(np.diff(shut, prepend=~shut[:1]))  # of what is shut and what is not
    highest = np.maximum.reduceat(slow, starts)
    low = np.repeat(highest < FAST_UP_TO, np.diff(starts, append=len(slow)))
    return np.where(low, np.maximum(slow, fast), slow)


def _opened(opening: np.ndarray, ceiling: np.ndarray, step: float) -> np.ndarray:
    """Return the opening of each frame under what silence and speed allow."""
    return loudness.under_steps(np.minimum(opening, ceiling), step).astype(np.float32)


def _slow(width: np.ndarray, rate: float) -> np.ndarray:
    step = WIDTH_SPEED / rate
    limited = loudness.under_steps(width, step) - loudness.under_steps(-width, step)
    return (limited / 2).astype(np.float32)


def _at(values: np.ndarray, times: np.ndarray, rest: float = 0.0) -> np.ndarray:
    """Return window values at the frames' times; at rest outside the speech."""
    positions = times * WINDOWS_PER_SECOND
    return np.interp(positions, np.arange(len(values)) + 0.5, values, left=rest, right=rest)
