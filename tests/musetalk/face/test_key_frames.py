"""Between key frames a face is carried on by its landmarks, and given up where it is in doubt."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from avatarvideo.musetalk.face.detect import FaceChoice, LandmarkFinder, find_faces
from avatarvideo.musetalk.face.key_frames import KEY_DISTANCE, FollowedFace, detect_reduced
from avatarvideo.musetalk.face.s3fd import ScoredBox, detect_faces
from avatarvideo.musetalk.prepare import FaceSearch
from avatarvideo.musetalk.prepared import PreparedCache

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


def finder(tiny: ModuleType, **options: Any) -> LandmarkFinder:
    networks = tiny.planted_s3fd(), tiny.planted_rtmpose()
    return LandmarkFinder(*networks, FaceChoice(), every_frame=False, **options)


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


def test_a_small_frame_is_seen_as_it_is(tiny: ModuleType, picture: np.ndarray) -> None:
    frame = picture.copy()
    tiny.plant_face(frame, 6, 5)
    network = tiny.planted_s3fd()
    assert detect_reduced(network, frame, 640) == detect_faces(network, frame)
    assert detect_reduced(network, picture, 640) == []


def large(tiny: ModuleType, picture: np.ndarray, *cells: tuple[int, int]) -> np.ndarray:
    """A frame twice as large as the detector sees reduced, with faces in these cells of that."""
    half = cv2.resize(picture, (640, 352))
    for column, row in cells:
        tiny.plant_face(half, column, row)
    return cv2.resize(half, (1280, 704), interpolation=cv2.INTER_NEAREST)


def looked_at(frames: list[np.ndarray], tiny: ModuleType, choice: FaceChoice) -> tuple[Any, list]:
    """Return the track of a person and the widths at which the detector looked."""
    detector, widths = tiny.planted_s3fd(), []
    detector.register_forward_pre_hook(lambda _, inputs: widths.append(inputs[0].shape[3]))
    follower = LandmarkFinder(detector, tiny.planted_rtmpose(), choice, every_frame=False)
    return find_faces(frames, follower), widths


def test_one_person_in_a_large_first_frame_is_detected_reduced(
    tiny: ModuleType, picture: np.ndarray
) -> None:
    frame = large(tiny, picture, (12, 8))
    track, widths = looked_at([frame], tiny, FaceChoice())
    networks = tiny.planted_s3fd(), tiny.planted_rtmpose()
    every = find_faces([frame], LandmarkFinder(*networks, FaceChoice()))
    assert widths == [640]
    assert track.found.all()
    assert np.array_equal(track.boxes, every.boxes)


@pytest.mark.parametrize(
    ("cells", "choice"),
    [
        (((12, 8), (30, 8)), FaceChoice()),  # who of two
        (((12, 8),), FaceChoice(index=1)),  # one that was not seen
        (((12, 8),), FaceChoice(point=(1000, 600))),
        ((), FaceChoice()),
    ],
)
def test_who_speaks_is_decided_at_a_closer_look(
    tiny: ModuleType, picture: np.ndarray, cells: Any, choice: FaceChoice
) -> None:
    frame = large(tiny, picture, *cells)
    track, widths = looked_at([frame], tiny, choice)
    networks = tiny.planted_s3fd(), tiny.planted_rtmpose()
    every = find_faces([frame], LandmarkFinder(*networks, choice))
    assert widths == [640, 1280]
    assert np.array_equal(track.boxes, every.boxes)


def test_a_face_too_small_for_the_reduced_frame_is_found(
    tiny: ModuleType, picture: np.ndarray
) -> None:
    frame = cv2.resize(picture, (1920, 1088))
    frame[320:322, 640:642] = tiny.WHITE  # grey in the reduced frame
    track, widths = looked_at([frame], tiny, FaceChoice())
    assert widths == [640, 1920]
    assert track.found.all()


@pytest.mark.parametrize(("quality", "size"), [("high", (2400, 64)), ("medium", (1920, 51))])
def test_memory_is_planned_for_what_the_detector_may_see(
    tiny: ModuleType, clips: Any, quality: str, size: tuple[int, int]
) -> None:
    avatar = clips.avatar([np.full((64, 2400, 3), 40, np.uint8)])
    search = FaceSearch(clips.job(avatar, quality=quality), tiny.tiny_models(), PreparedCache())
    assert search.seen_size == size
    widths: list[int] = []
    networks = {"s3fd": tiny.planted_s3fd(), "rtmpose": tiny.planted_rtmpose()}
    networks["s3fd"].register_forward_pre_hook(lambda _, seen: widths.append(seen[0].shape[3]))
    search.find(networks, lambda _: None)
    assert max(widths) == size[0]


def test_a_person_who_left_is_not_looked_for_closer_while_others_are_seen(
    tiny: ModuleType, picture: np.ndarray
) -> None:
    both, other = large(tiny, picture, (12, 8), (30, 8)), large(tiny, picture, (30, 8))
    track, widths = looked_at([both, other], tiny, FaceChoice(point=(400, 270), reach=2))
    assert widths == [640, 1280, 640]
    assert track.found.tolist() == [True, False]


def test_faces_seen_in_a_reduced_frame_have_its_full_measures(
    tiny: ModuleType, picture: np.ndarray
) -> None:
    half = cv2.resize(picture, (640, 352))
    tiny.plant_face(half, 12, 8)
    network = tiny.planted_s3fd()
    expected = [[2 * edge for edge in face[:4]] for face in detect_faces(network, half)]
    whole = cv2.resize(half, (1280, 704), interpolation=cv2.INTER_NEAREST)
    found = detect_reduced(network, whole, 640)
    assert len(found) == 1
    assert np.allclose([face[:4] for face in found], expected)


def test_on_a_head_that_keeps_still_the_detector_looks_at_every_eighth_frame(
    tiny: ModuleType, picture: np.ndarray
) -> None:
    frame = picture.copy()
    tiny.plant_face(frame, 6, 5)
    count = 2 * KEY_DISTANCE + 1
    keyed, networks = finder(tiny), (tiny.planted_s3fd(), tiny.planted_rtmpose())
    track = find_faces([frame] * count, keyed)
    every = find_faces([frame] * count, LandmarkFinder(*networks, FaceChoice()))
    assert np.array_equal(track.boxes, every.boxes)
    assert keyed.detections == 3


def test_a_face_that_goes_is_missed_at_once_and_found_again(
    tiny: ModuleType, picture: np.ndarray
) -> None:
    frame = picture.copy()
    tiny.plant_face(frame, 6, 5)
    empty = picture[:, ::-1].copy()
    track = find_faces([frame, frame, empty, empty, frame, frame], finder(tiny))
    assert track.found.tolist() == [True, True, False, False, True, True]


@pytest.mark.parametrize(("quality", "looks"), [("high", 12), ("medium", 2)])
def test_the_quality_that_equals_the_reference_detects_in_every_frame(
    clips: Any, caplog: pytest.LogCaptureFixture, quality: str, looks: int
) -> None:
    avatar = clips.avatar(clips.frames("f") * 12)
    with caplog.at_level(logging.INFO, logger="avatarvideo"):
        clip = clips.speak(clips.job(avatar, seconds=0.48, quality=quality))
    assert f"looked at {looks} of 12 frames" in caplog.text
    assert clip.track.found.all()
