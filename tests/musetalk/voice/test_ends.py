"""What rises out of a silent pause beside speech belongs to it; music in the pause does not."""

from __future__ import annotations

import numpy as np

from avatarvideo.musetalk.voice.ends import with_ends


def pause(*, background: float = -100.0, tail: float = -45.0) -> tuple[np.ndarray, np.ndarray]:
    """Return what is spoken and the level of speech, 100 ms of a soft tail, and a pause."""
    level = np.full(300, background)
    level[:100] = level[200:] = -15.0
    level[100:110] = level[190:200] = tail
    spoken = np.zeros(300, bool)
    spoken[:100] = spoken[200:] = True
    return spoken, level


def test_a_soft_end_and_a_soft_beginning_are_spoken() -> None:
    spoken, level = pause()
    found = np.flatnonzero(~with_ends(spoken, level))
    # A window overlaps its neighbour, so the last one tells nothing.
    assert (found[0], found[-1], found.size) == (109, 190, 82)


def test_neither_music_nor_what_is_far_too_soft_is() -> None:
    for spoken, level in (pause(background=-60.0), pause(tail=-60.0)):
        assert np.array_equal(with_ends(spoken, level), spoken)
    spoken, level = pause(background=-60.0)
    assert with_ends(spoken, level, silent_db=0)[105]


def test_it_reaches_no_further_than_300_ms_and_over_no_longer_break_than_60() -> None:
    spoken, level = pause()
    level[100:140] = -45.0
    rests = np.flatnonzero(~with_ends(spoken, level, silent_db=0))
    assert (rests[0], rests[-1]) == (129, 190)
    level[103:110] = -100.0
    assert not with_ends(spoken, level, silent_db=0)[103:180].any()
