"""One person's face mesh through a video: from the last frame's points, else by the detector.

The puppet and the score follow people by it. Who it is is concluded from place and size, and from
where everybody else was: nobody else is ever taken, unless the picture was cut and the rule that
chose the person chooses again.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from ...media import Box, FaceLocation
from ..lips.frame import FaceFrame
from ..lips.search import NO_FACE
from .choice import FaceChoice, nearest_face
from .key_frames import FollowedFace
from .mesh_follow import choice_is_made, landmarks_of, scored_box
from .mesh_locate import location_of
from .mesh_networks import FaceMesh, MeshNetworks, overlap
from .mesh_search import LEAST_CONFIDENCE, confirmed, find_meshes, points_moved
from .steady import CUT_OVER_MOTION, LEAST_CUT, THUMBNAIL

STEADY = 0.01  # of its side: how far a face may be from the square's middle, and change in size
STEADY_TILT = 0.02  # radians
JUMP = 0.5  # eye distances on average: further points are not of one motion
MOVED = 0.02  # eye distances: after more motion the mesh looks twice, as its square was off
OTHERS_EVERY = 12  # frames from one look at who else is there to the next
LONGEST_WAIT = 8  # frames from one look for a lost face to the next
LONGEST_PARTS_WAIT = 48  # and to the next in smaller parts of the picture
FIRST_PARTS_WAIT = 4  # where it is known about where the face was
REACH = 1.0  # sides of a face that the person may be away from the last place
REACH_GROWTH = 0.1  # more with every frame without the person
MOST_GROWTH = 1.6  # of the face's size meanwhile
FORGOTTEN = 50  # frames, after which any face that is nobody else's may be the person's
SAMPLES = 96  # rows or columns of a frame that are looked at for a cut
NOT_HERE = FaceLocation(None, None, 0.0, "none", NO_FACE)


class MeshPerson:
    """Follows one person; ask ``follow`` for every frame in turn.

    choice: whose face it is, in the first frame with it and after cuts.
    check: called between the looks of a search; what it raises ends it.
    searches: False never looks for a face that is lost.
    longest_wait: frames from one look for a lost face to the next, at most.
    begins: the last frame does not go on from the one before: its face was found anew.
    skipped: frames just before the last one in which a face was not looked for everywhere.
    """

    def __init__(
        self,
        networks: MeshNetworks,
        choice: FaceChoice = FaceChoice(),  # noqa: B008 - frozen
        check: Callable[[], None] = lambda: None,
        *,
        searches: bool = True,
        longest_wait: int = LONGEST_WAIT,
    ) -> None:
        self.begins, self.skipped = True, 0
        self._networks, self._choice, self._check = networks, choice, check
        self._searches, self._longest_wait = searches, longest_wait
        self._cuts = Cuts()
        self._mesh: FaceMesh | None = None  # of the last frame
        self._square: FaceFrame | None = None  # in which the mesh looks at the next one
        self._followed: FollowedFace | None = None
        self._place: FaceMesh | None = None  # as last seen in this shot
        self._others: list[Box] = []
        self._since_others = 0
        self._lost = _Lost(longest_wait, known=False)

    @property
    def mesh(self) -> FaceMesh | None:
        """The face in the last frame, however small; None where it is lost."""
        return self._mesh

    def follow(self, frame: np.ndarray, known: FaceLocation | None = None) -> FaceLocation:
        """Return the person's face in a uint8 RGB frame; its ``lips`` are None where it is lost.

        known: the face in this frame, where it was found before.
        """
        is_cut = self._cuts.comes_with(frame)
        if known is not None and known.points is not None:
            mesh = FaceMesh(known.points, known.confidence)
            return self._taken(frame, mesh, begins=True)
        mesh = self._carried_on(frame)
        if mesh is not None:
            self._look_at_others(frame)
            return self._taken(frame, mesh, begins=False)
        if is_cut:
            self._forget_place()
        mesh = self._found(frame) if self._searches else None
        if mesh is None:
            self._mesh = self._followed = None
            return NOT_HERE
        last = self._mesh
        jumps = last is None or points_moved(last, mesh) > JUMP
        return self._taken(frame, mesh, begins=is_cut or jumps)

    def alone_from(self, frame: np.ndarray, known: FaceLocation) -> MeshPerson:
        """Return one that follows the same face from this frame and is never looking for it."""
        other = MeshPerson(self._networks, self._choice, self._check, searches=False)
        other.follow(frame, known)
        return other

    def _taken(self, frame: np.ndarray, mesh: FaceMesh, *, begins: bool) -> FaceLocation:
        if self._followed is None:
            points = landmarks_of(mesh)
            self._followed = FollowedFace.seen(frame, scored_box(mesh), points, alone=True)
        self.begins = begins
        self._mesh = self._place = mesh
        self._square = _steady_square(self._square, mesh.square)
        self._lost = _Lost(self._longest_wait, known=True)
        return location_of(mesh)

    def _carried_on(self, frame: np.ndarray) -> FaceMesh | None:
        """Return the face by its last points, or None where the detector has to look."""
        self.skipped = 0
        last, followed, square = self._mesh, self._followed, self._square
        if last is None or followed is None or square is None:
            return None
        mesh = self._networks.look(frame, square)
        if mesh is not None and points_moved(last, mesh) > MOVED:
            mesh = confirmed(self._networks, frame, mesh)
        if mesh is None or mesh.confidence < LEAST_CONFIDENCE:
            self._followed = None
            return None
        self._followed = followed.moved(frame, landmarks_of(mesh))
        return None if self._followed is None else mesh

    def _look_at_others(self, frame: np.ndarray) -> None:
        """Remember now and then where everybody else is."""
        self._since_others = (self._since_others + 1) % OTHERS_EVERY
        if self._since_others or self._mesh is None:
            return
        seen = [each.box for each in self._networks.detect(frame)]
        self._others = [box for box in seen if not _is_of(box, self._mesh)]

    def _forget_place(self) -> None:
        self._others, self._lost = [], _Lost(self._longest_wait, known=False)
        if self._choice.point is None:
            self._place = None
        else:
            self._lost.frames = FORGOTTEN

    def _found(self, frame: np.ndarray) -> FaceMesh | None:
        lost = self._lost
        if not lost.is_due():
            return None
        in_parts = lost.parts_are_due()
        place = self._place
        faces = find_meshes(
            self._networks,
            frame,
            are_enough=self._is_among,
            near=None if place is None else place.box,
            in_parts=in_parts,
            check=self._check,
        )
        chosen = self._chosen(faces)
        self._others = [each.box for each in faces if each is not chosen]
        self.skipped = lost.looked(in_parts=in_parts)
        return chosen

    def _is_among(self, faces: list[FaceMesh]) -> bool:
        if self._place is None:
            return choice_is_made(self._choice, faces)
        return self._chosen(faces) is not None

    def _chosen(self, faces: list[FaceMesh]) -> FaceMesh | None:
        """Return the person among these faces, largest first."""
        place = self._place
        if place is None:
            return self._chosen_first(faces)
        mine = [face for face in faces if not self._is_others(face)]
        best = min(mine, key=lambda face: _change(place, face), default=None)
        if best is None or self._lost.frames > FORGOTTEN:
            return best
        return best if _change(place, best) <= 1 + REACH_GROWTH * self._lost.frames else None

    def _chosen_first(self, faces: list[FaceMesh]) -> FaceMesh | None:
        choice = self._choice
        if choice.point is None:
            return faces[choice.index] if choice.index < len(faces) else None
        boxes = [scored_box(face) for face in faces]
        near = nearest_face(boxes, choice.point, within=choice.reach)
        return None if near is None else faces[boxes.index(near)]

    def _is_others(self, face: FaceMesh) -> bool:
        """Say whether a face goes on from where somebody else was, rather than the person."""
        place = self._place
        others = [_apart(other, face.box) for other in self._others]
        if place is None or not others or min(others) > REACH:
            return False
        return min(others) < _apart(place.box, face.box)


class _Lost:
    """For how long a face has been lost, and when to look for it again."""

    def __init__(self, longest_wait: int, *, known: bool) -> None:
        self.frames, self._longest_wait = 0, longest_wait
        self._look_at = 1
        self._parts_at = FIRST_PARTS_WAIT if known else 1
        self._looked = self._looked_in_parts = 0

    def is_due(self) -> bool:
        self.frames += 1
        return self.frames >= self._look_at

    def parts_are_due(self) -> bool:
        return self.frames >= self._parts_at

    def looked(self, *, in_parts: bool) -> int:
        """Remember a look; return how many frames before it had none, or none as thorough."""
        skipped = self.frames - 1 - (self._looked_in_parts if in_parts else self._looked)
        self._looked = self.frames
        self._look_at = self.frames + min(self.frames, self._longest_wait)
        if in_parts:
            self._looked_in_parts = self.frames
            self._parts_at = self.frames + min(self.frames, LONGEST_PARTS_WAIT)
        return skipped


class Cuts:
    """Says of frames as they come whether the picture was cut before them."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._usual = 0.0

    def comes_with(self, frame: np.ndarray) -> bool:
        step = max(1, min(frame.shape[:2]) // SAMPLES)  # every pixel of a large frame takes long
        few = np.ascontiguousarray(frame[::step, ::step])
        size = (THUMBNAIL, THUMBNAIL)
        small = cv2.resize(few, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        change = 0.0 if self._last is None else float(np.abs(small - self._last).mean())
        is_cut = change > max(LEAST_CUT, CUT_OVER_MOTION * self._usual)
        self._last, self._usual = small, change if is_cut else 0.7 * self._usual + 0.3 * change
        return is_cut


def _steady_square(last: FaceFrame | None, now: FaceFrame) -> FaceFrame:
    """Return the last square where it fits: the mesh answers a little otherwise in every other."""
    if last is None:
        return now
    side = last.eye_distance
    fits = (
        math.hypot(now.x - last.x, now.y - last.y) < STEADY * side
        and abs(math.log(now.eye_distance / side)) < STEADY
        and abs(now.tilt - last.tilt) < STEADY_TILT
    )
    return last if fits else now


def _is_of(box: Box, mesh: FaceMesh) -> bool:
    return overlap(box, mesh.box) > 0.2


def _apart(one: Box, other: Box) -> float:
    """Return how far two faces are apart, in sides of the larger one."""
    middles = [((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) for box in (one, other)]
    side = max(one.width, one.height, other.width, other.height)
    return math.dist(*middles) / max(side, 1.0)


def _change(before: FaceMesh, now: FaceMesh) -> float:
    """Return how unlike two sightings are in place and size: up to 1 for the same person."""
    one, other = before.box, now.box
    growth = math.log(max(other.width, 1) / max(one.width, 1)) / math.log(MOST_GROWTH)
    return math.hypot(_apart(one, other) / REACH, growth)
