"""Lips are followed through a video: exactly, without jitter, and found again when lost."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from avatarvideo.media import Box, FaceLocation, LipCorners
from avatarvideo.musetalk.face.finder import locate_again, locate_face
from avatarvideo.musetalk.lips.tracking import LipTracker

PORTRAIT = Path(__file__).resolve().parents[3] / "web" / "samples" / "portrait.png"
CORNERS = np.array([[352.0, 437.0], [441.0, 440.0]]) * 0.75


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    bgr = cv2.imread(str(PORTRAIT))
    assert bgr is not None
    portrait = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return cv2.resize(portrait, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)


@pytest.fixture
def tracker(picture: np.ndarray) -> LipTracker:
    given = locate_face(picture, corners=LipCorners(*CORNERS.ravel()))
    return LipTracker(picture, given, locate_again)


def moved(picture: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a later frame of a head that sways, nods and comes nearer, and its lip corners."""
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 1.5 * step, 1 + 0.015 * step)
    turn[:, 2] += (4 * step, -3 * step)
    frame = cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return frame, CORNERS @ turn[:, :2].T + turn[:, 2]


def corners_of(location: FaceLocation) -> np.ndarray:
    assert location.lips is not None, location.reason
    return np.array(location.lips.corners).reshape(2, 2)


def test_lips_stay_on_a_moving_head(picture: np.ndarray, tracker: LipTracker) -> None:
    width = np.hypot(*(CORNERS[1] - CORNERS[0]))
    for step in range(1, 9):
        frame, expected = moved(picture, step)
        found = corners_of(tracker.follow(frame))
        assert np.hypot(*(found - expected).T).max() < 0.03 * width


def test_lips_on_a_still_head_do_not_jitter(picture: np.ndarray, tracker: LipTracker) -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(6):
        noise = rng.integers(-4, 5, picture.shape)
        frame = np.clip(picture.astype(np.int16) + noise, 0, 255).astype(np.uint8)
        found.append(corners_of(tracker.follow(frame)))
    assert np.std(found, axis=0).max() < 0.1


@pytest.mark.slow
def test_found_lips_are_followed_like_given_ones(picture: np.ndarray) -> None:
    location = locate_face(picture)
    before = corners_of(location)
    after = corners_of(LipTracker(picture, location, locate_again).follow(picture))
    assert np.abs(after - before).max() < 0.02 * np.hypot(*(before[1] - before[0]))


@pytest.mark.slow
def test_lips_are_none_while_the_face_is_hidden_and_come_back(
    picture: np.ndarray, tracker: LipTracker
) -> None:
    hidden = np.zeros_like(picture)
    assert [tracker.follow(hidden).lips for _ in range(3)] == [None] * 3
    assert np.abs(corners_of(tracker.follow(picture)) - CORNERS).max() < 1.0


def test_outline_breathes_with_the_mouth_between_given_corners(
    picture: np.ndarray, tracker: LipTracker
) -> None:
    location = tracker.follow(picture)
    assert location.lips is not None
    assert location.method == "user"
    assert (np.diff(location.lips.curves[:, 5:-5], axis=0) >= -1e-6).all()


@pytest.mark.slow
def test_a_face_that_appears_later_is_found(picture: np.ndarray) -> None:
    empty = np.full_like(picture, 128)
    tracker = LipTracker(empty, locate_face(empty), locate_again)
    found = tracker.follow(picture)
    assert found.lips is not None
    assert isinstance(found.box, Box)


def test_lost_lips_are_searched_less_and_less_and_the_gaps_are_told(picture: np.ndarray) -> None:
    empty, searched = np.full_like(picture, 128), list[Box | None]()
    known = locate_face(picture, corners=LipCorners(*CORNERS.ravel()))

    def search(frame: np.ndarray, near: Box | None) -> FaceLocation:
        searched.append(near)
        return locate_face(empty[:40, :40]) if frame is empty else known

    tracker = LipTracker(empty, locate_face(empty[:40, :40]), search)
    for _ in range(9):
        assert tracker.follow(empty).lips is None
    assert searched == [None] * 4  # after 1, 2, 4 and 8 frames
    told = []
    for _ in range(8):
        lips = tracker.follow(picture).lips
        told.append((lips is not None, tracker.begins, tracker.skipped))
    # The search after 16 frames finds them, and seven before it had none.
    assert told[:6] == [(False, True, 0)] * 6
    assert told[6:] == [(True, True, 7), (True, False, 0)]
    back = tracker.alone_from(picture, known)
    assert back.follow(picture).lips is not None
    assert [back.follow(empty).lips for _ in range(3)] == [None] * 3
    assert len(searched) == 5
