"""Which face speaks, where its box lies, and that it stays the same person."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from avatarvideo.media import Box, FaceLocation, LipCorners, LipShape
from avatarvideo.musetalk.face.choice import FaceChoice
from avatarvideo.musetalk.face.crop import FaceBox
from avatarvideo.musetalk.face.detect import LipFollower, box_around_lips, find_faces
from avatarvideo.musetalk.face.landmarks import CropFinder, CropRules, FoundFace, LandmarkFinder
from avatarvideo.musetalk.networks.s3fd import detect_faces
from support import tiny_models

WHITE, RED = (255, 255, 255), (255, 0, 0)


@pytest.fixture(scope="module")
def dark() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 100, (181, 243, 3), np.uint8)


@pytest.fixture
def finder() -> Any:
    def make(choice: FaceChoice | None = None, **options: Any) -> LandmarkFinder:
        return LandmarkFinder(
            tiny_models.planted_s3fd(),
            tiny_models.planted_rtmpose(),
            CropRules(choice or FaceChoice(), **options),
        )

    return make


def test_the_planted_detector_sees_what_was_drawn(dark):
    network = tiny_models.planted_s3fd()
    assert detect_faces(network, dark) == []
    frame = dark.copy()
    tiny_models.plant_face(frame, 6, 5)
    tiny_models.plant_face(frame, 12, 4, RED)
    red, white = detect_faces(network, frame)
    assert np.allclose(red[:4], (168, 40, 232, 104))  # surer, but smaller
    assert np.allclose(white[:4], (61.5, 45.5, 146.5, 130.5), atol=0.01)


def test_the_box_comes_from_landmarks_of_the_whole_frame(dark, finder):
    frame = dark.copy()
    tiny_models.plant_face(frame, 6, 5)
    found = finder().find(frame)
    # RTMPose is shown 303.75 x 405 pixels: left 0.15625, right 0.4375, bridge 0.40625, chin 0.5.
    assert found == FoundFace(FaceBox(17, 14, 102, 90), True, (0, 0))


def test_the_box_can_come_from_landmarks_of_the_detected_face(dark, finder):
    frame = dark.copy()
    tiny_models.plant_face(frame, 12, 4, RED)
    found = finder(landmarks_on="detected box").find(frame)
    # It is shown 80 x 106.67 pixels around (200, 72).
    x0, x1 = 160 + 80 * 0.15625, 160 + 80 * 0.4375
    y0, y1 = 72 - 53.333 + 106.667 * 0.40625, 72
    assert found.box == FaceBox(int(x0), 2 * int(y0) - int(y1), int(x1), int(y1))


def test_a_frame_without_a_face_gives_none(dark, finder):
    assert finder().find(dark) is None


def test_landmarks_on_somebody_else_are_looked_for_again(dark, finder):
    frame = dark.copy()
    tiny_models.plant_face(frame, 12, 8)  # the landmarks of the whole frame lie further left
    tiny_models.plant_face(frame, 12, 2, RED)
    alone = frame.copy()
    alone[:64] = 0
    assert finder().find(alone).box == FaceBox(17, 14, 102, 90)
    assert finder().find(frame).box.x0 > 140


def test_a_track_holds_one_record_per_frame(dark, finder):
    with_face = dark.copy()
    tiny_models.plant_face(with_face, 6, 5)
    counted: list[int] = []
    track = find_faces(
        [with_face, dark, with_face], finder(), extra_margin=10, on_frame=counted.append
    )
    assert track.boxes.tolist() == [[17, 14, 102, 100], [0, 0, 0, 0], [17, 14, 102, 100]]
    assert track.found.tolist() == [True, False, True]
    assert track.box(0) == FaceBox(17, 14, 102, 100)
    assert track.box(1) is None
    assert track.method == "landmarks"
    assert counted == [1, 2, 3]


def test_a_shift_moves_the_box_up_by_two_pixels_for_one(dark, finder):
    frame = dark.copy()
    tiny_models.plant_face(frame, 6, 5)
    assert finder(bbox_shift=5).find(frame).box == FaceBox(17, 24, 102, 90)


class ScriptedFinder(CropFinder):
    """Gives the faces it was made with."""

    method, detections, without_numbers = "landmarks", 0, 0

    def __init__(self, *faces: FoundFace | None) -> None:
        self._faces = iter(faces)

    def find(self, frame: np.ndarray) -> FoundFace | None:
        return next(self._faces)


def test_the_range_of_shifts_is_the_mean_over_faces_with_landmarks(dark):
    box = FaceBox(10, 10, 90, 90)
    faces = (
        FoundFace(box, True, (4, 6)),
        FoundFace(box, True, (6, 10)),
        FoundFace(box, False, (90, 90)),
        None,
    )
    track = find_faces([dark] * 4, ScriptedFinder(*faces))
    assert track.shift_range() == (-8, 5)
    assert find_faces([dark], ScriptedFinder(None)).shift_range() is None


def test_a_box_beyond_the_frame_is_cut_and_one_outside_is_no_face(dark):
    faces = (FoundFace(FaceBox(-20, -5, 400, 300)), FoundFace(FaceBox(300, 10, 400, 90)))
    track = find_faces([dark] * 2, ScriptedFinder(*faces), extra_margin=10)
    assert track.boxes.tolist() == [[0, 0, 243, 181], [0, 0, 0, 0]]


def lips(x: float = 100, y: float = 120, width: float = 38) -> LipShape:
    corners = LipCorners(x - width / 2, y, x + width / 2, y)
    return LipShape(corners, np.zeros((4, 33), np.float32))


def test_a_box_from_lips_spans_forehead_chin_and_cheeks():
    location = FaceLocation(None, lips(), 1.0, "user", "")
    # A mouth of 38 pixels belongs to eyes 50 apart.
    assert box_around_lips(location) == FaceBox(46, 14, 153, 157)
    assert box_around_lips(location, bbox_shift=4) == FaceBox(46, 22, 153, 157)


def test_the_face_box_says_the_size_where_there_is_one():
    side = 100 / 0.378
    location = FaceLocation(Box(0, 0, side, side), lips(), 1.0, "template", "")
    box = box_around_lips(location)
    assert box is not None
    assert box.width == pytest.approx(214, abs=1)


def test_no_lips_give_no_box():
    location = FaceLocation(Box(0, 0, 100, 100), None, 0.0, "none", "")
    assert box_around_lips(location) is None


def test_without_networks_the_users_corners_are_the_face(dark):
    finder = LipFollower(corners=LipCorners(101, 120, 139, 120))
    track = find_faces([dark, dark], finder)
    assert track.found.tolist() == [True, True]
    assert track.box(0) == FaceBox(66, 14, 173, 157)
    assert track.method == "user"


def test_without_networks_a_picture_of_noise_has_no_face(dark):
    assert not find_faces([dark], LipFollower()).found.any()
