"""The box of a face, and what is cut out of a frame and put back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avatarvideo.musetalk.face.crop import FaceBox, cut_face, face_box, fit_to_frame, stretch_face
from support import reference_path

DETECTED = (10.0, 20.0, 60.0, 90.0)


def landmarks(middle: float = 60.0) -> np.ndarray:
    """A face 80 pixels wide whose chin is at 100.9 and whose nose bridge is at ``middle``."""
    points = np.tile([[50.7, 70.2]], (68, 1))
    points[0, 0], points[16, 0] = 11.9, 91.9
    points[8, 1] = 100.9
    points[29] = (50.0, middle)
    return points


def test_the_nose_bridge_is_the_middle_of_the_box():
    assert face_box(landmarks(), DETECTED) == (FaceBox(11, 20, 91, 100), True)


def test_the_box_starts_at_the_frame_where_it_would_start_above():
    assert face_box(landmarks(middle=40.0), DETECTED)[0] == FaceBox(11, 0, 91, 100)


def test_a_shift_moves_the_middle_and_so_shortens_the_box():
    assert face_box(landmarks(), DETECTED, bbox_shift=7)[0] == FaceBox(11, 34, 91, 100)


def test_a_shift_beyond_the_chin_counts_as_the_lowest_point():
    box, from_landmarks = face_box(landmarks(), DETECTED, bbox_shift=60)
    assert not from_landmarks
    assert box == FaceBox(10, 20, 60, 90)


def test_landmarks_left_of_the_frame_leave_the_detected_box():
    points = landmarks()
    points[0, 0] = -1.0
    assert face_box(points, (-3.7, 20.9, 60.2, 90.9)) == (FaceBox(0, 20, 60, 90), False)


def test_coordinates_are_cut_towards_zero():
    points = landmarks()
    points[0, 0] = -0.9
    assert face_box(points, DETECTED)[0].x0 == 0


def test_the_given_landmarks_stay_as_they_are():
    points = landmarks()
    face_box(points, DETECTED, bbox_shift=5)
    assert np.array_equal(points, landmarks())


def test_any_landmarks_give_the_reference_box():
    source = np.random.default_rng(0)
    kinds = set()
    for _ in range(500):
        points = source.normal(60, source.uniform(5, 60), (68, 2))
        shift = int(source.integers(-40, 40))
        expected = reference_path.box_of_landmarks(points, (10, 20, 60, 90), shift)
        box, from_landmarks = face_box(points, DETECTED, bbox_shift=shift)
        assert box == expected
        kinds.add(from_landmarks)
    assert kinds == {True, False}


def test_a_box_is_cut_at_the_frame_on_every_side():
    assert fit_to_frame(FaceBox(-5, -6, 300, 400), 200, 100) == FaceBox(0, 0, 200, 100)


def test_the_margin_grows_the_box_downwards_as_far_as_the_frame_goes():
    box = FaceBox(10, 10, 50, 85)
    assert fit_to_frame(box, 200, 100, extra_margin=10) == FaceBox(10, 10, 50, 95)
    assert fit_to_frame(box, 200, 90, extra_margin=10) == FaceBox(10, 10, 50, 90)


@pytest.mark.parametrize("box", [(210, 10, 260, 60), (195, 10, 260, 60), (10, 98, 60, 140)])
def test_a_box_outside_the_frame_is_no_face(box):
    assert fit_to_frame(FaceBox(*box), 200, 100) is None


def test_cutting_and_stretching_are_opencvs(noise_frame):
    box = FaceBox(7, 11, 70, 102)
    part = noise_frame[11:102, 7:70]
    expected = cv2.resize(part, (256, 256), interpolation=cv2.INTER_LANCZOS4)
    assert np.array_equal(cut_face(noise_frame, box), expected)
    assert np.array_equal(stretch_face(expected, box), cv2.resize(expected, (63, 91)))


def test_colours_are_cut_alike_in_either_order(noise_frame):
    box = FaceBox(7, 11, 70, 102)
    mirrored = np.ascontiguousarray(noise_frame[:, :, ::-1])
    assert np.array_equal(cut_face(noise_frame, box), cut_face(mirrored, box)[:, :, ::-1])


@pytest.fixture
def noise_frame() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (121, 83, 3), np.uint8)
