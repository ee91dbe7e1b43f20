"""Lips from mediapipe's face mesh, where an installed mediapipe still carries its models."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from types import ModuleType
from typing import Any

import numpy as np

from ...media import Box, FaceLocation
from .mesh_shape import lips_of_mesh

log = logging.getLogger("avatarvideo.musetalk.lips.mediapipe_mesh")

MOST_FACES = 10
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
    lips = lips_of_mesh(points)
    if lips is None:
        return None
    box = Box(*(float(edge) for edge in (*points.min(0), *points.max(0))))
    return FaceLocation(box, lips, CONFIDENCE, "mediapipe", "lips found by mediapipe's face mesh")
