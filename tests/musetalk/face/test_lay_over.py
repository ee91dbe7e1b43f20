"""What several faces changed comes together in one frame, and never inside another face."""

from __future__ import annotations

import numpy as np

from avatarvideo.media import Box
from avatarvideo.musetalk.face.lay_over import lay_over, whole_box

REGION = Box(2, 2, 8, 8)


def frames() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    frame = np.full((10, 10, 3), 50, np.uint8)
    shown, spoken = frame.copy(), frame.copy()
    shown[:, :5] = 70  # what another one changed before
    spoken[4:7, 3:7] = 90
    return shown, frame, spoken


def test_only_what_changed_is_taken() -> None:
    shown, frame, spoken = frames()
    expected = shown.copy()
    expected[4:7, 3:7] = 90
    lay_over(shown, frame, spoken, REGION, [])
    assert np.array_equal(shown, expected)


def test_other_faces_stay_as_they_are() -> None:
    shown, frame, spoken = frames()
    expected = shown.copy()
    expected[4:7, 3:5] = 90
    lay_over(shown, frame, spoken, REGION, [Box(5.5, -3, 40, 40), Box(-9, -9, 0, 0)])
    assert np.array_equal(shown, expected)
    shown, frame, spoken = frames()
    before = shown.copy()
    lay_over(shown, frame, spoken, REGION, [Box(0, 0, 10, 10)])
    assert np.array_equal(shown, before)


def test_a_box_is_rounded_outwards() -> None:
    assert whole_box(Box(-2.5, 1.9, 3.1, 4)) == (0, 1, 4, 4)
