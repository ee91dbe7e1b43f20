"""The people who speak in a video: found, followed, and seen by the face mesh frame by frame.

Two passes: the first follows everybody by the detector and says who is who, the second looks with
the mesh at those who speak, so that only they cost time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import numpy as np

from ...errors import MediaError
from ...media import Avatar, Box, FaceLocation
from ..lips.frame import FaceFrame
from .bystanders import Bystanders
from .looks import UNLIKE, look_of, unlikeness
from .mesh_locate import location_of
from .mesh_networks import SAME_PLACE, FaceMesh, MeshNetworks, overlap
from .mesh_person import MeshPerson
from .mesh_search import confirmed
from .trail import Trail, apart, square_of
from .trails import TrailWatcher
from .who import People, Person, fullest_frame, lasting, people_of
from .wish import FaceWish, chosen_box, read_track

NEAR = 0.4  # sides that the mesh's face may be off the place it was looked for at
MOUTH_FROM = 0.5  # of a face's box downwards: what no other face may cover while it speaks


@dataclass(frozen=True, eq=False)
class Member:
    """One who speaks. track: boxes of the user's file, NaN where there is none; else ``person``.

    doubtful: bool (N,), frames in which it cannot be told who it is.
    """

    wish: FaceWish
    doubtful: np.ndarray
    person: Person | None = None
    track: np.ndarray | None = None

    def square(self, frame: int) -> FaceFrame | None:
        """Return where the mesh has to look, None where the person is not, or may not be."""
        if self.track is not None:
            box = self.box(frame)
            return None if box is None else square_of(box, 0.0)
        trail = self.trail(frame)
        return None if trail is None else trail.square(frame)

    def trail(self, frame: int) -> Trail | None:
        return None if self.person is None else self.person.trail_at(frame)

    def box(self, frame: int) -> Box | None:
        if self.track is None:
            trail = self.trail(frame)
            return None if trail is None else trail.box(frame)
        return Box(*self.track[frame].tolist()) if np.isfinite(self.track[frame, 0]) else None

    def is_of(self, person: Person) -> bool:
        """Say whether this is a person, see ``is_same_as``."""
        return self.is_same_as(replace(self, person=person, track=None))

    def is_same_as(self, other: Member) -> bool:
        """Say whether two are one face: known to be, or in most frames that have both of them."""
        if self.track is None and other.track is None:
            return self.person is other.person
        boxes = ((self.box(frame), other.box(frame)) for frame in range(self.doubtful.size))
        shared = [overlap(one, two) for one, two in boxes if one is not None and two is not None]
        return bool(shared) and float(np.median(shared)) > SAME_PLACE


@dataclass(eq=False)
class Cast:
    """Those who speak, in the order of their speeches, and everybody else.

    count: frames of the avatar. detections, looks: of the networks so far.
    """

    members: list[Member]
    people: People
    count: int
    detections: int = 0
    looks: int = 0
    covered: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    def speaks(self, trail: Trail) -> bool:
        """Say whether a trail is of somebody who speaks."""
        persons = (member.person for member in self.members if member.person is not None)
        return any(trail is each for person in persons for each in person.trails)

    def others(self, member: Member, frame: int) -> list[Box]:
        """Return the faces in a frame that are not the member's."""
        if member.person is not None:
            return self.people.others_at(member.person, frame)
        own = member.square(frame)
        everybody = self.people.others_at(Person(), frame)
        return [box for box in everybody if own is None or apart(box, _inner(own)) > NEAR]


def find_cast(
    avatar: Avatar,
    wishes: Sequence[FaceWish],
    count: int,
    networks: MeshNetworks,
    *,
    on_frame: Callable[[int], None] = lambda done: None,
    check: Callable[[], None] = lambda: None,
) -> Cast:
    """Return who speaks in the first ``count`` frames of an avatar, a wish for each speech.

    on_frame: called with the number of frames done. check: called between looks.
    Raises MediaError where a wish means no face, or two mean the same one.
    """
    size = (avatar.width, avatar.height)
    tracks = [
        None if wish.track is None else read_track(wish.track, size=size, count=count)
        for wish in wishes
    ]
    needed = max(len(wishes), *(wish.least_faces for wish in wishes))
    bystanders = Bystanders(partial(_meant, wishes, needed))
    while True:
        watcher = TrailWatcher(
            networks, enough=needed, wishes=wishes, bystanders=bystanders, check=check
        )
        for number, frame in enumerate(islice(avatar.frames(), count)):
            watcher.see(frame)
            on_frame(number + 1)
        watcher.close()
        cast = _cast_of(watcher, wishes, tracks, needed, count, check)
        if all(cast.speaks(trail) for trail in bystanders.chosen):
            return cast
        bystanders = Bystanders()  # somebody else speaks than seemed at first: watch everybody


