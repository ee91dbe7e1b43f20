"""Trails become people: by place across short gaps, by looks across long ones and cuts."""

from __future__ import annotations

import numpy as np

from avatarvideo.media import Box
from avatarvideo.musetalk.face.looks import Look
from avatarvideo.musetalk.face.trail import Trail
from avatarvideo.musetalk.face.who import fullest_frame, people_of


def look(kind: float) -> Look:
    """Kinds are 1.8 apart; 0 and 0.1 of a kind are of one person."""
    light = np.tile([1.0, -1.0], 20).astype(np.float32)
    return Look(light, np.full((40, 2), 10.0 * kind, np.float32))


def trail(first: int, end: int, x: float, kind: float | None = None, shot: int = 0) -> Trail:
    made = Trail(first, shot)
    for _ in range(first, end):
        made.put(Box(x - 50, 0, x + 50, 100), 0.0)
    if kind is not None:
        made.looks.append(look(kind))
    return made


def test_a_short_gap_in_one_place_is_the_same_person() -> None:
    trails = [trail(0, 10, 100), trail(13, 20, 110), trail(0, 20, 500)]
    people = people_of(trails, 0)
    assert people.persons[0].trails == trails[:2]
    assert people.persons[1].trails == trails[2:]
    assert not people.nobodys
    assert not people.doubtful(people.persons[0], 20).any()


def test_beside_somebody_a_gap_leaves_it_open() -> None:
    trails = [trail(0, 10, 100, 0), trail(13, 20, 110, 0), trail(0, 12, 220, 0)]
    people = people_of(trails, 0)
    assert [one.trails for one in people.persons] == [[trails[0]], [trails[2]]]
    assert people.nobodys == [trails[1]]
    assert people.doubtful(people.persons[0], 20).nonzero()[0].tolist() == [*range(13, 20)]


def test_who_looks_a_little_otherwise_after_a_gap_may_be_somebody_else() -> None:
    for kind, known in ((0.35, True), (0.4, False)):  # 0.62 and 0.71 of difference
        gone, back = trail(0, 10, 100, 0), trail(13, 20, 110, kind)
        people = people_of([gone, back, trail(0, 20, 500, 2)], 0)
        assert (people.persons[0].trails == [gone, back]) == known
        assert people.doubtful(people.persons[0], 20)[13:].all() != known


def test_looks_say_who_is_who_after_a_cut() -> None:
    before = [trail(0, 10, 100, 0), trail(0, 10, 400, 1)]
    after = [trail(10, 20, 100, 1, 1), trail(10, 20, 400, 0, 1)]
    people = people_of([*before, *after], 0)
    assert people.persons[0].trails == [before[0], after[1]]
    assert people.persons[1].trails == [before[1], after[0]]
    assert people.others_at(people.persons[0], 12) == [Box(50, 0, 150, 100)]


def test_looks_shared_by_two_say_nothing() -> None:
    before = [trail(0, 10, 100, 0), trail(0, 10, 400, 0)]
    after = [trail(10, 20, 100, 0, 1), trail(10, 20, 400, 0, 1)]
    people = people_of([*before, *after], 0)
    assert people.nobodys == after
    assert people.doubtful(people.persons[1], 20).nonzero()[0].tolist() == [*range(10, 20)]


def test_somebody_seen_elsewhere_is_not_meant() -> None:
    twin = trail(0, 30, 400, 0)
    gone, back = trail(0, 10, 100, 0), trail(25, 30, 100, 0)
    people = people_of([gone, twin, back], 0)
    assert people.persons[0].trails == [gone, back]


def test_a_stranger_is_nobody_who_was_there() -> None:
    one, stranger = trail(0, 10, 100, 0), trail(25, 30, 100, 3)
    people = people_of([one, stranger], 0)
    assert [each.trails for each in people.persons] == [[one], [stranger]]
    assert not people.doubtful(people.persons[0], 30).any()


def test_the_first_frame_with_enough_faces_is_the_one_to_choose_in() -> None:
    trails = [trail(2, 30, 100), trail(9, 30, 400), trail(12, 13, 700)]
    assert fullest_frame(trails, 2, 30) == (9, 2)
    assert fullest_frame(trails, 1, 30) == (2, 1)
    assert fullest_frame(trails, 3, 30) == (9, 2)  # one frame is nobody
