"""Faces in reduced frames: the same people as at full size, looked at closer in doubt."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from avatarvideo.musetalk.face.choice import FaceChoice
from avatarvideo.musetalk.face.detect import FaceTrack, find_faces
from avatarvideo.musetalk.face.landmarks import CropRules, LandmarkFinder
from avatarvideo.musetalk.face.reduced import LOOK_DISTANCE, detect_reduced, reduced_size
from avatarvideo.musetalk.networks.s3fd import detect_faces
from avatarvideo.musetalk.pipeline.memory import Placement, VRAMManager, plan_stage
from support import tiny_models

SMALL = (slice(320, 322), slice(1280, 1282))  # grey in a reduced frame
ON_SMALL = FaceChoice(point=(1281.0, 321.0))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A soft texture, darker than what the planted detector takes for a face."""
    coarse = np.random.default_rng(3).integers(0, 100, (24, 32, 3), np.uint8)
    return cv2.resize(coarse, (640, 352), interpolation=cv2.INTER_CUBIC) // 2


def large(picture: np.ndarray, *cells: tuple[int, int]) -> np.ndarray:
    """A frame three times as large as it is seen reduced, with faces in these cells of that."""
    small = picture.copy()
    for column, row in cells:
        tiny_models.plant_face(small, column, row)
    return cv2.resize(small, (1920, 1056), interpolation=cv2.INTER_NEAREST)


def looked_at(frames: list[np.ndarray], choice: FaceChoice) -> tuple[FaceTrack, list[int]]:
    """Return the track of a person and the widths at which the detector looked."""
    detector, widths = tiny_models.planted_s3fd(), []
    detector.register_forward_pre_hook(lambda _, inputs: widths.append(inputs[0].shape[3]))
    rules = CropRules(choice, every_frame=False)
    finder = LandmarkFinder(detector, tiny_models.planted_rtmpose(), rules)
    return find_faces(frames, finder), widths


def at_full_size(frames: list[np.ndarray], choice: FaceChoice) -> FaceTrack:
    networks = tiny_models.planted_s3fd(), tiny_models.planted_rtmpose()
    return find_faces(frames, LandmarkFinder(*networks, CropRules(choice)))


def test_a_small_frame_is_seen_as_it_is(picture: np.ndarray) -> None:
    frame = picture.copy()
    tiny_models.plant_face(frame, 6, 5)
    network = tiny_models.planted_s3fd()
    assert detect_reduced(network, frame, 640) == detect_faces(network, frame) != []
    assert detect_reduced(network, picture, 640) == []


def test_faces_seen_in_a_reduced_frame_have_its_full_measures(picture: np.ndarray) -> None:
    small = picture.copy()
    tiny_models.plant_face(small, 12, 8)
    network = tiny_models.planted_s3fd()
    expected = [[3 * edge for edge in face[:4]] for face in detect_faces(network, small)]
    found = detect_reduced(network, large(picture, (12, 8)), 640)
    assert len(found) == 1
    assert np.allclose([face[:4] for face in found], expected)


@pytest.mark.parametrize(
    ("size", "reduced"),
    [
        ((4032, 3024), (1920, 1440)),
        ((1080, 1920), (1080, 1920)),
        ((320, 200), (320, 200)),
        ((20000, 300), (4267, 64)),
        ((2400, 40), (2400, 40)),
    ],
)
def test_a_frame_keeps_its_shape_and_something_to_see(
    size: tuple[int, int], reduced: tuple[int, int]
) -> None:
    assert reduced_size(*size, 1920) == reduced


@pytest.mark.slow
def test_one_person_in_a_large_first_frame_is_seen_reduced(picture: np.ndarray) -> None:
    frames = [cv2.resize(large(picture, (12, 8)), (1280, 704))]
    track, widths = looked_at(frames, FaceChoice())
    assert widths == [640]
    assert track.found.all()
    assert np.array_equal(track.boxes, at_full_size(frames, FaceChoice()).boxes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "choice",
    [FaceChoice(), FaceChoice(index=1), FaceChoice(point=(920.0, 400.0)), ON_SMALL],
    ids=["the largest", "the second", "by a point", "a small one"],
)
def test_who_of_several_speaks_is_decided_at_a_closer_look(
    picture: np.ndarray, choice: FaceChoice
) -> None:
    frame = large(picture, (12, 8), (18, 8))
    frame[SMALL] = tiny_models.WHITE
    track, widths = looked_at([frame], choice)
    assert widths == [640, 1920]
    assert track.found.all()
    assert np.array_equal(track.boxes, at_full_size([frame], choice).boxes)


@pytest.mark.slow
def test_a_closer_look_at_a_huge_frame_is_reduced_too(picture: np.ndarray) -> None:
    frame = cv2.resize(large(picture, (12, 8), (18, 8)), (3840, 2112))
    track, widths = looked_at([frame], FaceChoice())
    assert widths == [640, 1920]
    assert track.found.all()


@pytest.mark.slow
def test_a_person_who_was_found_at_a_closer_look_stays_found(picture: np.ndarray) -> None:
    frame = large(picture, (12, 8))
    frame[SMALL] = tiny_models.WHITE
    track, widths = looked_at([frame] * 20, ON_SMALL)
    assert track.found.all()
    assert widths == [640, 1920, 1920, 1920]


@pytest.mark.slow
def test_a_choice_waits_for_people_to_come(picture: np.ndarray) -> None:
    both = large(picture, (12, 8), (18, 8))
    track, widths = looked_at([large(picture)] * 2 + [both], FaceChoice(index=1))
    assert track.found.tolist() == [False, False, True]
    assert widths == [640, 1920, 640, 640, 1920]


@pytest.mark.slow
def test_a_person_who_left_is_looked_for_closer_now_and_then(picture: np.ndarray) -> None:
    both, other = (
        large(picture, (12, 8), (18, 8)),
        large(picture, (18, 8)),
    )
    choice = FaceChoice(point=(600.0, 400.0))
    track, widths = looked_at([both] + [other] * (LOOK_DISTANCE + 2), choice)
    assert track.found.tolist() == [True] + [False] * (LOOK_DISTANCE + 2)
    assert widths == [640, 1920] + [640, 1920] + [640] * LOOK_DISTANCE + [1920, 640]


@pytest.mark.parametrize(("quality", "seen"), [("high", (2400, 90)), ("medium", (1920, 72))])
def test_memory_is_planned_for_what_the_detector_may_see(
    clips: Any, quality: str, seen: tuple[int, int]
) -> None:
    asked: list[float] = []

    class Asked(VRAMManager):
        def can_load(self, mb: float) -> bool:
            asked.append(mb)
            return True

    avatar = clips.avatar([np.full((90, 2400, 3), 40, np.uint8)])
    models, widths = tiny_models.tiny_models(), []
    assert models.s3fd is not None
    models.s3fd.register_forward_pre_hook(lambda _, shown: widths.append(shown[0].shape[3]))
    place = Placement("cpu", torch.float32)
    plan = plan_stage("faces", models, place, tuning=clips.tuning, frame_size=seen)
    clips.speak(clips.job(avatar, quality=quality), models, vram=Asked("cpu"))
    assert asked == [plan.mb]  # without a face there is no other stage
    assert max(widths) == seen[0]