def _meant(wishes: Sequence[FaceWish], needed: int, trails: Sequence[Trail]) -> list[Trail] | None:
    """Return who speaks of the faces of a frame, None where that cannot be said yet."""
    if len(trails) < needed or any(wish.track is not None for wish in wishes):
        return None
    start = min(trail.first for trail in trails)
    meant: list[Trail] = []
    for wish in sorted(wishes, key=lambda wish: wish.is_open):
        if wish.point is not None:  # of the first frame
            among = [each for each in trails if each.first == start]
            number = chosen_box(wish, [each.box(start) for each in among])
        else:
            taken = set(map(id, meant)) if wish.is_open else ()
            among = [each for each in trails if id(each) not in taken]
            boxes = [each.last_box for each in among]
            number = chosen_box(FaceWish() if wish.is_open else wish, boxes)
        if number is None:
            return None
        meant.append(among[number])
    return meant


def _cast_of(
    watcher: TrailWatcher,
    wishes: Sequence[FaceWish],
    tracks: Sequence[np.ndarray | None],
    needed: int,
    count: int,
    check: Callable[[], None],
) -> Cast:
    """Return who speaks of everybody who was seen."""
    trails = lasting(watcher.trails, count)
    frame, there = fullest_frame(trails, needed, count)
    by_track = sum(track is not None for track in tracks)
    if there < len(wishes) - by_track:
        raise MediaError(
            f"Expected a face for each of {len(wishes)} speakers, found at most {there} in one "
            "frame: give fewer speakers, or track files (.json) of faces that are hard to find."
        )
    # A point is of the first frame, as previews show it; numbers count in one with all who speak.
    pointed, _ = fullest_frame(trails, 1, count)
    has_points = any(wish.point is not None for wish in wishes)
    people = people_of(trails, pointed if has_points else frame, check=check)
    members: dict[int, Member] = {}
    for place in sorted(range(len(wishes)), key=lambda place: wishes[place].is_open):
        wish, nothing = wishes[place], np.zeros(count, bool)
        if wish.track is not None:
            member = Member(wish, nothing, track=tracks[place])
        else:
            at = frame if wish.point is None else pointed
            taken = list(members.values())
            member = Member(wish, nothing, _chosen(wish, people, at, taken))
        for other in members.values():
            if member.is_same_as(other):
                raise MediaError(
                    f"Expected a face of its own for each speaker, but {other.wish.text!r} and "
                    f"{wish.text!r} are the same one: choose another face for one of them."
                )
        members[place] = member
    whole = [
        one if one.person is None else replace(one, doubtful=people.doubtful(one.person, count))
        for _, one in sorted(members.items())
    ]
    return Cast(whole, people, count, watcher.detections, watcher.looks)


def _chosen(wish: FaceWish, people: People, frame: int, taken: Sequence[Member]) -> Person:
    """Return who is meant in a frame; where the user did not say, the largest that is left."""
    trails = people.trails_at(frame)
    persons = [people.person_of(each) for each in trails]
    boxes = [each.box(frame) for each in trails]
    if wish.is_open:
        left = [n for n, one in enumerate(persons) if not any(each.is_of(one) for each in taken)]
        persons, boxes = [persons[n] for n in left], [boxes[n] for n in left]
    number = chosen_box(FaceWish() if wish.is_open else wish, boxes)
    if number is None:
        raise _no_face(wish, boxes, frame)
    people.add(persons[number])
    return persons[number]


