"""The benchmark of what rest saves: its pauses are known, and late, other and made frames count."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("benchmarks_can_be_imported")


def test_pauses_are_silent_and_as_long_as_asked() -> None:
    from resting import speech_with_pauses

    speech, pauses = speech_with_pauses(12, 5)
    assert speech.size == pytest.approx(12 * 16000, abs=3)
    assert float(sum(end - first for first, end in pauses)) == pytest.approx(5, abs=1e-3)
    for first, end in pauses:
        assert not speech[int(first * 16000) : int(end * 16000)].any()


def test_frames_that_should_rest_or_be_as_heard_and_do_not_are_counted() -> None:
    from resting import Meter, compared

    frames = [np.full((4, 4, 3), 10 * n, np.uint8) for n in range(3)]
    told = {"ranges_at_rest": [[27, 40]], "release_frames": 2, "attack_frames": 2}
    resting = [frames[0] if 27 <= n <= 40 else frames[1] for n in range(50)]
    as_heard = [frames[1]] * 50
    resting[30] = frames[2]  # late, and not the rest
    resting[5] = frames[1] + 1
    meters = Meter(), Meter()
    for meter, count in zip(meters, (37, 50), strict=True):
        for _ in range(count):
            meter.add(1, 0.01)
    pauses = [(Fraction(1), Fraction(17, 10))]
    row = compared(pauses, (resting, {"silence": told}, meters[0]), (as_heard, {}, meters[1]))
    # 14 of 50 frames rest and 13 were not made: 0.26 of the time for 0.28 of the frames.
    assert row == "50 | 14 | 11 | 1 | 32 | 1 | 1 | 0.50 | 0.37 | 0.929"
