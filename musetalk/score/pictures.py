"""What the pixels say: sharpness of the mouth against the face, change against a source."""

from __future__ import annotations

import cv2
import numpy as np

from ..face.mesh_networks import FaceMesh

# Borders of regions, by points of the mesh: round the lips down to the chin, and from the brows
# to the nose and the cheeks beside it.
MOUTH = (57, 186, 92, 165, 164, 391, 322, 410, 287, 422, 424, 418, 421, 200, 201, 194, 204, 202)
FACE = (105, 66, 9, 296, 334, 263, 345, 352, 411, 425, 327, 2, 98, 205, 187, 123, 116, 33)
LEAST_MOUTH = 24.0  # pixels across; in smaller ones there is no detail to compare
FINE, COARSE = 1.0, 2.0  # pixels: deviations of the Gaussians between which detail lies
ROOM = 8  # pixels round a region that the Gaussians read
LOWER_FROM = 5  # the point, on the nose, below which pixels belong to the lower face
LOWER_GROWTH = 0.1  # of the face's width: how much larger than its points it is taken
LEAST_OUTSIDE = 100  # pixels


def sharpness(frame: np.ndarray, mesh: FaceMesh) -> float | None:
    """Return the mouth's share of fine detail against the face's; None where it is too small."""
    left, right = mesh.points[[61, 291]]
    if np.hypot(*(right - left)) < LEAST_MOUTH:
        return None
    mouth, face = (_detail(frame, mesh.points[list(border)]) for border in (MOUTH, FACE))
    return None if mouth is None or not face else mouth / face


def _detail(frame: np.ndarray, border: np.ndarray) -> float | None:
    """Return fine detail against coarser detail inside a border (N, 2), by mean differences."""
    height, width = frame.shape[:2]
    x0, y0 = np.maximum(np.floor(border.min(0)).astype(int) - ROOM, 0)
    x1, y1 = np.minimum(np.ceil(border.max(0)).astype(int) + ROOM, (width, height))
    if min(x1 - x0, y1 - y0) < 2:
        return None
    crop = cv2.cvtColor(np.ascontiguousarray(frame[y0:y1, x0:x1]), cv2.COLOR_RGB2GRAY)
    grey = crop.astype(np.float32)
    soft, softer = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (FINE, COARSE))
    inside = np.zeros(grey.shape, np.uint8)
    _fill(inside, border - (x0, y0), 1)
    chosen = inside > 0
    coarse = float(np.abs(soft - softer)[chosen].mean()) if chosen.any() else 0.0
    return None if coarse < 1e-3 else float(np.abs(grey - soft)[chosen].mean()) / coarse


def change_outside(frame: np.ndarray, source: np.ndarray, mesh: FaceMesh) -> float | None:
    """Return the mean difference of two frames, uint8 RGB (H, W, 3), outside the lower face."""
    outside = _outside_lower_face(frame.shape[:2], mesh)
    if np.count_nonzero(outside) < LEAST_OUTSIDE:
        return None
    return float(np.mean(cv2.mean(cv2.absdiff(frame, source), outside)[:3]))


def _outside_lower_face(size: tuple[int, int], mesh: FaceMesh) -> np.ndarray:
    """Return uint8 (H, W): 1 outside what a lip-sync may change."""
    points = mesh.points
    across = points[263] - points[33]
    down = np.array([-across[1], across[0]])
    lower = points[(points - points[LOWER_FROM]) @ down > 0]
    middle = lower.mean(0)
    grown = middle + (lower - middle) * (1 + 2 * LOWER_GROWTH)
    outside = np.ones(size, np.uint8)
    _fill(outside, grown, 0)
    return outside


def _fill(picture: np.ndarray, points: np.ndarray, value: int) -> None:
    """Fill the hull of points (N, 2)."""
    hull: np.ndarray = cv2.convexHull(np.asarray(points, np.int32))
    cv2.fillConvexPoly(picture, hull, value)
