"""Faces and lips found without weights: right or refused."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatarvideo.errors import Cancelled, MediaError
from avatarvideo.media import FaceLocation, LipCorners
from avatarvideo.musetalk.face.finder import (
    LipTemplate,
    Sought,
    faces_beside,
    locate,
    locate_face,
)
from avatarvideo.musetalk.face.overlay import draw_overlay
from avatarvideo.musetalk.lips.confidence import JudgedLips, judge_lips
from avatarvideo.musetalk.lips.frame import FaceFrame
from avatarvideo.musetalk.lips.search import Candidate, keeps_from
from avatarvideo.musetalk.puppet.pose import MouthPose
from avatarvideo.musetalk.puppet.puppet import Puppet

SAMPLES = Path(__file__).resolve().parents[3] / "web" / "samples"
# Lip corners read off enlarged crops by eye: x0, y0, x1, y1 in pixels.
MARKED = {
    "portrait_bouguereau.jpg": LipCorners(334.0, 307.5, 374.0, 308.5),
    "portrait_sargent_chanler_1893.jpg": LipCorners(265.0, 217.0, 295.5, 220.5),
}


def skimage_picture(name: str) -> np.ndarray:
    """A photograph that ships inside scikit-image; in CI its absence is a failure."""
    if os.environ.get("CI"):
        data = importlib.import_module("skimage.data")
    else:
        data = pytest.importorskip("skimage.data")
    return getattr(data, name)()


def read_rgb(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def corner_error(found: LipCorners, marked: LipCorners) -> float:
    """Return the larger distance of the two corners in mouth widths."""
    width = np.hypot(marked.x1 - marked.x0, marked.y1 - marked.y0)
    apart = np.subtract(found, marked)
    return float(max(np.hypot(*apart[:2]), np.hypot(*apart[2:])) / width)


@pytest.fixture(params=["cascade", "own search"])
def _search(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with OpenCV's cascade where it has one, once as under OpenCV 5, which has none."""
    if request.param == "own search":
        monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)


def right_or_refused(location: FaceLocation, marked: LipCorners) -> bool:
    return location.lips is None or corner_error(location.lips.corners, marked) < 0.15


@pytest.mark.slow
@pytest.mark.usefixtures("_search")
@pytest.mark.parametrize("name", sorted(MARKED))
def test_painted_portrait_is_located_right(real_data: Path, name: str) -> None:
    location = locate_face(read_rgb(real_data / name))
    assert location.lips is not None, location.reason
    assert corner_error(location.lips.corners, MARKED[name]) < 0.15


@pytest.mark.slow
@pytest.mark.usefixtures("_search")
def test_a_search_ends_where_its_check_says() -> None:
    portrait = read_rgb(SAMPLES / "portrait.png")

    def asked_until(last: float) -> int:
        asked = 0

        def check() -> None:
            nonlocal asked
            asked += 1
            if asked == last:
                raise Cancelled("enough")

        with contextlib.nullcontext() if last == math.inf else pytest.raises(Cancelled):
            locate_face(portrait, check=check)
        return asked

    steps = asked_until(math.inf)
    assert steps > 1
    assert [asked_until(last) for last in range(1, steps + 1)] == list(range(1, steps + 1))


@pytest.mark.slow
def test_bundled_portrait_is_located_right() -> None:
    location = locate_face(read_rgb(SAMPLES / "portrait.png"))
    assert location.lips is not None, location.reason
    assert corner_error(location.lips.corners, LipCorners(352, 437, 441, 440)) < 0.1


@pytest.mark.slow
def test_a_point_says_which_of_two_without_the_mesh_too() -> None:
    pair = read_rgb(SAMPLES / "two_people.jpg")
    for point, lips in (
        ((247, 278), LipCorners(211.5, 327.1, 282.3, 330.6)),  # of the face mesh
        ((783, 278), LipCorners(740.1, 328.6, 812.3, 329.5)),
    ):
        location = locate(pair, Sought(point=point))
        assert location.lips is not None, location.reason
        assert corner_error(location.lips.corners, lips) < 0.1
    nobody = locate(pair, Sought(point=(512, 60)))
    assert nobody.box is None
    assert nobody.reason.startswith("no face was found at the point 512,60")


