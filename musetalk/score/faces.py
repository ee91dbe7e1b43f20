"""One face followed through a video, and how many others are beside it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...media import Box
from ..face.mesh_networks import FaceMesh, MeshNetworks, overlap
from ..face.mesh_search import LEAST_CONFIDENCE, find_meshes
from ..lips.frame import FaceFrame

LOOK_AGAIN_SECONDS = 1.0  # how often all faces are looked for
COMPARABLE = 0.5  # of the larger face's side, from which another one counts
SAME_FACE = 0.1  # overlap (IoU) with where the face was
CROWDED_SHARE = 0.5  # of the searches that found a face
# How far a head may move before the mesh looks elsewhere; in a square that moves with every frame
# the points shake half as much again.
MOVED, GROWN, TURNED = 0.04, 0.04, 0.05  # of the square's side, of its size, radians


class FollowedFace:
    """The largest face of a video, looked for where it was; the whole frame once a second."""

    def __init__(
        self, networks: MeshNetworks, frame_rate: float, check: Callable[[], None]
    ) -> None:
        self._networks = networks
        self._every = max(1, round(LOOK_AGAIN_SECONDS * frame_rate))
        self._check = check
        self._frames = 0
        self._last: FaceMesh | None = None
        self._square: FaceFrame | None = None  # what the mesh looks at
        self._counts: list[int] = []  # of comparable faces, where there was one

    def find(self, frame: np.ndarray) -> FaceMesh | None:
        """Return the face in the next frame, uint8 RGB (H, W, 3)."""
        is_due = self._frames % self._every == 0
        self._frames += 1
        mesh = self._carried_on(frame)
        if mesh is None or is_due:
            mesh = self._searched(frame, mesh, in_parts=is_due)
        self._last = mesh
        if mesh is None:
            self._square = None
        elif self._square is None or _has_moved(self._square, mesh.square):
            self._square = mesh.square
        return mesh

    @property
    def is_crowded(self) -> bool:
        """Whether two faces of like size are seen most of the time."""
        crowded = sum(count > 1 for count in self._counts)
        return bool(self._counts) and crowded >= CROWDED_SHARE * len(self._counts)

    @property
    def most_faces(self) -> int:
        return max(self._counts, default=0)

    def _carried_on(self, frame: np.ndarray) -> FaceMesh | None:
        """Return the face where it was in the frame before; None where it is not there."""
        if self._square is None:
            return None
        mesh = self._networks.look(frame, self._square)
        if mesh is None or mesh.confidence < LEAST_CONFIDENCE:
            return None
        if not _has_moved(self._square, mesh.square):
            return mesh
        again = self._networks.look(frame, mesh.square)
        return again if again is not None and again.confidence >= LEAST_CONFIDENCE else None

    def _searched(
        self, frame: np.ndarray, known: FaceMesh | None, *, in_parts: bool
    ) -> FaceMesh | None:
        near = None if self._last is None else self._last.box
        faces = find_meshes(self._networks, frame, in_parts=in_parts, check=self._check)
        if known is not None and not any(overlap(known.box, f.box) > SAME_FACE for f in faces):
            faces.append(known)
        if not faces:
            return None
        sides = sorted((max(face.box.width, face.box.height) for face in faces), reverse=True)
        self._counts.append(sum(side >= COMPARABLE * sides[0] for side in sides))
        if known is not None:
            return known
        return max(faces, key=lambda face: _rank(face, near))


def _rank(face: FaceMesh, near: Box | None) -> tuple[float, float]:
    """Return what says which face is followed: where it was before size."""
    beside = 0.0 if near is None else overlap(face.box, near)
    return (beside if beside > SAME_FACE else 0.0), face.box.width * face.box.height


def _has_moved(before: FaceFrame, now: FaceFrame) -> bool:
    side = before.eye_distance
    apart = np.hypot(now.x - before.x, now.y - before.y) / side
    grown = abs(now.eye_distance / side - 1)
    return bool(apart > MOVED or grown > GROWN or abs(now.tilt - before.tilt) > TURNED)
