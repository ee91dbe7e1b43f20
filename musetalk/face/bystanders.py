"""Who of those in a shot need not be watched, as nobody could take them for one who speaks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .looks import UNLIKE, Look, is_anothers, is_told, unlikeness
from .trail import Trail, apart

MEETING = 1.25  # sides from face to face: before that, looks have to be up to date
AHEAD = 12  # frames in which two faces may come as close as that

Choose = Callable[[Sequence[Trail]], "list[Trail] | None"]


class Bystanders:
    """Knows them as long as every speaker is in sight; else everybody is watched.

    A bystander is seen beside each of the speakers, so is none of them, and looks like none.
    choose: returns who speaks among the faces of a frame, None where that is open.
    chosen: what it returned; has to be what is found when all of the video was seen.
    """

    def __init__(self, choose: Choose = lambda _: None) -> None:
        self.chosen: list[Trail] = []
        self._choose = choose
        self._speaking: list[Trail] = []  # of this shot: one for each of those chosen
        self._bystanders: list[Trail] = []
        self._known: object = None  # whose looks that was concluded from, and how many

    def sort(self, live: Sequence[Trail]) -> None:
        """Conclude who is one from the trails of a frame."""
        known = [(id(each), len(each.looks), each.missed) for each in live]
        if known == self._known:
            return
        self._known, self._bystanders = known, []
        seen = [each for each in live if each.looks and not each.missed]
        if not self.chosen:
            self.chosen = self._speaking = self._choose(seen) or []
        if not all(any(one is each for each in seen) for one in self._speaking):
            self._speaking = _told(seen, [each.looks for each in self.chosen])
        if self._speaking:
            speakers = [each.looks for each in (*self.chosen, *self._speaking)]
            others = (each for each in seen if not any(each is one for one in self._speaking))
            self._bystanders = [each for each in others if _is_none_of(each, speakers)]

    def includes(self, trail: Trail) -> bool:
        """Say whether a trail is a bystander's who is not about to meet one who speaks."""
        if not any(trail is each for each in self._bystanders):
            return False
        return not any(_may_meet(trail, each) for each in self._speaking)


def _told(seen: Sequence[Trail], speakers: Sequence[Sequence[Look]]) -> list[Trail]:
    """Return the trail of each of the speakers, by looks; none where one of them is not told."""
    found: list[Trail] = []
    for looks in speakers:
        ranked = sorted(seen, key=lambda each: unlikeness(each.looks, looks))
        values = [unlikeness(each.looks, looks) for each in ranked]
        if not values or any(ranked[0] is each for each in found):
            return []
        if not is_told(values[0], min(values[1:], default=math.inf)):
            return []
        found.append(ranked[0])
    return found


def _is_none_of(trail: Trail, speakers: Sequence[Sequence[Look]]) -> bool:
    return all(
        unlikeness(trail.looks, looks) >= UNLIKE
        and all(is_anothers(look, looks) for look in trail.looks)
        for looks in speakers
    )


def _may_meet(one: Trail, other: Trail) -> bool:
    """Say whether two faces are near, or may be soon."""
    side = max(one.last_box.width, one.last_box.height, 1.0)
    closer = AHEAD * math.dist(one.speed, other.speed) / side
    return apart(one.last_box, other.last_box) < MEETING + closer
