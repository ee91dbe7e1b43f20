"""Which of several faces speaks, and that it stays the same person."""

from __future__ import annotations

import math

from avatarvideo.musetalk.face.choice import FaceChoice, FaceFollower
from avatarvideo.musetalk.networks.s3fd import ScoredBox


def face(x: float, y: float = 100, side: float = 40, score: float = 0.9) -> ScoredBox:
    return ScoredBox(x - side / 2, y - side / 2, x + side / 2, y + side / 2, score)


def test_the_largest_face_is_the_first_choice_not_the_surest():
    faces = [face(50, side=40, score=0.99), face(150, side=60, score=0.7)]
    assert FaceFollower(FaceChoice()).choose(faces) == faces[1]
    assert FaceFollower(FaceChoice(index=1)).choose(faces) == faces[0]
    assert FaceFollower(FaceChoice(index=2)).choose(faces) is None


def test_a_point_chooses_the_face_it_lies_in():
    faces = [face(50, side=40), face(150, side=60)]
    assert FaceFollower(FaceChoice(point=(55.0, 112.0))).choose(faces) == faces[0]
    assert FaceFollower(FaceChoice(point=(300.0, 20.0))).choose(faces) is None
    assert FaceFollower(FaceChoice(point=(300.0, 20.0))).choose([]) is None
    far = FaceChoice(point=(300.0, 20.0), reach=math.inf)
    assert FaceFollower(far).choose(faces) == faces[1]


def test_two_people_who_change_size_are_not_mixed_up():
    follower = FaceFollower(FaceChoice())
    for step in range(10):
        left, right = face(60 + step, side=60 - 4 * step), face(160 - step, side=30 + 4 * step)
        assert follower.choose([right, left]) == left


def test_the_chosen_person_is_waited_for():
    follower = FaceFollower(FaceChoice(index=1))
    large, small = face(50, side=80), face(200, side=40)
    assert follower.choose([large, small]) == small
    assert follower.choose([large]) is None
    assert follower.choose([]) is None
    assert follower.choose([large, face(195, side=44)]) == face(195, side=44)


def test_without_a_choice_a_cut_to_another_place_goes_on_with_the_largest():
    follower = FaceFollower(FaceChoice())
    follower.choose([face(50)])
    assert follower.choose([face(300), face(400, side=60)]) == face(400, side=60)