@pytest.mark.slow
@pytest.mark.usefixtures("_search")
def test_harder_faces_are_right_or_refused(real_data: Path) -> None:
    painted = locate_face(read_rgb(real_data / "portrait_sargent_agnew_1892.jpg"))
    assert right_or_refused(painted, LipCorners(305.5, 160.5, 332.0, 161.0))
    smiling = locate_face(skimage_picture("astronaut"))
    assert right_or_refused(smiling, LipCorners(203.5, 140.3, 242.6, 142.4))


@pytest.mark.slow
def test_a_smile_between_given_corners_opens_below_its_teeth() -> None:
    picture = skimage_picture("astronaut")
    lips = locate_face(picture, corners=LipCorners(204, 140, 243.5, 141.5)).lips
    assert lips is not None
    assert lips.parted
    opened = Puppet(picture, lips).render(MouthPose(0.3))
    # The upper teeth, read off an enlarged crop by eye, stay; under them it gets dark.
    teeth = slice(144, 147), slice(217, 231)
    assert np.abs(opened[teeth].astype(int) - picture[teeth]).mean() < 12
    under = slice(150, 153), slice(220, 228)
    assert opened[under].mean() < 0.5 * picture[under].mean()


@pytest.mark.slow
@pytest.mark.usefixtures("_search")
@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket"])
def test_pictures_without_a_human_face_are_refused(name: str) -> None:
    assert locate_face(skimage_picture(name)).lips is None


