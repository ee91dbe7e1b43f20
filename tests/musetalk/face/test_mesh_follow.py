"""MuseTalk's box by the face mesh: the reference's rule on 68 of its points, and one person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from avatarvideo.errors import CheckpointError
from avatarvideo.media import Box
from avatarvideo.musetalk.face.choice import FaceChoice
from avatarvideo.musetalk.face.crop import FaceBox
from avatarvideo.musetalk.face.detect import find_faces
from avatarvideo.musetalk.face.finder import crop_finder, locate_face
from avatarvideo.musetalk.face.landmarks import CropRules, FoundFace, LandmarkFinder
from avatarvideo.musetalk.face.mesh_follow import LANDMARKS_68, MeshFollower, landmarks_of
from avatarvideo.musetalk.face.mesh_networks import Detection, FaceMesh
from avatarvideo.musetalk.lips.frame import FaceFrame
from support import tiny_models


def planted_mesh(
    x: float = 0.0,
    y: float = 0.0,
    confidence: float = 1.0,
    others: tuple[float, float] = (-900, 900),
) -> FaceMesh:
    """A face whose listed points are at known places; the others lie far outside."""
    points = np.full((478, 2), others, float)
    points[list(LANDMARKS_68)] = (110, 150)
    for number, place in {
        162: (50.9, 130),  # the jaw's ends and the chin
        389: (171.2, 131),
        152: (111, 200.7),
        197: (110, 100.9),  # the nose bridge
        5: (110, 120.2),
        4: (110, 143.9),
        33: (80, 118),  # the outer eye corners
        263: (140, 118),
    }.items():
        points[number] = place
    return FaceMesh(points + np.array([x, y]), confidence)


class Planted:
    """Networks that see planted faces wherever they look; knows how often they looked."""

    def __init__(self, *faces: FaceMesh) -> None:
        self.faces = list(faces)
        self.detections = self.looks = 0

    def detect(self, picture: np.ndarray) -> list[Detection]:
        self.detections += 1
        return [
            Detection(0.9, Box(*np.ravel(_bounds(face))), face.points[[33, 263]])
            for face in self.faces
        ]

    def look(self, picture: np.ndarray, square: FaceFrame) -> FaceMesh | None:
        self.looks += 1

        def distance(face: FaceMesh) -> float:
            return float(np.hypot(*(np.mean(_bounds(face), axis=0) - (square.x, square.y))))

        return min(self.faces, key=distance, default=None)


def _bounds(face: FaceMesh) -> np.ndarray:
    listed = landmarks_of(face)
    return np.stack([listed.min(axis=0), listed.max(axis=0)])


FRAME = np.random.default_rng(3).integers(0, 255, (240, 320, 3), np.uint8)


def test_the_68_points_are_in_the_usual_order() -> None:
    points = np.stack([np.arange(478.0), np.arange(478.0)], axis=1)
    found = landmarks_of(FaceMesh(points, 1.0))[:, 0].astype(int).tolist()
    assert len(found) == 68
    assert (found[0], found[8], found[16]) == (162, 152, 389)  # jaw from side to side
    assert found[27:31] == [168, 197, 5, 4]  # the bridge, downwards
    assert (found[36], found[45]) == (33, 263)  # outer eye corners
    assert (found[48], found[51], found[54], found[57]) == (61, 0, 291, 17)  # outer lips
    assert (found[60], found[62], found[64], found[66]) == (78, 13, 308, 14)  # inner lips


def test_the_box_of_planted_points_is_exactly_the_references() -> None:
    points = landmarks_of(planted_mesh())
    found = FoundFace.of(points, (0, 0, 9, 9), bbox_shift=0)
    # Whole pixels; the middle at the lower bridge, as far up as the chin is below it.
    assert found == FoundFace(FaceBox(50, 2 * 120 - 200, 171, 200), True, (20, 23))
    shifted = FoundFace.of(points, (0, 0, 9, 9), bbox_shift=7)
    assert shifted.box == FaceBox(50, 2 * 127 - 200, 171, 200)


def test_the_follower_gives_that_box_and_looks_little() -> None:
    networks: Any = Planted(planted_mesh())
    finder = MeshFollower(networks, CropRules(bbox_shift=7, every_frame=False))
    boxes = [finder.find(FRAME) for _ in range(16)]
    assert {found and found.box for found in boxes} == {FaceBox(50, 54, 171, 200)}
    assert (finder.method, finder.detections, networks.detections) == ("face mesh", 2, 2)
    assert networks.looks == 2 * 2 + 14  # twice where it was detected, once where it was followed
    each = MeshFollower(networks, CropRules())
    assert [each.find(FRAME) is not None for _ in range(3)] == [True] * 3
    assert each.detections == 3


def test_several_faces_go_by_size_and_by_point_and_stay_the_same() -> None:
    large, small = planted_mesh(others=(110, 150)), planted_mesh(400, others=(110, 150))
    small = FaceMesh(small.points * 0.5, 1.0)
    networks: Any = Planted(small, large)
    frame = np.zeros((300, 600, 3), np.uint8)

    def x0_by(choice: FaceChoice) -> list[int]:
        finder = MeshFollower(networks, CropRules(choice, every_frame=False))
        found = [finder.find(frame) for _ in range(3)]
        return [one.box.x0 for one in found if one is not None]

    assert x0_by(FaceChoice()) == [50] * 3
    assert x0_by(FaceChoice(1)) == [225] * 3
    assert x0_by(FaceChoice(2)) == []
    assert x0_by(FaceChoice(point=(255, 80))) == [225] * 3
    assert x0_by(FaceChoice(point=(20, 290))) == []


def test_a_face_that_is_gone_gives_no_box_and_comes_back() -> None:
    networks: Any = Planted(planted_mesh())
    finder = MeshFollower(networks, CropRules(every_frame=False))
    assert finder.find(FRAME) is not None
    networks.faces = [planted_mesh(confidence=0.2)]
    assert finder.find(FRAME) is None
    networks.faces = [planted_mesh(3, 2)]
    found = finder.find(FRAME)
    assert found is not None
    assert found.box.x0 == 53


def test_frames_without_a_face_are_not_searched_in_parts_each_time() -> None:
    networks: Any = Planted()
    finder = MeshFollower(networks, CropRules())
    frame = np.zeros((400, 400, 3), np.uint8)
    for _ in range(8):
        assert finder.find(frame) is None
    assert networks.detections == 8 + 9  # the whole picture each time, its nine parts once
    assert finder.find(frame) is None
    assert networks.detections == 8 + 9 + 10


@pytest.mark.slow
def test_whose_landmarks_are_taken(mesh_models: Path, tmp_path: Path) -> None:
    networks: Any = {"s3fd": tiny_models.planted_s3fd(), "rtmpose": tiny_models.planted_rtmpose()}
    rules = CropRules(model_folders=(mesh_models,))

    def kind(networks: Any, **changes: Any) -> type:
        return type(crop_finder(networks, replace(rules, **changes)))

    assert kind(networks) is LandmarkFinder
    assert kind({}) is MeshFollower
    assert kind(networks, landmarks="face mesh") is MeshFollower
    assert kind({}, landmarks="reference") is type(None)
    assert kind({}, model_folders=(tmp_path,)) is type(None)


@pytest.fixture
def person(real_data: Path) -> np.ndarray:
    """A portrait in the size of the small clips, the face some 50 pixels wide."""
    picture = cv2.imread(str(real_data / "portrait_bouguereau.jpg"))
    assert picture is not None
    return cv2.resize(picture[60:420, 110:594, ::-1], (243, 181), interpolation=cv2.INTER_AREA)


def rules_of(folder: Path, **options: Any) -> CropRules:
    return CropRules(model_folders=(folder,), landmarks="face mesh", **options)


@pytest.mark.slow
def test_a_moving_portrait_is_followed_by_its_last_points(
    person: np.ndarray, mesh_models: Path
) -> None:
    shifts = np.rint(6 * np.sin(np.arange(12) / 3)).astype(int)
    frames = [np.roll(person, shift, axis=1) for shift in shifts]
    quick, exact = (
        crop_finder({}, rules_of(mesh_models, every_frame=each)) for each in (False, True)
    )
    assert quick is not None
    assert exact is not None
    followed, detected = find_faces(frames, quick), find_faces(frames, exact)
    assert (quick.detections, exact.detections) == (2, 12)
    assert followed.found.all()
    assert np.abs(followed.boxes - detected.boxes).max() <= 2
    moved = followed.boxes[:, 0] - followed.boxes[0, 0]
    assert np.abs(moved - (shifts - shifts[0])).max() <= 2


def test_the_box_holds_the_lips_that_load_avatar_shows(
    person: np.ndarray, mesh_models: Path
) -> None:
    finder = crop_finder({}, rules_of(mesh_models))
    found = finder.find(person) if finder else None
    shown = locate_face(person, model_folders=[mesh_models])
    assert found is not None
    assert shown.lips is not None
    x0, y0, x1, y1 = shown.lips.corners
    box = found.box
    assert box.x0 < x0 < x1 < box.x1
    assert (box.y0 + box.y1) / 2 < min(y0, y1)  # the mouth lies in the half that is generated
    assert max(y0, y1) < box.y1


def meshed(clips: Any, person: np.ndarray, folder: Path, **options: Any) -> Any:
    job = clips.job(clips.avatar([person]), seconds=0.04, mask=clips.everywhere, **options)
    return replace(job, model_folders=(folder,))


@pytest.mark.slow
def test_the_report_says_whose_landmarks_were_taken(
    clips: Any, person: np.ndarray, mesh_models: Path
) -> None:
    without = clips.tiny.tiny_models()
    without.s3fd = without.rtmpose = None
    job = meshed(clips, person, mesh_models)
    first = clips.speak(job, without)
    assert (first.report["face_method"], first.report["source_frames_with_face"]) == (
        "face mesh",
        1,
    )
    there = clips.CountingModels()
    asked = clips.speak(meshed(clips, person, mesh_models, landmarks="face mesh"), there)
    assert asked.report["face_method"] == "face mesh"
    assert not {"s3fd", "rtmpose"} & set(there.loaded)
    assert np.array_equal(asked.playback.track.boxes, first.playback.track.boxes)


@pytest.mark.slow
def test_reference_landmarks_stay_to_the_bit(clips: Any, mesh_models: Path) -> None:
    plain = clips.job("f", seconds=0.04, mask=clips.everywhere)
    meshes = replace(plain, model_folders=(mesh_models,))
    asked = clips.job("f", seconds=0.04, mask=clips.everywhere, landmarks="reference")
    spoken = [clips.speak(job) for job in (plain, meshes, asked)]
    assert [one.report["face_method"] for one in spoken] == ["landmarks"] * 3
    pictures = [next(one.playback.frames()) for one in spoken]
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)


@pytest.mark.slow
def test_landmarks_whose_files_are_missing_are_named(
    clips: Any, person: np.ndarray, tmp_path: Path
) -> None:
    without = clips.tiny.tiny_models()
    without.s3fd = without.rtmpose = None
    with pytest.raises(CheckpointError) as caught:
        clips.speak(meshed(clips, person, tmp_path, landmarks="reference"), without)
    assert str(caught.value) == (
        "Expected the files of S3FD and RTMPose for landmarks reference, found them missing: "
        "run `avatar models download` or choose landmarks auto."
    )
    with pytest.raises(CheckpointError, match="get it with `avatar models download face-mesh`"):
        clips.speak(meshed(clips, person, tmp_path, landmarks="face mesh"), without)
