"""Portraits that turn their heads: pictures pulled along with the face mesh in space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from scipy.interpolate import LinearNDInterpolator

from avatarvideo.musetalk.face.mesh_networks import FaceMesh, MeshNetworks
from avatarvideo.musetalk.face.mesh_search import find_meshes

from .people_clips import SIDE, Head

EARS = (234, 454)  # of the mesh: a head turns about the line between them
NOSE = 1
DEPTH = 0.55  # of the face's breadth, from the ears to the tip of the nose
HIDDEN, BEHIND = 3.0, 8.0  # pixels beside and behind another point, where a point is not seen


def turned_heads(head: Head, networks: MeshNetworks, angles: Sequence[float]) -> list[Head]:
    """Return the cut-out turned to a side by each of some angles, radians."""
    points = _in_space(find_meshes(networks, head.picture)[0])
    return [Head(_turned(head.picture, points, angle), head.opacity) for angle in angles]


def _in_space(mesh: FaceMesh) -> np.ndarray:
    """Return (478, 3), z towards the viewer: the face as a part of an ellipsoid, with a nose."""
    middle, half = mesh.points.mean(axis=0), np.ptp(mesh.points, axis=0) / 2
    away = np.square((mesh.points - middle) / (1.15 * half)).sum(axis=1)
    depth = 2 * half[0] * DEPTH
    nose = np.exp(-np.square(mesh.points - mesh.points[NOSE]).sum(axis=1) / (0.25 * half[0]) ** 2)
    z = 0.75 * depth * np.sqrt(np.maximum(1 - away, 0)) + 0.25 * depth * nose
    return np.column_stack([mesh.points, z])


def _turned(picture: np.ndarray, points: np.ndarray, angle: float) -> np.ndarray:
    if not angle:
        return picture
    axis = points[list(EARS), 0].mean()
    x, z = points[:, 0] - axis, points[:, 2]
    there = np.column_stack(
        [
            axis + x * math.cos(angle) + z * math.sin(angle),
            points[:, 1],
        ]
    )
    near = z * math.cos(angle) - x * math.sin(angle)
    apart = np.hypot(*(there[:, None] - there[None]).transpose(2, 0, 1))
    seen = ~((apart < HIDDEN) & (near[None] > near[:, None] + BEHIND)).any(axis=1)
    edge = [
        (x, y) for x in (0, SIDE / 2, SIDE) for y in (0, SIDE / 2, SIDE) if {x, y} != {SIDE / 2}
    ]
    source = LinearNDInterpolator([*there[seen], *edge], [*points[seen, :2], *edge])
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    places = (source(columns, rows) - 0.5).astype(np.float32)
    return cv2.remap(picture, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
