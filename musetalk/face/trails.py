"""Everybody's face through a video, as trails: a face without a doubt that it is still the same.

The detector looks once a frame, however many are there. Where two faces come so close that place
and motion leave open who is who, their looks decide; where these are alike, both trails end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np

from ...media import Box
from ..lips.frame import FaceFrame
from .bystanders import Bystanders
from .looks import LIKE, UNLIKE, Look, difference, is_anothers, is_told, look_of, unlikeness
from .mesh_networks import Detection, FaceMesh, MeshNetworks, overlap
from .mesh_person import Cuts
from .mesh_search import SURE, confirmed, detections_near, find_meshes
from .trail import LOOK_EVERY, REACH, REACH_GROWTH, Trail, apart, near_enough, place_cost
from .wish import FaceWish, chosen_box

MARGIN = 0.35  # sides by which a place has to be nearer than the next one, to be told from it
BESIDE = 1.0  # sides from face to face, within which a look may show some of the other one
MOST_MISSED = 3  # frames without a face, then its trail ends
SUDDEN = 0.5  # between two glances at a face, as far as looks are apart: it may be another one
CALM = 0.2  # up to there it has not even begun to become one
PARTS_EVERY = 48  # frames from one search in small parts of the picture to the next
LEFTMOST_LEVEL = 2  # of a search: who stands to the left may be small in the whole picture
MOST_LOOKS = 24  # of a trail: more say no more
MOST_GLANCES = 4  # known of a trail: the detector's places sway, and a head that turns comes back
SOUGHT_FOR = 24  # frames, in which a face that was lost is looked for where it went
REFUSED_FOR = 6  # frames, in which what was no face is not looked at again


class TrailWatcher:
    """Sees one frame after the other; ``trails`` are all of them, also those that have ended.

    enough: faces that have to be found, where the whole picture shows fewer, in its parts.
    wishes: whom they mean is looked for in the first frame with a face.
    bystanders: who need not be watched. check: called between looks; what it raises ends the work.
    """

    def __init__(
        self,
        networks: MeshNetworks,
        *,
        enough: int = 1,
        wishes: Sequence[FaceWish] = (),
        bystanders: Bystanders | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.trails: list[Trail] = []
        self.shots: list[int] = []  # their first frames
        self.detections = self.looks = 0
        self._networks, self._enough, self._check = networks, enough, check
        self._wishes = wishes
        self._bystanders = Bystanders() if bystanders is None else bystanders
        self._live: list[Trail] = []
        self._sought: list[Trail] = []  # of this shot, lost a moment ago
        self._cuts = Cuts()
        self._frame = -1
        self._searched = -PARTS_EVERY
        self._refused: list[tuple[int, Box]] = []  # what the mesh took for no face, and when
        self._before: np.ndarray | None = None  # the picture before this one
        self._meshes: dict[FaceFrame, FaceMesh | None] = {}  # of this picture, by where it looked

    def see(self, picture: np.ndarray) -> None:
        """Look at the next frame, uint8 RGB (H, W, 3)."""
        is_cut = self._cuts.comes_with(picture)
        if is_cut:
            self.close()
        self._frame += 1
        self._meshes = {}
        if is_cut or self._frame == 0:
            self._live, self._sought = [], []
            self.shots.append(self._frame)
            self._searched = -PARTS_EVERY
        seen, before = self._seen(picture), (*self._sought, *self._live)
        left = self._carried_on(picture, seen)
        for face in left:
            self._begin(picture, face)
        self._take_looks(picture)
        self._bystanders.sort(self._live)
        live = set(map(id, self._live))
        ended = (each for each in before if id(each) not in live)
        self._sought = [each for each in ended if self._frame - each.end < SOUGHT_FOR]
        self._before = picture

    def close(self) -> None:
        """Look once more at those in the last frame of a shot: the next look may not come."""
        if self._before is None:
            return
        for trail in list(self._live):
            if trail.missed or self._bystanders.includes(trail) or not self._is_alone(trail):
                continue
            look = _look_of(self._before, self._mesh(self._before, trail.square(self._frame)))
            if look is not None:
                self._keep_look(trail, look)

    def _seen(self, picture: np.ndarray) -> list[Detection]:
        """Return the faces of the frame, each once."""
        self._check()
        seen = self._networks.detect(picture)
        self.detections += 1
        # What is small in the whole picture is seen from near, and not lost for long.
        for trail in (*self._live, *self._sought):
            expected = trail.expected(self._frame - trail.end + 1)
            if any(place_cost(expected, each.box) < REACH for each in seen):
                continue
            self._check()
            self.detections += 1
            _add(seen, detections_near(self._networks, picture, expected))
        is_due = self._frame - self._searched >= PARTS_EVERY
        faces = (each for each in seen if is_due and self._is_face(picture, each))
        if is_due and not self._are_enough([each.box for each in faces], 0):
            self._searched = self._frame
            level = count(1)
            faces = find_meshes(
                self._networks,
                picture,
                are_enough=lambda found: self._are_enough(
                    [each.box for each in found], next(level)
                ),
                check=self._check,
            )
            _add(seen, [_as_detection(face) for face in faces])
        return seen

    def _are_enough(self, boxes: Sequence[Box], level: int) -> bool:
        """Say whether all are found whom the wishes mean.

        level: 1 after a search in the whole picture, 2 after one in its halves, and so on.
        """
        if len(boxes) < self._enough or self.trails:
            return len(boxes) >= self._enough
        if level < LEFTMOST_LEVEL and any(wish.from_left for wish in self._wishes):
            return False
        points = (wish for wish in self._wishes if wish.point is not None)
        return all(chosen_box(wish, boxes) is not None for wish in points)

    def _is_face(self, picture: np.ndarray, seen: Detection) -> bool:
        """Say whether the mesh sees a face there too, or one is followed there."""
        if any(place_cost(trail.expected(), seen.box) < REACH for trail in self._live):
            return True
        return self._is_sure(picture, seen)

    def _carried_on(self, picture: np.ndarray, seen: list[Detection]) -> list[Detection]:
        """Carry the trails on; return the faces that are nobody's, or whose is in doubt."""
        expected = [trail.expected() for trail in self._live]
        costs = {
            (t, f): cost
            for t, trail in enumerate(self._live)
            for f, face in enumerate(seen)
            if (cost := place_cost(expected[t], face.box)) <= REACH + REACH_GROWTH * trail.missed
        }
        taken: dict[int, int] = {}
        doubtful: set[int] = set()
        for t, f in sorted(costs, key=lambda pair: costs[pair]):
            if t in taken or t in doubtful or f in taken.values():
                continue
            rivals = [
                pair
                for pair, cost in costs.items()
                if (pair[0] == t) != (pair[1] == f) and cost < costs[t, f] + MARGIN
            ]
            if not rivals:
                taken[t] = f
                continue
            owner = self._told_by_looks(picture, seen[f], [a for a, b in costs if b == f])
            if owner is not None and owner not in taken and owner not in doubtful:
                taken[owner] = f
            elif owner is None:
                doubtful |= {a for a, b in costs if b == f and a not in taken}
        self._close_frame(seen, taken, doubtful)
        return [face for f, face in enumerate(seen) if f not in taken.values()]

    def _close_frame(
        self, seen: list[Detection], taken: dict[int, int], doubtful: set[int]
    ) -> None:
        live: list[Trail] = []
        lost: list[Trail] = []
        for t, trail in enumerate(self._live):
            if t in taken:
                trail.put(seen[taken[t]].box, _tilt_of(seen[taken[t]]))
                live.append(trail)
            elif t in doubtful:
                trail.mixed = True
            elif trail.missed < MOST_MISSED:
                trail.missed += 1
                live.append(trail)
            else:
                lost.append(trail)
        self._live = [each for each in live if not _may_hide_any(each, lost)]

    def _told_by_looks(
        self,
        picture: np.ndarray,
        face: Detection,
        who: list[int],
    ) -> int | None:
        """Return which of these trails, of those that live, looks like the face, if one does."""
        mesh = self._mesh(picture, face.square)
        if mesh is None:
            return None
        look = [look_of(picture, mesh.square)]
        if not all(self._live[a].looks for a in who):
            return None
        ranked = sorted((unlikeness(look, self._live[a].looks), a) for a in who)
        best, owner = ranked[0]
        if best > LIKE or not all(is_told(best, other) for other, _ in ranked[1:]):
            return None
        # Who else may be there without being near: everybody of this shot that is hidden now.
        hidden = [one for one in self._lately_lost() if near_enough(one, self._live[owner])]
        told = all(is_told(best, unlikeness(look, one.looks)) for one in hidden if one.looks)
        return owner if told else None

    def _lately_lost(self) -> list[Trail]:
        shot = len(self.shots) - 1
        live = set(map(id, self._live))
        return [each for each in self.trails if each.shot == shot and id(each) not in live]

    def _begin(self, picture: np.ndarray, face: Detection) -> None:
        recent = [each for each in self._refused if self._frame - each[0] < REFUSED_FOR]
        self._refused = recent
        if any(place_cost(box, face.box) < MARGIN for _, box in recent):
            return
        if not self._is_sure(picture, face):
            self._refused.append((self._frame, face.box))
            return
        trail = self._put_new(face.box, _tilt_of(face))
        self._meshes[trail.square(self._frame)] = self._meshes[face.square]

    def _put_new(self, box: Box, tilt: float) -> Trail:
        trail = Trail(self._frame, len(self.shots) - 1)
        trail.put(box, tilt)
        trail.sure_until = trail.looked_until = self._frame
        self.trails.append(trail)
        self._live.append(trail)
        return trail

    def _take_looks(self, picture: np.ndarray) -> None:
        """Take the looks that are due, of faces with nobody beside them."""
        for trail in list(self._live):
            trail.since_look += 1
            if self._bystanders.includes(trail):
                trail.glance = None
                continue
            if not trail.missed:
                self._glance_at(trail, picture)
            if not self._is_alone(trail):
                trail.since_look = LOOK_EVERY  # due as soon as it is alone
                continue
            if trail.missed or not (trail.wants_look or trail.is_suspect):
                continue
            look = _look_of(picture, self._mesh(picture, trail.square(self._frame)))
            if look is not None and not self._is_replaced(trail, look):
                self._keep_look(trail, look)

    def _is_alone(self, trail: Trail) -> bool:
        """Say whether no other face is beside this one, so that a look shows nothing of it."""
        others = (each.expected() for each in self._live if each is not trail)
        return all(apart(trail.last_box, place) >= BESIDE for place in others)

    def _glance_at(self, trail: Trail, picture: np.ndarray) -> None:
        """Notice whether a face becomes another one, at once or bit by bit: then a look is due."""
        last, trail.glance = trail.glance, look_of(picture, trail.square(self._frame))
        trail.is_sudden = last is not None and difference(last, trail.glance) > SUDDEN
        changed = _least_change(trail.glance, trail.known_glances)
        if trail.is_suspect or changed > SUDDEN or trail.is_sudden:
            if trail.is_sudden and trail.is_known and not trail.is_suspect:
                trail.sure_until = self._frame - 1
            trail.is_suspect = True
        elif changed <= CALM and trail.is_known:
            trail.sure_until = self._frame

    def _is_replaced(self, trail: Trail, look: Look) -> bool:
        """Say whether another face took the place of a trail's between two frames.

        Then that trail has ended, and another one begun. Heads do not turn that fast.
        """
        if not trail.is_sudden or self._before is None:
            return False
        mesh = self._looked(self._before, trail.square(self._frame - 1))
        before = _look_of(self._before, mesh)
        if before is None or difference(before, look) < UNLIKE:
            return False
        box, tilt = trail.last_box, trail.square(self._frame).tilt
        self._end_behind(trail, self._frame - 1)
        self._keep_look(self._put_new(box, tilt), look)
        return True

    def _end_behind(self, trail: Trail, frame: int) -> None:
        """End a trail that is somebody else's after a frame."""
        trail.cut_behind(max(frame, trail.first))
        trail.mixed = True
        self._live.remove(trail)

    def _keep_look(self, trail: Trail, look: Look) -> None:
        """Keep a look; a trail that now looks like somebody else has been mixed up and ends."""
        is_due, was_suspect, trail.is_suspect = trail.wants_look, trail.is_suspect, False
        changed = unlikeness([look], trail.looks) if trail.looks else 0.0
        is_anothers_look = is_anothers(look, trail.first_looks)
        if is_anothers_look or (changed > LIKE and self._is_somebody_elses(trail, look, changed)):
            self._end_behind(trail, trail.sure_until if was_suspect else trail.looked_until)
            return
        trail.is_known = changed <= LIKE  # or it turned, and may be anybody
        if trail.is_known:
            trail.sure_until = trail.looked_until = self._frame
        if trail.glance is not None:
            trail.known_glances = [*trail.known_glances, trail.glance][-MOST_GLANCES:]
        # What changes bit by bit would in the end be known by each step on the way.
        if is_due:
            trail.since_look = 0
            if len(trail.looks) < MOST_LOOKS:
                trail.looks.append(look)

    def _is_somebody_elses(self, trail: Trail, look: Look, changed: float) -> bool:
        others = (each for each in self.trails if each is not trail and each.looks)
        return any(is_told(unlikeness([look], each.looks), changed) for each in others)

    def _is_sure(self, picture: np.ndarray, face: Detection) -> bool:
        mesh = self._mesh(picture, face.square)
        return mesh is not None and mesh.confidence >= SURE

    def _mesh(self, picture: np.ndarray, square: FaceFrame) -> FaceMesh | None:
        """Return the face in a square of this frame, looked at once."""
        if square not in self._meshes:
            self._meshes[square] = self._looked(picture, square)
        return self._meshes[square]

    def _looked(self, picture: np.ndarray, square: FaceFrame) -> FaceMesh | None:
        self._check()
        self.looks += 1
        first = self._networks.look(picture, square)
        return None if first is None else confirmed(self._networks, picture, first)


