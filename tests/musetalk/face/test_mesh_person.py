"""One person stays the same person by the mesh: beside others, past gaps, after cuts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from avatarvideo.errors import Cancelled
from avatarvideo.media import Box
from avatarvideo.musetalk.face.choice import FaceChoice
from avatarvideo.musetalk.face.mesh_networks import Detection, FaceMesh
from avatarvideo.musetalk.face.mesh_person import MeshPerson
from avatarvideo.musetalk.lips.frame import FaceFrame
from avatarvideo.musetalk.lips.mesh_shape import BORDERS

GREY = 90
Place = tuple[float, float, float]  # the middle and the side of a face, pixels


def mesh_at(x: float, y: float, side: float, confidence: float = 1.0) -> FaceMesh:
    """A face of scattered points that has eyes and a mouth."""
    points = np.random.default_rng(5).uniform(-0.5, 0.5, (478, 2))
    points[:4] = ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5))
    points[[33, 263]] = ((-0.3, -0.2), (0.3, -0.2))
    for border, height in zip(BORDERS, (-0.05, 0, 0, 0.05), strict=True):
        points[list(border), 0] = np.linspace(-0.2, 0.2, len(border))
        points[list(border), 1] = 0.25 + height * np.array([0, *[1] * 9, 0])
    return FaceMesh(points * side + (x, y), confidence)


class Crowd:
    """Networks and pictures of people who are at known places in every frame."""

    def __init__(self, *people: list[Place | None]) -> None:
        self.people = people
        self.now = self.detections = self.looks = 0
        self.faces: list[FaceMesh] = []
        rng = np.random.default_rng(2)
        self.looked_at = [rng.integers(0, 255, (8, 8, 3), np.uint8) for _ in people]
        self.backgrounds: dict[int, int] = {}
        self.confidence: dict[int, float] = {}  # by frames, 1 in the others

    def frame(self, number: int) -> np.ndarray:
        """Each person is a checked patch of its own; backgrounds change where they are told to."""
        grey = [self.backgrounds[key] for key in sorted(self.backgrounds) if key <= number]
        picture = np.full((240, 480, 3), grey[-1] if grey else GREY, np.uint8)
        self.faces = []
        for person, texture in zip(self.people, self.looked_at, strict=True):
            place = person[number]
            if place is None:
                continue
            x, y, side = place
            x0, y0, whole = int(x - side / 2), int(y - side / 2), int(side)
            patch = texture.repeat(-(-whole // 8), 0).repeat(-(-whole // 8), 1)[:whole, :whole]
            view = picture[max(y0, 0) : y0 + whole, max(x0, 0) : x0 + whole]
            view[:] = patch[: view.shape[0], : view.shape[1]]
            self.faces.append(mesh_at(*place, self.confidence.get(number, 1.0)))
        return picture

    def detect(self, picture: np.ndarray) -> list[Detection]:
        self.detections += 1
        if picture.shape[:2] != (240, 480):
            return []  # a part: its own origin is not known here
        return [Detection(0.9, face.box, face.points[[33, 263]]) for face in self.faces]

    def look(self, picture: np.ndarray, square: FaceFrame) -> FaceMesh | None:
        """Return the face that fills the square's middle; without one, points on nothing."""
        self.looks += 1
        middle = np.array([square.x, square.y])
        for face in self.faces:
            box = face.box
            if np.hypot(*((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) - middle) < box.width / 2:
                return face
        return mesh_at(square.x, square.y, 60, confidence=0.1)


def middles(crowd: Crowd, choice: FaceChoice, count: int) -> list[int | None]:
    """The middle of the mouth that is followed, by frames; None where it is lost."""
    networks: Any = crowd
    person = MeshPerson(networks, choice)
    found: list[int | None] = []
    for number in range(count):
        lips = person.follow(crowd.frame(number)).lips
        found.append(None if lips is None else round((lips.corners.x0 + lips.corners.x1) / 2))
    return found


def there(x: float, side: float, count: int, y: float = 120) -> list[Place | None]:
    return [(x, y, side)] * count


def test_a_face_is_followed_by_its_points_and_not_detected_again() -> None:
    crowd = Crowd([(100 + 2 * n, 120, 80) for n in range(11)])
    assert middles(crowd, FaceChoice(), 11) == [100 + 2 * n for n in range(11)]
    assert crowd.detections == 1


def test_the_face_asked_for_stays_where_others_are_larger() -> None:
    crowd = Crowd(there(120, 100, 9), there(340, 60, 9))
    assert middles(crowd, FaceChoice(), 9) == [120] * 9
    assert middles(crowd, FaceChoice(1), 9) == [340] * 9
    assert middles(crowd, FaceChoice(point=(330, 120)), 9) == [340] * 9
    assert middles(crowd, FaceChoice(2), 9) == [None] * 9


def test_people_who_pass_each_other_are_not_mixed_up() -> None:
    one: list[Place | None] = [(80 + 12 * n, 70, 80) for n in range(26)]
    other: list[Place | None] = [(380 - 12 * n, 175, 84) for n in range(26)]
    assert middles(Crowd(one, other), FaceChoice(1), 26) == [80 + 12 * n for n in range(26)]
    assert middles(Crowd(one, other), FaceChoice(0), 26) == [380 - 12 * n for n in range(26)]


def test_nobody_else_is_taken_while_the_person_is_hidden() -> None:
    hidden = [*there(120, 80, 20), *[None] * 60, *there(130, 80, 12)]
    beside = there(215, 90, 92)  # just over a side away
    found = middles(Crowd(hidden, beside), FaceChoice(1), 92)
    assert found[:20] == [120] * 20
    assert found[20:80] == [None] * 60
    assert found[88:] == [130] * 4  # looked for every 8 frames


def test_a_person_who_left_may_come_back_elsewhere() -> None:
    away = [*there(400, 80, 5), *[None] * 30, *there(80, 90, 20)]
    found = middles(Crowd(away), FaceChoice(), 55)
    assert found[:5] == [400] * 5
    assert found[5:35] == [None] * 30
    assert found[-1] == 80


def test_after_a_cut_the_rule_chooses_again() -> None:
    one = [*there(100, 100, 5), *there(100, 60, 5)]
    other = [*there(300, 60, 5), *there(300, 100, 5)]
    crowd = Crowd(one, other)
    crowd.backgrounds = {5: 200}
    assert middles(crowd, FaceChoice(0), 10) == [100] * 5 + [300] * 5
    assert middles(crowd, FaceChoice(1), 10) == [300] * 5 + [100] * 5
    # The point belonged to the first shot: the nearest to the last place.
    assert middles(crowd, FaceChoice(point=(100, 120)), 10) == [100] * 10


def test_a_chosen_place_is_left_for_the_nearest_after_a_cut() -> None:
    crowd = Crowd([*there(100, 100, 5), *there(330, 60, 5)])
    crowd.backgrounds = {5: 200}
    assert middles(crowd, FaceChoice(point=(100, 120)), 10) == [100] * 5 + [330] * 5


def test_small_parts_of_the_picture_are_searched_less_and_less() -> None:
    crowd = Crowd([None] * 200)
    networks: Any = crowd
    person = MeshPerson(networks)
    whole = [person.follow(crowd.frame(number)).lips for number in range(200)]
    assert whole == [None] * 200
    # Whole pictures in frames 1 2 4 8, then every 8; with three parts in 1 2 4 8 16 32, every 48.
    assert crowd.detections == 3 + 25 + 3 * (6 + 3)


def test_frames_that_were_not_looked_at_are_told() -> None:
    crowd = Crowd([*[None] * 21, *there(100, 80, 4)])
    networks: Any = crowd
    person = MeshPerson(networks)
    told = []
    for number in range(25):
        location = person.follow(crowd.frame(number))
        told.append((location.lips is not None, person.begins, person.skipped))
    assert told[23] == (True, True, 7)
    assert told[24] == (True, False, 0)


def test_a_face_may_be_looked_for_in_every_frame() -> None:
    crowd = Crowd([*[None] * 21, *there(100, 80, 2)])
    networks: Any = crowd
    person = MeshPerson(networks, longest_wait=1)
    seen = []
    for number in range(23):
        person.follow(crowd.frame(number))
        seen.append(None if person.mesh is None else person.mesh.box)
    assert seen == [None] * 21 + [Box(60, 80, 140, 160)] * 2


def test_going_back_never_searches() -> None:
    crowd = Crowd([*[None] * 3, *there(100, 80, 3)])
    networks: Any = crowd
    person = MeshPerson(networks)
    known = person.follow(crowd.frame(5))
    back = person.alone_from(crowd.frame(5), known)
    before = crowd.detections
    assert [back.follow(crowd.frame(n)).lips is not None for n in (4, 3, 2, 1)] == [
        True,
        True,
        False,
        False,
    ]
    assert crowd.detections == before


def test_what_is_hardly_a_face_is_followed_but_never_taken_for_one() -> None:
    crowd = Crowd(there(100, 80, 12))
    crowd.confidence = dict.fromkeys(range(4), 0.85) | dict.fromkeys(range(8, 12), 0.6)
    # Looked for in frames 1, 2, 4 and 8 of those without it.
    assert middles(crowd, FaceChoice(), 12) == [None] * 7 + [100] * 5
    crowd.confidence |= dict.fromkeys(range(10, 12), 0.4)
    assert middles(crowd, FaceChoice(), 12)[9:] == [100, None, None]


def test_a_search_is_ended_by_its_check() -> None:
    def cancelled() -> None:
        raise Cancelled

    crowd = Crowd([None])
    networks: Any = crowd
    with pytest.raises(Cancelled):
        MeshPerson(networks, check=cancelled).follow(crowd.frame(0))


def test_the_box_is_that_of_the_points() -> None:
    networks: Any = (crowd := Crowd(there(100, 80, 1)))
    assert MeshPerson(networks).follow(crowd.frame(0)).box == Box(60, 80, 140, 160)
