"""One person's face and lips in a picture, by the face mesh."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...media import Box, FaceLocation
from ..lips.mesh_shape import lips_of_mesh
from ..lips.search import NO_FACE
from .mesh_networks import FaceMesh, MeshNetworks
from .mesh_search import find_meshes
from .wish import FaceWish, chosen_box, is_at

LEAST_MOUTH = 4.0  # pixels from corner to corner; below it there are no lips to read


def locate_by_mesh(
    networks: MeshNetworks,
    picture: np.ndarray,
    face_index: int,
    near: Box | None = None,
    check: Callable[[], None] = lambda: None,
    *,
    point: tuple[float, float] | None = None,
) -> FaceLocation:
    """Return the face asked for in a uint8 RGB picture; lips are None where there are none.

    face_index: by size, 0 is the largest. near: take the face closest to this box instead.
    point: take the face that it is a point of instead.
    """

    def are_enough(faces: list[FaceMesh]) -> bool:
        if point is not None:
            return any(is_at(face.box, point) for face in faces)
        if near is None:
            return len(faces) > face_index
        return any(_distance(face.box, near) < max(near.width, near.height) for face in faces)

    faces = find_meshes(networks, picture, are_enough=are_enough, near=near, check=check)
    boxes = tuple(face.box for face in faces)
    if not faces:
        location = FaceLocation(None, None, 0.0, "none", NO_FACE)
    elif point is not None:
        at = chosen_box(FaceWish(point=point), boxes)
        location = no_face_at(point) if at is None else location_of(faces[at])
    elif near is not None:
        location = location_of(min(faces, key=lambda face: _distance(face.box, near)))
    elif face_index >= len(faces):
        reason = f"face {face_index} was asked for and only {len(faces)} found (counting from zero)"
        location = FaceLocation(None, None, 0.0, "none", reason)
    else:
        location = location_of(faces[face_index])
    return replace(location, faces=boxes)


def no_face_at(point: tuple[float, float]) -> FaceLocation:
    x, y = point
    return FaceLocation(None, None, 0.0, "none", f"no face was found at the point {x:g},{y:g}")


def location_of(face: FaceMesh) -> FaceLocation:
    """Return a face as it is handed on; its lips are None where they are too small to read."""
    lips = lips_of_mesh(face.points)
    if lips is None or lips.width < LEAST_MOUTH:
        return FaceLocation(
            face.box, None, 0.0, "none", "a face was found whose lips are too small"
        )
    reason = f"lips found by the face mesh, confidence {face.confidence:.2f}"
    return FaceLocation(face.box, lips, face.confidence, "face mesh", reason, face.points)


def _distance(one: Box, other: Box) -> float:
    middles = [((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) for box in (one, other)]
    return math.dist(*middles)
