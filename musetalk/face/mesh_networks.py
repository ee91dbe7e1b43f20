"""Google's face detector and face mesh, run by OpenCV.

What goes in and what comes out is fixed by the published files: the detector sees 128 x 128 pixels
and answers against a grid of anchors; the mesh sees an upright face in 256 x 256 pixels and
answers with 478 points. Points here are continuous: the first pixel reaches from 0 to 1.
"""

from __future__ import annotations

import logging
import math
import tempfile
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ...errors import CheckpointError
from ...media import Box
from ..lips.frame import FaceFrame, upright_patch
from ..weights.mesh_file import MeshModels, find_mesh, mesh_file_problem, read_mesh

log = logging.getLogger("avatarvideo.musetalk.face.mesh_networks")

LEAST_OPENCV = "4.8"
POINTS = 478
EYE_CORNERS = (33, 263)  # of the mesh, the outer ones: they say how a face is turned
NOSE = 1  # its tip
DETECTOR_SIDE = 128  # pixels
MESH_SIDE = 256
GRIDS = ((8, 2), (16, 6))  # of the detector: pixels from cell to cell, anchors in each
LEAST_SCORE = 0.5  # of the detector
SAME_FACE = 0.3  # overlap (IoU) above which two boxes are of one face
# Of the face's longer side: what the mesh sees of the picture. On 182 marked faces squares 0.8 to
# 1.25 times as large, turned or shifted are no better, nor are means of them and of mirrored looks.
ROOM = 1.5
_UNIT = Box(-0.5, -0.5, 0.5, 0.5)


class Detection(NamedTuple):
    """A face as the detector sees it: score 0..1, box, and both eyes (2, 2); pixels."""

    score: float
    box: Box
    eyes: np.ndarray

    @property
    def square(self) -> FaceFrame:
        """What the mesh looks at: a square whose side is the frame's ``eye_distance``."""
        side = ROOM * max(self.box.width, self.box.height)
        x, y = (self.box.x0 + self.box.x1) / 2, (self.box.y0 + self.box.y1) / 2
        return FaceFrame(x, y, side, _tilt(*self.eyes))


class FaceMesh(NamedTuple):
    """The points of one face, float64 (478, 2) in pixels, and how sure it is one: 0..1."""

    points: np.ndarray
    confidence: float

    @property
    def box(self) -> Box:
        return Box(*(float(edge) for edge in (*self.points.min(0), *self.points.max(0))))

    @property
    def square(self) -> FaceFrame:
        """What the mesh looks at when it looks again, here or in the next frame."""
        tilt = _tilt(*self.points[list(EYE_CORNERS)])
        turned = self.points @ _rotation(tilt)
        low, high = turned.min(0), turned.max(0)
        x, y = _rotation(tilt) @ ((low + high) / 2)
        return FaceFrame(float(x), float(y), ROOM * float((high - low).max()), tilt)

    @property
    def turn(self) -> float:
        """How far the head is turned aside: its nose from the eyes' middle, in their distance."""
        left, right = self.points[list(EYE_CORNERS)]
        along = right - left
        off = self.points[NOSE] - (left + right) / 2
        return float(off @ along / max(along @ along, 1e-9))


class MeshNetworks:
    """Both networks, loaded. Threads may share them: each waits for its turn."""

    def __init__(self, models: MeshModels) -> None:
        self._detector = _load(models.detector)
        self._mesh = _load(models.landmarks)
        self._lock = threading.Lock()

    def detect(self, picture: np.ndarray) -> list[Detection]:
        """Return the faces of a uint8 RGB picture (H, W, 3), the surest first.

        It is seen at 128 pixels a side: faces under about a tenth of that are missed.
        """
        seen, scale, corner = _letterboxed(picture)
        blob = cv2.dnn.blobFromImage(seen, 1 / 127.5, mean=(127.5, 127.5, 127.5))
        with self._lock:
            self._detector.setInput(blob)
            raw, logits = self._detector.forward(["regressors", "classificators"])
        scores = _sigmoid(np.asarray(logits, np.float64).reshape(-1))
        values = np.asarray(raw, np.float64).reshape(len(scores), -1)
        sure = np.isfinite(values).all(axis=1) & (scores >= LEAST_SCORE)
        anchors = _anchors()[sure]
        centers = values[sure, :2] + anchors
        halves = values[sure, 2:4] / 2
        eyes = values[sure, 4:8].reshape(-1, 2, 2) + anchors[:, None]
        numbers = np.concatenate([centers - halves, centers + halves, eyes.reshape(-1, 4)], axis=1)
        numbers = (numbers.reshape(-1, 4, 2) - corner) / scale
        return [
            Detection(score, Box(*(float(edge) for edge in one[:2].ravel())), one[2:])
            for score, one in _joined(scores[sure], numbers)
        ]

    def look(self, picture: np.ndarray, square: FaceFrame) -> FaceMesh | None:
        """Return the mesh of the face in a square of the picture; None for no numbers."""
        patch = upright_patch(picture, square, region=_UNIT, pixels_per_eye=MESH_SIDE)
        blob = cv2.dnn.blobFromImage(patch, 1 / 255)
        with self._lock:
            self._mesh.setInput(blob)
            raw, logit = self._mesh.forward(["Identity", "Identity_1"])
        points = np.asarray(raw, np.float64).reshape(POINTS, 3)[:, :2]
        if not np.isfinite(points).all():
            return None
        confidence = float(_sigmoid(np.asarray(logit, np.float64).reshape(-1))[0])
        return FaceMesh(square.to_picture(points / MESH_SIDE - 0.5), confidence)


