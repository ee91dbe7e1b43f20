"""Our own search for faces, on drawn ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avatarvideo.musetalk.lips.eyes import refined_frame
from avatarvideo.musetalk.lips.frame import FaceFrame
from avatarvideo.musetalk.lips.proposals import face_likeness, propose_faces


def drawn_face(frame: FaceFrame, *, size: tuple[int, int] = (320, 400)) -> np.ndarray:
    """Paint a plain face, uint8 RGB, with everything the search looks for."""
    picture = np.full((*size, 3), (96, 110, 120), np.uint8)
    degrees = float(np.degrees(frame.tilt))

    def blob(x: float, y: float, wide: float, high: float, colour: tuple[int, int, int]) -> None:
        centre = frame.to_picture(np.array([x, y]))
        axes = (round(wide * frame.eye_distance), round(high * frame.eye_distance))
        place = (round(float(centre[0])), round(float(centre[1])))
        cv2.ellipse(picture, place, axes, degrees, 0, 360, colour, -1, cv2.LINE_AA)

    blob(0, 0.45, 1.0, 1.35, (215, 170, 145))
    for side in (-1, 1):
        blob(side * 0.5, -0.28, 0.26, 0.05, (90, 60, 45))
        blob(side * 0.5, 0.0, 0.22, 0.10, (240, 235, 230))
        blob(side * 0.5, 0.0, 0.09, 0.09, (40, 25, 20))
        blob(side * 0.12, 0.62, 0.06, 0.04, (110, 60, 50))
    blob(0, 1.1, 0.36, 0.12, (170, 70, 70))
    blob(0, 1.08, 0.36, 0.02, (60, 20, 20))
    return cv2.GaussianBlur(picture, (0, 0), frame.eye_distance / 40)


@pytest.mark.parametrize(
    "frame",
    [
        FaceFrame(200, 130, 50),
        FaceFrame(120, 120, 34),
        FaceFrame(210, 120, 72),
        FaceFrame(200, 130, 55, 0.18),
        FaceFrame(200, 130, 55, -0.18),
    ],
)
def test_the_drawn_face_is_the_first_proposal(frame: FaceFrame) -> None:
    picture = drawn_face(frame)
    best = propose_faces(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), most=5)[0]
    assert best.frame.distance_to(frame) < 0.2
    assert best.frame.eye_distance == pytest.approx(frame.eye_distance, rel=0.15)

    refined = refined_frame(picture, best.frame)
    assert refined.distance_to(frame) < 0.1
    assert refined.eye_distance == pytest.approx(frame.eye_distance, rel=0.1)
    assert refined.tilt == pytest.approx(frame.tilt, abs=0.06)


def test_likeness_is_high_on_the_face_and_low_beside_it() -> None:
    frame = FaceFrame(200, 130, 50)
    picture = drawn_face(frame)
    assert face_likeness(picture, frame) > 0.3
    assert face_likeness(picture, frame.moved(0.6, 0.4)) < 0.15
    assert face_likeness(np.ascontiguousarray(picture[::-1]), FaceFrame(200, 189, 50)) < 0.2


def test_proposals_do_not_lie_on_each_other() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (60, 80), np.uint8)
    grey = cv2.resize(noise, (400, 300), interpolation=cv2.INTER_CUBIC)
    proposals = propose_faces(grey, most=8)
    for index, one in enumerate(proposals):
        assert all(one.frame.distance_to(other.frame) > 0.6 for other in proposals[:index])


def test_a_picture_too_small_for_a_face_has_no_proposals() -> None:
    assert propose_faces(np.zeros((30, 400), np.uint8), most=5) == []
