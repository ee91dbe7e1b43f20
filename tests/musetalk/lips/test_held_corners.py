"""Lips between corners the user gave."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from avatarvideo.media import LipCorners
from avatarvideo.musetalk.lips.held_corners import (
    average_lips,
    checked_corners,
    frame_of_mouth,
    locate_by_corners,
)


def drawn_mouth(*, tilt: float = 0.0) -> tuple[np.ndarray, LipCorners]:
    """Red lips with a dark line between them on skin, 80 pixels wide in a 300 pixel picture."""
    y, x = np.mgrid[0:300, 0:300].astype(float) - 150
    u = (x * math.cos(tilt) + y * math.sin(tilt)) / 40
    v = y * math.cos(tilt) - x * math.sin(tilt)
    arch = np.sqrt(np.clip(1 - u**2, 0, None))
    between = np.abs(u) < 1
    picture = np.full((300, 300, 3), (205, 160, 135), float)
    picture[between & (v > 0) & (v < 20 * arch)] = (165, 125, 105)  # the lower lip's shadow
    picture[between & (v > -9 * arch) & (v < 14 * arch)] = (185, 85, 85)
    picture[between & (np.abs(v) < 1.6)] = (70, 25, 25)
    picture = cv2.GaussianBlur(picture, (0, 0), 1.5)
    dx, dy = 40 * math.cos(tilt), 40 * math.sin(tilt)
    return picture.astype(np.uint8), LipCorners(150 - dx, 150 - dy, 150 + dx, 150 + dy)


@pytest.mark.parametrize("tilt", [0.0, 0.3, -0.5])
def test_lip_heights_are_found_between_the_corners(tilt: float) -> None:
    picture, corners = drawn_mouth(tilt=tilt)
    location = locate_by_corners(picture, corners)
    assert location.lips is not None
    assert location.lips.corners == pytest.approx(corners)
    upper, seam, _, lower = location.lips.curves[:, 16]
    assert upper == pytest.approx(-9 / 80, abs=0.04)
    assert seam == pytest.approx(0, abs=0.03)
    assert lower == pytest.approx(14 / 80, abs=0.04)
    assert not location.lips.parted


def test_average_lips_stand_in_where_there_is_no_mouth_to_see() -> None:
    corners = LipCorners(100, 150, 180, 150)
    location = locate_by_corners(np.full((300, 300, 3), 150, np.uint8), corners)
    assert location.lips is not None
    np.testing.assert_array_equal(location.lips.curves, average_lips(corners).curves)
    assert "average" in location.reason


def test_average_lips_are_closed_and_in_order() -> None:
    curves = average_lips(LipCorners(0, 0, 10, 0)).curves
    np.testing.assert_array_equal(curves[1], curves[2])
    assert (curves[0, 1:-1] < curves[1, 1:-1]).all()
    assert (curves[3, 1:-1] > curves[2, 1:-1]).all()


def test_frame_of_mouth_puts_the_corners_at_rest() -> None:
    corners = LipCorners(100, 160, 160, 130)
    points = frame_of_mouth(corners).to_face(np.array(corners).reshape(2, 2))
    np.testing.assert_allclose(points, [[-0.38, 1.12], [0.38, 1.12]], atol=1e-9)


def test_corners_on_the_picture_edge_are_accepted() -> None:
    assert checked_corners(LipCorners(0, 5, 100, 5), width=100, height=50).x1 == 100