def opencv_problem() -> str | None:
    """Return why the installed OpenCV cannot run the networks, or None."""
    if hasattr(getattr(cv2, "dnn", None), "readNetFromTFLite"):
        return None
    return f"OpenCV {LEAST_OPENCV} or newer is needed, this is {cv2.__version__}"


def mesh_networks(folders: Sequence[Path]) -> MeshNetworks | None:
    """Return the networks of the file in these folders of models; None where there is no way."""
    path = None if opencv_problem() else find_mesh(folders)
    if path is None:
        return None
    status = path.stat()
    try:
        return _networks_of(path, status.st_size, status.st_mtime_ns)
    except (cv2.error, OSError, CheckpointError) as error:
        log.warning("OpenCV %s cannot load the face mesh: %s", cv2.__version__, error)
        return None


def mesh_problem(folders: Sequence[Path]) -> str | None:
    """Return why the mesh cannot be used and what helps, or None."""
    if (problem := opencv_problem()) is not None:
        return problem
    if (problem := mesh_file_problem(folders)) is not None:
        return problem
    return None if mesh_networks(folders) else f"OpenCV {cv2.__version__} cannot load its file"


@lru_cache(maxsize=1)
def _networks_of(path: Path, _size: int, _changed: int) -> MeshNetworks:
    return MeshNetworks(read_mesh(path))


def _load(model: bytes) -> cv2.dnn.Net:
    read: Any = cv2.dnn.readNetFromTFLite  # Any: the stubs of OpenCV 4 know no engines
    engine: int | None = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
    if engine is None:
        return read(np.frombuffer(model, np.uint8))
    # OpenCV 5's new engine keeps the last output alone, and only a file is read for the old one.
    with tempfile.TemporaryDirectory(prefix="avatarvideo-") as folder:
        path = Path(folder, "network.tflite")
        path.write_bytes(model)
        return read(str(path), engine)


@lru_cache(maxsize=1)
def _anchors() -> np.ndarray:
    """Return the middles of the detector's anchors, float64 (896, 2), in its pixels."""
    grids: list[np.ndarray] = []
    for stride, anchors in GRIDS:
        count = DETECTOR_SIDE // stride
        rows, columns = np.divmod(np.arange(count * count), count)
        middles = (np.stack([columns, rows], axis=1) + 0.5) * stride
        grids.append(np.repeat(middles, anchors, axis=0))
    return np.concatenate(grids)


def _letterboxed(picture: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the picture in a black square, its scale there, and where its corner lies (2,)."""
    height, width = picture.shape[:2]
    scale = DETECTOR_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    square = np.zeros((DETECTOR_SIDE, DETECTOR_SIDE, 3), np.uint8)
    x, y = (DETECTOR_SIDE - size[0]) // 2, (DETECTOR_SIDE - size[1]) // 2
    small = cv2.resize(np.ascontiguousarray(picture), size, interpolation=how)
    square[y : y + size[1], x : x + size[0]] = small
    return square, scale, np.array([x, y], float)


def _joined(scores: np.ndarray, numbers: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Join what lies on each other to means weighted by score. numbers: (N, 4, 2), box first."""
    order = np.argsort(-scores, kind="stable")
    scores, numbers = scores[order], numbers[order]
    found: list[tuple[float, np.ndarray]] = []
    while scores.size:
        same = _overlaps(numbers[:, 0], numbers[:, 1]) > SAME_FACE
        same[0] = True  # a box without area lies on nothing
        mean = np.average(numbers[same], axis=0, weights=scores[same])
        found.append((float(scores[0]), mean))
        scores, numbers = scores[~same], numbers[~same]
    return found


def _overlaps(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return how far boxes overlap the first of them, as ``overlap`` does. low, high: (N, 2)."""
    shared = np.maximum(np.minimum(high, high[0]) - np.maximum(low, low[0]), 0).prod(axis=1)
    areas = (high - low).prod(axis=1)
    union = areas[0] + areas - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)


SAME_PLACE = 0.3  # overlap of boxes of one face


def overlap(one: Box, other: Box) -> float:
    """Return the share of two boxes' common area in all that they cover."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    common = max(width, 0.0) * max(height, 0.0)
    union = one.width * one.height + other.width * other.height - common
    return common / union if union > 0 else 0.0


def _tilt(left: np.ndarray, right: np.ndarray) -> float:
    return math.atan2(right[1] - left[1], right[0] - left[0])


def _rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values, -80, 80)))
