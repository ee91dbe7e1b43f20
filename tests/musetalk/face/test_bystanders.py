"""Faces that are only there are seldom looked at, and nobody is taken for somebody else by that."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from avatarvideo.media import Avatar, Clip
from avatarvideo.musetalk.face.cast import Cast, find_cast
from avatarvideo.musetalk.face.trail import FIRST_WAITS, LOOK_EVERY
from avatarvideo.musetalk.face.wish import parse_wish
from support.crowd import Crowd, Path, box_at, walk

FULLY = len(FIRST_WAITS) + 1  # looks at somebody who is watched, in fewer than LOOK_EVERY frames
ABSENT: list[float | None] = [None] * 100


def cast_of(crowd: Crowd, *faces: str) -> Cast:
    count = len(crowd.people[0])
    clip = Clip(
        open_frames=lambda start: (crowd.frame(number) for number in range(start, count)),
        width=640,
        height=240,
        frame_rate=Fraction(25),
        frame_count=count,
        hash_of=lambda: "crowd",
    )
    networks: Any = crowd
    return find_cast(Avatar.of(clip), [parse_wish(face) for face in faces], count, networks)


def looks_at(cast: Cast, path: Path) -> int:
    """Return how many looks there are of whoever is at the start of a path, until the end."""
    place = box_at(path[0] or 0)
    trails = cast.people.trails_at(0)
    (trail,) = (each for each in trails if each.box(0) == place)
    return len(trail.looks)


def places(cast: Cast, place: int = 0) -> list[float | None]:
    boxes = (cast.members[place].box(number) for number in range(cast.count))
    return [None if box is None else (box.x0 + box.x1) / 2 for box in boxes]


def looks_of_each(cast: Cast, paths: Sequence[Path]) -> list[int]:
    return [looks_at(cast, path) for path in paths]


def test_who_is_only_there_is_looked_at_once() -> None:
    paths = [walk(60 + 170 * n, 0.5, 40) for n in range(4)]
    assert looks_of_each(cast_of(Crowd(*paths), "left 1"), paths) == [1, FULLY, 1, 1]
    assert looks_of_each(cast_of(Crowd(*paths), "left 1", "left 3"), paths) == [1, FULLY, 1, FULLY]
    longer = [walk(60 + 170 * n, 0.0, 2 * LOOK_EVERY) for n in range(4)]
    assert looks_of_each(cast_of(Crowd(*longer), "left 1"), longer)[::2] == [1, 1]


def test_who_looks_like_the_speaker_is_watched() -> None:
    paths = [walk(60 + 170 * n, 0, 30) for n in range(3)]
    cast = cast_of(Crowd(*paths, kinds=(0, 1, 0)), "left 0")
    assert looks_of_each(cast, paths) == [FULLY, 1, FULLY]


def test_who_comes_near_the_speaker_is_looked_at_before_they_meet() -> None:
    paths = [walk(100, 0, 48), [*walk(560, 0, 8), *walk(560, -9, 40)]]
    assert looks_of_each(cast_of(Crowd(*paths), "left 0"), paths) == [FULLY, FULLY]


def test_two_who_exchange_places_in_a_frame_keep_their_voices() -> None:
    one, other = walk(160, 0, 40), walk(480, 0, 40)
    third = walk(320, 0, 40)
    crowd = Crowd([*one[:20], *other[20:]], [*other[:20], *one[20:]], third)
    cast = cast_of(crowd, "left 0")
    assert places(cast)[:20] == [160] * 20
    assert set(places(cast)[20:23]) <= {None, 480}
    assert places(cast)[23:] == [480] * 17


def test_a_speaker_who_returns_is_known_among_those_who_were_only_there() -> None:
    one = [*walk(160, 0, 15), *ABSENT[:15], *walk(240, 0, 15)]
    crowd = Crowd(one, walk(400, 0, 45), walk(560, 0, 45))
    cast = cast_of(crowd, "left 0")
    assert places(cast) == one


def test_who_was_only_there_and_is_then_in_the_speakers_place_does_not_speak() -> None:
    one = [*walk(160, 0, 20), *ABSENT[:20]]
    other = [*walk(480, 0, 20), *walk(160, 0, 20)]
    cast = cast_of(Crowd(one, other, walk(320, 0, 40)), "left 0")
    assert places(cast) == one


def test_where_somebody_else_speaks_than_it_seemed_everybody_is_watched() -> None:
    brief = [*walk(60, 0, 2), *ABSENT[:28]]  # too short for a face, and the leftmost at first
    paths = [walk(230, 0, 30), walk(400, 0, 30), walk(570, 0, 30)]
    cast = cast_of(Crowd(brief, *paths), "left 0")
    assert places(cast) == [230] * 30
    assert looks_of_each(cast, paths) == [FULLY] * 3
