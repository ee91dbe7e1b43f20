"""Faces are turned as FFHQ's are, and come back to where they were."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avatarvideo.musetalk.face.aligned import (
    ALIGNED_SIDE,
    TEMPLATE,
    aligned_face,
    alignment,
    five_points,
    points_in_box,
    put_back,
)
from avatarvideo.musetalk.face.crop import FaceBox


def turned(degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """Return the template's points as a tilted face of another size shows them."""
    radians = np.deg2rad(degrees)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    return scale * TEMPLATE @ turn.T + shift


@pytest.mark.parametrize(
    ("degrees", "scale", "shift"), [(0, 1, (0, 0)), (25, 0.7, (300, 40)), (-160, 2, (900, 800))]
)
def test_a_turned_face_comes_to_the_template(
    degrees: float, scale: float, shift: tuple[float, float]
) -> None:
    points = turned(degrees, scale, shift)
    matrix = alignment(points)
    assert np.allclose(points @ matrix[:, :2].T + matrix[:, 2], TEMPLATE)
    assert np.hypot(*matrix[:, 0]) == pytest.approx(1 / scale)


def test_the_nearest_turn_is_found_for_a_face_of_other_proportions() -> None:
    points = turned(10, 1, (5, 5)) + np.random.default_rng(0).normal(0, 6, (5, 2))
    matrix = alignment(points)

    def miss(matrix: np.ndarray) -> float:
        return float(((points @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE) ** 2).sum())

    for angle, scale in ((0.002, 1), (-0.002, 1), (0, 1.002), (0, 0.998)):
        other = cv2.getRotationMatrix2D(tuple(TEMPLATE.mean(0)), np.rad2deg(angle), scale)
        moved = np.column_stack(
            [other[:, :2] @ matrix[:, :2], other[:, :2] @ matrix[:, 2] + other[:, 2]]
        )
        assert miss(moved) > miss(matrix)


def test_the_five_points_are_the_means_and_places_of_the_68() -> None:
    landmarks = np.random.default_rng(1).uniform(0, 500, (68, 2))
    got = five_points(landmarks)
    assert np.allclose(got[0], landmarks[36:42].mean(0))
    assert np.allclose(got[1], landmarks[42:48].mean(0))
    assert np.array_equal(got[2:], landmarks[[30, 48, 54]])


def test_points_in_a_box_of_the_template_s_own_place_are_the_template() -> None:
    assert np.allclose(points_in_box(FaceBox(121, 105, 391, 466)), TEMPLATE)
    twice = points_in_box(FaceBox(242, 210, 782, 932))
    assert np.allclose(twice, 2 * TEMPLATE)


@pytest.mark.parametrize("enlarged", [1, 2])
@pytest.mark.parametrize(("degrees", "scale"), [(0, 1), (12, 0.6), (-30, 1.5)])
def test_what_was_turned_comes_back_to_its_place(
    degrees: float, scale: float, enlarged: int
) -> None:
    rough = np.random.default_rng(3).integers(0, 256, (40, 50, 3), np.uint8)
    frame = cv2.resize(rough, (1000, 800), interpolation=cv2.INTER_CUBIC)
    points = turned(degrees, scale, (200, 120))
    x0, y0 = (points.min(0) - 10).astype(int).tolist()
    x1, y1 = (points.max(0) + 10).astype(int).tolist()
    box, matrix = FaceBox(x0, y0, x1, y1), alignment(points)
    face = aligned_face(frame, matrix)
    assert face.shape == (ALIGNED_SIDE, ALIGNED_SIDE, 3)
    side = ALIGNED_SIDE * enlarged
    back = put_back(cv2.resize(face, (side, side)), matrix, box)
    difference = np.abs(back.astype(int) - frame[box.area].astype(int))
    assert back.shape == (box.height, box.width, 3)
    assert difference.mean() < 2.5
