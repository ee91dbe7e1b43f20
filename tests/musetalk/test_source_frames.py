"""Which frame is shown when, and that reading them gives exactly those."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarvideo.errors import MediaError
from avatarvideo.media import Avatar
from avatarvideo.musetalk.interfaces import Loop
from avatarvideo.musetalk.source_frames import read_frames, source_indices


def numbered_avatar(count: int, stated: int | None = None) -> Avatar:
    def open_frames(start: int) -> Iterator[np.ndarray]:
        for number in range(start, count):
            yield np.full((2, 2, 3), number, np.uint8)

    return Avatar(
        open_frames=open_frames,
        frame_rate=Fraction(25),
        width=2,
        height=2,
        frame_count=stated or count,
    )


def indices(count: int, loop: Loop, *, rate: int = 25, sources: int = 4) -> list[int]:
    return source_indices(
        count, Fraction(rate), source_count=sources, source_rate=Fraction(25), loop=loop
    ).tolist()


def test_pingpong_doubles_both_ends_as_upstream_does() -> None:
    assert indices(10, "pingpong") == [0, 1, 2, 3, 3, 2, 1, 0, 0, 1]


def test_loop_starts_again() -> None:
    assert indices(6, "loop") == [0, 1, 2, 3, 0, 1]


def test_hold_stops_on_the_last_frame() -> None:
    assert indices(6, "hold") == [0, 1, 2, 3, 3, 3]


def test_a_faster_result_shows_source_frames_twice() -> None:
    assert indices(6, "hold", rate=50) == [0, 1, 1, 2, 2, 3]


def test_a_slower_result_skips_source_frames() -> None:
    assert indices(3, "hold", rate=10) == [0, 3, 3]


@given(wanted=st.lists(st.integers(0, 19), min_size=1, max_size=60), budget=st.integers(12, 100))
def test_frames_come_in_the_order_asked_for(wanted: list[int], budget: int) -> None:
    frames = read_frames(numbered_avatar(20), wanted, backward_bytes=budget)
    assert [int(frame[0, 0, 0]) for frame in frames] == wanted


def test_an_avatar_that_ends_early_is_named() -> None:
    frames = read_frames(numbered_avatar(3, stated=5), [0, 1, 2, 3])
    with pytest.raises(MediaError, match="frame 3"):
        list(frames)
