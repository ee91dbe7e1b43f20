"""Between key frames a face is carried on by its landmarks, and given up where it is in doubt."""

from __future__ import annotations

import logging
from typing import Any

import cv2
import numpy as np
import pytest

from avatarvideo.musetalk.face.detect import find_faces
from avatarvideo.musetalk.face.key_frames import KEY_DISTANCE, FollowedFace
from avatarvideo.musetalk.face.landmarks import CropRules, LandmarkFinder
from avatarvideo.musetalk.networks.s3fd import ScoredBox
from support import tiny_models

FACE = ScoredBox(60, 40, 140, 140, 0.9)
POINTS = np.array([[70.0, 60], [130, 60], [100, 90], [100, 130]])


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A soft texture, darker than what the planted detector takes for a face."""
    coarse = np.random.default_rng(3).integers(0, 100, (24, 32, 3), np.uint8)
    return cv2.resize(coarse, (243, 181), interpolation=cv2.INTER_CUBIC) // 2


@pytest.fixture
def followed(picture: np.ndarray) -> FollowedFace:
    face = FollowedFace.seen(picture, FACE, POINTS, alone=True)
    assert face is not None
    return face


def shifted(picture: np.ndarray, x: float, y: float, scale: float = 1.0) -> np.ndarray:
    turn = np.array([[scale, 0, x], [0, scale, y]], float)
    size = picture.shape[1], picture.shape[0]
    return cv2.warpAffine(picture, turn, size, borderMode=cv2.BORDER_REPLICATE)


def finder(**options: Any) -> LandmarkFinder:
    networks = tiny_models.planted_s3fd(), tiny_models.planted_rtmpose()
    return LandmarkFinder(*networks, CropRules(every_frame=False, **options))


def test_the_mirrored_picture_is_seen_once_to_tell_what_it_changes(picture: np.ndarray) -> None:
    frame = picture.copy()
    tiny_models.plant_face(frame, 3, 3)
    plain, both = finder(mirrored=False), finder()
    looks: list[int] = []
    plain._rtmpose.register_forward_hook(lambda *_: looks.append(len(looks)))
    seen = [plain.find(frame) for _ in range(3)]
    assert len(looks) == 3 + 2  # the first frame's three
    assert seen[0] is not None
    assert seen == seen[:1] * 3
    assert plain.unmirrored is not None
    assert both.find(frame) is not None
    assert both.unmirrored is None


@pytest.mark.parametrize(("x", "y", "scale"), [(0, 0, 1), (6, -4, 1), (-9, 2, 1.08), (-2, 5, 0.95)])
def test_the_box_moves_and_grows_with_the_landmarks(
    picture: np.ndarray, followed: FollowedFace, x: float, y: float, scale: float
) -> None:
    later = followed.moved(shifted(picture, x, y, scale), POINTS * scale + [x, y])
    assert later is not None
    assert np.allclose(later.face[:2], np.array(FACE[:2]) * scale + [x, y])
    assert np.allclose(later.face[2:4], np.array(FACE[2:4]) * scale + [x, y])
    assert later.age == 1


def test_a_leap_another_size_or_another_picture_is_doubted(
    picture: np.ndarray, followed: FollowedFace
) -> None:
    assert followed.moved(shifted(picture, 20, 0), POINTS + np.array([20, 0])) is None
    assert followed.moved(shifted(picture, 0, 0, 1.3), POINTS * 1.3) is None
    assert followed.moved(picture[::-1].copy(), POINTS) is None
    assert followed.moved(np.zeros_like(picture), POINTS) is None
    assert followed.moved(picture, POINTS - 500) is None


@pytest.mark.slow
def test_on_a_head_that_keeps_still_the_detector_looks_at_every_eighth_frame(
    picture: np.ndarray,
) -> None:
    frame = picture.copy()
    tiny_models.plant_face(frame, 6, 5)
    count = 2 * KEY_DISTANCE + 1
    keyed, networks = (
        finder(),
        (tiny_models.planted_s3fd(), tiny_models.planted_rtmpose()),
    )
    track = find_faces([frame] * count, keyed)
    every = find_faces([frame] * count, LandmarkFinder(*networks, CropRules()))
    assert np.array_equal(track.boxes, every.boxes)
    assert keyed.detections == 3


def test_a_face_that_goes_is_missed_at_once_and_found_again(picture: np.ndarray) -> None:
    frame = picture.copy()
    tiny_models.plant_face(frame, 6, 5)
    empty = picture[:, ::-1].copy()
    track = find_faces([frame, frame, empty, empty, frame, frame], finder())
    assert track.found.tolist() == [True, True, False, False, True, True]


@pytest.mark.slow
@pytest.mark.parametrize(("quality", "looks"), [("high", 12), ("medium", 2), ("low", 1)])
def test_the_quality_that_equals_the_reference_detects_in_every_frame(
    clips: Any, caplog: pytest.LogCaptureFixture, quality: str, looks: int
) -> None:
    avatar = clips.avatar(clips.frames("f") * 12)
    with caplog.at_level(logging.INFO, logger="avatarvideo"):
        clip = clips.speak(clips.job(avatar, seconds=0.48, quality=quality))
    assert f"looked at {looks} of 12 frames" in caplog.text
    assert clip.playback.track.found.all()
