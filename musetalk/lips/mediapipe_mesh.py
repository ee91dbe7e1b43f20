"""Lips from mediapipe's face mesh, where an installed mediapipe still carries its models."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from types import ModuleType
from typing import Any

import numpy as np

from ...media import LIP_CURVE_POINTS, Box, FaceLocation, LipCorners, LipShape

log = logging.getLogger("avatarvideo.musetalk.lips.mediapipe_mesh")

# Indices of the published 468 point mesh, from the right corner of the mouth to the left one.
BORDERS = (
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    (61, 191, 80, 81, 82, 13, 312, 311, 310, 415, 291),
    (61, 95, 88, 178, 87, 14, 317, 402, 318, 324, 291),
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
)
MOST_FACES = 10
OPEN_GAP = 0.06  # mouth widths
CONFIDENCE = 0.9  # the mesh gives none for the lips


def find_faces(picture: np.ndarray) -> list[FaceLocation]:
    """Return the faces of a uint8 RGB picture, largest first; [] without a usable mediapipe."""
    mesh = _import_mesh()
    if mesh is None:
        return []
    try:
        with mesh.FaceMesh(static_image_mode=True, max_num_faces=MOST_FACES) as finder:
            seen = finder.process(np.ascontiguousarray(picture)).multi_face_landmarks
    except (RuntimeError, ValueError, OSError, AttributeError) as error:
        log.info("mediapipe is installed but its face mesh does not run: %s", error)
        return []
    height, width = picture.shape[:2]
    found: list[Any] = seen or []  # Any: mediapipe's own class, and it may not be installed
    faces = [
        _location(np.array([(p.x * width, p.y * height) for p in face.landmark])) for face in found
    ]
    usable = [face for face in faces if face is not None]
    return sorted(usable, key=lambda face: -face.box.width if face.box else 0.0)


def state() -> str:
    """Say "usable", or why it is not."""
    if importlib.util.find_spec("mediapipe") is None:
        return "not installed"
    return "usable" if _import_mesh() else "installed, but its face mesh is not in it"


def _import_mesh() -> ModuleType | None:
    try:
        return importlib.import_module("mediapipe").solutions.face_mesh
    except (ImportError, AttributeError, RuntimeError, OSError, TypeError, ValueError) as error:
        log.debug("no face mesh: %s", error)
        return None


def _location(points: np.ndarray) -> FaceLocation | None:
    """Return face box and lips of one mesh (468 or more, 2) in pixels."""
    lips = _lips(points)
    if lips is None:
        return None
    box = Box(*(float(edge) for edge in (*points.min(0), *points.max(0))))
    return FaceLocation(box, lips, CONFIDENCE, "mediapipe", "lips found by mediapipe's face mesh")


def _lips(points: np.ndarray) -> LipShape | None:
    ends = points[[BORDERS[0][0], BORDERS[0][-1]]]
    ends = ends[np.argsort(ends[:, 0])]
    across = ends[1] - ends[0]
    width = float(np.hypot(*across))
    if width < 1:
        return None
    axis = across / width
    normal = np.array([-axis[1], axis[0]])
    even = np.linspace(0, 1, LIP_CURVE_POINTS)
    curves = np.empty((len(BORDERS), LIP_CURVE_POINTS), np.float32)
    for border, curve in zip(BORDERS, curves, strict=True):
        relative = (points[list(border)] - ends[0]) / width
        along, offset = relative @ axis, relative @ normal
        order = np.argsort(along)
        curve[:] = np.interp(even, along[order], offset[order])
    parted = bool((curves[2] - curves[1]).max() > OPEN_GAP)
    return LipShape(LipCorners(*(float(v) for v in ends.ravel())), curves, parted)