def _look_of(picture: np.ndarray, mesh: FaceMesh | None) -> Look | None:
    """Return the look of a face, None where the mesh is not sure that there is one."""
    if mesh is None or mesh.confidence < SURE:
        return None
    return look_of(picture, mesh.square, mesh.turn)


def _least_change(glance: Look, known: list[Look]) -> float:
    """Return how unlike a glance is to the most alike one, or to one that it is calmly like."""
    least = math.inf
    for each in reversed(known):
        least = min(least, difference(each, glance))
        if least <= CALM:
            break
    return least


def _may_hide_any(trail: Trail, lost: list[Trail]) -> bool:
    """End a trail that from now on may be one of those that were lost beside it: they look alike.

    Say whether it was ended.
    """
    beside = (each for each in lost if apart(each.last_box, trail.last_box) < BESIDE)
    alike = any(
        not (trail.looks and each.looks) or unlikeness(trail.looks, each.looks) < UNLIKE
        for each in beside
    )
    trail.mixed = trail.mixed or alike
    return alike


def _add(seen: list[Detection], more: list[Detection]) -> None:
    """Add faces that are not there yet."""
    for face in more:
        if not any(overlap(face.box, each.box) > 0.2 for each in seen):
            seen.append(face)


def _tilt_of(face: Detection) -> float:
    return face.square.tilt


def _as_detection(face: FaceMesh) -> Detection:
    return Detection(face.confidence, face.box, face.points[[33, 263]])
