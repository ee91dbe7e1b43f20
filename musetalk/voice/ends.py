"""Where a voice fades or begins softly beside a pause: all that rises out of the pause is its own.

A word's last consonant and a note's end lie 25 to 40 dB below the voice. Where the pause beside
them is much stiller still, nothing else can sound there.
"""

from __future__ import annotations

import numpy as np

from .levels import WINDOWS_PER_SECOND, peak_level
from .stretches import stretches

REACH = 0.3  # seconds beyond what is known to be spoken
NEAR = round(REACH * WINDOWS_PER_SECOND)
BREAK = 0.06  # seconds that may be quiet there
SILENT_DB = 55.0  # a pause so far below the peak holds no music
RISE_DB = 12.0  # over the pause
MOST_BELOW_DB = 38.0  # below the peak
STILL_PERCENT, REST_PERCENT = 25, 75  # of a pause's windows are stiller


def with_ends(spoken: np.ndarray, level: np.ndarray, *, silent_db: float = SILENT_DB) -> np.ndarray:
    """Return what is spoken, bool (K,), with its soft ends, by dBFS (K,).

    silent_db: how far below the peak a pause has to lie.
    """
    peak, found = peak_level(level), spoken.copy()
    for first, end in stretches(~spoken):
        pause = level[first:end]
        loud = pause > max(
            float(np.percentile(pause, STILL_PERCENT)) + RISE_DB, peak - MOST_BELOW_DB
        )
        after = _own(loud) if first > 0 else 0
        before = _own(loud[::-1]) if end < spoken.size else 0
        rest = pause[after : pause.size - before]
        if rest.size and np.percentile(rest, REST_PERCENT) > peak - silent_db:
            continue
        found[first : first + after] = found[end - before : end] = True
    return found


def _own(loud: np.ndarray) -> int:
    """Return how far a voice goes on; the last window only overlaps what is loud."""
    return max(goes_on(loud) - 1, 0)


def goes_on(loud: np.ndarray) -> int:
    """Return for how many windows, at most REACH, it stays loud from here on but for breaks."""
    near = loud[:NEAR]
    places = np.flatnonzero(near)
    gaps = np.diff(places, prepend=-1) > round(BREAK * WINDOWS_PER_SECOND)
    kept = places[: int(gaps.argmax())] if gaps.any() else places
    return int(kept[-1]) + 1 if kept.size else 0
