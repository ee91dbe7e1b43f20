"""Who is who: trails of faces joined to people, across gaps and cuts, and the people who speak.

A trail goes to a person by its place, where it goes on beside nobody, or by its looks, where these
are the person's and clearly nobody else's who could be there. Else it stays nobody's: resting is
right, swapping is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...media import Box
from .looks import LIKE, UNLIKE, is_anothers, is_told, unlikeness
from .trail import Trail, apart

LONGEST_GAP = 12  # frames that a face may be lost and still be known by its place
GAP_REACH, GAP_GROWTH = 0.6, 0.05  # sides of a face, and more with every frame of the gap
ALONE = 1.5  # sides around both ends of a gap without anybody else
LEAST_FRAMES = 3  # of a trail that counts as somebody, where the video has as many


@dataclass(eq=False)
class Person:
    """Everything that is known to be one person."""

    trails: list[Trail] = field(default_factory=list[Trail])

    def looks_unlike(self, trail: Trail) -> float:
        return unlikeness([look for each in self.trails for look in each.looks], trail.looks)

    def is_elsewhere(self, trail: Trail) -> bool:
        """Say whether the person is seen in another place while the trail lasts."""
        return any(meet(each, trail) for each in self.trails)

    def trail_at(self, frame: int) -> Trail | None:
        return next((each for each in self.trails if each.first <= frame < each.end), None)


@dataclass(frozen=True, eq=False)
class People:
    """nobodys: trails of whom it cannot be told whose they are."""

    persons: list[Person]
    nobodys: list[Trail]

    def doubtful(self, person: Person, count: int) -> np.ndarray:
        """Return bool (count,): frames with a face that may be the person's and may not."""
        found = np.zeros(count, bool)
        for trail in self.nobodys:
            if person.is_elsewhere(trail):
                continue
            if not trail.looks or person.looks_unlike(trail) < UNLIKE:
                found[trail.first : trail.end] = True
        for trail in person.trails:
            found[trail.first : trail.end] = False
        return found

    def others_at(self, person: Person, frame: int) -> list[Box]:
        """Return where everybody else's faces are in a frame."""
        return [each.box(frame) for each in self.trails_at(frame, besides=person)]

    def trails_at(self, frame: int, *, besides: Person | None = None) -> list[Trail]:
        trails = [each for one in self.persons if one is not besides for each in one.trails]
        return [each for each in (*trails, *self.nobodys) if each.first <= frame < each.end]

    def person_of(self, trail: Trail) -> Person:
        """Return whose a trail is; somebody new where that is open, who is none of the persons."""
        for one in self.persons:
            if any(each is trail for each in one.trails):
                return one
        return Person([trail])

    def add(self, person: Person) -> None:
        """Let one whose trails were nobody's be somebody."""
        if any(one is person for one in self.persons):
            return
        self.nobodys[:] = [one for one in self.nobodys if not any(one is t for t in person.trails)]
        self.persons.append(person)


def meet(one: Trail, other: Trail) -> bool:
    """Say whether two trails have a frame in common: then they are of two people."""
    return one.first < other.end and other.first < one.end


def fullest_frame(trails: Sequence[Trail], needed: int, count: int) -> tuple[int, int]:
    """Return the first frame with as many faces as needed, or with the most; and how many."""
    there = np.zeros(count, np.int64)
    for trail in lasting(trails, count):
        there[trail.first : trail.end] += 1
    enough = np.flatnonzero(there >= needed)
    frame = int(enough[0]) if enough.size else int(there.argmax())
    return frame, int(there[frame])


def lasting(trails: Sequence[Trail], count: int) -> list[Trail]:
    """Return the trails that are long enough to be somebody's."""
    least = min(LEAST_FRAMES, count)
    return [each for each in trails if len(each) >= least]


