"""The lips in every frame of an avatar: by the face mesh, where it is there, or by the template."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from ...media import Avatar, Box, FaceLocation, LipShape
from ..face.choice import FaceChoice
from ..face.finder import locate_again
from ..face.mesh_networks import mesh_networks
from ..face.mesh_person import MeshPerson
from ..face.mesh_track import MeshTrack, PerFrame
from ..lips.tracking import LipTracker
from ..source_frames import read_frames
from .edge_track import EdgeTrack

EDGE = 1.0  # pixels: steadied lips, too, stay inside
Search = Callable[[np.ndarray, Box | None], FaceLocation]


@dataclass(frozen=True, eq=False)
class LipTrack:
    """The lips in the first frames of an avatar, made when they are asked for.

    shapes: the lips in every frame, None where there are none.
    points: of the face mesh, float64 (478, 2), or None; None as a whole without the mesh.
    rest_widths: float32 (N,), of the mouth at rest, pixels; None without the mesh.
    first: the face in the first frame with lips; None where no frame has any.
    """

    shapes: Sequence[LipShape | None]
    first: FaceLocation | None
    points: Sequence[np.ndarray | None] | None = None
    rest_widths: np.ndarray | None = None


class _Sight(NamedTuple):
    """What is seen in one frame; begins: it does not go on from the one before."""

    number: int
    frame: np.ndarray
    location: FaceLocation
    begins: bool


class Follower(Protocol):
    """Follows one person's lips through frames, as ``LipTracker`` and ``MeshPerson`` do."""

    @property
    def begins(self) -> bool: ...
    @property
    def skipped(self) -> int: ...
    def follow(self, frame: np.ndarray) -> FaceLocation: ...
    def alone_from(self, frame: np.ndarray, known: FaceLocation) -> Follower: ...


def track_lips(
    avatar: Avatar,
    first: FaceLocation,
    count: int,
    *,
    choice: FaceChoice = FaceChoice(),  # noqa: B008 - frozen
    model_folders: Sequence[Path] = (),
    on_frame: Callable[[int], None] = lambda done: None,
    check: Callable[[], None] = lambda: None,
) -> LipTrack:
    """Return the lips in ``count`` frames; ``first`` is what was found in frame 0.

    choice: whose lips, where ``first`` has none and after cuts.
    model_folders: where the face mesh may be. on_frame: called with the number of frames done.
    check: called again and again within a frame. What either raises ends the work.
    """
    networks = mesh_networks(model_folders) if first.method in ("face mesh", "none") else None
    if networks is not None:
        person = MeshPerson(networks, choice, check)
        return _by_mesh(avatar, first, count, person, on_frame)
    search = partial(
        locate_again, model_folders=model_folders, face_index=choice.index, check=check
    )
    return _by_template(avatar, first, count, search, on_frame)


def _by_mesh(
    avatar: Avatar,
    first: FaceLocation,
    count: int,
    person: MeshPerson,
    on_frame: Callable[[int], None],
) -> LipTrack:
    track, edges, earliest = MeshTrack(count), EdgeTrack(count), _Earliest()
    frames = avatar.frames()
    begun = next(frames)
    start = _Sight(0, begun, person.follow(begun, first), True)
    for number, frame, location, begins in _seen(avatar, frames, start, person, count, on_frame):
        if location.lips is not None and location.points is not None:
            track.put(number, location.points, begins=begins)
            edges.put(number, frame, location.lips, begins=begins)
            earliest.see(number, location)
    track.steady(partial(on_frame, count))
    rest_widths = track.rest_widths()
    edges.learn(rest_widths)

    def lips(number: int) -> LipShape | None:
        steady = track.lips(number)
        return None if steady is None else edges.edged(number, steady, float(rest_widths[number]))

    return LipTrack(
        PerFrame(lips, count),
        earliest.location,
        PerFrame(track.points, count),
        rest_widths,
    )


def _by_template(
    avatar: Avatar,
    first: FaceLocation,
    count: int,
    search: Search,
    on_frame: Callable[[int], None],
) -> LipTrack:
    shapes: list[LipShape | None] = [None] * count
    earliest = _Earliest()
    frames = avatar.frames()
    begun = next(frames)
    start, tracker = _Sight(0, begun, first, True), LipTracker(begun, first, search)
    for number, _, location, _ in _seen(avatar, frames, start, tracker, count, on_frame):
        shapes[number] = location.lips
        earliest.see(number, location)
    return LipTrack(shapes, earliest.location)


class _Earliest:
    """The face in the earliest frame that has lips."""

    def __init__(self) -> None:
        self.location: FaceLocation | None = None
        self._number = 0

    def see(self, number: int, location: FaceLocation) -> None:
        if location.lips is not None and (self.location is None or number < self._number):
            self.location, self._number = location, number


def _seen(
    avatar: Avatar,
    frames: Iterator[np.ndarray],
    start: _Sight,
    follower: Follower,
    count: int,
    on_frame: Callable[[int], None],
) -> Iterator[_Sight]:
    """Yield what is seen in each frame.

    Where a face is back that was not looked for in every frame, those before it are gone through
    backwards. frames: from frame 1 on.
    """
    yield start
    on_frame(1)
    for number, frame in enumerate(frames, start=1):
        if number >= count:
            break
        location, begins = _inside(follower.follow(frame), avatar), follower.begins
        if location.lips is not None and follower.skipped:
            back = follower.alone_from(frame, location)
            order = range(number - 1, number - 1 - follower.skipped, -1)
            for earlier in _backwards(avatar, order, back, partial(on_frame, number)):
                yield earlier
                begins = False
        yield _Sight(number, frame, location, begins)
        on_frame(number + 1)


def _inside(location: FaceLocation, avatar: Avatar) -> FaceLocation:
    """Return the face without lips where their middle has left the picture."""
    if (lips := location.lips) is None:
        return location
    x, y = (lips.corners.x0 + lips.corners.x1) / 2, (lips.corners.y0 + lips.corners.y1) / 2
    inside = EDGE <= x < avatar.width - EDGE and EDGE <= y < avatar.height - EDGE
    return location if inside else replace(location, lips=None)


def _backwards(
    avatar: Avatar, order: range, follower: Follower, check: Callable[[], None]
) -> Iterator[_Sight]:
    for number, frame in zip(order, read_frames(avatar, order), strict=True):
        check()
        location = _inside(follower.follow(frame), avatar)
        if location.lips is None:
            break
        yield _Sight(number, frame, location, False)
