"""MuseTalk's crop by the face mesh: the reference's box rule on 68 of its points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...media import Box
from ..networks.s3fd import ScoredBox
from .choice import FaceChoice, FaceFollower, face_center, nearest_face
from .key_frames import KEY_DISTANCE, FollowedFace
from .landmarks import CropRules, FoundFace
from .mesh_networks import FaceMesh, MeshNetworks
from .mesh_search import confirmed, find_meshes

# The mesh's points in the order of the usual 68: jaw, brows, nose, eyes, outer and inner lips.
LANDMARKS_68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),
    *(168, 197, 5, 4),
    *(75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)


@dataclass(frozen=True)
class _Last:
    """The person in the last frame: the mesh, and what is known of the place."""

    mesh: FaceMesh
    followed: FollowedFace


class MeshFollower:
    """Follows one person by the face mesh: in the next frame it looks where the face was."""

    method = "face mesh"

    def __init__(self, networks: MeshNetworks, rules: CropRules) -> None:
        self.detections = self.without_numbers = 0
        self._networks = networks
        self._choice = rules.choice
        self._bbox_shift = rules.bbox_shift
        self._every_frame = rules.every_frame
        self._follower = FaceFollower(rules.choice)
        self._last: _Last | None = None
        self._place: ScoredBox | None = None  # of the person, when last seen
        self._without = 0  # frames since then

    def find(self, frame: np.ndarray) -> FoundFace | None:
        mesh = self._carried_on(frame) or self._detected(frame)
        if mesh is None:
            return None
        return FoundFace.of(landmarks_of(mesh), mesh.box, bbox_shift=self._bbox_shift)

    def _carried_on(self, frame: np.ndarray) -> FaceMesh | None:
        """Return the face by its last points, or None where the detector has to look."""
        last = self._last
        if last is None or self._every_frame or last.followed.is_due():
            return None
        mesh = confirmed(self._networks, frame, last.mesh)
        followed = None if mesh is None else last.followed.moved(frame, landmarks_of(mesh))
        if mesh is None or followed is None:
            return None
        self._last, self._place = _Last(mesh, followed), scored_box(mesh)
        self._follower.carry_on(self._place)
        return mesh

    def _detected(self, frame: np.ndarray) -> FaceMesh | None:
        self.detections += 1
        # Smaller parts of a picture cost too much in every frame that is without the person.
        in_parts = self._without % KEY_DISTANCE == 0
        meshes = find_meshes(
            self._networks,
            frame,
            are_enough=self._are_enough,
            near=None if self._place is None else Box(*self._place[:4]),
            in_parts=in_parts,
        )
        boxes = [scored_box(mesh) for mesh in meshes]
        chosen = self._follower.choose(boxes)
        self._last = None
        self._without = 0 if chosen is not None else self._without + 1
        if chosen is None:
            return None
        mesh, self._place = meshes[boxes.index(chosen)], chosen
        alone, points = len(meshes) == 1, landmarks_of(mesh)
        followed = FollowedFace.seen(frame, chosen, points, alone=alone)
        self._last = None if followed is None else _Last(mesh, followed)
        return mesh

    def _are_enough(self, meshes: list[FaceMesh]) -> bool:
        if self._place is None:
            return choice_is_made(self._choice, meshes)
        boxes = [scored_box(mesh) for mesh in meshes]
        return nearest_face(boxes, face_center(self._place), within=1.0) is not None


def choice_is_made(choice: FaceChoice, meshes: list[FaceMesh]) -> bool:
    """Say whether the face that is meant is among these."""
    if choice.point is None:
        return len(meshes) > choice.index
    boxes = [scored_box(mesh) for mesh in meshes]
    return nearest_face(boxes, choice.point, within=choice.reach) is not None


def landmarks_of(mesh: FaceMesh) -> np.ndarray:
    """Return 68 points in the usual order, float64 (68, 2)."""
    return mesh.points[list(LANDMARKS_68)]


def scored_box(mesh: FaceMesh) -> ScoredBox:
    return ScoredBox(*mesh.box, mesh.confidence)