def _no_face(wish: FaceWish, boxes: Sequence[Box], frame: int) -> MediaError:
    places = ", ".join(
        f"{(box.x0 + box.x1) / 2:.0f},{(box.y0 + box.y1) / 2:.0f}" for box in boxes[:8]
    )
    wanted = f"at the point {wish.text}" if wish.point is not None else f"for {wish.text!r}"
    none = f"There is no face {wanted} in frame {frame} of the avatar"
    if not boxes:
        return MediaError(f"{none}, and no other free one: give a track file (.json).")
    return MediaError(
        f"{none}; there are some at {places}: choose one of these (left 0 is the leftmost, 0 the "
        "largest)."
    )


def seen_by_mesh(
    avatar: Avatar,
    cast: Cast,
    networks: MeshNetworks,
    *,
    on_frame: Callable[[int], None] = lambda done: None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int, int, FaceLocation, bool]]:
    """Yield frame, number of the member, face, and whether it begins anew there.

    Members that are not seen, or whose mouth another face covers, are left out; the latter are
    counted in ``cast.covered``.
    """
    eyes = [_Eyes(networks, member, check) for member in cast.members]
    for number, frame in enumerate(avatar.frames()):
        if number >= cast.count:
            break
        for place, (member, eye) in enumerate(zip(cast.members, eyes, strict=True)):
            square, others = member.square(number), cast.others(member, number)
            beside = square is not None and any(apart(_inner(square), each) < 1 for each in others)
            found = eye.look(number, frame, beside=beside)
            if found is None:
                continue
            location, begins = found
            if location.box is not None and covers_mouth(others, location.box):
                cast.covered.setdefault(place, []).append(number)
                continue
            yield number, place, location, begins
        on_frame(number + 1)


def covers_mouth(others: Sequence[Box], face: Box) -> bool:
    """Say whether another face lies over the lower half of this one."""
    top = face.y0 + MOUTH_FROM * face.height
    margin = 0.1 * face.width
    mouth = Box(face.x0 + margin, top, face.x1 - margin, face.y1)
    return any(
        min(box.x1, mouth.x1) > max(box.x0, mouth.x0)
        and min(box.y1, mouth.y1) > max(box.y0, mouth.y0)
        for box in others
    )


class _Eyes:
    """Sees one member with the mesh, led by where it was found to be."""

    def __init__(self, networks: MeshNetworks, member: Member, check: Callable[[], None]) -> None:
        self._networks, self._member, self._check = networks, member, check
        self._person: MeshPerson | None = None
        self._trail: Trail | None = None
        self._last = -1

    def look(
        self, number: int, frame: np.ndarray, *, beside: bool
    ) -> tuple[FaceLocation, bool] | None:
        """Return the member's face, and whether it begins anew. beside: another face is near."""
        square = self._member.square(number)
        if square is None:
            self._person = None
            return None
        self._check()
        trail = self._member.trail(number)
        goes_on = self._last == number - 1 and trail is self._trail
        self._last, self._trail = number, trail
        if goes_on and self._person is not None:
            location = self._person.follow(frame)
            if _is_there(location, square) and not (beside and self._is_other(frame, location)):
                return location, False
        return self._anew(frame, square, begins=not goes_on or self._person is None)

    def _anew(
        self, frame: np.ndarray, square: FaceFrame, *, begins: bool
    ) -> tuple[FaceLocation, bool] | None:
        mesh = self._networks.look(frame, square)
        mesh = None if mesh is None else confirmed(self._networks, frame, mesh)
        self._person = None
        if mesh is None:
            return None
        location = location_of(mesh)
        if not _is_there(location, square) or self._is_other(frame, location):
            return None
        self._person = MeshPerson(self._networks, check=self._check, searches=False)
        return self._person.follow(frame, location), begins

    def _is_other(self, frame: np.ndarray, location: FaceLocation) -> bool:
        """Say whether a face does not look like the member at all."""
        person = self._member.person
        known = [] if person is None else [look for each in person.trails for look in each.looks]
        if not known or location.points is None:
            return False
        seen = look_of(frame, FaceMesh(location.points, location.confidence).square)
        return unlikeness([seen], known) > UNLIKE


def _inner(square: FaceFrame) -> Box:
    half = square.eye_distance / 3
    return Box(square.x - half, square.y - half, square.x + half, square.y + half)


def _is_there(location: FaceLocation, square: FaceFrame) -> bool:
    if location.lips is None or location.box is None:
        return False
    return apart(location.box, _inner(square)) < NEAR
