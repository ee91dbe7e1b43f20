"""Every frame is as heard, at rest or on the way, exactly as stated."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from avatarvideo.musetalk.voice.gate import CROSSING, gate_of

RATES = [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(10), Fraction(60)]


def spoken(*stretches: tuple[float, float], seconds: float = 3) -> np.ndarray:
    flags = np.zeros(round(seconds * 100), bool)
    for first, end in stretches:
        flags[round(first * 100) : round(end * 100)] = True
    return flags


def test_a_pause_is_shut_between_release_and_attack() -> None:
    gate = gate_of(spoken((0, 1), (2, 3)), Fraction(25), 75)
    assert (gate.attack, gate.release) == (2, 2)
    thirds = [Fraction(1, 3), Fraction(2, 3)]
    assert gate.weight[:25].tolist() == [1.0] * 25
    assert gate.weight[25:27] == pytest.approx([float(each) for each in thirds[::-1]])
    assert not gate.weight[27:48].any()
    assert gate.weight[48:50] == pytest.approx([float(each) for each in thirds])
    assert gate.weight[50:].tolist() == [1.0] * 25


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_rest_comes_within_120_ms_at_any_rate(rate: Fraction) -> None:
    for tick in range(100, 110):  # ends of speech between and on the frames' borders
        end = Fraction(tick, 100)
        gate = gate_of(spoken((0, tick / 100), (2, 3)), rate, math.floor(3 * rate))
        times = [number / rate for number in range(gate.weight.size)]
        for time, weight in zip(times, gate.weight, strict=True):
            late = end + max(Fraction(12, 100), 1 / rate + Fraction(8, 100))
            if late <= time < 2 - Fraction(8, 100) - 1 / rate:
                assert weight == 0
            if time < end or time + 1 / rate > 2:
                assert weight == 1


def test_before_the_first_word_and_after_the_last_it_rests() -> None:
    gate = gate_of(spoken((1, 2)), Fraction(25), 75)
    assert gate.weight[[0, 22, 52, 74]].tolist() == [0, 0, 0, 0]
    assert not gate.at_rest[23:52].any()


def test_nobody_speaks_and_everybody_does() -> None:
    assert gate_of(spoken(), Fraction(25), 75).at_rest.all()
    assert (gate_of(spoken((0, 3)), Fraction(25), 75).weight == 1).all()
    assert gate_of(spoken((0, 3)), Fraction(25), 80).weight[75:].tolist() == [
        pytest.approx(2 / 3),
        pytest.approx(1 / 3),
        0,
        0,
        0,
    ]


def test_a_pause_too_short_for_rest_stays_as_heard() -> None:
    assert (gate_of(spoken((0, 1), (1.16, 3)), Fraction(25), 75).weight == 1).all()
    assert gate_of(spoken((0, 1), (1.2, 3)), Fraction(25), 75).at_rest.sum() == 1


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_at_most_two_frames_cross_beside_a_rest(rate: Fraction) -> None:
    gate = gate_of(spoken((0, 1), (2, 3)), rate, math.floor(3 * rate))
    share = gate.crossing()
    assert np.array_equal(share == 0, gate.at_rest)
    between = (share > 0) & (share < 1)
    assert between.sum() == min(gate.attack, CROSSING) + min(gate.release, CROSSING)
    assert (gate.weight[between] < 1).all()
    falling = share[: np.flatnonzero(gate.at_rest)[0]]
    assert (np.diff(falling) <= 0).all()
