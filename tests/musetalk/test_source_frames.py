"""Which frame is shown when, and that reading them gives exactly those."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarvideo.errors import MediaError
from avatarvideo.media import Avatar
from avatarvideo.musetalk.interfaces import Loop
from avatarvideo.musetalk.source_frames import (
    length_of,
    read_frames,
    result_length,
    source_indices,
)


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


RATES = [
    Fraction(rate) for rate in (10, 12, 24, 25, 30, 50, 60, "12.5", "24000/1001", "30000/1001")
]


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("loop", ["pingpong", "loop", "hold"])
def test_a_constant_rate_gives_the_frames_it_always_gave(rate: Fraction, loop: Loop) -> None:
    count, sources = 400, 97
    for source_rate in (Fraction(25), Fraction(30000, 1001), Fraction(60)):
        nearest = [math.floor(i * source_rate / rate + Fraction(1, 2)) for i in range(count)]
        wanted = {
            "hold": [min(number, sources - 1) for number in nearest],
            "loop": [number % sources for number in nearest],
            "pingpong": [min(n % 194, 193 - n % 194) for n in nearest],
        }[loop]
        got = source_indices(count, rate, source_count=sources, source_rate=source_rate, loop=loop)
        assert got.tolist() == wanted


VARYING = [Fraction(time, 10) for time in (0, 1, 2, 6, 7, 8)]  # and the last one stays a tenth


def by_time(count: int, loop: Loop, rate: int = 10, wait: Fraction = Fraction(0)) -> list[int]:
    given = {"source_count": 6, "source_rate": Fraction(20, 3), "times": VARYING, "wait": wait}
    return source_indices(count, Fraction(rate), loop=loop, **given).tolist()


def test_a_varying_rate_is_sampled_by_time() -> None:
    shown = [0, 1, 2, 2, 2, 2, 3, 4, 5]
    assert by_time(12, "hold") == [*shown, 5, 5, 5]
    assert by_time(12, "loop") == [*shown, 0, 1, 2]
    assert by_time(20, "pingpong") == [*shown, *shown[::-1], 0, 1]
    assert by_time(5, "hold", rate=5) == [1, 2, 2, 4, 5]


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_an_event_comes_at_its_time_at_any_rate(rate: Fraction) -> None:
    random = np.random.default_rng(3)
    ticks = np.cumsum(random.choice([1, 2, 2, 2, 3, 9, 40], 200))
    times = [Fraction(int(tick - ticks[0]), 60) for tick in ticks]
    count = math.floor(times[-1] * rate)
    shown = source_indices(
        count, rate, source_count=200, source_rate=Fraction(15), loop="hold", times=times
    ).tolist()
    for place, number in enumerate(shown):
        middle = (place + Fraction(1, 2)) / rate
        assert times[number] <= middle
        assert number + 1 == len(times) or times[number + 1] > middle


def test_pictures_wait_for_speech_that_begins_before_them() -> None:
    third = Fraction(3, 10)
    assert by_time(6, "hold", wait=third) == [0, 0, 0, 0, 1, 2]
    rate, wait = Fraction(25), Fraction(3, 25)
    got = source_indices(6, rate, source_count=4, source_rate=rate, loop="hold", wait=wait)
    assert got.tolist() == [0, 0, 0, 0, 1, 2]


@pytest.mark.slow
@given(wanted=st.lists(st.integers(0, 19), min_size=1, max_size=60), budget=st.integers(12, 100))
def test_frames_come_in_the_order_asked_for(wanted: list[int], budget: int) -> None:
    frames = read_frames(numbered_avatar(20), wanted, backward_bytes=budget)
    assert [int(frame[0, 0, 0]) for frame in frames] == wanted


def test_an_avatar_that_ends_early_is_named() -> None:
    frames = read_frames(numbered_avatar(3, stated=5), [0, 1, 2, 3])
    with pytest.raises(MediaError, match="frame 3"):
        list(frames)


# --- lengths that differ

LENGTH_RATES = [Fraction(24), Fraction(25), Fraction(30000, 1001)]


def avatar_of(count: int, rate: Fraction, times: list[Fraction] | None = None) -> Avatar:
    return replace(numbered_avatar(count), frame_rate=rate, read_times=lambda: times or [])


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("rate", LENGTH_RATES, ids=str)
@pytest.mark.parametrize("spoken", [40, 97, 400])
@pytest.mark.parametrize("loop", get_args(Loop))
def test_every_policy_has_its_exact_length(
    loop: Loop, spoken: int, rate: Fraction, varying: bool
) -> None:
    times = [Fraction(number, 24) + Fraction(number % 2, 100) for number in range(97)]
    avatar = avatar_of(97, Fraction(24), times if varying else None)
    shown = math.floor(length_of(97, Fraction(24), avatar.frame_times) * rate + Fraction(1, 2))
    count = result_length(spoken, rate, avatar=avatar, loop=loop, wait=Fraction(0))
    wanted = {"cut": min(spoken, shown), "silence": max(spoken, shown)}.get(loop, spoken)
    assert count == wanted
    numbers = source_indices(
        count,
        rate,
        source_count=97,
        source_rate=Fraction(24),
        loop=loop,
        times=avatar.frame_times,
    )
    assert numbers.size == count
    assert 0 <= numbers.min() <= numbers.max() <= 96
    if loop in ("cut", "stretch"):
        assert (np.diff(numbers) >= 0).all()
    if loop == "stretch":  # from the first to the last, whatever the speech
        assert numbers[0] <= 97 // (2 * spoken) + 1
        assert numbers[-1] >= 96 - 97 // (2 * spoken) - 1
    if loop == "silence" and spoken < shown:
        assert numbers[-1] >= 95


def test_stretch_keeps_the_avatars_own_proportions() -> None:
    assert indices(8, "stretch") == [0, 0, 1, 1, 2, 2, 3, 3]
    assert indices(4, "stretch") == [0, 1, 2, 3]
    assert indices(2, "stretch") == [1, 3]
    assert by_time(18, "stretch") == [0, 0, 1, 1, *[2] * 8, 3, 3, 4, 4, 5, 5]
    assert indices(3, "stretch", sources=1) == [0, 0, 0]


@pytest.mark.parametrize("loop", ["cut", "silence", "stretch"])
def test_a_still_has_no_length(loop: Loop) -> None:
    still = avatar_of(1, Fraction(25))
    assert result_length(50, Fraction(25), avatar=still, loop=loop, wait=Fraction(0)) == 50


def test_a_wait_belongs_to_the_avatars_time() -> None:
    avatar, wait = avatar_of(50, Fraction(25)), Fraction(1)
    policies: tuple[tuple[Loop, int], ...] = (("cut", 75), ("silence", 100))
    for loop, wanted in policies:
        assert result_length(100, Fraction(25), avatar=avatar, loop=loop, wait=wait) == wanted