@pytest.mark.slow
@pytest.mark.usefixtures("_search")
@pytest.mark.parametrize("name", sorted(MARKED))
def test_changed_portraits_are_right_or_refused(real_data: Path, name: str) -> None:
    picture, marked = read_rgb(real_data / name), MARKED[name]
    width = picture.shape[1]
    larger = cv2.resize(picture, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    darker = (picture * 0.6).astype(np.uint8)
    mirrored = LipCorners(width - marked.x1, marked.y1, width - marked.x0, marked.y0)

    assert right_or_refused(locate_face(larger), LipCorners(*(1.5 * edge for edge in marked)))
    assert right_or_refused(locate_face(darker), marked)
    assert right_or_refused(locate_face(np.ascontiguousarray(picture[:, ::-1])), mirrored)


def test_picture_of_one_colour_has_no_face() -> None:
    location = locate_face(np.full((120, 160, 3), 90, np.uint8), finders=[LipTemplate()])
    assert location.lips is None
    assert location.box is None
    assert location.reason == "no face was found in the picture"


def two_people(data: Path, *, covered: bool) -> np.ndarray:
    """A large face, its mouth perhaps covered with the chin's skin, and a smaller one beside it."""
    large = read_rgb(data / "portrait_bouguereau.jpg")
    if covered:
        large[296:322, 324:386] = cv2.blur(large[330:356, 324:386], (9, 9))
    small = read_rgb(data / "portrait_sargent_chanler_1893.jpg")
    small = cv2.resize(small, None, fx=0.9, fy=0.9, interpolation=cv2.INTER_AREA)
    canvas = np.full((720, 720 + small.shape[1], 3), 60, np.uint8)
    canvas[:, :720] = large
    canvas[: small.shape[0], 720:] = small
    return canvas


@pytest.mark.slow
def test_nobody_else_is_taken_where_the_larger_face_has_no_readable_lips(real_data: Path) -> None:
    if not hasattr(cv2, "CascadeClassifier"):
        pytest.skip("this OpenCV has no cascade, which tells whose face is the larger")
    shown = locate_face(two_people(real_data, covered=False), finders=[LipTemplate()])
    assert shown.lips is not None
    assert corner_error(shown.lips.corners, MARKED["portrait_bouguereau.jpg"]) < 0.15
    covered = locate_face(two_people(real_data, covered=True), finders=[LipTemplate()])
    assert covered.lips is None
    assert covered.reason.startswith(
        "a face was seen whose lips cannot be read: its mouth is not clear"
    )
    assert covered.box is not None
    assert covered.box.x0 < 354 < covered.box.x1  # the larger one's


def judged(x: float, eye_distance: float, confidence: float, likeness: float) -> JudgedLips:
    """A candidate by what the choice among them looks at."""
    frame, picture = FaceFrame(x, 200, eye_distance), np.zeros((400, 900, 3), np.uint8)
    return replace(
        judge_lips(picture, frame), confidence=confidence, measures={"likeness": likeness}
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refused", "by_cascades", "keeps"),
    [
        ((600, 60, 0.0, 0.5), (False, False), True),  # better-looking
        ((600, 60, 0.0, 0.43), (False, False), False),  # hardly better
        ((600, 30, 0.0, 0.6), (False, False), False),  # a small spot
        ((260, 60, 0.0, 0.6), (False, False), False),  # the same face, seen otherwise
        ((600, 60, 0.3, 0.6), (False, False), False),  # not refused
        ((600, 60, 0.0, 0.3), (True, True), True),  # larger
        ((600, 40, 0.0, 0.3), (True, True), False),  # smaller
        ((600, 40, 0.0, 0.3), (True, False), True),  # seen by the cascade alone
        ((600, 60, 0.0, 0.1), (True, False), False),  # which was wrong
    ],
)
def test_which_refused_face_keeps_another_from_being_taken(
    refused: tuple[float, float, float, float], by_cascades: tuple[bool, bool], keeps: bool
) -> None:
    best = Candidate(judged(200, 50, 0.9, 0.4), by_cascades[1])
    assert keeps_from(Candidate(judged(*refused), by_cascades[0]), best) == keeps


def test_a_face_that_would_lie_outside_the_picture_is_refused() -> None:
    portrait = read_rgb(SAMPLES / "portrait.png")
    found = judge_lips(portrait, FaceFrame(20, 300, 120))
    assert found.measures["inside"] == pytest.approx(0.5 + 20 / (120 / 0.378), abs=0.01)
    assert (found.confidence, found.doubt) == (0, "much of the face would lie outside the picture")


@pytest.mark.parametrize(
    "corners",
    [(-1, 5, 20, 5), (5, 5, 200, 5), (5, 5, 6, 5), (float("nan"), 5, 20, 5)],
)
def test_unusable_lip_corners_are_refused(corners: tuple[float, ...]) -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    with pytest.raises(MediaError, match="Expected lip corners"):
        locate_face(picture, corners=LipCorners(*corners))


def test_swapped_lip_corners_are_put_in_order() -> None:
    picture = np.full((100, 100, 3), 128, np.uint8)
    location = locate_face(picture, corners=LipCorners(60, 52, 40, 50))
    assert location.method == "user"
    assert location.lips is not None
    assert location.lips.corners == LipCorners(40, 50, 60, 52)


def test_overlay_leaves_the_picture_alone() -> None:
    picture = np.full((100, 120, 3), 128, np.uint8)
    location = locate_face(picture, corners=LipCorners(40, 50, 60, 52))
    drawn = draw_overlay(picture, location)
    assert drawn.shape == picture.shape
    assert (picture == 128).all()
    assert (drawn != picture).any()


def test_wrong_kind_of_picture_is_refused() -> None:
    with pytest.raises(MediaError, match="uint8"):
        locate_face(np.zeros((10, 10), np.uint8))


def test_a_search_by_the_mesh_says_whom_it_saw(mesh_models: Path) -> None:
    grey = np.full((48, 64, 3), 128, np.uint8)
    nobody = locate(grey, Sought(model_folders=[mesh_models]))
    assert nobody.faces == ()
    assert faces_beside(grey, nobody) == []  # not looked for again
    given = locate(grey, Sought(corners=LipCorners(20, 30, 40, 30), model_folders=[mesh_models]))
    assert given.faces is None
    assert faces_beside(grey, given, [mesh_models]) == [given.box]