def people_of(
    trails: Sequence[Trail],
    frame: int,
    *,
    check: Callable[[], None] = lambda: None,
) -> People:
    """Join trails to people, beginning with those in ``frame``."""
    persons = [Person([each]) for each in trails if each.first <= frame < each.end]
    left = [each for each in trails if not each.first <= frame < each.end]
    while left:
        check()
        found = _by_place(persons, left, trails) or _by_looks(persons, left)
        if found is None:
            newcomer = _newcomer(persons, left)
            if newcomer is None:
                break
            persons.append(Person([newcomer]))
            left.remove(newcomer)
            continue
        person, trail = found
        person.trails.append(trail)
        left.remove(trail)
    return People(persons, left)


def _by_place(
    persons: list[Person], left: list[Trail], trails: Sequence[Trail]
) -> tuple[Person, Trail] | None:
    """Return a trail that goes on where a person was lost, with nobody else near."""
    for person in persons:
        for trail in left:
            if person.is_elsewhere(trail):
                continue
            if any(_goes_on(each, trail, trails) for each in person.trails):
                return person, trail
    return None


def _goes_on(one: Trail, other: Trail, trails: Sequence[Trail]) -> bool:
    before, after = (one, other) if one.first < other.first else (other, one)
    gap = after.first - before.end
    if before.shot != after.shot or before.mixed or not 0 <= gap <= LONGEST_GAP:
        return False
    if before.looks and after.looks and _is_other(before, after):
        return False
    here, there = before.last_box, after.box(after.first)
    steps = gap + 1
    moved = Box(*(edge + step * steps for edge, step in zip(here, before.speed * 2, strict=True)))
    near = min(apart(here, there), apart(moved, there))
    if near > GAP_REACH + GAP_GROWTH * gap:
        return False
    window = range(before.end - 1, after.first + 1)
    return not any(
        _is_near(each, window, (here, there))
        for each in trails
        if each is not before and each is not after
    )


def _is_other(before: Trail, after: Trail) -> bool:
    """Say whether somebody else may have come back than was lost: it looks too much otherwise."""
    if unlikeness(before.looks, after.looks) >= UNLIKE:
        return True
    return all(is_anothers(look, before.looks) for look in after.first_looks)


def _is_near(trail: Trail, window: range, places: tuple[Box, Box]) -> bool:
    """Say whether a face is, or was last seen, near one of the places within those frames."""
    frames = [f for f in window if trail.first <= f < trail.end]
    lost_before = trail.end - 1 if window[0] - LONGEST_GAP <= trail.end - 1 < window[0] else None
    frames += [] if lost_before is None else [lost_before]
    return any(apart(trail.box(f), place) < ALONE for f in frames for place in places)


def _by_looks(persons: list[Person], left: list[Trail]) -> tuple[Person, Trail] | None:
    """Return the surest pair of a person and a trail that only that person looks like."""
    apart_by = {
        (p, t): person.looks_unlike(trail)
        for p, person in enumerate(persons)
        for t, trail in enumerate(left)
        if trail.looks and not person.is_elsewhere(trail)
    }
    for p, t in sorted(apart_by, key=lambda pair: apart_by[pair]):
        value = apart_by[p, t]
        if value > LIKE:
            return None
        of_trail = (other for (a, b), other in apart_by.items() if b == t and a != p)
        if not all(is_told(value, other) for other in of_trail):
            continue
        rivals = (b for (a, b) in apart_by if a == p and b != t and meet(left[b], left[t]))
        if not all(is_told(value, apart_by[p, b]) for b in rivals):
            continue
        return persons[p], left[t]
    return None


def _newcomer(persons: list[Person], left: list[Trail]) -> Trail | None:
    """Return the earliest trail of somebody who is certainly none of the people so far."""
    for trail in sorted(left, key=lambda each: each.first):
        if not trail.looks:
            continue
        if all(one.is_elsewhere(trail) or one.looks_unlike(trail) >= UNLIKE for one in persons):
            return trail
    return None
